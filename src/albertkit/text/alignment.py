"""Where the pieces of a SentencePiece model stand in the original text.

Two steps change a text before it is cut into pieces: ours (white space, accents, case) and
SentencePiece's own normalizer, which drops control characters and makes spaces of others. Each step
keeps, for every character of its result, where that came from. No visible character is left out of
all slices: one that a step drops belongs to the piece in front of it, or to the first one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import sentencepiece

from albertkit.text.encoding import Offsets, refuse_surrogates

SPACE = "\u2581"  # SentencePiece's mark of a space in front
DOUBLED_QUOTES = ("``", "''")

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_RUNS = re.compile(r"[!-~]+|\s+|.", re.DOTALL)
_RUNS_AND_QUOTES = re.compile(r"(?P<doubled>``|'')|[!-&(-_a-~]+|\s+|.", re.DOTALL)

Segments = list[tuple[int, int, int]]  # (id, start, end) in characters of some text


class WithoutAccents(dict[int, str]):
    """NFKD without combining marks, of each character met so far: of a text it is the same."""

    def __missing__(self, code: int) -> str:
        normal = unicodedata.normalize("NFKD", chr(code))
        self[code] = kept = "".join([c for c in normal if not unicodedata.combining(c)])
        return kept


WITHOUT_ACCENTS = WithoutAccents()


@dataclass(frozen=True)
class Preprocessing:
    """What ALBERT does to a text before SentencePiece sees it.

    lower_case: letters become lower-case. keep_accents: no NFKD, no accent is taken off
    (transformers' choice; google always takes them off). quotes: "keep", or "rewrite" two
    back-ticks and two apostrophes to a double quote.
    """

    lower_case: bool = True
    keep_accents: bool = False
    quotes: str = "keep"
    _single: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def prepare(self, text: str) -> str:
        """White space collapsed, then what was chosen.

        Raises:
            TokenizationError: the text is not valid Unicode.
        """
        refuse_surrogates(text)
        text = " ".join(text.split())
        if self.quotes == "rewrite":
            for doubled in DOUBLED_QUOTES:
                text = text.replace(doubled, '"')
        if not self.keep_accents and not text.isascii():
            text = _NOT_ASCII.sub(lambda match: match[0].translate(WITHOUT_ACCENTS), text)
        return text.lower() if self.lower_case else text

    def aligned(self, text: str) -> Aligned:
        """`prepare`, with the place of every character.

        A mark that is taken off belongs to the letter in front of it, or else to what follows.
        """
        prepared = self.prepare(text)
        if self.keeps_places(text, prepared):
            return Aligned(prepared, range(len(text) + 1), range(1, len(text) + 1))
        characters: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        space = orphan = -1  # where a run of white space began; a mark without a letter
        for place, end, original in self._runs(text):
            if original.isspace():
                space = place if space < 0 else space
                continue
            if space >= 0 and characters:
                characters.append(" ")
                starts.append(space)
                ends.append(place)
            space = -1
            kept = original if original.isascii() else self._kept(original)
            if kept:
                first = place if orphan < 0 else orphan
                if len(kept) == end - place:
                    starts += [first, *range(place + 1, end)]
                    ends += range(place + 1, end + 1)
                else:
                    starts += [first] * len(kept)
                    ends += [end] * len(kept)
                characters += kept
                orphan = -1
            elif characters and characters[-1] != " ":
                ends[-1] = end
            elif orphan < 0:
                orphan = place
        # Lower-casing keeps the length: the one letter that does not, U+0130, is taken apart.
        prepared = "".join(characters)
        prepared = prepared.lower() if self.lower_case else prepared
        return Aligned(prepared, [*starts, len(text)], ends)

    def keeps_places(self, text: str, prepared: str) -> bool:
        """Whether each character of a prepared text stands where it stood in the text."""
        if len(text) != len(prepared):
            return False
        # Nothing can make up for what is left out if each character became one.
        if text.isascii() or self._single.issuperset(text):
            return True
        new = set(text) - self._single
        self._single.update(each for each in new if len(self._kept(each)) == 1)
        return self._single.issuperset(new)

    def _kept(self, original: str) -> str:
        """What becomes of one character."""
        if self.keep_accents:
            return "i\u0307" if self.lower_case and original == "\u0130" else original
        return WITHOUT_ACCENTS[ord(original)]

    def _runs(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and text of runs of ASCII or white space, and of each other character.

        Quotes are rewritten if that was chosen.
        """
        for match in (_RUNS if self.quotes == "keep" else _RUNS_AND_QUOTES).finditer(text):
            yield match.start(), match.end(), '"' if match.lastgroup else match[0]


@dataclass(frozen=True)
class Aligned:
    """A prepared text, and where each of its characters starts and ends in the original.

    `starts` has one entry more: the end of the original text.
    """

    prepared: str
    starts: Sequence[int]
    ends: Sequence[int]

    def offsets(self, spans: Offsets) -> Offsets:
        """Places in the original text of (start, end) in the prepared one."""
        found: Offsets = []
        behind = 0
        for start, end in spans:
            # A space mark alone is empty, in front of what follows; if what stands before it and
            # what follows come from the same character, so does the mark.
            behind = self.ends[end - 1] if end > start else max(behind, self.starts[start])
            found.append((self.starts[start], behind))
        return found


class Normalized:
    """What SentencePiece's normalizer makes of a prepared text, and where its characters stood."""

    def __init__(self, model: sentencepiece.SentencePieceProcessor, prepared: str) -> None:
        self.text: str
        places: list[int]
        self.text, places = model.normalize(prepared, with_offsets=True)
        self._prepared = prepared
        self._first = places[0]
        # What is dropped belongs to the character in front of it; before the first to that one.
        self._places = [0, *places[1:]]

    def spans(self, segments: Segments) -> Offsets:
        """Places of segments of the normalized text in the prepared one, marks of spaces off."""
        found = [
            (self._start(start), self._end(end))
            if end > start
            else (self._places[start], self._places[start])
            for _, start, end in segments
        ]
        rest = self._prepared[self._places[-1] :]
        if found and rest and any(map(is_visible, rest)):
            found[-1] = (found[-1][0], len(self._prepared))
        return found

    def _start(self, place: int) -> int:
        """Where a segment begins to be seen: behind its space, unless that stands for a sign."""
        begin = self._places[place]
        if self.text[place] == SPACE:
            end = self._places[place + 1]
        elif place:
            return begin
        else:
            end = self._first
        if end - begin <= 1 and self._prepared[begin:end] in ("", " "):
            return end
        visible = (n for n in range(begin, end) if is_visible(self._prepared[n]))
        return next(visible, end)

    def _end(self, place: int) -> int:
        """Where a segment ends to be seen: before control characters dropped behind it."""
        begin, end = self._places[place - 1] + 1, self._places[place]
        while end > begin and not is_visible(self._prepared[end - 1]):
            end -= 1
        return end


def is_visible(character: str) -> bool:
    """Whether a character is neither white space nor a control or format character."""
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")
