"""Chinese: WordPiece as in the original programs.

Characters are cleaned, Chinese characters and punctuation stand alone, letters become lower-case
without accents; then the longest known piece is taken from the left, again and again.
Source: google-research/albert and brightmart/albert_zh, tokenization.py (BasicTokenizer,
WordpieceTokenizer), whose ids agree.

Every rule but one looks at a single character, so a table from character to replacement does the
work at the speed of `str.translate`. The exception is the Greek sigma at the end of a word.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, compress, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from albertkit.errors import VocabularyError
from albertkit.files import translate_os_errors
from albertkit.text.characters import CHUNK, RUNS, CharacterTable, is_han, isolate
from albertkit.text.chunks import ALONE, CHANGES, RUN, UNKNOWN, WHITE, Chunks, Kinds
from albertkit.text.encoding import IdsAndOffsets, Offsets, refuse_surrogates
from albertkit.text.memo import Memo
from albertkit.text.places import bounds_of, codes_of, rows_of
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.tokenizer_settings import AddedToken, AddedTokenMatcher, TokenizerSettings
from albertkit.text.vocabulary_files import MAX_PIECES, WORDPIECE_FILE, read_bytes, too_large

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIAL_NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]", "<mask>"),
}
MAX_WORD_CHARACTERS = 200  # longer words are unknown, as in google's code (transformers: 100)
MAX_PIECE_BYTES = 4096  # no piece of more than 200 characters ever stands for a word
_HEAD_BYTES = 64 << 10
_SHORT = 500  # characters of a text by itself for which arrays are slower
CAPITAL_SIGMA = "\u03a3"
ADDED = "\x02"  # before the id of an added word; a control character, which is dropped from texts


class WordPieceTokenizer(Tokenizer):
    """A vocabulary of words and ##continuations, one a line.

    Raises:
        VocabularyError: the file is not text, is empty, or lacks a special piece.
    """

    kind = "wordpiece"

    def __init__(
        self, path: Path, *, lower_case: bool = True, settings: TokenizerSettings | None = None
    ) -> None:
        settings = settings or TokenizerSettings()
        self.lower_case = lower_case
        self._bytes = read_vocabulary(path)
        # Entries may hold U+2028, so lines end with "\n" alone. The original keeps what stands
        # before the first white space; of a line of white space it keeps one space.
        lines = self._bytes.decode("utf-8").removesuffix("\n").split("\n")
        self._use([(line.split() or [" "])[0] for line in lines], settings, SPECIAL_NAMES, path)
        self._numbers = {piece: n for n, piece in enumerate(self.pieces[: self.num_trained])}
        stripped = settings.flag("strip_accents")
        self.strip_accents = lower_case if stripped is None else stripped
        self.split_han = settings.flag("tokenize_chinese_chars") is not False
        self._chunk = CHUNK if self.split_han else RUNS
        self._chunk_ids = Memo[str, tuple[int, ...]](self._ids_of_chunk)
        self._chunk_lengths = Memo[str, tuple[int, ...]](self._lengths_of_chunk)
        self._single: set[str] = set()  # characters met that become one, or white space
        self._table = self.character_table()
        self._chinese_words = ChineseWords.of(self.added) if self.split_han else None
        if self._chinese_words is not None:
            self.inside = frozenset(self._chinese_words.ids)
            rest = {n: token for n, token in self.added.items() if n not in self.inside}
            self._matcher = AddedTokenMatcher(rest, self.lower_case) if rest else None

    def character_table(self) -> CharacterTable:
        """A new table of what becomes of each character."""
        return CharacterTable(self.lower_case, self.strip_accents, self.split_han)

    def settings(self) -> dict[str, Any]:
        values = {"kind": self.kind, "lower_case": self.lower_case}
        if self.strip_accents != self.lower_case:
            values["strip_accents"] = self.strip_accents
        if not self.split_han:
            values["split_han"] = self.split_han
        return {**values, **self.changed_settings(SPECIAL_NAMES)}

    def vocabulary_bytes(self) -> bytes:
        return self._bytes

    def plain_vocabulary(self) -> tuple[str, bytes]:
        return WORDPIECE_FILE, self._bytes

    def words(self, text: str) -> list[str]:
        """What the longest-match step sees: lower-cased words, single characters, punctuation."""
        refuse_surrogates(text)
        if self.lower_case and CAPITAL_SIGMA in text:
            isolated = "".join(isolate(character, self.split_han) for character in text)
            text = " ".join(word.lower() for word in isolated.split())
        spaced = text.translate(self._table)
        if self._chinese_words is not None:
            spaced = self._chinese_words.marked(spaced)
        return spaced.split()

    def has_chinese_word(self, text: str) -> bool:
        """Whether one of the added words of Chinese characters stands in a text."""
        found = self._chinese_words
        return found is not None and found.pattern.search(text.translate(self._table)) is not None

    def _chunks(self, text: str) -> list[str]:
        """Parts of a text whose words are those of the text: Chinese characters, and other runs."""
        refuse_surrogates(text)
        return [text] if self._chinese_words is not None else self._chunk.findall(text)

    def _ids_of_chunk(self, chunk: str) -> tuple[int, ...]:
        return tuple(chain.from_iterable(map(self.match, self.words(chunk))))

    def _lengths_of_chunk(self, chunk: str) -> tuple[int, ...]:
        return tuple(chain.from_iterable(map(self._lengths, self.words(chunk))))

    def _ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        look_up = self._chunk_ids.__getitem__
        return [list(chain.from_iterable(map(look_up, self._chunks(text)))) for text in texts]

    def _align_batch(self, texts: Sequence[str]) -> list[IdsAndOffsets]:
        """`_align` of each; by arrays where each character becomes one or a space.

        So it is with most texts, and this is twenty times as fast as `_align`.
        """
        for text in texts:
            refuse_surrogates(text)
        if len(texts) == 1 and len(texts[0]) < _SHORT:
            return [self._align_short(texts[0])]
        kinds = self._kinds_of("".join(texts))
        changed = rows_of(np.flatnonzero(kinds == CHANGES), bounds_of(texts))
        stay = [row not in changed for row in range(len(texts))]
        quick = self._align_single(
            list(compress(texts, stay)), kinds[np.repeat(stay, list(map(len, texts)))]
        )
        return [
            next(quick) if stays else self._align(text)
            for text, stays in zip(texts, stay, strict=True)
        ]

    def _kinds_of(self, text: str) -> Kinds:
        """What becomes of each character; none stays one where words of several are looked for."""
        if self._chinese_words is not None:
            return np.full(len(text), CHANGES, dtype=np.int8)
        codes = codes_of(text)
        kinds = self._kinds[codes]
        new = np.unique(codes[kinds == UNKNOWN]).tolist()
        if new:
            self._kinds[new] = list(map(self._kind, new))
            kinds = self._kinds[codes]
        return kinds

    @cached_property
    def _kinds(self) -> Kinds:
        return np.zeros(sys.maxunicode + 1, dtype=np.int8)  # UNKNOWN

    def _kind(self, code: int) -> int:
        became = self._table[code]
        if became.isspace():
            return WHITE
        if len("".join(became.split())) != 1 or chr(code) == CAPITAL_SIGMA:
            return CHANGES
        return ALONE if self.split_han and is_han(code) else RUN

    def _align_single(self, texts: Sequence[str], kinds: Kinds) -> Iterator[IdsAndOffsets]:
        """`_align_batch` where each character becomes one or a space."""
        chunks = Chunks.of(texts, kinds)
        alone = codes_of("".join(texts))[kinds == ALONE]
        return chunks.align(
            self._ids_alone(alone),
            list(map(self._chunk_ids.__getitem__, chunks.runs)),
            list(map(self._chunk_lengths.__getitem__, chunks.runs)),
        )

    def _ids_alone(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Ids of characters that stand alone and become one."""
        ids = self._alone[codes]
        new = np.unique(codes[ids < 0]).tolist()
        if new:
            self._alone[new] = [self._ids_of_chunk(chr(code))[0] for code in new]
            ids = self._alone[codes]
        return ids

    @cached_property
    def _alone(self) -> npt.NDArray[np.int32]:
        return np.full(sys.maxunicode + 1, -1, dtype=np.int32)

    def _align_short(self, text: str) -> IdsAndOffsets:
        """The same of one text: arrays are slower then."""
        new = set(text) - self._single
        self._single.update(each for each in new if self._kind(ord(each)) != CHANGES)
        if self._chinese_words is not None or not self._single.issuperset(new):
            return self._align(text)
        chunks = self._chunks(text)
        ids = list(chain.from_iterable(map(self._chunk_ids.__getitem__, chunks)))
        sizes = chain.from_iterable(map(self._chunk_lengths.__getitem__, chunks))
        seen = [place for place, each in enumerate(text) if not each.isspace()]
        edges = pairwise(accumulate(sizes, initial=0))
        return ids, [(seen[begin], seen[end - 1] + 1) for begin, end in edges]

    def _align(self, text: str) -> IdsAndOffsets:
        ids: list[int] = []
        offsets: Offsets = []
        for word, starts, ends in self._aligned_words(text):
            ids += self.match(word)
            edges = accumulate(self._lengths(word), initial=0)
            offsets += [(starts[begin], ends[end - 1]) for begin, end in pairwise(edges)]
        return ids, offsets

    def _aligned_words(self, text: str) -> Iterator[tuple[str, list[int], list[int]]]:
        """The words of `words`, with start and end of each of their characters in the text."""
        places = self._places(text)
        for word in self.words(text):
            starts, ends = next(places)
            if word.startswith(ADDED):  # each of its characters stands alone in the text
                for _ in range(len(self.pieces[int(word[1:])]) - 1):
                    more = next(places)
                    starts, ends = starts + more[0], ends + more[1]
            yield word, starts, ends

    def _places(self, text: str) -> Iterator[tuple[list[int], list[int]]]:
        """Start and end of each character of each word.

        A mark that is taken off belongs to the letter in front of it.
        """
        starts: list[int] = []
        ends: list[int] = []
        for place, character in enumerate(text):
            replacement = self._table[ord(character)]
            if not replacement and starts:
                ends[-1] = place + 1
            for each in replacement:
                if not each.isspace():
                    starts.append(place)
                    ends.append(place + 1)
                elif starts:
                    yield starts, ends
                    starts, ends = [], []
        if starts:
            yield starts, ends

    def match(self, word: str) -> tuple[int, ...]:
        """The longest known pieces of a word from the left, or [UNK] for all of it."""
        if word.startswith(ADDED):
            return (int(word[1:]),)
        if len(word) > MAX_WORD_CHARACTERS:
            return (self.unk_id,)
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(prefix + word[start:end])
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return (self.unk_id,)
        return tuple(found)

    def _lengths(self, word: str) -> tuple[int, ...]:
        """Characters of a word that each of its pieces stands for."""
        pieces = self.match(word)
        if pieces == (self.unk_id,):
            return (len(word),)
        first, *rest = (len(self.pieces[each]) for each in pieces)
        return (first, *(length - 2 for length in rest))  # these begin with ##

    def starts_word(self, piece_id: int) -> bool:
        piece = self.pieces[piece_id]
        return piece_id >= self.num_trained or not piece.startswith("##") or piece == "##"

    def join(self, pieces: list[str]) -> str:
        """Pieces as text; a space only between two words of letters or digits."""
        return join(pieces)

    def save(self, folder: Path | str) -> None:
        from albertkit.text.huggingface import write_wordpiece_files

        folder = Path(folder)
        with translate_os_errors(folder):
            (folder / WORDPIECE_FILE).write_bytes(self._bytes)
            write_wordpiece_files(self, folder)


