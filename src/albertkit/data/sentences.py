"""Cut paragraphs into sentences, English and Chinese.

Pretraining only needs sentences that are mostly right: a wrong cut makes two shorter ones. The
rules are few and look at nothing but the characters around a sentence mark.
"""

from __future__ import annotations

import re

MAX_SENTENCE_CHARACTERS = 4000  # longer than any row of 512 tokens; cut at a mark or a space


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# After these a full stop never ends a sentence.
_TITLES = _words(
    """mr mrs ms mx dr prof st rev fr gen col maj capt cmdr lt sgt cpl pvt hon gov sen rep pres supt
    messrs mme mlle mgr esq mt ft vs viz cf e.g i.e ca approx ed eds trans gr lat dept univ
    assn bros b.c"""
)
# After these it does not before a number.
_BEFORE_NUMBERS = _words(
    """no nos p pp vol vols fig figs ch chap sec art par para eq ex op c v jan feb mar apr jun jul
    aug sep sept oct nov dec"""
)
# After these, and after initials such as "J." or "U.S.", only before a word that opens sentences.
_SOMETIMES = _words("etc inc ltd co corp jr sr al ph.d m.d b.a m.a a.m p.m a.d")
_OPENERS = _words(
    """The A An This That These Those There Here It He She We They You I His Her Its Their Our My In
    On At By For From With Without After Before During Since Until While When Where What Who
    Why How If But And Or Nor So Yet As Although Though Because However Moreover Also Then
    Thus Once Some Many Most All Both Each Every No Not One Two Today Now To"""
)

_CANDIDATE = re.compile(r"""[.!?\u2026]["'\u201d\u2019\u00bb)\]]*\s+""")
_WORD = re.compile(r"\w+")
_OPENING = "\"'\u201c\u2018\u00ab([-\u2014"
_CLOSING_BEFORE = "\"'\u201c\u2018\u00ab(["

_ZH_END = re.compile(
    "(?:[\u3002\uff01\uff1f!?\uff1b]|\u2026++(?![\uff0c\u3001,]))"
    "[\u3002\uff01\uff1f!?\uff1b\u2026]*"
    "[\u201d\u2019\u300d\u300f\uff09)\u300b\u3011\u3009]*"
)


def split_sentences(text: str, language: str) -> list[str]:
    """Sentences of a paragraph in order; `language` is "en" or "zh".

    Runs of white space (also the line separators of Unicode) become one space. Nothing else is
    changed or lost; sentences beyond MAX_SENTENCE_CHARACTERS are cut.
    """
    text = " ".join(text.split())
    if not text:
        return []
    found = _chinese(text) if language == "zh" else _english(text)
    if len(text) <= MAX_SENTENCE_CHARACTERS:
        return found
    return [part for sentence in found for part in cut_long(sentence, MAX_SENTENCE_CHARACTERS)]


def cut_long(text: str, limit: int) -> list[str]:
    """Cut text into parts of at most `limit` characters: after a mark, a space, or anywhere."""
    parts = []
    while len(text) > limit:
        cut = best_cut(text, limit)
        parts.append(text[:cut].strip())
        text = text[cut:].strip()
    return [part for part in [*parts, text] if part]


def best_cut(text: str, limit: int) -> int:
    """Where to cut before `limit`: the last sentence mark, else a comma or space, else `limit`."""
    for marks in (("\u3002", "\uff01", "\uff1f", ". ", "! ", "? "), ("\uff0c", "; ", ", "), (" ",)):
        cut = max(text.rfind(mark, limit // 2, limit) + len(mark) for mark in marks)
        if cut > limit // 2:
            return cut
    return limit


def _english(text: str) -> list[str]:
    sentences = []
    begin = 0
    for match in _CANDIDATE.finditer(text):
        after = match.end()
        if _ends_sentence(text, begin, match.start(), after):
            sentences.append(text[begin:after].rstrip())
            begin = after
    sentences.append(text[begin:])
    return [sentence for sentence in sentences if sentence]


def _ends_sentence(text: str, begin: int, mark: int, after: int) -> bool:
    """Whether the mark at `mark` ends the sentence that began at `begin`; `after` follows it."""
    following = text[after : after + 1]
    if following in _OPENING:
        following = text[after : after + 4].lstrip(_OPENING)[:1]
    if following.islower():
        return False
    if text[mark] != ".":
        return True
    word = text[max(begin, text.rfind(" ", begin, mark) + 1) : mark].lstrip(_CLOSING_BEFORE)
    if word.isdigit():  # "1. The first point": the number is not a sentence
        return mark - len(word) > begin
    lower = word.lower()
    if lower in _TITLES or (lower in _BEFORE_NUMBERS and following.isdigit()):
        return False
    initials = len(word) == 1 and word.isalpha() and word.isupper()
    if initials or lower in _SOMETIMES or (word[-2:-1] == "." and word[-1:].isalpha()):
        opener = _WORD.match(text, after)
        return opener is not None and opener[0] in _OPENERS
    return True


def _chinese(text: str) -> list[str]:
    sentences: list[str] = []
    begin = 0
    for match in _ZH_END.finditer(text):
        end = match.end()
        # A straight quotation mark closes when one is open in this sentence.
        if text[end : end + 1] == '"' and text.count('"', begin, end) % 2:
            end += 1
        sentence = text[begin:end].strip()
        if sentences and not _has_letters(sentence):
            sentences[-1] += sentence
        elif _has_letters(sentence):
            sentences.append(sentence)
        else:
            continue  # marks before the first word belong to what follows
        begin = end
    rest = text[begin:].strip()
    if rest:
        if sentences and not _has_letters(rest):
            sentences[-1] += rest
        else:
            sentences.append(rest)
    return sentences


def _has_letters(text: str) -> bool:
    return any(character.isalnum() for character in text)
