"""English: SentencePiece with what ALBERT does before and after it.

Before: white space is collapsed, accents are taken off (NFKD without combining marks), letters
become lower-case. After: a piece that ends in a digit and a comma is cut in two, so that numbers
look the same with and without a comma behind them.
Source: google-research/albert, tokenization.py (preprocess_text, encode_pieces).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from albertkit.errors import VocabularyError
from albertkit.files import translate_os_errors
from albertkit.text.alignment import SPACE, Normalized, Preprocessing, Segments
from albertkit.text.encoding import Offsets
from albertkit.text.sentencepiece_check import check_model
from albertkit.text.ties import Segmenter, TieFinder
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary_files import SENTENCEPIECE_FILE, read_bytes

SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
QUOTES = ("keep", "rewrite")
COMMA_RULES = ("google", "transformers")
Part = tuple[int, int]  # an id, and how many characters of a piece it stands for
# A piece of these and of a-z alone continues a word; any other character makes it a word of its
# own. The list is the original's: it has no apostrophe.
PUNCTUATION = frozenset('!"#$%&()*+,-./:;?@[\\]^_`{|}~\u20ac\u00a3')
CONTINUING = PUNCTUATION | frozenset("abcdefghijklmnopqrstuvwxyz")


class UnigramTokenizer(Tokenizer):
    """A SentencePiece unigram model with the special pieces of ALBERT.

    Raises:
        VocabularyError: the file is no SentencePiece model, lacks a special piece, or `quotes` is
            not one of the overrides.
    """

    kind = "sentencepiece"

    def __init__(
        self,
        path: Path,
        *,
        lower_case: bool = True,
        quotes: str = "keep",
        comma_rule: str = "google",
    ) -> None:
        check_choice("quotes", quotes, QUOTES)
        check_choice("comma_rule", comma_rule, COMMA_RULES)
        self.lower_case = lower_case
        self.quotes = quotes
        self.comma_rule = comma_rule
        self.preprocessing = Preprocessing(lower_case=lower_case, quotes=quotes)
        self._bytes, self.proto, self._model = open_model(path)
        self.pieces = [self._model.id_to_piece(i) for i in range(self._model.get_piece_size())]
        numbers = {piece: number for number, piece in enumerate(self.pieces)}
        missing = [piece for piece in SPECIAL_PIECES if piece not in numbers]
        if missing:
            raise VocabularyError(
                "The SentencePiece model lacks special pieces of ALBERT.",
                expected=" ".join(SPECIAL_PIECES),
                found="no " + " ".join(missing),
                where=path,
                fix="make one with: albertkit build-vocab",
            )
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            numbers[piece] for piece in SPECIAL_PIECES
        )

    def settings(self) -> dict[str, Any]:
        values = {"kind": self.kind, "lower_case": self.lower_case, "quotes": self.quotes}
        # Where both rules give the same ids nothing is said: data of older releases stays valid.
        if self.comma_rule == "google" and any(
            not self.pieces[number].startswith(SPACE) for number in self._cuts
        ):
            values["comma_rule"] = self.comma_rule
        return values

    def vocabulary_bytes(self) -> bytes:
        return self._bytes

    @cached_property
    def _cuts(self) -> dict[int, list[Part]]:
        """For each piece that ends in digit and comma: the parts that stand for it."""
        return {
            number: self._cut(piece)
            for number, piece in enumerate(self.pieces)
            if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
        }

    @cached_property
    def cut_pieces(self) -> dict[int, list[int]]:
        """For each piece that ends in digit and comma: the ids that stand for it."""
        return {number: [each for each, _ in parts] for number, parts in self._cuts.items()}

    def _cut(self, piece: str) -> list[Part]:
        """Encode a digit-and-comma piece without its comma, then the comma.

        Encoding anew puts a space mark in front. The original means to take it off again where the
        piece had none, but compares bytes with text under Python 3, and so leaves it.
        """
        parts = self._model.encode(piece[:-1].replace(SPACE, ""), return_type=str)
        added = not piece.startswith(SPACE) and parts and parts[0].startswith(SPACE)
        if self.comma_rule == "transformers" and added:
            parts = parts[1:] if parts[0] == SPACE else [parts[0][1:], *parts[1:]]
        return [
            (self._model.piece_to_id(part), len(part.replace(SPACE, ""))) for part in [*parts, ","]
        ]

    def prepare(self, text: str) -> str:
        """What SentencePiece sees of a text."""
        return self.preprocessing.prepare(text)

    @cached_property
    def _ties(self) -> TieFinder:
        return TieFinder(self.pieces, self.special_ids)

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(
            self.pieces,
            [piece.score for piece in self.proto.pieces],
            unk_id=self.unk_id,
            unmatched=self._unmatched,
            user_defined=self._of_type("USER_DEFINED"),
        )

    @cached_property
    def _unmatched(self) -> frozenset[int]:
        """Ids of the pieces that text never matches."""
        return self._of_type("UNKNOWN", "CONTROL", "UNUSED")

    def _of_type(self, *names: str) -> frozenset[int]:
        """Ids of the pieces of some types of SentencePiece."""
        types = {sentencepiece_model_pb2.ModelProto.SentencePiece.Type.Value(n) for n in names}
        return frozenset(i for i, piece in enumerate(self.proto.pieces) if piece.type in types)

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        prepared = [self.prepare(text) for text in texts]
        rows = self._model.encode(prepared, return_type="numpy", num_threads=1)
        if not rows:
            return []
        ends = np.cumsum([len(row) for row in rows])
        joined = np.concatenate(rows)
        result = [row.tolist() for row in rows]

        # Places in `joined` that concern a rule, and so the rows to look at again.
        places = self._ties.places(joined)
        tied = np.unique(np.searchsorted(ends, places, "right"))
        for row in tied:
            normalized = self._model.normalize(prepared[row])
            result[row] = [each for each, _, _ in self._segmenter.segment(normalized)]
        cut = np.searchsorted(ends, np.flatnonzero(self._is_cut[joined]), "right")
        for row in np.union1d(tied, cut):
            result[row] = self._cut_row(result[row])
        return result

    def _cut_row(self, ids: list[int]) -> list[int]:
        cuts = self.cut_pieces
        return list(chain.from_iterable(cuts.get(each, (each,)) for each in ids))

    @cached_property
    def _is_cut(self) -> npt.NDArray[np.bool_]:
        """For each piece whether the digit-and-comma rule concerns it; (V,)."""
        result = np.zeros(len(self.pieces), dtype=np.bool_)
        result[list(self.cut_pieces)] = True
        return result

    def align(self, text: str) -> tuple[list[int], Offsets]:
        aligned = self.preprocessing.aligned(text)
        normalized = Normalized(self._model, aligned.prepared)
        segments: Segments = []
        for each, start, end in self._segments(aligned.prepared, normalized.text):
            if each in self._cuts:
                segments += self._cut_segments(normalized.text, self._cuts[each], start, end)
            else:
                segments.append((each, start, end))
        ids = [each for each, _, _ in segments]
        return ids, aligned.offsets(normalized.spans(segments))

    def _segments(self, prepared: str, normalized: str) -> Segments:
        """(id, start, end) of the pieces, in characters of the normalized text."""
        found: Segments = []
        place = 0
        for piece in self._model.encode(prepared, return_type=str):
            each = self._model.piece_to_id(piece)
            # An unknown piece is shown as its text, which may read like a piece of another kind.
            each = self.unk_id if each in self._unmatched else each
            found.append((each, place, place + len(piece)))
            place += len(piece)
        ids = np.array([each for each, _, _ in found], dtype=np.int32)
        return self._segmenter.segment(normalized) if len(self._ties.places(ids)) else found

    def _cut_segments(self, text: str, parts: list[Part], start: int, end: int) -> Segments:
        """Segments of the parts of a digit-and-comma piece; the comma is its last character."""
        segments: Segments = []
        place = start
        for each, length in parts[:-1]:
            begin = place
            while place < end - 1 and (length or text[place] == SPACE):
                length -= text[place] != SPACE
                place += 1
            segments.append((each, begin, place))
        return [*segments, (parts[-1][0], place, end)]

    def starts_word(self, piece_id: int) -> bool:
        piece = self.pieces[piece_id]
        return (
            piece.startswith((SPACE, "<"))
            or piece in PUNCTUATION
            or not (CONTINUING.issuperset(piece.lower()))
        )

    def join(self, pieces: list[str]) -> str:
        return "".join(pieces).replace(SPACE, " ").strip()

    def save(self, folder: Path | str) -> None:
        from albertkit.text.huggingface import write_unigram_files

        folder = Path(folder)
        with translate_os_errors(folder):
            (folder / SENTENCEPIECE_FILE).write_bytes(self._bytes)
            write_unigram_files(self, folder)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        VocabularyError: with the choices.
    """
    if value not in choices:
        raise VocabularyError(
            f"{name} must be one of {', '.join(choices)}.",
            expected=" or ".join(choices),
            found=repr(value),
            fix=f"{name}={choices[0]!r}",
        )


def open_model(
    path: Path,
) -> tuple[bytes, sentencepiece_model_pb2.ModelProto, sentencepiece.SentencePieceProcessor]:
    """Read a SentencePiece model: its bytes, its message, and the program that runs it.

    Raises:
        VocabularyError: the file is empty, is text, is damaged, is no unigram model, or would
            lead SentencePiece astray.
    """
    content = read_bytes(path)
    try:
        proto = check_model(content)
        model = sentencepiece.SentencePieceProcessor()
        model.LoadFromSerializedProto(content)
        for number in range(model.get_piece_size()):
            model.id_to_piece(number)  # raises if it is no UTF-8
    except (DecodeError, RuntimeError, ValueError) as error:
        raise VocabularyError(
            "This is no SentencePiece model that ALBERT could use.",
            expected="a binary SentencePiece unigram model (spiece.model, 30k-clean.model)",
            found=f"{error}; the file begins with {content[:12]!r}",
            where=path,
            fix="a list of pieces (vocab.txt) must be named *.txt; a damaged file, copied again",
        ) from error
    return content, proto, model
