"""FGM: train on word embeddings moved where the loss grows fastest (Miyato et al. 2017).

The embeddings of a step are its word table plus epsilon * g / |g|, g being the gradient of the
step's loss. The gradients there are added to the plain ones (arXiv 1605.07725, with the table in
the place of each text's embeddings, as is usual for BERT).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

WORDS = "albert.embeddings.word.weight"  # the table that is moved


@contextmanager
def perturbed(model: nn.Module, epsilon: float) -> Iterator[None]:
    """The model with its word embeddings moved along their gradient inside, bit for bit as before
    afterwards.
    """
    table = model.get_parameter(WORDS)
    gradient = table.grad
    assert gradient is not None  # a table that is frozen was refused before
    norm = torch.linalg.vector_norm(gradient)
    before = table.detach().clone()
    with torch.no_grad():
        # No gradient, no direction.
        table.add_(gradient * torch.where(norm > 0, epsilon / norm, 0.0))
    try:
        yield
    finally:
        with torch.no_grad():
            table.copy_(before)
