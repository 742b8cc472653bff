"""Every ALBERT that was released under a name: what it is, where it is, what to know about it.

Facts are from the sources themselves (papers, READMEs, configs, index files); what none of them
says is "not stated" or "not known", never a guess. The entries are in `known_english` and
`known_chinese`, the published scores in `known_scores`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.parameters import count_parameters

NOT_STATED = "not stated"
POOLER, MASKED_LM, SENTENCE_ORDER = "pooler", "masked LM", "sentence order"
ALL_HEADS = (POOLER, MASKED_LM, SENTENCE_ORDER)


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub."""

    repository: str


@dataclass(frozen=True)
class Files:
    """Files at addresses, by the name they get: one archive to unpack, or the files themselves.

    config: a config.json to write beside them, where the source keeps it in program code.
    """

    addresses: dict[str, str]
    config: dict[str, Any] | None = None


@dataclass(frozen=True)
class Nowhere:
    """No address is known."""

    reason: str


Source = Hub | Files | Nowhere


@dataclass(frozen=True)
class Score:
    """A published result. value as printed; percent, F1/EM for reading comprehension."""

    task: str
    value: str
    source: str


@dataclass(frozen=True)
class KnownModel:
    """One released ALBERT.

    heads: what the file holds, if that is known. quirks: what differs from what one would expect.
    tried_live: whether it was downloaded with this program and ran it.
    """

    name: str
    language: str
    family: str  # of `families/`: how its files are read
    layout: str  # google, brightmart (positions at hidden width), google_fast (grouped linear)
    source: Source
    config: AlbertConfig
    heads: tuple[str, ...] | None
    aliases: tuple[str, ...] = ()
    licence: str = NOT_STATED
    quirks: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    tried_live: bool = False

    @property
    def parameters(self) -> int:
        """Of the body with its pooler: comparable between all models."""
        return count_parameters(self.config)

    @property
    def parameters_in_file(self) -> int | None:
        """Of the body and the heads that the file holds, tied; None if the heads are not known."""
        if self.heads is None:
            return None
        return count_parameters(
            self.config,
            pooler=POOLER in self.heads,
            masked_lm=MASKED_LM in self.heads,
            sentence_order=SENTENCE_ORDER in self.heads,
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be looked at or fetched by hand."""
        if isinstance(self.source, Hub):
            return (f"https://huggingface.co/{self.source.repository}",)
        return tuple(self.source.addresses.values()) if isinstance(self.source, Files) else ()
