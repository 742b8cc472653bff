"""English: SentencePiece with what ALBERT does before and after it.

Before: white space is collapsed, accents are taken off (NFKD without combining marks), letters
become lower-case. After: a piece that ends in a digit and a comma is cut in two, so that numbers
look the same with and without a comma behind them.
Source: google-research/albert, tokenization.py (preprocess_text, encode_pieces).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
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
from albertkit.text.encoding import Offsets, refuse_surrogates
from albertkit.text.sentencepiece_check import check_model
from albertkit.text.ties import Segmenter, TieFinder
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary_files import SENTENCEPIECE_FILE, read_bytes

SPACE = "\u2581"  # SentencePiece's mark of a space in front
SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
QUOTES = ("keep", "rewrite")
DOUBLED_QUOTES = ("``", "''")
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

    def __init__(self, path: Path, *, lower_case: bool = True, quotes: str = "keep") -> None:
        if quotes not in QUOTES:
            raise VocabularyError(
                "Unknown choice for quotes.",
                expected=" or ".join(QUOTES),
                found=repr(quotes),
                fix="keep is google's way, rewrite is transformers'",
            )
        self.lower_case = lower_case
        self.quotes = quotes
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
        return {"kind": self.kind, "lower_case": self.lower_case, "quotes": self.quotes}

    def vocabulary_bytes(self) -> bytes:
        return self._bytes

    @cached_property
    def cut_pieces(self) -> dict[int, list[int]]:
        """For each piece that ends in digit and comma: the ids that stand for it."""
        return {
            number: self._cut(piece)
            for number, piece in enumerate(self.pieces)
            if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
        }

    def _cut(self, piece: str) -> list[int]:
        """Encode a digit-and-comma piece without its comma, then the comma.

        Encoding anew puts a space mark in front; if the piece had none it is taken off again. (The
        original means to do this too, but compares bytes with text under Python 3.)
        """
        parts = self._model.encode(piece[:-1].replace(SPACE, ""), return_type=str)
        if not piece.startswith(SPACE) and parts and parts[0].startswith(SPACE):
            parts = parts[1:] if parts[0] == SPACE else [parts[0][1:], *parts[1:]]
        return [self._model.piece_to_id(part) for part in [*parts, ","]]

    def prepare(self, text: str) -> str:
        """What SentencePiece sees of a text."""
        return prepare(text, lower_case=self.lower_case, quotes=self.quotes)

    @cached_property
    def _ties(self) -> TieFinder:
        return TieFinder(self.pieces, self.special_ids)

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(
            self.pieces,
            [piece.score for piece in self.proto.pieces],
            unk_id=self.unk_id,
            unmatched=self._of_type("UNKNOWN", "CONTROL", "UNUSED"),
            user_defined=self._of_type("USER_DEFINED"),
        )

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
        prepared, starts, ends = self._prepare_aligned(text)
        ids: list[int] = []
        spans: Offsets = []
        for each, start, end in self._spans(prepared):
            while start < end and prepared[start] == " ":
                start += 1
            if each in self.cut_pieces:
                cut_ids = self.cut_pieces[each]
                ids += cut_ids
                spans += self._cut_spans(cut_ids, start, end)
            else:
                ids.append(each)
                spans.append((start, end))
        offsets: Offsets = []
        behind = 0
        for start, end in spans:
            # A space mark alone is empty, in front of what follows; if what stands before it and
            # what follows come from the same character, so does the mark.
            behind = ends[end - 1] if end > start else max(behind, starts[start])
            offsets.append((starts[start], behind))
        return ids, offsets

    def _spans(self, prepared: str) -> list[tuple[int, int, int]]:
        """(id, start, end) of the pieces, in characters of the prepared text."""
        found = self._model.encode(prepared, return_type="offset_mapping")
        ids = np.array(found["ids"], dtype=np.int32)
        if not len(self._ties.places(ids)):
            return [(i, *span) for i, span in zip(found["ids"], found["offsets"], strict=True)]
        # Where each character of the normalized text is in the prepared one: of a piece as long
        # as its span one by one, else the whole span.
        places: Offsets = []
        for piece, (start, end) in zip(found["pieces"], found["offsets"], strict=True):
            if len(piece) == end - start:
                places += [(start + k, start + k + 1) for k in range(len(piece))]
            else:
                places += [(start, end)] * len(piece)
        return [
            (each, places[start][0], places[end - 1][1])
            for each, start, end in self._segmenter.segment(self._model.normalize(prepared))
        ]

    def _cut_spans(self, ids: list[int], start: int, end: int) -> Offsets:
        """Spans of the parts of a digit-and-comma piece; the comma is its last character."""
        spans: Offsets = []
        for each in ids[:-1]:
            stop = min(start + len(self.pieces[each].removeprefix(SPACE)), end - 1)
            spans.append((start, stop))
            start = stop
        return [*spans, (max(start, end - 1), end)]

    def _prepare_aligned(self, text: str) -> tuple[str, list[int], list[int]]:
        """`prepare`, and for each of its characters where it starts and ends in the text.

        `starts` has one entry more: the end of the text. A mark that is taken off belongs to the
        letter in front of it.
        """
        refuse_surrogates(text)
        characters: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        space = -1  # where a run of white space began
        for place, end, original in self._characters(text):
            if original.isspace():
                space = place if space < 0 else space
                continue
            if space >= 0 and characters:
                characters.append(" ")
                starts.append(space)
                ends.append(place)
            space = -1
            kept = [
                c for c in unicodedata.normalize("NFKD", original) if not unicodedata.combining(c)
            ]
            if not kept and ends:
                ends[-1] = end
            characters += kept
            starts += [place] * len(kept)
            ends += [end] * len(kept)
        prepared = "".join(characters)
        # Lower-casing keeps the length: the one letter that does not, U+0130, is decomposed.
        return prepared.lower() if self.lower_case else prepared, [*starts, len(text)], ends

    def _characters(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and character of a text, quotes rewritten if that was chosen."""
        place = 0
        while place < len(text):
            if self.quotes == "rewrite" and text[place : place + 2] in DOUBLED_QUOTES:
                yield place, place + 2, '"'
                place += 2
            else:
                yield place, place + 1, text[place]
                place += 1

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


def prepare(text: str, *, lower_case: bool, quotes: str) -> str:
    """White space collapsed, quotes rewritten if wanted, accents off, lower-case if wanted.

    Raises:
        TokenizationError: the text is no valid Unicode.
    """
    refuse_surrogates(text)
    text = " ".join(text.split())
    if quotes == "rewrite":
        for doubled in DOUBLED_QUOTES:
            text = text.replace(doubled, '"')
    if not text.isascii():
        normal = unicodedata.normalize("NFKD", text)
        text = "".join([c for c in normal if not unicodedata.combining(c)])
    return text.lower() if lower_case else text


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
