"""The page for those who come from transformers: both sides run, and they agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from albertkit.text.tokenizer import Tokenizer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from-transformers.md"


def run_side(language: str, path: str) -> dict[str, Any]:
    """Run the blocks of one side, one after the other; the names they made."""
    names: dict[str, Any] = {"path": path}
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.fixture
def english_model(golden: Path, tmp_path: Path) -> str:
    """Folder of transformers with a random model and an English vocabulary of 2,000 pieces."""
    torch.manual_seed(4)
    tokenizer = Tokenizer.load(golden / "tokenization_own" / "spiece.model")
    config = transformers.AlbertConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    transformers.AlbertForPreTraining(config).save_pretrained(tmp_path / "model")
    tokenizer.save(tmp_path / "model")
    return str(tmp_path / "model")


def test_the_new_side_gives_what_the_old_side_gives(
    english_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = english_model
    with torch.no_grad():
        old = run_side("py", path)
        with pytest.warns(UserWarning, match="new, to be trained: classifier.bias"):
            new = run_side("python", path)
    torch.testing.assert_close(new["features"], old["features"], atol=2e-5, rtol=0)
    assert dict(new["inputs"].items()).keys() == dict(old["inputs"].items()).keys()
    for key, value in old["inputs"].items():
        assert torch.equal(new["inputs"][key], value)
    assert torch.equal(new["predicted"], old["predicted"])
    assert new["word"] == old["word"]
    best = old["unmasker"]("the [MASK] sat on the mat .", top_k=9)
    offered = [x["token"] for x in best if x["token"] > 4]  # special tokens are not offered here
    assert new["best"]["token"] == offered[0]
    assert new["vectors"].shape == (2, 16)
    rows = new["batch"]["input_ids"]
    expected = old["tokenizer"](
        ["the cat sat .", "a dog ran on and on"],
        ["it was on the mat .", "and the cat sat"],
        padding=True,
        truncation=True,
        max_length=12,
        return_tensors="pt",
    )["input_ids"]
    assert rows.shape == expected.shape
    assert new["logits"].shape[:2] == rows.shape
    assert new["scores"].shape == (2, 3)
    assert (tmp_path / "new-model" / "model.safetensors").is_file()
