"""Does an answer depend on the texts it is computed with? Random batches beside single texts.

    python bench/batch_independence.py                          # 10,000 texts by PyTorch
    python bench/batch_independence.py --engine openvino --model finetuned --lines lines.txt

Each text is one to four lines in a row, cut at what the model reads. It is classified and embedded
(mean of its tokens) by itself, then in a batch of 2 to 64 random texts. A model without a head for
classes gets one of seeded random numbers. Printed are the labels that stayed the same, of all
texts and of those whose two best logits differ by more than 0.001, and the largest differences,
where the largest number of an output counts as 1 at least. Exit code 1: a clear label changed, or
a difference above 1e-5 in fp32 or 2e-2 in bf16.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch

from albertkit import Checkpoint
from albertkit.data.batch import Batch
from albertkit.infer.engine import Engine, Floats, run_checked
from albertkit.infer.engines import make_engine
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead
from albertkit.text.encoding import Encoding

CLEAR = 1e-3  # between the two best logits
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}


def with_head(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, if it classifies; else with a random head for 8 classes."""
    if checkpoint.head is not None and checkpoint.head.kind == "classification":
        return checkpoint
    torch.manual_seed(1)
    head = TaskHead("classification", 8)
    own = tensors_of(AlbertForTask(checkpoint.config, head))
    tensors = own | {name: checkpoint.tensors[name] for name in own if name in checkpoint.tensors}
    return Checkpoint(checkpoint.config, tensors, checkpoint.tokenizer, head=head)


def texts_of(lines: Sequence[str], count: int, draw: random.Random) -> Iterator[str]:
    """So many texts of one to four lines that follow each other, mostly of one."""
    for _ in range(count):
        begin = draw.randrange(len(lines))
        yield " ".join(lines[begin : begin + draw.choice((1, 1, 1, 1, 2, 4))])


def rows_of(engine: Engine, encodings: Sequence[Encoding], output: str) -> Floats:
    """Logits (B, C) for "task", mean vectors (B, H) for "hidden"."""
    batch = Batch.of(encodings)
    found = run_checked(engine, batch, (output,))[output]
    return found if output == "task" else np.stack([each.mean(0) for each in batch.split(found)])


def both_ways(
    engine: Engine, encodings: Sequence[Encoding], output: str, draw: random.Random
) -> tuple[Floats, Floats]:
    """An output of each text by itself, and in random batches."""
    alone = np.concatenate([rows_of(engine, [encoding], output) for encoding in encodings])
    together = np.empty_like(alone)
    order = draw.sample(range(len(encodings)), len(encodings))
    while order:
        part = [order.pop() for _ in range(min(len(order), draw.randint(2, 64)))]
        together[part] = rows_of(engine, [encodings[i] for i in part], output)
    return alone, together


def largest(alone: Floats, together: Floats) -> float:
    """The largest difference of a row, over the largest number of the row or 1."""
    scale = np.maximum(1, np.abs(alone).max(1))
    return float((np.abs(alone - together).max(1) / scale).max())


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="albertkit/tiny-en")
    parser.add_argument("--lines", type=Path, help="texts; else the reference pages of Python")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--vectors", type=int, help="texts to embed, if not all")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    checkpoint = with_head(Checkpoint.load(options.model))
    settings = EngineSettings(precision=options.precision, threads=options.threads)
    engine = make_engine(options.engine, checkpoint, settings)
    written = "\n".join(topics.values()) if options.lines is None else options.lines.read_text()
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    draw, limit = random.Random(options.seed), checkpoint.config.max_position_embeddings
    encodings = [
        checkpoint.tokenizer.encode(text, max_tokens=limit)
        for text in texts_of(lines, options.count, draw)
    ]
    started = time.process_time()
    logits = both_ways(engine, encodings, "task", draw)
    vectors = both_ways(engine, encodings[: options.vectors], "hidden", draw)
    same = logits[0].argmax(1) == logits[1].argmax(1)
    best = np.sort(logits[0], 1)
    clear = best[:, -1] - best[:, -2] > CLEAR
    apart = {"logits": largest(*logits), "vectors": largest(*vectors)}
    lengths = [len(encoding.ids) for encoding in encodings]
    print(
        f"{options.model}, {options.engine} {options.precision}: {len(lengths):,} texts of "
        f"{min(lengths)} to {max(lengths)} tokens, mean {np.mean(lengths):.0f}; "
        f"{len(vectors[0]):,} embedded; {time.process_time() - started:.0f} s of processor time\n"
        f"same label: {same.sum():,}; of {clear.sum():,} clear ones {same[clear].sum():,}\n"
        + "\n".join(f"largest difference of {name}: {value:.1e}" for name, value in apart.items())
    )
    near = max(apart.values()) <= TOLERANCE.get(options.precision, float("inf"))
    return 0 if same[clear].all() and near else 1


if __name__ == "__main__":
    sys.exit(main())
