"""Make the first state of a pretraining run, from statistics of its text or from another run.

    python bench/shipped/begin.py RECIPE RUN [--data DATA] [--from OTHER_RUN]
    python bench/shipped/go_on.py RUN

A shared-layer model that begins from random numbers spends most of an hour of one core at the
unigram entropy: nothing tells it which tokens are near, and its word vectors mean nothing. Both can
be given:
- word vectors: the best rank-W approximation of the positive pointwise mutual information of words
  up to five tokens apart in the training text (Levy and Goldberg 2014);
- positions: sines and cosines (Vaswani et al. 2017) in the rest of the vector, for all positions;
- half of the heads look at the tokens one, two, three places before and behind;
- the bias of the masked-LM head: log frequencies.
Everything else is drawn as always, and everything is trained.

With --from, weights (and moments) come from the newest state of another run of the same width: the
number of layers, which share their weights, and the schedule may differ.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from albertkit import settings as recipes
from albertkit.data.shards import Shards
from albertkit.files import atomic_folder
from albertkit.model.albert import Attention
from albertkit.model.heads import AlbertForPretraining
from albertkit.train.prepare import PreparedRun
from albertkit.train.pretrain import save_start
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.resume import newest_state, restore

OFFSETS = (-1, 1, -2, 2, -3, 3)
WINDOW = 5  # tokens on each side whose company counts, the near ones more
FREQUENCIES = 12  # pairs of sine and cosine
FASTEST, SLOWEST = 2.2, 0.01  # radians per position
WORD_NORM, POSITION_NORM = 0.6, 0.4
SHARPNESS = 2.5  # of the heads that look at one offset


def main() -> None:
    """Make the run folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="data folder, if not the recipe's")
    parser.add_argument("--from", dest="other", type=Path, help="run to take weights from")
    parser.add_argument("--plain", action="store_true", help="random numbers only, to compare")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    overrides = [f"run.output={options.run}", *options.overrides]
    if options.data:
        overrides.append(f"data.path={options.data}")
    begin(recipes.load(options.recipe, PretrainingRecipe, overrides), options.other, options.plain)


def begin(recipe: PretrainingRecipe, other: Path | None, plain: bool) -> None:
    """Fill a model, and write it as the state before step 0."""
    prepared = PreparedRun.resolve(recipe)
    model, optimizer = prepared.build()
    if other is not None:
        state = newest_state(other / "checkpoints")
        if state is None:
            raise SystemExit(f"{other} has no training state")
        restore(state, model, optimizer)
    elif not plain:
        fill(model, prepared.data.train)
    baselines = prepared.measure_baselines(prepared.validation_set())
    with atomic_folder(recipe.run.output) as folder:
        recipes.save(prepared.recipe, folder / "recipe.toml")
        (folder / "metrics.jsonl").touch()
        save_start(prepared, model, optimizer, baselines, folder)
    print(baselines)


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
    association = torch.from_numpy(mutual_information(text)).clamp_(min=0)
    torch.manual_seed(0)
    left, strength, _ = torch.svd_lowrank(association, q=width + 24, niter=4)
    vectors = left[:, :width] * strength[:width].sqrt()
    norms = vectors.norm(dim=1, keepdim=True)
    # Frequent and rare words: nearer to each other in length than they come out.
    vectors = vectors / norms.clamp(min=1e-6).sqrt()
    scaled: Tensor = vectors * (WORD_NORM / vectors.norm(dim=1).mean())
    return scaled


def mutual_information(text: Shards) -> npt.NDArray[np.float32]:
    """Log of how much likelier two tokens stand near each other than by chance, (V, V)."""
    size = text.special_ids.vocab_size
    near = np.zeros(size * size, dtype=np.float64)
    part = 1 << 23
    for start in range(0, text.num_tokens, part):
        ids, _ = text.tokens_at(np.arange(start, min(start + part, text.num_tokens)))
        for distance in range(1, WINDOW + 1):
            pairs = np.bincount(ids[:-distance] * size + ids[distance:], minlength=size * size)
            near += pairs / distance
    both = near.reshape(size, size)
    both = both + both.T
    total = both.sum(1)
    context = total**0.75 / (total**0.75).sum()
    expected = np.maximum(total[:, None] * context[None, :], 1e-9)
    return np.asarray(np.log(np.maximum(both, 1e-12) / expected), dtype=np.float32)


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


if __name__ == "__main__":
    main()
