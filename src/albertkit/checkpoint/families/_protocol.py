"""What a checkpoint family is: the shape of every file in `families/`.

A family detects its files, reads them into our tensors through a table of rules, and writes them
back through the same table. See docs/add-a-family.md. Two more functions are optional:
`express(checkpoint)` gives the equal model that the format can hold, with a note for each change;
`nearest(checkpoint)` gives a model that other formats can hold, with what that loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.mapping import LoadReport
from albertkit.config import AlbertConfig
from albertkit.tasks.head import TaskHead

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint


@dataclass(frozen=True)
class Overrides:
    """What the user says about a source whose files do not say it.

    config: a config file to use instead of the one beside the weights. values: config keys to
    set, such as {"num_attention_heads": 32, "hidden_act": "relu", "norm_order": "pre"}.
    head: kind of the task's head (a key of `tasks.kinds.KINDS`). vocab_size is seen in the weights.
    """

    config: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    head: str | None = None

    def __post_init__(self) -> None:
        if self.config is not None:  # a text will do
            object.__setattr__(self, "config", Path(self.config))


@dataclass(frozen=True)
class Loss:
    """Something of a checkpoint that a format cannot hold.

    keys: what is given up, for programs: config keys ("head_layer_norm_eps"), parts of the model
    ("masked_lm", "sentence_order", "head", "labels") or "tokenizer". sentence: the same for people.
    """

    keys: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass
class LoadResult:
    """What a family found at a path.

    tensors: under our names, float32; views of the file where possible. provenance: for each
    config key where its value came from ("albert_config.json", "graph model.ckpt.meta",
    "shape of bert/embeddings/word_embeddings", "default", "given"). tokenizer: file beside the
    weights, spiece.model or vocab.txt by whatever name. source_tensors: name -> (dtype, shape) of
    everything in the file, optimizer slots too. slots: optimizer slots by suffix ("adam_m") with
    their number. check_ids: `special_ids` may be wrong: compare them with the tokenizer's.
    problems: what a careful person should know (a wrong bos id in the config, a head count that the
    graph contradicts). files: all that were read.
    """

    config: AlbertConfig
    tensors: dict[str, Array]
    report: LoadReport
    head: TaskHead | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    tokenizer: Path | None = None
    lower_case: bool | None = None  # of the tokenizer, where its settings are known to be wrong
    special_ids: dict[str, int] = field(default_factory=dict)
    check_ids: bool = False
    source_tensors: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


class Family(Protocol):
    """A module of `families/`. Functions raise AlbertkitError for every bad input."""

    TITLE: str  # "google-research/albert, TensorFlow 1"
    WRITES: bool

    def detect(self, path: Path) -> Path | None:
        """The weights (file, or prefix of several) of this family at `path`, or None.

        `path` is a folder, a weights file, or a prefix (`model.ckpt`). Looks at names in the file,
        not only at its suffix. Never raises for a file of another kind; a damaged file of this
        kind may be claimed.
        """

    def read(self, found: Path, overrides: Overrides) -> LoadResult:
        """Read what `detect` found. Errors: CheckpointError, ConfigError."""

    def losses(self, checkpoint: Checkpoint) -> list[Loss]:
        """What the format cannot hold of this checkpoint.

        The rest can still be written if the user allows the loss.

        Raises:
            CheckpointError: without this part the model would compute something else (relu where
                only gelu exists): never written.
        """

    def write(self, checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
        """Write into an empty folder, leaving out what `losses` named.

        dtype: float32, float16 or bfloat16 (CheckpointError where the format lacks it).
        """
