"""Our own checkpoint folder: holds every ALBERT that there is, also what transformers lacks.

Where transformers can run the model the folder is its layout; else `model_type` is `albertkit`.
"""

from __future__ import annotations

from pathlib import Path

from albertkit.checkpoint.checkpoint import CONFIG_FILE, OWN_WEIGHTS, Checkpoint, find_weights
from albertkit.checkpoint.families._protocol import LoadResult, Overrides
from albertkit.checkpoint.formats.safetensors_file import list_tensors
from albertkit.checkpoint.hf_names import own_names
from albertkit.checkpoint.mapping import LoadReport, absent_heads
from albertkit.errors import AlbertkitError
from albertkit.files import glimpse_json

TITLE = "albertkit's own folder"
WRITES = True


def detect(path: Path) -> Path | None:
    """A folder with our weights file or our config, or one of these files."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name not in (OWN_WEIGHTS, CONFIG_FILE):
        return None
    if (folder / OWN_WEIGHTS).is_file():
        return folder
    values = glimpse_json(folder / CONFIG_FILE)
    own = isinstance(values, dict) and values.get("model_type") == "albertkit"
    return folder if own else None


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a folder whose config says everything; choices are refused."""
    checkpoint = Checkpoint.load(found, tokenizer=False)
    kind = None if checkpoint.head is None else checkpoint.head.kind
    if overrides.config or overrides.values or overrides.head not in (None, kind):
        raise AlbertkitError(
            "This folder says everything itself.",
            expected="no --config, --set or --head",
            found="a choice",
            fix="leave it out, or edit config.json",
        )
    weights = find_weights(found, own=True)
    names = own_names(checkpoint.config, checkpoint.head)
    report = LoadReport(loaded={names[name]: (name, "as it is") for name in checkpoint.tensors})
    report.missing = absent_heads(checkpoint.tensors)
    tokenizers = [found / name for name in ("spiece.model", "vocab.txt", "tokenizer.json")]
    return LoadResult(
        config=checkpoint.config,
        tensors=checkpoint.tensors,
        report=report,
        head=checkpoint.head,
        provenance=dict.fromkeys(checkpoint.config.to_json(), CONFIG_FILE),
        tokenizer=found if any(place.is_file() for place in tokenizers) else None,
        special_ids=checkpoint.special_ids,
        source_tensors=list_tensors(weights),
        files=[found / CONFIG_FILE, weights],
    )


def losses(checkpoint: Checkpoint) -> list[str]:
    """Nothing is ever lost."""
    return []


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write the folder, in transformers' layout where that can hold the model."""
    checkpoint.fill(folder, dtype=dtype)
