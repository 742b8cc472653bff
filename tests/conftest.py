"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = CHECKOUT.parent / "shared"
GOLDEN = Path(__file__).resolve().parent / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data, vocabularies and corpora beside the checkout."""
    return SHARED


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference outputs that are part of the repository."""
    return GOLDEN


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a random model of two kinds, to be read only.

    model: both heads and a WordPiece vocabulary of 23 words and characters; body: without heads.
    """
    import torch

    from albertkit.checkpoint.checkpoint import Checkpoint
    from albertkit.config import AlbertConfig
    from albertkit.model.heads import AlbertForPretraining
    from albertkit.model.loading import tensors_of
    from albertkit.text.tokenizer import Tokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["the", "cat", "dog", "sat", "ran", "on", "mat", ".", ",", "and", "a", "##s", "##ing"]
    pieces = [*special, *words, *"\u732b\u72d7\u5728\u8dd1\u3002"]
    place = tmp_path_factory.mktemp("tiny")
    (place / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    config = AlbertConfig(
        vocab_size=len(pieces),
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.4,
    )
    torch.manual_seed(3)
    model = AlbertForPretraining(config)
    tokenizer = Tokenizer.load(place / "vocab.txt")
    Checkpoint(config, tensors_of(model), tokenizer).save(place / "model")
    Checkpoint(config, tensors_of(model.albert), tokenizer).save(place / "body")
    return place


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the powers of root, who may read and write everything; others stay who they are."""
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """What to enter to be refused where a mode forbids something, also under root."""
    return as_nobody


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    reason = "no folder named 'shared' beside the checkout (reference data and corpora of others)"
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=reason))
