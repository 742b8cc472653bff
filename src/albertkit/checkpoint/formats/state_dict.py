"""The state dict of a model in what a training program saved around it.

Lightning keeps it under "state_dict", DeepSpeed under "module", other training loops under "model",
"model_state_dict", "net": with the epoch and the state of the optimizer beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

from albertkit.checkpoint.formats.unpickle import expect_dict
from albertkit.checkpoint.formats.unpickle_allowed import Storage, Stored, TorchTensor
from albertkit.errors import CheckpointError, listed

# Usual places; of several the first one is the model that was trained.
_USUAL = ("state_dict", "model_state_dict", "model", "module", "net")
_DEPTH = 2  # {"model": {"state_dict": ...}}


def state_dict_of(value: object) -> tuple[dict[str, object], list[str]]:
    """The tensors by name, and a note about where they were if something was around them.

    Raises:
        CheckpointError: no dict, or several state dicts and none of them at a usual place.
    """
    whole = expect_dict(value)
    if _is_state_dict(whole):
        return whole, []
    found = dict(_inside(whole, _DEPTH))
    if not found:
        return whole, []
    usual = [place for place in found if set(place.split(".")) <= set(_USUAL)]
    if len(found) > 1 and not usual:
        raise CheckpointError(
            "The file holds several state dicts.",
            expected="the tensors of one model",
            found=listed(sorted(found)),
            fix="save one of them by itself: "
            'torch.save(torch.load("in.pt")["NAME"], "pytorch_model.bin")',
        )
    place = min(usual, key=lambda x: _USUAL.index(x.split(".")[0])) if usual else next(iter(found))
    rest = sorted(name for name in whole if name != place.split(".")[0])
    beside = f"; beside it, left out: {listed(rest)}" if rest else ""
    return found[place], [f"the tensors were under {place!r} of the file{beside}"]


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(type(name) is str for name in value)
        and all(_is_tensor(entry) for entry in value.values())
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, TorchTensor) or (isinstance(value, Stored) and value.array is not None)


def _inside(value: dict[str, object], depth: int) -> Iterator[tuple[str, dict[str, object]]]:
    """State dicts inside a dict, with their places: "model", "model.state_dict"."""
    for name, entry in value.items():
        if not isinstance(entry, dict) or type(name) is not str:
            continue
        if _is_state_dict(entry):
            yield name, entry
        elif depth > 1:
            for place, found in _inside(entry, depth - 1):
                yield f"{name}.{place}", found


def all_storages(value: object) -> Iterator[Storage]:
    """The storages of all tensors in a value, at any depth."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, TorchTensor):
            yield entry.storage
        elif isinstance(entry, dict | list | tuple) and id(entry) not in seen:
            seen.add(id(entry))
            waiting += entry.values() if isinstance(entry, dict) else entry
