"""English: SentencePiece with what ALBERT does before and after it.

Before: white space is collapsed, accents are taken off (NFKD without combining marks), letters
become lower-case. After: a piece that ends in a digit and a comma is cut in two, so that numbers
look the same with and without a comma behind them.
Source: google-research/albert, tokenization.py (preprocess_text, encode_pieces).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
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
from albertkit.text.encoding import IdsAndOffsets
from albertkit.text.places import PieceParts, Places, bounds_of, rows_of
from albertkit.text.sentencepiece_check import check_model, replaces_ascii
from albertkit.text.ties import Ids, Segmenter, TieFinder
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.tokenizer_settings import TokenizerSettings
from albertkit.text.vocabulary_files import SENTENCEPIECE_FILE, read_bytes

SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
SPECIAL_NAMES = {
    "pad": ("<pad>", "[PAD]"),
    "unk": ("<unk>", "[UNK]"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]", "<mask>"),
}
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
        VocabularyError: the file is not a SentencePiece model, lacks a special piece, or `quotes`
            is not one of the choices.
    """

    kind = "sentencepiece"

    def __init__(
        self,
        path: Path,
        *,
        lower_case: bool = True,
        quotes: str = "keep",
        comma_rule: str = "google",
        settings: TokenizerSettings | None = None,
    ) -> None:
        check_choice("quotes", quotes, QUOTES)
        check_choice("comma_rule", comma_rule, COMMA_RULES)
        settings = settings or TokenizerSettings()
        self.lower_case = lower_case
        self.quotes = quotes
        self.comma_rule = comma_rule
        self.keep_accents = settings.flag("keep_accents") is True
        self.preprocessing = Preprocessing(
            lower_case=lower_case, keep_accents=self.keep_accents, quotes=quotes
        )
        self._bytes, self.proto, self._model = open_model(path)
        pieces = [piece.piece for piece in self.proto.pieces]
        unknown = self._model.id_to_piece(self._model.unk_id())
        names = {**SPECIAL_NAMES, "unk": (*SPECIAL_NAMES["unk"], unknown)}
        self._use(pieces, settings, names, path)

    def settings(self) -> dict[str, Any]:
        values = {"kind": self.kind, "lower_case": self.lower_case, "quotes": self.quotes}
        # Where both rules give the same ids nothing is said: data of older releases stays valid.
        if self.comma_rule == "google" and any(
            not self.pieces[number].startswith(SPACE) for number in self.cut_pieces
        ):
            values["comma_rule"] = self.comma_rule
        if self.keep_accents:
            values["keep_accents"] = True
        return {**values, **self.changed_settings(SPECIAL_NAMES)}

    def vocabulary_bytes(self) -> bytes:
        return self._bytes

    def plain_vocabulary(self) -> tuple[str, bytes]:
        return SENTENCEPIECE_FILE, self._bytes

    @cached_property
    def cut_pieces(self) -> dict[int, list[Part]]:
        """For each piece that ends in digit and comma: the parts that stand for it."""
        return {
            number: self._cut(piece)
            for number, piece in enumerate(self.pieces[: self.num_trained])
            if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
        }

    def _cut(self, piece: str) -> list[Part]:
        """Encode a digit-and-comma piece without its comma, then the comma.

        Encoding again puts a space mark in front. The original means to take it off again where the
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

    def normalized(self, text: str) -> str:
        """What is cut into pieces: a space mark in front of each word."""
        return str(self._model.normalize(self.prepare(text)))

    @cached_property
    def _ties(self) -> TieFinder:
        return TieFinder(self.pieces, self.special_ids)

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(
            self.pieces[: self.num_trained],
            [piece.score for piece in self.proto.pieces],
            unk_id=self.unk_id,
            unmatched=self._unmatched,
            user_defined=self._of_type("USER_DEFINED"),
        )

    @cached_property
    def _unmatched(self) -> frozenset[int]:
        """Ids of the pieces that text never matches."""
        return self._of_type("UNKNOWN", "CONTROL", "UNUSED")

    @cached_property
    def _bytes_of_characters(self) -> frozenset[int]:
        """Ids of pieces that stand for one byte ("<0xE4>"), where a model falls back to bytes."""
        return self._of_type("BYTE")

    def _of_type(self, *names: str) -> frozenset[int]:
        """Ids of the pieces of some types of SentencePiece."""
        types = {sentencepiece_model_pb2.ModelProto.SentencePiece.Type.Value(n) for n in names}
        return frozenset(i for i, piece in enumerate(self.proto.pieces) if piece.type in types)

    def _ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        ids, bounds = self._pieces_of([self.prepare(text) for text in texts])
        return self._parts.ids(ids, bounds)

    def _pieces_of(self, prepared: Sequence[str]) -> tuple[Ids, Places]:
        """The pieces of all texts (T,); those of text n are [bounds[n], bounds[n + 1])."""
        # Pieces of a word are not kept for its next time: SentencePiece adds up scores over a whole
        # text, rounded, and of two ways that are nearly as good the text in front decides.
        rows = self._model.encode(prepared, return_type="numpy", num_threads=1)
        if not rows:
            return np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64)
        joined, bounds = np.concatenate(rows), bounds_of(rows)
        tied = rows_of(self._places_of_ties(joined), bounds)
        if not tied:
            return joined, bounds
        for row in tied:
            segments = self._segmenter.segment(self._model.normalize(prepared[row]))
            rows[row] = np.array([each for each, _, _ in segments], dtype=np.int32)
        return np.concatenate(rows), bounds_of(rows)

    @cached_property
    def _parts(self) -> PieceParts:
        """What the digit-and-comma rule makes of each piece."""
        cut = {
            number: self._cut_segments(self.pieces[number], parts, 0, len(self.pieces[number]))
            for number, parts in self.cut_pieces.items()
        }
        return PieceParts(self.pieces, self._model.unk_id(), cut)

    def _align_batch(self, texts: Sequence[str]) -> list[IdsAndOffsets]:
        """`_align` of each, by arrays where the characters of a text are those of its pieces.

        So it is with most texts; `_align` follows each character through all that is done to it.
        """
        prepared = [self.prepare(text) for text in texts]
        found = self._parts.align(*self._pieces_of(prepared), prepared)
        return [
            (tokens and self._stays(short) and self._in_text(text, short, tokens))
            or self._align(text)
            for text, short, tokens in zip(texts, prepared, found, strict=True)
        ]

    def _stays(self, prepared: str) -> bool:
        """Whether all that SentencePiece's normalizer does to a text is to mark its spaces."""
        if self._keeps_ascii and prepared.isascii() and prepared.isprintable():
            return True
        return bool(self._model.normalize(prepared).replace(SPACE, " ") == f" {prepared}")

    @cached_property
    def _keeps_ascii(self) -> bool:
        marked = self._model.normalize("a b") == f"{SPACE}a{SPACE}b"
        return marked and not replaces_ascii(self.proto.normalizer_spec.precompiled_charsmap)

    def _in_text(self, text: str, prepared: str, found: IdsAndOffsets) -> IdsAndOffsets | None:
        """Tokens with offsets in a prepared text as those in the text itself."""
        if self.preprocessing.keeps_places(text, prepared):
            return found
        aligned = self.preprocessing.aligned(text)
        return (found[0], aligned.offsets(found[1])) if aligned.prepared == prepared else None

    def _align(self, text: str) -> IdsAndOffsets:
        aligned = self.preprocessing.aligned(text)
        normalized = Normalized(self._model, aligned.prepared)
        segments: Segments = []
        for each, start, end in self._segments(aligned.prepared, normalized.text):
            segments += self._cut_or_whole(normalized.text, each, start, end)
        ids = [each for each, _, _ in segments]
        return ids, aligned.offsets(normalized.spans(segments))

    def _segments(self, prepared: str, normalized: str) -> Segments:
        """(id, start, end) of the pieces, in characters of the normalized text."""
        found: Segments = []
        place, bytes_ = 0, b""
        for piece, each in self._matches(prepared):
            if each in self._bytes_of_characters:  # several pieces for one character
                bytes_ += bytes([int(piece[3:5], 16)])
                found.append((each, place, place + 1))
                if is_character(bytes_):
                    place, bytes_ = place + 1, b""
                continue
            found.append((each, place, place + len(piece)))
            place += len(piece)
        ids = np.array([each for each, _, _ in found], dtype=np.int32)
        return self._segmenter.segment(normalized) if len(self._places_of_ties(ids)) else found

    def _matches(self, prepared: str) -> Iterator[tuple[str, int]]:
        """The pieces of a text as they stand there, with their ids."""
        written = self._model.encode(prepared, return_type=str)
        if self._may_show_unused:
            yield from zip(written, self._model.encode(prepared), strict=True)
            return
        for piece in written:
            each = self._model.piece_to_id(piece)
            # An unknown piece is shown as its text, which may read like a piece of another kind.
            yield piece, self.unk_id if each in self._unmatched else each

    @cached_property
    def _may_show_unused(self) -> bool:
        """Whether text may get a piece marked as unused: BPE leaves what it cannot take apart."""
        bpe = self.proto.trainer_spec.model_type == sentencepiece_model_pb2.TrainerSpec.BPE
        return bpe and bool(self._of_type("UNUSED"))

    def _places_of_ties(self, ids: Ids) -> npt.NDArray[np.intp]:
        """Places in ids (n,) where other pieces may be as probable: in unigram models alone."""
        return self._ties.places(ids) if self._has_ties else np.zeros(0, dtype=np.intp)

    @cached_property
    def _has_ties(self) -> bool:
        return self.is_unigram and not self.proto.trainer_spec.byte_fallback

    @property
    def is_unigram(self) -> bool:
        """Whether the most probable pieces are chosen; else others of SentencePiece's ways."""
        unigram = sentencepiece_model_pb2.TrainerSpec.UNIGRAM
        return bool(self.proto.trainer_spec.model_type == unigram)

    def _cut_or_whole(self, text: str, each: int, start: int, end: int) -> Segments:
        """A piece, or what the digit-and-comma rule makes of it."""
        parts = self.cut_pieces.get(each)
        return (
            [(each, start, end)] if parts is None else self._cut_segments(text, parts, start, end)
        )

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
        return piece_id >= self.num_trained or starts_word(self.pieces[piece_id])

    def join(self, pieces: list[str]) -> str:
        return "".join(pieces).replace(SPACE, " ").strip()

    def save(self, folder: Path | str) -> None:
        from albertkit.text.huggingface import write_sentencepiece_files

        folder = Path(folder)
        with translate_os_errors(folder):
            (folder / SENTENCEPIECE_FILE).write_bytes(self._bytes)
            write_sentencepiece_files(self, folder)


