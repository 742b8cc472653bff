"""First weights from statistics of the training text; begin.py and on_gpu.py start with them.

A shared-layer model that begins from random numbers spends most of an hour of one core at the
unigram entropy: nothing tells it which tokens are near, and its word vectors mean nothing. Both can
be given:
- word vectors: the best rank-W approximation of the positive pointwise mutual information of words
  up to five tokens apart in the training text (Levy and Goldberg 2014);
- positions: sines and cosines (Vaswani et al. 2017) in the rest of the vector, for all positions;
- half of the heads look at the tokens one, two, three places before and behind;
- the bias of the masked-LM head: log frequencies.
Everything else is drawn as always, and everything is trained.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from albertkit.data.shards import Shards
from albertkit.model.albert import Attention
from albertkit.model.heads import AlbertForPretraining

OFFSETS = (-1, 1, -2, 2, -3, 3)
WINDOW = 5  # tokens on each side whose company counts, the near ones more
FREQUENCIES = 12  # pairs of sine and cosine
FASTEST, SLOWEST = 2.2, 0.01  # radians per position
WORD_NORM, POSITION_NORM = 0.6, 0.4
SHARPNESS = 2.5  # of the heads that look at one offset


@torch.no_grad()
def fill(model: AlbertForPretraining, text: Shards) -> None:
    """Give a fresh model word vectors, positions and a bias from statistics of the text."""
    embeddings = model.albert.embeddings
    width = embeddings.word.weight.shape[1] - 2 * FREQUENCIES
    counts = text.token_counts()
    embeddings.word.weight[:, :width] = word_vectors(text, width)
    embeddings.word.weight[:, width:] *= 0.25
    embeddings.position.weight[:, :width] *= 0.25
    embeddings.position.weight[:, width:] = sinusoids(len(embeddings.position.weight))
    model.masked_lm.bias[:] = torch.from_numpy(
        np.log((counts + 1.0) / (counts.sum() + len(counts)))
    )
    if embeddings.projection is None:
        return
    projection = embeddings.projection.weight  # (H, E), columns at right angles
    torch.nn.init.orthogonal_(projection, gain=math.sqrt(projection.shape[0] / projection.shape[1]))
    look_at_offsets(model, projection[:, width:])


def word_vectors(text: Shards, width: int) -> Tensor:
    """A vector (V, width) for each token, from the company it keeps."""
    association = mutual_information(text).clamp_(min=0)
    torch.manual_seed(0)
    left, strength, _ = torch.svd_lowrank(association, q=width + 24, niter=4)
    vectors = left[:, :width] * strength[:width].sqrt()
    norms = vectors.norm(dim=1, keepdim=True)
    # Frequent and rare words: nearer to each other in length than they come out.
    vectors = vectors / norms.clamp(min=1e-6).sqrt()
    scaled: Tensor = vectors * (WORD_NORM / vectors.norm(dim=1).mean())
    return scaled.cpu()


def mutual_information(text: Shards) -> Tensor:
    """Log of how much likelier two tokens stand near each other than by chance, (V, V) float32."""
    size = text.special_ids.vocab_size
    device = "cuda" if torch.cuda.is_available() else "cpu"
    near = torch.zeros(size * size, dtype=torch.float64, device=device)
    part = 1 << 23
    for start in range(0, text.num_tokens, part):
        ids, _ = text.tokens_at(np.arange(start, min(start + part, text.num_tokens)))
        here = torch.from_numpy(ids.astype(np.int64)).to(device)
        for distance in range(1, WINDOW + 1):
            pairs = here[:-distance] * size + here[distance:]
            near += torch.bincount(pairs, minlength=size * size) / distance
    both = near.view(size, size)
    both = both + both.T
    total = both.sum(1)
    context = total**0.75 / (total**0.75).sum()
    expected = (total[:, None] * context).clamp(min=1e-9)
    return (both.clamp(min=1e-12) / expected).log().float()


def sinusoids(positions: int) -> Tensor:
    """(positions, 2 * FREQUENCIES): cosines, then sines."""
    ratio = (SLOWEST / FASTEST) ** (1 / (FREQUENCIES - 1))
    rates = FASTEST * ratio ** torch.arange(FREQUENCIES)
    angles = torch.arange(positions)[:, None] * rates
    scale = POSITION_NORM / math.sqrt(FREQUENCIES)
    return torch.cat([angles.cos(), angles.sin()], 1) * scale


def look_at_offsets(model: AlbertForPretraining, directions: Tensor) -> None:
    """Let the first heads compare positions: the query turned by the offset, the key as it is."""
    ratio = (SLOWEST / FASTEST) ** (1 / (FREQUENCIES - 1))
    rates = FASTEST * ratio ** torch.arange(FREQUENCIES)
    read = (directions / directions.norm(dim=0)).T  # (2 F, H)
    scale = 1 / directions.norm(dim=0).mean()
    for blocks in model.albert.encoder.attention.values():
        assert isinstance(blocks, torch.nn.ModuleList)
        attention = blocks[0]
        assert isinstance(attention, Attention)
        heads, width = attention.heads, attention.head_width
        if width < 2 * FREQUENCIES:
            raise SystemExit(f"heads of width {width}: at least {2 * FREQUENCIES} wanted")
        for head, offset in zip(range(heads // 2), OFFSETS, strict=False):
            cosine, sine = (rates * offset).cos()[:, None], (rates * offset).sin()[:, None]
            cosines, sines = read[:FREQUENCIES], read[FREQUENCIES:]
            turned = torch.cat([cosine * cosines - sine * sines, sine * cosines + cosine * sines])
            rows = slice(head * width, head * width + 2 * FREQUENCIES)
            attention.query.weight[rows] = turned * scale * SHARPNESS
            attention.key.weight[rows] = read * scale