@dataclass(frozen=True)
class ChineseWords:
    """Added words of Chinese characters, which the rules above would cut into characters.

    They are found as transformers finds them: behind the rules, where each character has a space
    on both sides; the first one in the text, of several the longest.
    """

    ids: dict[int, str]  # each with its characters
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, added: Mapping[int, AddedToken]) -> ChineseWords | None:
        """Those among added tokens; None if there are none."""
        ids = {n: token.text for n, token in added.items() if token == AddedToken(token.text)}
        ids = {n: text for n, text in ids.items() if all(is_han(ord(c)) for c in text)}
        longest_first = sorted(ids.values(), key=len, reverse=True)
        return cls(ids, re.compile("|".join(map(spread, longest_first)))) if ids else None

    def marked(self, spaced: str) -> str:
        """The text with the id of each of these words in its place."""
        return self.pattern.sub(lambda match: f" {ADDED}{self._numbers[match[0]]} ", spaced)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {spread(text): number for number, text in self.ids.items()}


def spread(text: str) -> str:
    """Chinese characters as the rules leave them."""
    return "".join(f" {character} " for character in text)


def join(pieces: list[str]) -> str:
    """Pieces as text; a space only between two words of letters or digits."""
    text = ""
    for piece in pieces:
        if piece.startswith("##") and len(piece) > 2:
            text += piece[2:]
        elif text and needs_space(text[-1]) and needs_space(piece[0]):
            text += " " + piece
        else:
            text += piece
    return text


