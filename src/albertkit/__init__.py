"""albertkit: the maintained home of ALBERT, English and Chinese, tiny to xxlarge."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint
    from albertkit.checkpoint.families._protocol import Overrides
    from albertkit.config import AlbertConfig
    from albertkit.conversion import convert
    from albertkit.data.corpus import read_documents
    from albertkit.data.vocabulary_from_text import train_vocabulary
    from albertkit.data.writing import write_shards
    from albertkit.errors import AlbertkitError
    from albertkit.exporters import export
    from albertkit.exporters._quantize import quantize
    from albertkit.hub import download
    from albertkit.infer.evaluate import evaluate
    from albertkit.infer.predictor import Predictor
    from albertkit.model.pretrained import load_model
    from albertkit.text.tokenizer import Tokenizer
    from albertkit.train.data import make_data
    from albertkit.train.finetune import finetune
    from albertkit.train.pretrain import pretrain

__version__ = "0.1.0"

__all__ = [
    "AlbertConfig",
    "AlbertkitError",
    "Checkpoint",
    "Overrides",
    "Predictor",
    "Tokenizer",
    "convert",
    "download",
    "evaluate",
    "export",
    "finetune",
    "load_model",
    "make_data",
    "pretrain",
    "quantize",
    "read_documents",
    "train_vocabulary",
    "write_shards",
]

# Where each public name is defined; it is imported when it is first used, so that
# `import albertkit` costs nothing and converting needs no torch.
_HOMES = {
    "AlbertConfig": "albertkit.config",
    "AlbertkitError": "albertkit.errors",
    "Checkpoint": "albertkit.checkpoint",
    "Overrides": "albertkit.checkpoint.families._protocol",
    "Predictor": "albertkit.infer.predictor",
    "Tokenizer": "albertkit.text.tokenizer",
    "convert": "albertkit.conversion",
    "download": "albertkit.hub",
    "evaluate": "albertkit.infer.evaluate",
    "export": "albertkit.exporters",
    "finetune": "albertkit.train.finetune",
    "load_model": "albertkit.model.pretrained",
    "make_data": "albertkit.train.data",
    "pretrain": "albertkit.train.pretrain",
    "quantize": "albertkit.exporters._quantize",
    "read_documents": "albertkit.data.corpus",
    "train_vocabulary": "albertkit.data.vocabulary_from_text",
    "write_shards": "albertkit.data.writing",
}


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'albertkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names and the ordinary ones."""
    return sorted({*globals(), *__all__})
