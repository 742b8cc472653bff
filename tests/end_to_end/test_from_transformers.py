"""The page for those who come from transformers: its new side runs, and its old side agrees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from-transformers.md"


def test_the_new_side_gives_what_the_old_side_gives(tiny_model: Path) -> None:
    path = str(tiny_model / "model")
    names: dict[str, Any] = {"path": path}
    text = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(block, str(PAGE), "exec"), names)
    theirs = transformers.AlbertModel.from_pretrained(path).eval()
    with torch.no_grad():
        expected = theirs(input_ids=names["ids"]).last_hidden_state
    torch.testing.assert_close(names["features"], expected, atol=2e-5, rtol=0)
    best = transformers.pipeline("fill-mask", model=path)("the [MASK] sat on the mat .")
    offered = [x["token"] for x in best if x["token"] > 4]  # special tokens are not offered here
    assert names["best"]["token"] == offered[0]
    assert names["vectors"].shape == (2, 16)
