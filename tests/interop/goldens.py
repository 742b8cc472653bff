"""Golden checkpoints as sources of the interop check: those of the repository, and those beside it.

Where a golden folder of TensorFlow holds its tensors as arrays only, they are renamed by the table
of the tests; all others are opened by albertkit from the files of the original programs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint, Opened, open_checkpoint
from albertkit.checkpoint.families._protocol import LoadResult, Overrides
from albertkit.checkpoint.mapping import LoadReport
from albertkit.config import AlbertConfig

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "model"))
from names_of_tf import renamed  # noqa: E402

ARRAYS = "weights.npz"
ROOTS = (TESTS / "golden", TESTS.parents[1] / "shared" / "golden")
# How each family's golden checkpoints are found: a pattern of the file that stands for one.
PATTERNS = {
    "google_tf": ("google_tf/*/*.index", "google_tf/*/*/*.index", "google_tf_finetune/*/*.index"),
    "brightmart_tf": ("brightmart_tf/*/*.index",),
    "huggingface": ("huggingface/*/*/model.safetensors", "huggingface/old_names_*/*/*.bin"),
    "uer": ("uer/*/*.bin",),
    "paddlenlp": ("paddlenlp/*/*/model_state.pdparams",),
    "keras_hub": ("keras_hub/*/*/metadata.json",),
}
KINDS = {  # of heads where neither tensors nor config tell, by the folder's name
    "sequence_classification": "classification",
    "multiple_choice": "multiple_choice",
    "classifier": "classification",
    "race": "multiple_choice",
    "regression": "regression",
}


@dataclass(frozen=True)
class Golden:
    """A golden checkpoint: a name, who wrote it, and where it lies.

    The repository keeps the arrays of a TensorFlow checkpoint (`weights.npz`), not its files.
    """

    name: str
    family: str
    path: Path

    def open(self) -> Opened:
        """Read it, with what its files leave open."""
        if self.path.name == ARRAYS:
            return self._from_arrays()
        return open_checkpoint(self.path, family=self.opener, overrides=self.choices())

    @property
    def opener(self) -> str:
        """The family that reads it: albert_zh's google layouts are google's."""
        own = self.family != "brightmart_tf" or self.path.parent.name.startswith("own_")
        return self.family if own else "google_tf"

    def choices(self) -> Overrides:
        """What only the notes beside the goldens say."""
        folder = self.path.parent
        values: dict[str, Any] = {}
        config = None
        silent = folder.parent.name.startswith(("google_tf_finetune", "old_names_v2"))
        head = KINDS.get(folder.name) if silent else None
        if folder.name.endswith("_index_variants"):
            name = folder.name.removesuffix("_index_variants")
            config = folder.with_name(name) / "albert_config.json"
        if folder.name.startswith("resaved_"):
            config = folder.with_name("assets") / "albert_config.json"
        if self.family == "uer":
            options = json.loads((folder / "options.json").read_text("utf-8"))
            if options["layernorm_positioning"] == "pre":
                values["norm_order"] = "pre"
            head = "classification" if self.path.stem == "classifier" else None
        return Overrides(config=config, values=values, head=head)

    def _from_arrays(self) -> Opened:
        folder = self.path.parent
        fast = folder.name.startswith("google_fast")
        config = AlbertConfig.load(
            folder / "albert_config.json", dialect="google_fast" if fast else None
        )
        with np.load(self.path) as found:
            tensors = {name: np.asarray(x) for name, x in renamed(found).items()}
        checkpoint = Checkpoint(config, tensors)
        result = LoadResult(config, tensors, LoadReport())
        return Opened(checkpoint, self.opener, self.path, result)


def goldens() -> Iterator[Golden]:
    """Every golden checkpoint once; a file of the repository wins over its twin beside it."""
    seen = set()
    for root in ROOTS:
        for family, patterns in PATTERNS.items():
            for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
                if path.suffix == ".index" and not list(path.parent.glob(f"{path.stem}.data*")):
                    continue  # the repository has some index files alone
                golden = _golden(root, family, path)
                if golden.name not in seen:
                    seen.add(golden.name)
                    yield golden
    for family in ("google_tf", "brightmart_tf"):
        for arrays in sorted(ROOTS[0].glob(f"{family}/*/{ARRAYS}")):
            place = arrays.parent
            if not any(name.startswith(f"{family}-{place.name}-") for name in seen):
                yield Golden(f"{family}-{place.name}-arrays", family, arrays)


def _golden(root: Path, family: str, path: Path) -> Golden:
    parts = path.relative_to(root).with_suffix("").parts
    if path.name == "metadata.json":  # a preset is a folder
        parts, path = parts[:-1], path.parent
    elif path.suffix == ".index":
        path = path.with_suffix("")
    name = "-".join((family, *parts[1:]))
    return Golden(name, family, path)
