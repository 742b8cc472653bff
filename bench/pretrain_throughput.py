"""Tokens per second of a pretraining step: albertkit beside transformers' AlbertForPreTraining.

    python bench/pretrain_throughput.py [--shape tiny-zh base] [--repeats 5] [--threads N]

Both sides start from the same weights (written by albertkit, opened by transformers), see the same
rows, step the same optimizer (torch.optim.AdamW) and compute in the same dtype, without dropout.
The peer runs at its better choice of fp32 and bf16, fused and foreach AdamW, eager and sdpa
attention; albertkit then runs in that dtype. Both take turns step by step. The losses of
the first 20 steps must agree, else the figure is VOID.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import transformers

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.data.loader import PretrainingBatch
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.sizes import size
from albertkit.train.losses import pretraining_loss
from albertkit.train.stages import micro_batch_of

SHAPES = {"tiny-zh": ("albert-chinese-tiny", 8, 512), "base": ("albert-base-v2", 8, 128)}
AGREEMENT_STEPS = 20
TOLERANCE = {"fp32": 1e-3, "bf16": 3e-2}  # of the loss, absolute
RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Rows:
    """The same rows packed for albertkit and padded for the peer: ids, segments, labels (B, T)."""

    packed: PretrainingBatch
    ids: np.ndarray
    types: np.ndarray
    labels: np.ndarray

    @property
    def num_tokens(self) -> int:
        """Tokens without padding."""
        return self.packed.num_tokens


Step = Callable[[Rows], float]


def main() -> None:
    """Measure the shapes asked for and print one block for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=5, help="interleaved measurements")
    parser.add_argument("--seconds", type=float, default=8.0, help="time of one measurement")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--dtypes",
        nargs="+",
        default=["fp32", "bf16"],
        choices=["fp32", "bf16"],
        help="what the peer may choose from; a CPU without bfloat16 takes minutes a step in it",
    )
    parser.add_argument("--full-rows", action="store_true", help="no row shorter than the others")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, {options.device}"
    )
    for shape in options.shape:
        measure(shape, options)


def measure(shape: str, options: argparse.Namespace) -> None:
    """Choose the peer's best way, check the losses, time both in turns."""
    name, rows, tokens = SHAPES[shape]
    config = no_dropout(size(name))
    batches = make_batches(config.vocab_size, rows, tokens, 24, full=options.full_rows)
    share = sum(b.num_tokens for b in batches) / (len(batches) * rows * tokens)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        start = AlbertForPretraining(config)
        Checkpoint(config=config, tensors=tensors_of(start)).save(Path(folder) / "start")

        def peer(way: tuple[str, str, str]) -> Step:
            return make_peer(Path(folder) / "start", *way, device=options.device)

        print(f"\n{shape}: {name}, {rows} x {tokens}, {share:.0%} of the places are tokens")
        trial: dict[tuple[str, str, str], float] = {}
        best = (options.dtypes[0], "fused", "sdpa")
        for place, choices in enumerate((options.dtypes, ("foreach",), ("eager",))):
            for choice in choices:
                way = (*best[:place], choice, *best[place + 1 :])
                trial[way] = speed(peer(way), batches, options.seconds / 4)
                print(f"  peer trial {' '.join(way):20} {trial[way]:10,.0f} tokens/s", flush=True)
            best = max(trial, key=lambda way: trial[way])
        ours, theirs = make_ours(start, best[0], best[1], options.device), peer(best)
        gap = max(
            abs(ours(batches[i % 24]) - theirs(batches[i % 24])) for i in range(AGREEMENT_STEPS)
        )
        agrees = gap <= TOLERANCE[best[0]]
        pairs = [in_turns(theirs, ours, batches, options.seconds) for _ in range(options.repeats)]
    ratios = [own / other for other, own in pairs]
    for side, speeds in zip(("peer", "albertkit"), zip(*pairs, strict=True), strict=True):
        print(f"  {side:10} {' '.join(best[:2])}: {statistics.median(speeds):10,.0f} tokens/s")
    print(f"  largest difference of a loss over {AGREEMENT_STEPS} steps: {gap:.2e}")
    print(
        f"  ratio {statistics.median(ratios):.3f} "
        f"(from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs)"
        + ("" if agrees else "  VOID: the losses do not agree")
    )


def no_dropout(config: AlbertConfig) -> AlbertConfig:
    """The same model without any dropout: random numbers would not be comparable."""
    return dataclasses.replace(
        config,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
    )


def make_batches(vocab_size: int, rows: int, tokens: int, count: int, *, full: bool) -> list[Rows]:
    """Random rows with the lengths of real ones: most are full, a tenth is shorter."""
    random = np.random.default_rng(0)
    return [one_batch(random, vocab_size, rows, tokens, full=full) for _ in range(count)]


