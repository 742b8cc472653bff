"""What models give, and the names that users of transformers know: of arguments and of outputs.

The same outputs serve both frameworks, with torch's tensors or Keras' in them; none is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
_ARGUMENTS = {"input_ids": "ids", "token_type_ids": "segment_ids", "attention_mask": "mask"}
_ALL = ("output_hidden_states", "output_attentions")
_THEIRS = (*_ARGUMENTS, *_ALL, "return_dict", "labels")


def with_transformers_arguments(forward: Callable[P, R]) -> Callable[P, R]:
    """Let a model be called as those of transformers: `input_ids=`, `attention_mask=`, ...

    An attention mask of 0 and 1 becomes one of False and True.
    """

    @wraps(forward)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if not any(name in kwargs for name in _THEIRS):
            return forward(*args, **kwargs)
        given: dict[str, Any] = dict(kwargs)
        if "labels" in given:
            raise TypeError(
                "labels: a model computes no loss here; give its .logits and the labels to "
                "torch.nn.functional.cross_entropy"
            )
        if not given.pop("return_dict", True):
            raise TypeError("return_dict=False: take .to_tuple() of the output instead")
        wanted = [given.pop(name, False) for name in _ALL]
        if any(wanted):
            given["return_all"] = True
        for theirs, ours in _ARGUMENTS.items():
            if theirs in given:
                if ours in given:
                    raise TypeError(f"{theirs} and {ours} are two names of one argument")
                given[ours] = given.pop(theirs)
        if "attention_mask" in kwargs and given["mask"] is not None:
            given["mask"] = given["mask"] != 0
        return forward(*args, **given)

    return called


class Output:
    """An output whose fields are also reached as in transformers: by their names, by [0], [1].

    `KEYS`: transformers' names and the attribute that each means, in transformers' order.
    """

    KEYS: ClassVar[dict[str, str]] = {}

    def keys(self) -> list[str]:
        """transformers' names of what there is."""
        return [key for key, name in self.KEYS.items() if not _is_missing(getattr(self, name))]

    def to_tuple(self) -> tuple[Any, ...]:
        """What there is, in transformers' order."""
        return tuple(self[key] for key in self.keys())

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            if key not in self.KEYS:
                raise KeyError(f"{key!r}; known: {', '.join(self.KEYS)}")
            return getattr(self, self.KEYS[key])
        return self.to_tuple()[key]

    def __getattr__(self, name: str) -> Any:
        if name in type(self).KEYS:
            return getattr(self, type(self).KEYS[name])
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __tf_flatten__(self) -> tuple[tuple[tuple[str, ...]], tuple[Any, ...]]:
        """Names and values of what there is; so TensorFlow's functions may return it."""
        there = {
            field.name: value
            for field in fields(self)  # type: ignore[arg-type]  # its subclasses are dataclasses
            if not _is_missing(value := getattr(self, field.name))
        }
        return (tuple(there),), tuple(there.values())

    @classmethod
    def __tf_unflatten__(cls, names: tuple[tuple[str, ...]], values: tuple[Any, ...]) -> Self:
        """The reverse of `__tf_flatten__`."""
        return cls(**dict(zip(names[0], values, strict=True)))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and not value)


@dataclass
class AlbertOutput(Output):
    """What the body gives: per token (B, T, H) or packed (S, H), and per sequence."""

    KEYS = {
        "last_hidden_state": "hidden",
        "pooler_output": "pooled",
        "hidden_states": "hidden_states",
        "attentions": "attentions",
    }

    hidden: Tensor  # last_hidden_state in transformers
    pooled: Tensor | None = None  # (B, H), pooler_output there; None without a pooler
    hidden_states: tuple[Tensor, ...] = ()  # on request: embeddings at width H, then every block
    attentions: tuple[Tensor, ...] = ()  # on request: (B, N, T, T) of every block


@dataclass
class PretrainingOutput(Output):
    """Logits of both pretraining tasks, and what the body gave."""

    KEYS = {
        "logits": "mlm_logits",
        "prediction_logits": "mlm_logits",
        "sop_logits": "sop_logits",
        "hidden_states": "hidden_states",
        "attentions": "attentions",
    }

    mlm_logits: Tensor  # (M, V) at the target positions, or (B, T, V), or packed (S, V)
    encoder: AlbertOutput
    sop_logits: Tensor | None = None  # (B, 2): in order, swapped; None without that head

    @property
    def hidden_states(self) -> tuple[Tensor, ...]:
        """On request: the embeddings at width H, then every layer."""
        return self.encoder.hidden_states

    @property
    def attentions(self) -> tuple[Tensor, ...]:
        """On request: (B, N, T, T) of every layer."""
        return self.encoder.attentions


@dataclass
class SpanBeam(Output):
    """The best answers of each row, by google's beam search for SQuAD 2.

    K and L are `start_n_top` and `end_n_top`, or T where the rows are shorter. Numbers are
    log-probabilities; a place that is not allowed has one near -1e30. Among those the order of
    indices means nothing.
    """

    starts: Tensor  # (B, T), of every place
    start_scores: Tensor  # (B, K), the best of them
    start_places: Tensor  # (B, K), their columns
    end_scores: Tensor  # (B, K, L), given the start
    end_places: Tensor  # (B, K, L)
    unanswerable: Tensor  # (B,) logit: above 0 the text does not hold the answer
    ends: Tensor | None = None  # (B, T) given `start_places` of the caller, for training


@dataclass
class TaskOutput(Output):
    """What a head gives; the field of its kind is there, the others are None.

    logits: (B, C) for classification, multi_label and regression (C = 1); (B, choices) for
    multiple choice; (B, T, C) or packed (S, C) for token classification. start, end: (B, T) or
    packed (S,). beam: for `beam_span`.
    """

    KEYS = {
        "logits": "logits",
        "start_logits": "start",
        "end_logits": "end",
        "hidden_states": "hidden_states",
        "attentions": "attentions",
    }

    encoder: AlbertOutput
    logits: Tensor | None = None
    start: Tensor | None = None
    end: Tensor | None = None
    beam: SpanBeam | None = None

    @property
    def hidden_states(self) -> tuple[Tensor, ...]:
        """On request: the embeddings at width H, then every layer."""
        return self.encoder.hidden_states

    @property
    def attentions(self) -> tuple[Tensor, ...]:
        """On request: (B, N, T, T) of every layer."""
        return self.encoder.attentions
