"""Rows for the network: encodings sorted by length, laid end to end in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from albertkit.errors import PredictionError
from albertkit.text.encoding import Encoding


@dataclass(frozen=True)
class Rows:
    """Some rows laid end to end without padding; `indices` are their places in the request."""

    indices: list[int]
    ids: Tensor  # (S,)
    types: Tensor  # (S,)
    lengths: Tensor  # (B,), on the CPU
    starts: list[int]  # index into S of the first token of each row


def pack(
    encodings: Sequence[Encoding],
    indices: Sequence[int],
    device: torch.device,
    *,
    first_segment: int = 0,
) -> Rows:
    """Lay the chosen encodings end to end.

    first_segment: the model's type of a first segment (`layout.first_segment`).
    """
    chosen = [encodings[i] for i in indices]
    lengths = [len(e.ids) for e in chosen]
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    return Rows(
        indices=list(indices),
        ids=torch.tensor([x for e in chosen for x in e.ids], device=device),
        types=torch.tensor([first_segment + x for e in chosen for x in e.types], device=device),
        lengths=torch.tensor(lengths),
        starts=starts,
    )


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches, longest rows first, so that a batch holds rows of like length.

    The longest come first because the largest batch should fail first if memory is short.
    """
    if batch_size < 1:
        raise PredictionError(
            "A batch holds at least one text.", expected="batch_size of 1 or more", found=batch_size
        )
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for begin in range(0, len(order), batch_size):
        yield order[begin : begin + batch_size]


def choose_device(name: str) -> torch.device:
    """Device by name: cpu, cuda, cuda:1, mps; auto takes cuda when it is there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise PredictionError(
            "This device cannot be used.",
            expected="cpu, cuda, cuda:0, mps or auto, and the hardware and driver it needs",
            found=f"{name}: {str(error).splitlines()[0]}",
            fix="use device='cpu'",
        ) from error
    return device
