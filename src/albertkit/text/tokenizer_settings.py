"""The settings beside a vocabulary, as transformers writes them.

`tokenizer_config.json` wins over `special_tokens_map.json`; added tokens are in
`tokenizer.json`, `added_tokens.json` or the config's `added_tokens_decoder`, of which the last
wins. What would change ids and is not supported is named in `notes`, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from albertkit.errors import VocabularyError, reason
from albertkit.files import json_text
from albertkit.text.encoding import IdsAndOffsets, Offsets
from albertkit.text.vocabulary_files import (
    MAX_TOKENIZER_BYTES,
    TOKENIZER_FILE,
    read_bytes,
)

SETTINGS_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"
ROLES = ("pad", "unk", "cls", "sep", "mask")
MAX_ADDED_TOKENS = 10_000
_MAX_ADDED_CHARACTERS = 1000
_ADDED_KEY = re.compile(r'"added_tokens"\s*:\s*(?=\[)')  # before the vocabulary
_FLAGS = ("do_lower_case", "keep_accents", "strip_accents", "tokenize_chinese_chars")
# Settings of transformers' tokenizers that change ids, with the value that we work by.
_FIXED: dict[str, tuple[Any, ...]] = {
    "remove_space": (True, None),
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "sp_model_kwargs": (None, {}),
    "add_prefix_space": (True, None),
    "split_special_tokens": (True, False, None),
}


@dataclass(frozen=True)
class AddedToken:
    """A token that was added to a vocabulary after its training: it is found in the text itself.

    special: matched as it is written, also where text is lower-cased. single_word: not inside a
    word. lstrip, rstrip: takes the white space in front of it, or behind it, along.
    """

    text: str
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False


@dataclass
class TokenizerSettings:
    """What the files beside a vocabulary say; None and missing keys: they say nothing.

    values: tokenizer_config.json. special: text of the special pieces by role ("pad", "unk",
    "cls", "sep", "mask"). added: tokens by id. notes: what is not honoured, in words.
    """

    values: dict[str, Any] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)
    added: dict[int, AddedToken] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def flag(self, name: str) -> bool | None:
        """A setting that is true, false or not said."""
        value = self.values.get(name)
        return None if value is None else bool(value)


def read_settings(folder: Path, *, tokenizer_json: bool = True) -> TokenizerSettings:
    """The settings in a folder; empty if there are none.

    tokenizer_json: take the added tokens of that file too; False where it is the vocabulary.

    Raises:
        VocabularyError: a file is not a JSON object, or a setting has a wrong type.
    """
    values = read_object(folder / SETTINGS_FILE)
    for name in _FLAGS:
        if not isinstance(values.get(name), (bool, type(None))):
            raise _wrong(folder / SETTINGS_FILE, f"{name} is true or false", values[name])
    settings = TokenizerSettings(values)
    roles = {**read_object(folder / SPECIAL_FILE), **values}
    for role in ROLES:
        text = _text(roles.get(f"{role}_token"))
        if text:
            settings.special[role] = text
    if tokenizer_json:
        settings.added |= _tokens_inside(folder / TOKENIZER_FILE, settings.notes)
    _read_added(folder, settings)
    settings.notes += [
        f"{SETTINGS_FILE} says {name}={values[name]!r}, which is not supported"
        for name, usual in _FIXED.items()
        if name in values and values[name] not in usual
    ]
    return settings


def _read_added(folder: Path, settings: TokenizerSettings) -> None:
    decoder = settings.values.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise _wrong(folder / SETTINGS_FILE, "added_tokens_decoder is an object", decoder)
    extra = settings.values.get("additional_special_tokens") or []
    special = {_text(each) for each in (extra if isinstance(extra, list) else [])}
    for text, number in read_object(folder / ADDED_FILE).items():
        if type(number) is not int or number < 0:
            raise _wrong(folder / ADDED_FILE, "ids are 0 or more", number)
        settings.added[number] = AddedToken(text, special=text in special)
    for key, value in decoder.items():
        token = added_token(value)
        if token is None or not (key.isascii() and key.isdigit() and len(key) < 10):
            raise _wrong(folder / SETTINGS_FILE, "added_tokens_decoder has tokens by id", key)
        settings.added[int(key)] = token
    longest = max((len(each.text) for each in settings.added.values()), default=0)
    if len(settings.added) > MAX_ADDED_TOKENS or longest > _MAX_ADDED_CHARACTERS:
        raise _wrong(folder, f"at most {MAX_ADDED_TOKENS:,} added tokens", len(settings.added))


def _tokens_inside(path: Path, notes: list[str]) -> dict[int, AddedToken]:
    """The added tokens of a tokenizer.json, by id, without reading its long vocabulary."""
    if not path.is_file():
        return {}
    try:
        text = read_bytes(path, MAX_TOKENIZER_BYTES).decode("utf-8-sig")
        key = _ADDED_KEY.search(text)
        listed = [] if key is None else json.JSONDecoder().raw_decode(text, key.end())[0]
    except (VocabularyError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        notes.append(f"{path.name} is damaged, and its added tokens are not used: {reason}")
        return {}
    found: dict[int, AddedToken] = {}
    for value in listed:
        token, number = added_token(value), value.get("id") if isinstance(value, dict) else None
        if token is None or type(number) is not int or number < 0:
            notes.append(f"{path.name} has an added token that cannot be read: {str(value)[:80]}")
        else:
            found[number] = token
    return found


def added_token(value: Any) -> AddedToken | None:
    """A token as transformers writes it, as text or as an object; None if it is neither."""
    text = _text(value)
    if not text:
        return None
    if isinstance(value, str):
        return AddedToken(text)
    flags = {
        name: value.get(name) is True for name in ("special", "single_word", "lstrip", "rstrip")
    }
    return AddedToken(text, **flags)


def _text(value: Any) -> str | None:
    """The text of a token, which stands alone or in an object's `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is no such file.

    Raises:
        VocabularyError: it holds something else.
    """
    if not path.is_file():
        return {}
    try:
        values = json.loads(json_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(path, "JSON", reason(error)) from error
    if not isinstance(values, dict):
        raise _wrong(path, "a JSON object: {...}", type(values).__name__)
    return values


def _wrong(path: Path, expected: str, found: object) -> VocabularyError:
    return VocabularyError(
        "The settings of the tokenizer cannot be read.",
        expected=expected,
        found=found,
        where=path,
        fix=f"correct {path.name}, or delete it to get the defaults",
    )


class AddedTokenMatcher:
    """Finds added tokens in a text; the longest one wins."""

    def __init__(self, added: Mapping[int, AddedToken], lower_case: bool) -> None:
        self._exact = {token.text: number for number, token in added.items()}
        self._lowered = {
            token.text.lower(): number
            for number, token in added.items()
            if lower_case and not token.special
        }
        longest_first = sorted(added.values(), key=lambda token: -len(token.text))
        self._pattern = re.compile("|".join(_pattern(x, lower_case) for x in longest_first))

    def split(self, text: str) -> Iterator[tuple[int, int, int | None]]:
        """(start, end, id) of the parts of a text; the id is None between added tokens."""
        behind = 0
        for match in self._pattern.finditer(text):
            if match.start() > behind:
                yield behind, match.start(), None
            found = match.group()
            for shown in (found, found.strip()):
                number = self._exact.get(shown, self._lowered.get(shown.lower()))
                if number is not None:
                    break
            yield *match.span(), number
            behind = match.end()
        if behind < len(text):
            yield behind, len(text), None

    def align_around(
        self, texts: Sequence[str], align: Callable[[Sequence[str]], Iterator[IdsAndOffsets]]
    ) -> list[IdsAndOffsets]:
        """Ids and offsets of texts; align: of what stands between added tokens."""
        split = [list(self.split(text)) for text in texts]
        between = [
            text[begin:end]
            for text, parts in zip(texts, split, strict=True)
            for begin, end, number in parts
            if number is None
        ]
        aligned, made = align(between), []
        for parts in split:
            ids, offsets = list[int](), Offsets()
            for begin, end, number in parts:
                part, places = next(aligned) if number is None else ([number], [(0, end - begin)])
                ids += part
                offsets += [(begin + first, begin + last) for first, last in places]
            made.append((ids, offsets))
        return made


def _pattern(token: AddedToken, lower_case: bool) -> str:
    """Regular expression of one added token."""
    pattern = re.escape(token.text)
    if lower_case and not token.special:
        pattern = f"(?i:{pattern})"
    if token.single_word:
        pattern = rf"(?<!\w){pattern}(?!\w)"
    return r"\s*" * token.lstrip + pattern + r"\s*" * token.rstrip
