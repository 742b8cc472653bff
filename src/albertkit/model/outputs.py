"""Names that users of transformers know, beside ours: of arguments and of outputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, ParamSpec, TypeVar

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


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and not value)
