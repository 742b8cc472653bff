"""What a fine-tuned checkpoint answers: the head of a task, as data (modules: model/heads.py).

A checkpoint has at most one. Its tensors are `classifier.*`, `span.*` or `beam_span.*`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from albertkit.errors import ConfigError, shown
from albertkit.tasks.kinds import KINDS, Kind

# Which vector the pooler reads. UER-py multiplies tokens by their segment number first.
POOLINGS = ("first", "uer_mean", "uer_max", "uer_last")
MAX_LABELS = 2**20


@dataclass(frozen=True)
class TaskHead:
    """Head of a task.

    kind: a key of KINDS. num_labels: classes C, 1 or more (1 for regression and multiple choice,
    2 for span: start and end). labels: their names in order, or none. pooling: one of POOLINGS.
    start_n_top, end_n_top: width of the beam search of `beam_span`. no_answer_threshold: of `span`
    and `beam_span` that were trained for questions without an answer: from which on `Decoded`'s
    no_answer says so. It changes no output, so heads that differ in it are equal.

    Raises:
        ConfigError: an unknown kind, or values that do not fit together.
    """

    kind: str
    num_labels: int
    labels: tuple[str, ...] = ()
    pooling: str = "first"
    start_n_top: int = 5
    end_n_top: int = 5
    no_answer_threshold: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"The kind of a head must be one of {', '.join(KINDS)}.",
                found=shown(self.kind),
                fix="give one of these kinds",
            )
        for name in ("num_labels", "start_n_top", "end_n_top"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= MAX_LABELS:
                raise ConfigError(
                    f"{name} of the head must be an integer from 1 to {MAX_LABELS}.",
                    found=shown(value),
                    fix=f"correct {name}",
                )
        threshold = self.no_answer_threshold
        if threshold is not None and not (
            isinstance(threshold, (int, float)) and math.isfinite(threshold)
        ):
            raise ConfigError(
                "no_answer_threshold must be a finite number.",
                found=shown(threshold),
                fix="correct or remove no_answer_threshold in config.json",
            )
        needed = self.traits.num_outputs
        if needed is not None and self.num_labels != needed:
            raise ConfigError(
                f"A head for {self.kind} has {needed} outputs.",
                found=self.num_labels,
                fix=f"correct num_labels to {needed}",
            )
        if self.pooling not in POOLINGS:
            raise ConfigError(
                f"pooling of a head must be one of {', '.join(POOLINGS)}.",
                found=shown(self.pooling),
                fix="correct pooling",
            )
        if self.labels and len(self.labels) != self.num_labels:
            raise ConfigError(
                "The labels do not fit the head.",
                expected=f"{self.num_labels} names",
                found=f"{len(self.labels)} names",
                fix="give each output a name, or leave labels out",
            )

    @property
    def traits(self) -> Kind:
        """What is true of every head of its kind."""
        return KINDS[self.kind]

    @property
    def part(self) -> str:
        """First part of the names of its tensors."""
        return self.traits.part

    @property
    def needs_pooler(self) -> bool:
        """Whether it reads the pooled vector of a sequence."""
        return self.traits.reads == "pooled"

    @property
    def may_find_nothing(self) -> bool:
        """Whether it was trained for questions that have no answer."""
        return self.kind == "beam_span" or self.no_answer_threshold is not None

    @property
    def threshold(self) -> float | None:
        """`Decoded.no_answer` from which on no answer is given; None: one is always given."""
        return (self.no_answer_threshold or 0.0) if self.may_find_nothing else None

    @property
    def fits_huggingface(self) -> list[str]:
        """Why transformers has no such head; an empty list says that it has."""
        reasons = []
        if self.traits.transformers is None:
            reasons.append("the beam-search head of SQuAD 2")
        if self.pooling != "first":
            reasons.append(f"pooling={self.pooling}")
        return reasons

    def shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor."""
        h = hidden_size
        if self.part in ("classifier", "span"):
            name, count = self.part, self.num_labels
            return {f"{name}.weight": (count, h), f"{name}.bias": (count,)}
        return {
            "beam_span.start.weight": (1, h),
            "beam_span.start.bias": (1,),
            "beam_span.end_transform.weight": (h, 2 * h),
            "beam_span.end_transform.bias": (h,),
            "beam_span.end_norm.weight": (h,),
            "beam_span.end_norm.bias": (h,),
            "beam_span.end.weight": (1, h),
            "beam_span.end.bias": (1,),
            "beam_span.answer_transform.weight": (h, 2 * h),
            "beam_span.answer_transform.bias": (h,),
            "beam_span.answer.weight": (1, h),
        }

    def to_json(self) -> dict[str, Any]:
        """As it stands in our own config files, under `task_head`."""
        values = {**asdict(self), "labels": list(self.labels)}
        if self.no_answer_threshold is None:
            del values["no_answer_threshold"]
        return values

    @classmethod
    def from_json(cls, values: object) -> TaskHead:
        """The reverse of `to_json`."""
        known = set(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or not {"kind", "num_labels"} <= set(values) <= known:
            raise ConfigError(
                "task_head does not describe a head.",
                expected="kind, num_labels and perhaps " + ", ".join(sorted(known)),
                found=shown(values),
                fix="correct task_head in config.json",
            )
        labels = values.get("labels", [])
        if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
            raise ConfigError(
                "labels must be a list of strings.",
                found=shown(labels),
                fix="correct labels in config.json",
            )
        return cls(**{**values, "labels": tuple(labels)})
