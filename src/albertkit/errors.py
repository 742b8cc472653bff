"""Errors that a user can meet.

    AlbertkitError (a ValueError)
    ├── ConfigError         a config file or value that describes no ALBERT
    ├── VocabularyError     a vocabulary that is missing, damaged, or does not fit the config
    ├── TokenizationError   text or a request that the tokenizer cannot serve
    ├── CorpusError         raw text that is missing, empty or unreadable
    ├── ShardError          tokenized data that are missing, damaged or of another vocabulary
    ├── CheckpointError     a checkpoint folder that is missing, incomplete or damaged
    ├── DownloadError       a model that cannot be fetched, or is not what was fetched before
    ├── RecipeError         a training recipe with an unknown key or an impossible value
    ├── TrainingError       a run that cannot start, resume, or does not learn
    ├── PredictionError     a question that the loaded model cannot answer
    │   └── TextError       one text that it cannot take: empty, too long, without a mask
    └── OutputError         a place that cannot be written: disk full, no permission, already there

Each message says what happened, what was expected, what was found, where, and what to do.
`assert` is for our own invariants only.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

FACTS = ("expected", "found", "where", "to do")  # in the order of a message
MOST_CHARACTERS = 1000  # of what a message takes from a file, which may hold anything


def quoted(text: str | Path) -> str:
    """A path or another text as it is typed in a shell: in quotes where it holds spaces."""
    return shlex.quote(str(text))


class AlbertkitError(ValueError):
    """Something the user can mend; `str()` is the whole message, one fact a line.

    what: what happened, a sentence. facts: expected, found, where and "to do", those that are
    known. fix: what to do, for a reader in Python; command_fix: the same for a reader at the
    command line, where the two differ ("pass truncate=True" and "add --truncate").
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        where: str | Path | None = None,
        fix: str | None = None,
        command_fix: str | None = None,
    ) -> None:
        found = None if found is None else _beginning(str(found))
        facts = {"expected": expected, "found": found, "where": where, "to do": fix}
        self.what = _beginning(what)
        self.facts = {name: str(fact) for name, fact in facts.items() if fact is not None}
        self.command_fix = command_fix
        super().__init__(what)

    def at(self, where: str | Path) -> Self:
        """This error with the file or folder it is about, if it names none yet."""
        self.facts.setdefault("where", str(where))
        return self

    def for_command_line(self) -> str:
        """The message with what to do in options and commands instead of Python."""
        if self.command_fix is None:
            return str(self)
        return self._message({**self.facts, "to do": self.command_fix})

    def __str__(self) -> str:
        return self._message(self.facts)

    def _message(self, facts: Mapping[str, str]) -> str:
        lines = (f"  {name}: {facts[name]}" for name in FACTS if name in facts)
        return "\n".join([self.what, *lines])


def _beginning(text: str) -> str:
    """A text, or its beginning and how long it is."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}... ({len(text):,} characters)"


class ConfigError(AlbertkitError):
    """A config file or value that describes no ALBERT.

    missing: the config keys that nothing decides, where that is what is wrong.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        where: str | Path | None = None,
        fix: str | None = None,
        command_fix: str | None = None,
        missing: Iterable[str] = (),
    ) -> None:
        super().__init__(
            what, expected=expected, found=found, where=where, fix=fix, command_fix=command_fix
        )
        self.missing = tuple(missing)


class VocabularyError(AlbertkitError):
    """A vocabulary that is missing, damaged, or does not fit the config."""


class TokenizationError(AlbertkitError):
    """Text or a request that the tokenizer cannot serve."""


class CorpusError(AlbertkitError):
    """Raw text that is missing, empty or unreadable."""


class ShardError(AlbertkitError):
    """Tokenized data that are missing, damaged or made with another vocabulary."""


class CheckpointError(AlbertkitError):
    """A checkpoint folder that is missing, incomplete or damaged."""


class DownloadError(AlbertkitError):
    """A model that cannot be fetched, or is not what was fetched before."""


class RecipeError(AlbertkitError):
    """A training recipe with an unknown key or an impossible value."""


class TrainingError(AlbertkitError):
    """A run that cannot start, cannot resume, or does not learn."""


class PredictionError(AlbertkitError):
    """A question that the loaded model cannot answer."""


class TextError(PredictionError):
    """A text that the model cannot take: empty, too long, without a mask. Other texts may do."""


class OutputError(AlbertkitError):
    """A place that cannot be written: disk full, no permission, or something is already there."""


def shown(value: object) -> str:
    """A value for a message: its repr, cut, with its type."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of 5000 digits; a list inside itself
        text = "(too large to print)"
    text = text if len(text) <= 80 else text[:77] + "..."
    return f"{text} ({type(value).__name__})"


def reason(error: BaseException) -> str:
    """What an exception of Python or of a library says, in one line without error numbers."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split()) or type(error).__name__


def listed(names: list[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
