"""What one ALBERT is: the numbers and named choices that fix its function.

The keys keep Google's names. Variants that exist in released weights are named choices, so that
a config says everything the model code has to know; how other programs write the same things in
their files is in `checkpoint/families/_configs.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from albertkit.errors import ConfigError, shown
from albertkit.files import translate_os_errors, write_atomic
from albertkit.plugins import place_of

CHOICES: dict[str, tuple[str, ...]] = {
    "hidden_act": ("gelu_tanh", "gelu_erf", "relu", "tanh", "linear", "silu"),
    "embedding_order": ("norm_then_project", "project_then_norm"),
    "position_width": ("embedding", "hidden"),
    "norm_order": ("post", "pre"),
    "share": ("all", "attention", "ffn", "none"),
    "group_formula": ("google", "huggingface"),
    "layer_norm_kind": ("standard", "uer"),
}
MAX_COUNT = 2**31 - 1
MAX_DEPTH = 4096
FILE_NAMES = ("config.json", "albert_config.json")
DEPTHS = ("num_hidden_layers", "num_hidden_groups", "inner_group_num")


@dataclass(frozen=True, kw_only=True)
class AlbertConfig:
    """One ALBERT, fully described; the defaults are albert-base-v2.

    Raises:
        ConfigError: a value of the wrong type or range, or values that do not fit together.
    """

    # Sizes.
    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1  # sets of parameters that the layers are dealt out to
    inner_group_num: int = 1  # blocks inside one layer, each with its own parameters
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    ffn_groups: int = 1  # 16 in albert_zh's google_fast: feed-forward of independent slices
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    # Named choices.
    hidden_act: str = "gelu_tanh"
    embedding_order: str = "norm_then_project"  # project_then_norm: albert_zh's own layout
    position_width: str = "embedding"  # width of the position and type tables
    projection_bias: bool = True
    project_equal_width: bool = False  # google makes no projection when E == H; others do
    norm_order: str = "post"
    share: str = "all"  # what layers of one group share; the rest each layer has for itself
    group_formula: str = "google"
    layer_norm_kind: str = "standard"  # uer: deviation of n - 1, epsilon added to the deviation
    final_norm: bool = False  # one more normalisation after the last layer (UER's pre order)
    tied_decoder: bool = True  # the masked-LM head's last matrix is the word table
    # Training and numerics.
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-12
    head_layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_value(field.name, str(field.type), getattr(self, field.name))
            if field.type == "float":  # 0 in a JSON file is the float 0.0
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        self._check_fit()

    def _check_fit(self) -> None:
        """Refuse values that are each fine but describe no model together."""
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                "The heads do not divide the hidden width.",
                expected=f"hidden_size a multiple of {self.num_attention_heads} heads",
                found=f"hidden_size={self.hidden_size}",
                fix="change hidden_size or num_attention_heads",
            )
        for name in ("hidden_size", "intermediate_size"):
            if getattr(self, name) % self.ffn_groups:
                raise ConfigError(
                    "The feed-forward groups do not divide the width.",
                    expected=f"{name} a multiple of ffn_groups={self.ffn_groups}",
                    found=f"{name}={getattr(self, name)}",
                    fix=f"change {name} or ffn_groups",
                )
        depth = self.num_hidden_layers * self.inner_group_num
        if depth > MAX_DEPTH:  # each may have tensors of its own, with names to make
            raise ConfigError(
                "The model is deeper than any ALBERT.",
                expected=f"num_hidden_layers times inner_group_num at most {MAX_DEPTH}",
                found=depth,
                fix="correct num_hidden_layers or inner_group_num",
            )
        order, width = self.embedding_order, self.position_width
        needed = {"norm_then_project": "embedding", "project_then_norm": "hidden"}[order]
        if width != needed:
            raise ConfigError(
                "The position and type tables are added where the width is another.",
                expected=f"position_width={needed!r} with embedding_order={order!r}",
                found=f"position_width={width!r}",
                fix=f"set position_width to {needed!r}, or change embedding_order",
            )

    @property
    def head_width(self) -> int:
        """Width D of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def has_projection(self) -> bool:
        """Whether a matrix stands between embedding width and hidden width."""
        return self.embedding_size != self.hidden_size or self.project_equal_width

    def group_of_layer(self, layer: int) -> int:
        """Group whose parameters a layer uses, by the float formula of the original.

        google: `int(layer / layers * groups)` (google-research/albert, modeling.py,
        transformer_model). transformers: `int(layer / (layers / groups))`. The two differ by
        rounding for some counts (for 22 layers in 22 groups google never uses group 15).
        """
        layers, groups = self.num_hidden_layers, self.num_hidden_groups
        if self.group_formula == "huggingface":
            return int(layer / (layers / groups))
        return int(layer / layers * groups)

    def attention_block(self, layer: int) -> int:
        """Number of the attention parameters that a layer uses."""
        return self.group_of_layer(layer) if self.share in ("all", "attention") else layer

    def feed_forward_block(self, layer: int) -> int:
        """Number of the feed-forward parameters that a layer uses."""
        return self.group_of_layer(layer) if self.share in ("all", "ffn") else layer

    @property
    def attention_blocks(self) -> list[int]:
        """Numbers of the attention blocks that exist: those that some layer uses, rising."""
        return sorted({self.attention_block(n) for n in range(self.num_hidden_layers)})

    @property
    def feed_forward_blocks(self) -> list[int]:
        """Numbers of the feed-forward blocks that exist: those that some layer uses, rising."""
        return sorted({self.feed_forward_block(n) for n in range(self.num_hidden_layers)})

    @property
    def layer_plan(self) -> list[tuple[int, int]]:
        """For each layer its attention and feed-forward block, numbered without gaps."""
        attention = {number: place for place, number in enumerate(self.attention_blocks)}
        feed_forward = {number: place for place, number in enumerate(self.feed_forward_blocks)}
        return [
            (attention[self.attention_block(layer)], feed_forward[self.feed_forward_block(layer)])
            for layer in range(self.num_hidden_layers)
        ]

    @property
    def has_huggingface_groups(self) -> bool:
        """Whether transformers' formula gives each layer the blocks that it has here."""
        layers, blocks = self.num_hidden_layers, len(self.attention_blocks)
        theirs = [int(layer / (layers / blocks)) for layer in range(layers)]
        return self.layer_plan == [(number, number) for number in theirs]

    @property
    def fits_huggingface(self) -> list[str]:
        """Why transformers' AlbertModel cannot be this model; an empty list says that it can."""
        checks = {
            "embedding_order=project_then_norm": self.embedding_order != "norm_then_project",
            "a projection without bias": not self.projection_bias,
            "no projection although E = H (`convert` writes an identity)": not self.has_projection,
            "norm_order=pre": self.norm_order != "post",
            "final_norm": self.final_norm,
            "layer_norm_kind=uer": self.layer_norm_kind != "standard",
            "ffn_groups above 1": self.ffn_groups != 1,
            "head_layer_norm_eps other than layer_norm_eps": (
                self.head_layer_norm_eps != self.layer_norm_eps
            ),
            "layers grouped by another formula (`convert` writes one group a layer)": (
                not self.has_huggingface_groups
            ),
        }
        return [reason for reason, holds in checks.items() if holds]

    @classmethod
    def load(
        cls, path: Path | str, *, dialect: str | None = None, vocab_size: int | None = None
    ) -> AlbertConfig:
        """Config from a JSON file of any known program.

        Args:
            path: such as config.json or albert_config.json, or a folder with one; or the name of a
                model (a path that exists wins).
            dialect, vocab_size: see `from_json`.

        Raises:
            ConfigError: the file is missing, not strict JSON, or describes no ALBERT.
            DownloadError: the model of this name cannot be fetched.
        """
        path = place_of(path)
        if path.is_dir():
            found = [path / name for name in FILE_NAMES if (path / name).is_file()]
            path = found[0] if found else path / FILE_NAMES[0]
        config: AlbertConfig = (
            _dialects().read_file(path, dialect=dialect, vocab_size=vocab_size).config
        )
        return config

    from_pretrained = load

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json into a folder, which is made if it is not there.

        Raises:
            OutputError: it cannot be written.
        """
        text = json.dumps(self.to_json(), indent=2, sort_keys=True) + "\n"
        with translate_os_errors(Path(folder)):
            Path(folder).mkdir(parents=True, exist_ok=True)
        write_atomic(Path(folder) / FILE_NAMES[0], text)

    @classmethod
    def from_json(
        cls,
        values: Mapping[str, Any],
        *,
        dialect: str | None = None,
        vocab_size: int | None = None,
    ) -> AlbertConfig:
        """Config from a parsed JSON object of any known program.

        Args:
            values: the object.
            dialect: whose keys these are (huggingface, google, google_fast, brightmart, paddle,
                uer, albertkit); detected from the keys if left out.
            vocab_size: for files that name none (UER).

        Raises:
            ConfigError: not an ALBERT config, an unknown key, a wrong value, or a dialect that
                cannot be detected and matters.
        """
        config: AlbertConfig = (
            _dialects().read(values, dialect=dialect, vocab_size=vocab_size).config
        )
        return config

    def to_json(self) -> dict[str, Any]:
        """JSON object that transformers reads, or one it refuses if it cannot run this model."""
        values: dict[str, Any] = _dialects().write(self)
        return values


def _dialects() -> ModuleType:
    """How config files of other programs are written: `checkpoint/families/_configs.py`.

    Found by its name when a file is read or written, as plugins are: a config itself needs no
    dialect, and the families, which know them, are made of configs.
    """
    return import_module("albertkit.checkpoint.families._configs")


def _check_value(name: str, kind: str, value: object) -> None:
    """Refuse a value of the wrong type or outside its range."""
    if kind == "bool":
        expected, good = "true or false", isinstance(value, bool)
    elif kind == "int":
        largest = MAX_DEPTH if name in DEPTHS else MAX_COUNT
        expected = f"an integer from 1 to {largest}"
        good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest
    elif kind == "float":
        expected, good = _check_float(name, value)
    else:
        expected = "one of " + ", ".join(CHOICES[name])
        good = isinstance(value, str) and value in CHOICES[name]
    if not good:
        raise ConfigError(
            f"{name} must be {expected}.",
            found=shown(value),
            fix=f"correct {name} in the config",
        )


def _check_float(name: str, value: object) -> tuple[str, bool]:
    """What a fraction must be, and whether it is."""
    number = (
        float(value)
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= MAX_COUNT
        else math.nan
    )
    if name.endswith("dropout_prob"):
        return "a number from 0 to below 1", 0.0 <= number < 1.0
    return "a number above 0, at most 1", 0.0 < number <= 1.0
