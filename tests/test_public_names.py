"""The public face: which names there are, that they are sorted, and that they cost nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import albertkit

PUBLIC = [
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


def test_public_names_are_these_and_sorted() -> None:
    assert albertkit.__all__ == PUBLIC == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(albertkit))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(albertkit, name)
    assert value.__name__ == name
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Albert2'"):
        albertkit.Albert2  # noqa: B018


def test_version_is_that_of_the_installed_package() -> None:
    assert albertkit.__version__ == metadata.version("albertkit")


def test_importing_the_package_and_its_command_line_loads_no_framework() -> None:
    code = (
        "import sys, albertkit, albertkit.cli;"
        "heavy = ('torch', 'tensorflow', 'keras', 'numpy', 'sentencepiece', 'tokenizers');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
