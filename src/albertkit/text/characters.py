"""What the rules of Chinese tokenizers do to single characters, and where texts may be cut.

Source: google-research/albert and brightmart/albert_zh, tokenization.py (BasicTokenizer).
"""

from __future__ import annotations

import re
import unicodedata

# CJK Unified Ideographs, extensions A to E, and both compatibility blocks.
HAN_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
HAN = "".join(f"{chr(low)}-{chr(high)}" for low, high in HAN_RANGES)
# What is white space to the rules; to Python, control characters that they drop are so too.
WHITE = "\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CHUNK, RUNS = re.compile(f"[{HAN}]|[^{HAN}{WHITE}]+"), re.compile(f"[^{WHITE}]+")


def is_han(code: int) -> bool:
    """Whether a code point is one of the Chinese characters that stand alone."""
    return any(low <= code <= high for low, high in HAN_RANGES)


def is_control(character: str) -> bool:
    """Whether a character is dropped: NUL, U+FFFD, and categories Cc and Cf but for white space."""
    if character in "\t\n\r":
        return False
    return character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf")


def is_punctuation(character: str) -> bool:
    """Whether a character stands alone: all of ASCII's symbols, and categories P*."""
    code = ord(character)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(character).startswith("P")


def isolate(character: str, split_han: bool = True) -> str:
    """The rules that come before lower-casing: drop, make a space, or put spaces around."""
    if is_control(character):
        return ""
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    return f" {character} " if split_han and is_han(ord(character)) else character


class CharacterTable(dict[int, str]):
    """What becomes of each character; filled in as characters are met.

    strip_accents: take accents off; where lower-casing does so if left out. split_han: Chinese
    characters stand alone.
    """

    def __init__(
        self, lower_case: bool, strip_accents: bool | None = None, split_han: bool = True
    ) -> None:
        super().__init__()
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.split_han = split_han

    def __missing__(self, code: int) -> str:
        self[code] = result = self.replacement(chr(code))
        return result

    def replacement(self, character: str) -> str:
        """The character after all rules, with spaces where a word ends."""
        isolated = isolate(character, self.split_han)
        if isolated != character and not isolated.strip():
            return isolated
        alone = isolated != isolated.strip()
        if self.lower_case:
            character = character.lower()
        if self.strip_accents:
            decomposed = unicodedata.normalize("NFD", character)
            character = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        spaced = "".join(f" {c} " if is_punctuation(c) else c for c in character)
        return f" {spaced} " if alone else spaced
