"""What every tokenizer can do: encode text and pairs, cut, pad, decode, load and save.

`Tokenizer.load` tells the kind from the files, never from a guess: a SentencePiece model is
`spiece.model` or `*.model`, a WordPiece vocabulary is `vocab.txt` or `*.txt`. The two kinds are in
unigram.py (English) and wordpiece.py (Chinese).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.errors import TokenizationError, VocabularyError
from albertkit.text.encoding import (
    Encoding,
    Offsets,
    Truncation,
    cut,
)
from albertkit.text.vocabulary_files import find_vocabulary, read_settings

Ints = npt.NDArray[np.int64]

MASK = "[MASK]"


@dataclass(frozen=True)
class PaddedEncodings:
    """Encodings as arrays: `ids` and `types` (B, T) filled up with padding, `lengths` (B,)."""

    ids: Ints
    types: Ints
    lengths: Ints


class Tokenizer(ABC):
    """Text to ids and back, exactly as the original programs do it."""

    kind: str
    lower_case: bool
    pieces: list[str]  # by id
    pad_id: int
    unk_id: int
    cls_id: int
    sep_id: int
    mask_id: int

    @staticmethod
    def load(
        path: Path | str,
        *,
        lower_case: bool | None = None,
        quotes: str | None = None,
        comma_rule: str | None = None,
    ) -> Tokenizer:
        """Open a checkpoint folder or a vocabulary file.

        Args:
            path: folder with spiece.model or vocab.txt, or such a file.
            lower_case: as the vocabulary was made; from tokenizer_config.json if left out, else
                True (all released ALBERT vocabularies are lower-case).
            quotes: English only; "keep" as google does, or "rewrite" two back-ticks and two
                apostrophes to a double quote as transformers does. From tokenizer_config.json if
                left out, else "keep".
            comma_rule: English only; what stands for a piece such as "10," that has no space mark:
                "google" as its program gives it (a space mark, "10", the comma) or "transformers"
                (no space mark). From tokenizer_config.json if left out, else "google".

        Raises:
            VocabularyError: nothing there, both kinds there, or the file is damaged.
        """
        from albertkit.text.unigram import UnigramTokenizer
        from albertkit.text.wordpiece import WordPieceTokenizer

        file = find_vocabulary(Path(path))
        settings = read_settings(file.parent) if Path(path).is_dir() else {}
        if lower_case is None:
            lower_case = settings.get("do_lower_case", True)
        if file.suffix == ".txt":
            if quotes == "rewrite":
                raise VocabularyError(
                    "Quotes are rewritten for SentencePiece vocabularies only.",
                    found="a WordPiece vocabulary",
                    where=file,
                    fix="leave the option out",
                )
            return WordPieceTokenizer(file, lower_case=bool(lower_case))
        if quotes is None:
            quotes = settings.get("albertkit_quotes", "keep")
        if comma_rule is None:
            # A folder with the other key alone was saved when this rule was the only one.
            usual = "transformers" if "albertkit_quotes" in settings else "google"
            comma_rule = settings.get("albertkit_comma_rule", usual)
        return UnigramTokenizer(
            file, lower_case=bool(lower_case), quotes=str(quotes), comma_rule=str(comma_rule)
        )

    @property
    def vocab_size(self) -> int:
        """Number of pieces, special ones included."""
        return len(self.pieces)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that ordinary text never gets, and the unknown piece."""
        return frozenset((self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id))

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex over the vocabulary file and every setting that changes ids."""
        settings = json.dumps(self.settings(), sort_keys=True).encode()
        return hashlib.sha256(settings + b"\n" + self.vocabulary_bytes()).hexdigest()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything besides the vocabulary that changes ids."""

    @abstractmethod
    def vocabulary_bytes(self) -> bytes:
        """Content of the vocabulary file."""

    @abstractmethod
    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, no special tokens: the fast path."""

    @abstractmethod
    def align(self, text: str) -> tuple[list[int], Offsets]:
        """The ids of `ids` with (start, end) of each in characters of the text."""

    @abstractmethod
    def starts_word(self, piece_id: int) -> bool:
        """Whether a piece begins a word of its own (google's rule for masking whole words)."""

    @abstractmethod
    def join(self, pieces: list[str]) -> str:
        """Readable text of pieces."""

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write vocabulary, tokenizer.json and tokenizer_config.json into an existing folder."""

    def ids(self, text: str) -> list[int]:
        """Ids of a text, no special tokens."""
        return self.ids_batch([text])[0]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Readable text of ids; special tokens left out, or shown as they are written."""
        unused = self.special_ids - {self.unk_id} if skip_special else frozenset()
        for each in ids:
            if not 0 <= each < self.vocab_size:
                raise TokenizationError(
                    "An id is outside the vocabulary.",
                    expected=f"0 to {self.vocab_size - 1}",
                    found=each,
                    fix="decode with the tokenizer that made the ids",
                )
        return self.join([self.pieces[each] for each in ids if each not in unused])

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        max_tokens: int | None = None,
        truncate: Truncation = "longest_first",
        allow_mask: bool = False,
    ) -> Encoding:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP] with types 0 and 1.

        Args:
            text: any text; what looks like a special token in it stays ordinary text.
            pair: second segment.
            max_tokens: cut to this many tokens, special ones included.
            truncate: which segment to cut, from its end.
            allow_mask: let a literal [MASK] become the mask token.

        Raises:
            TokenizationError: the limit leaves no room, or the text cannot be encoded.
        """
        first = self._tokens(text, allow_mask)
        second = None if pair is None else self._tokens(pair, allow_mask)
        if max_tokens is not None:
            cut(first, second, max_tokens, truncate)
        result = Encoding([self.cls_id], [0], [(0, 0)], [True])
        for number, part in enumerate((first, second)):
            if part is not None:
                part.ids.append(self.sep_id)
                part.offsets.append((0, 0))
                part.word_starts.append(True)
                result.ids += part.ids
                result.types += [number] * len(part.ids)
                result.offsets += part.offsets
                result.word_starts += part.word_starts
        return result

    def encode_batch(
        self, texts: Sequence[str] | Sequence[tuple[str, str]], **options: Any
    ) -> list[Encoding]:
        """`encode` for each text or (text, pair); the options are those of `encode`."""
        return [
            self.encode(text, **options) if isinstance(text, str) else self.encode(*text, **options)
            for text in texts
        ]

    def pad(self, encodings: Sequence[Encoding]) -> PaddedEncodings:
        """Lay encodings into arrays as wide as the longest one."""
        lengths = np.array([len(each) for each in encodings], dtype=np.int64)
        shape = (len(encodings), int(lengths.max(initial=0)))
        ids = np.full(shape, self.pad_id, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        for row, each in enumerate(encodings):
            ids[row, : len(each)] = each.ids
            types[row, : len(each)] = each.types
        return PaddedEncodings(ids, types, lengths)

    def _tokens(self, text: str, allow_mask: bool) -> Encoding:
        """Tokens of one segment without special ones, except masks that were asked for."""
        result = Encoding([], [], [], [])
        begin = 0
        for number, part in enumerate(text.split(MASK) if allow_mask else [text]):
            if number:
                result.ids.append(self.mask_id)
                result.offsets.append((begin, begin + len(MASK)))
                result.word_starts.append(True)
                begin += len(MASK)
            # A space after [MASK] begins the next word by itself; without one the next piece
            # does so too, as in the original, which sees each part as a text of its own.
            ids, offsets = self.align(part)
            result.ids += ids
            result.offsets += [(begin + start, begin + end) for start, end in offsets]
            result.word_starts += [self.starts_word(each) for each in ids]
            begin += len(part)
        result.types = [0] * len(result.ids)
        return result