def needs_space(character: str) -> bool:
    """Whether two such characters in a row would read as one word."""
    return character.isalnum() and not is_han(ord(character))


def read_vocabulary(path: Path) -> bytes:
    """The bytes of a vocabulary file, which are UTF-8 text.

    Raises:
        VocabularyError: unreadable, empty, or binary.
    """
    content = read_bytes(path)
    if content.count(b"\n") > MAX_PIECES:
        raise too_large(f"at most {MAX_PIECES:,} lines", "more", path)
    try:
        # Binary files show early; one wide letter makes all of a long line four times as large.
        codecs.getincrementaldecoder("utf-8")().decode(content[:_HEAD_BYTES])
        longest = max(map(len, content.split(b"\n")))
        if longest > MAX_PIECE_BYTES:
            raise too_large(f"pieces of at most {MAX_PIECE_BYTES} bytes", f"{longest:,}", path)
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VocabularyError(
            "This is not a WordPiece vocabulary.",
            expected="UTF-8 text, one piece a line",
            found=f"byte {content[error.start]:#04x} at offset {error.start}",
            where=path,
            fix="a SentencePiece model must be named *.model",
        ) from error
    if not content.strip():
        raise VocabularyError(
            "The vocabulary is empty.",
            expected="one piece a line",
            found="nothing" if not content else "blank lines",
            where=path,
            fix="copy or download it again, or make one with albertkit.train_vocabulary",
            command_fix="copy or download it again, or make one with albertkit build-vocab",
        )
    # What an editor adds is not part of the list: a mark in front, empty lines at the end.
    content = content.removeprefix(codecs.BOM_UTF8)
    kept = content.rstrip(b"\r\n")
    return content if content.count(b"\n", len(kept)) < 2 else kept + b"\n"