def one_batch(
    random: np.random.Generator, vocab_size: int, rows: int, tokens: int, *, full: bool
) -> Rows:
    """Two segments a row; 15 % of the tokens are predicted, at most 20 in 128 or 77 in 512."""
    lengths = np.full(rows, tokens)
    if not full:
        short = random.random(rows) < 0.1
        lengths = np.where(short, random.integers(16, tokens, rows), tokens)
        lengths = np.maximum(16, lengths - random.integers(0, 8, rows))
        lengths[0] = tokens
    column = np.arange(tokens)
    ids = np.where(column < lengths[:, None], random.integers(5, vocab_size, (rows, tokens)), 0)
    types = ((column > lengths[:, None] // 2) & (column < lengths[:, None])).astype(np.int64)
    places = [
        row * tokens + np.sort(1 + random.permutation(length - 1)[: max(1, int(length * 0.15))])
        for row, length in enumerate(lengths)
    ]
    positions = np.concatenate(places)
    targets = ids.flat[positions].copy()
    ids.flat[positions] = 4
    labels = np.full(ids.shape, -100)
    labels.flat[positions] = targets
    real = column < lengths[:, None]
    packed = PretrainingBatch(
        ids=ids[real],
        segment_ids=types[real],
        lengths=lengths.astype(np.int64),
        target_positions=np.flatnonzero(labels[real] >= 0),
        targets=targets,
        swapped=random.integers(0, 2, rows),
    )
    return Rows(packed, ids, types, labels)


def make_optimizer(parameters: Iterator[torch.nn.Parameter], kind: str) -> torch.optim.AdamW:
    """The same optimizer for both."""
    return torch.optim.AdamW(parameters, lr=RATE, **{kind: True})


def make_ours(start: AlbertForPretraining, precision: str, kind: str, device: str) -> Step:
    """One training step of albertkit; returns its loss."""
    model = start.to(device).train()
    optimizer = make_optimizer(model.parameters(), kind)

    def step(batch: Rows) -> float:
        micro = micro_batch_of(batch.packed, 0, len(batch.packed), torch.device(device))
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            output = model(
                micro.ids,
                micro.segment_ids,
                lengths=micro.lengths,
                target_positions=micro.target_positions,
            )
            loss = pretraining_loss(
                output.mlm_logits,
                output.sop_logits,
                micro.targets,
                micro.swapped,
                step_targets=micro.step_targets,
                step_rows=micro.step_rows,
            )
        optimizer.zero_grad(set_to_none=True)
        loss.value.backward()
        optimizer.step()
        return float(loss.value.detach())

    return step


def make_peer(folder: Path, precision: str, kind: str, attention: str, *, device: str) -> Step:
    """One training step of transformers, as its own Trainer does it; returns its loss."""
    model = transformers.AlbertForPreTraining.from_pretrained(folder, attn_implementation=attention)
    model.to(device).train()
    optimizer = make_optimizer(model.parameters(), kind)

    def step(batch: Rows) -> float:
        mask = np.arange(batch.ids.shape[1]) < batch.packed.lengths[:, None]
        arrays = {
            "input_ids": batch.ids,
            "token_type_ids": batch.types,
            "attention_mask": mask.astype(np.int64),
            "labels": batch.labels,
            "sentence_order_label": batch.packed.swapped,
        }
        tensors = {name: torch.from_numpy(x).to(device) for name, x in arrays.items()}
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = model(**tensors).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def speed(step: Step, batches: list[Rows], seconds: float) -> float:
    """Real tokens per second, padding not counted, after one step to warm up."""
    step(batches[0])
    done, began = 0, time.perf_counter()
    for number in range(10_000_000):
        step(batches[number % len(batches)])
        done += batches[number % len(batches)].num_tokens
        if time.perf_counter() - began > seconds:
            break
    return done / (time.perf_counter() - began)


def in_turns(first: Step, second: Step, batches: list[Rows], seconds: float) -> tuple[float, float]:
    """Real tokens per second of both, which take turns step by step for so long each.

    Other work on the machine, which comes and goes within seconds, hits both alike.
    """
    spent, done = [0.0, 0.0], 0
    for number in range(10_000_000):
        batch = batches[number % len(batches)]
        turns = ((0, first), (1, second))
        for place, step in turns if number % 2 else reversed(turns):
            began = time.perf_counter()
            step(batch)
            spent[place] += time.perf_counter() - began
        done += batch.num_tokens
        if sum(spent) > 2 * seconds:
            break
    return done / spent[0], done / spent[1]


if __name__ == "__main__":
    main()