def starts_word(piece: str) -> bool:
    """Google's rule for a piece with a space mark: whether it begins a word of its own."""
    return (
        piece.startswith((SPACE, "<"))
        or piece in PUNCTUATION
        or not (CONTINUING.issuperset(piece.lower()))
    )


def is_character(bytes_: bytes) -> bool:
    """Whether bytes are a whole character."""
    try:
        return len(bytes_.decode()) == 1
    except UnicodeDecodeError:
        return False


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        VocabularyError: with the choices.
    """
    if value not in choices:
        raise VocabularyError(
            f"{name} must be {' or '.join(choices)}.",
            expected=" or ".join(choices),
            found=repr(value),
            fix=f"{name}={choices[0]!r}",
        )


def open_model(
    path: Path,
) -> tuple[bytes, sentencepiece_model_pb2.ModelProto, sentencepiece.SentencePieceProcessor]:
    """Read a SentencePiece model: its bytes, its message, and the program that runs it.

    Raises:
        VocabularyError: the file is empty, is text, is damaged, is not a unigram model, or would
            lead SentencePiece astray.
    """
    content = read_bytes(path)
    try:
        proto = check_model(content)
        model = sentencepiece.SentencePieceProcessor()
        model.LoadFromSerializedProto(content)
        if model.unk_id() < 0:
            name = proto.trainer_spec.unk_piece
            raise ValueError(f"the unknown piece {name!r} is not of the type UNKNOWN")
    except (DecodeError, RuntimeError, ValueError) as error:
        raise VocabularyError(
            "This SentencePiece model cannot be used for ALBERT.",
            expected="a binary SentencePiece model (spiece.model, 30k-clean.model)",
            found=f"{error}; the file begins with {content[:12]!r}",
            where=path,
            fix="name a list of pieces (vocab.txt) *.txt; copy or download a damaged file again",
        ) from error
    return content, proto, model
