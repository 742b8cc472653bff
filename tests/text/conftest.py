"""Vocabularies that several tests open."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

import pytest

from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import train_vocabulary

CHINESE = """\
\u6211\u4eec\u5728\u5317\u4eac\u5927\u5b66\u5b66\u4e60\u4e2d\u6587\uff0c\u8001\u5e08\u5f88\u597d\u3002
\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd\uff0c\u4e2d\u56fd\u6709\u5f88\u591a\u5927\u5b66\u3002
\u4ed6\u4eec\u7528 Python \u5199\u7a0b\u5e8f\uff0cpython \u5f88\u597d\u5b66\u3002
"""


@pytest.fixture(scope="session")
def english_lines() -> list[str]:
    """Prose that every Python carries, and numbers."""
    prose = topics["assignment"] + topics["exceptions"] + topics["types"]
    numbers = [f"it cost {n}77, and {n}34, in all" for n in range(1, 400)]
    return [line for line in prose.splitlines() if line.strip()] + numbers


@pytest.fixture(scope="session")
def small_english(tmp_path_factory: pytest.TempPathFactory, english_lines: list[str]) -> Path:
    """Folder with a SentencePiece vocabulary of 700 pieces."""
    folder = tmp_path_factory.mktemp("vocabulary") / "english"
    return train_vocabulary(english_lines, "sentencepiece", 700, folder)


@pytest.fixture(scope="session")
def chinese_lines() -> list[str]:
    """Three sentences, many times."""
    return CHINESE.splitlines() * 20


@pytest.fixture(scope="session")
def small_chinese(tmp_path_factory: pytest.TempPathFactory, chinese_lines: list[str]) -> Path:
    """Folder with a WordPiece vocabulary of 45 pieces."""
    folder = tmp_path_factory.mktemp("vocabulary") / "chinese"
    return train_vocabulary(chinese_lines, "wordpiece", 45, folder)


@pytest.fixture(scope="session")
def english(shared: Path) -> Tokenizer:
    """The released English vocabulary, quotes kept as google does."""
    return Tokenizer.load(shared / "vocab/en/30k-clean.model")


@pytest.fixture(scope="session")
def chinese(shared: Path) -> Tokenizer:
    """The released Chinese vocabulary."""
    return Tokenizer.load(shared / "vocab/zh/vocab.txt")
