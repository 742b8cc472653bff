"""Examples per second of fine-tuning: albertkit beside transformers' Trainer, step by step in turn.

    python bench/finetune_throughput.py [--examples sst2/train.tsv] [--shape base tiny-en 4x312] \
        [--precision bf16] [--task span --examples train-v1.1.json]

Both begin with the same weights and take the same rows of 32 texts, as the Trainer draws them,
with the same AdamW, in fp32 or by autocast in bf16, clipped alike and without dropout. The Trainer
runs as a whole, with its data loader, at its defaults (rows padded to 128 tokens, windows of
questions to 384) and at its best of: rows grouped by length or padded to the longest of a batch,
sdpa or eager attention, with --compile torch.compile too. The losses of the first 20 steps must
agree to 1e-4 (bf16: 5e-3), else the figure is VOID. A pair is 5 steps of each; ratios are of wall
time and of processor time (median and quartiles). Peak memory is that of a process of its own.
Needs transformers and accelerate.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.model.loading import tensors_of
from albertkit.tasks.span_rows import MAX_TOKENS
from albertkit.train.finetune import open_recipe
from albertkit.train.finetune_outputs import TaskRows
from albertkit.train.finetune_prepare import PreparedTask
from albertkit.train.finetune_task import FinetuneTask
from albertkit.train.loop import Trainer
from albertkit.train.losses import Loss

START = "albertkit/tiny-en"  # its words for every shape, its weights for its own
SHAPES = {"base": (768, 12), "tiny-en": None, "4x312": (312, 4)}
ROWS, RATE, AGREEMENT_STEPS, STEPS_A_TURN = 32, 2e-5, 20, 5
TOLERANCES = {"fp32": 1e-4, "bf16": 5e-3}
Way = dict[str, Any]
PAD_TO = {"classify": 128, "span": MAX_TOKENS}  # the Trainer's usual scripts pad to these
PEERS = {
    "classify": transformers.AlbertForSequenceClassification,
    "span": transformers.AlbertForQuestionAnswering,
}
EXAMPLES = Path(__file__).resolve().parents[1] / "src" / "albertkit" / "examples" / "reviews-en.csv"


def main() -> None:
    """Measure the shapes asked for; print a line for each way of the Trainer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", choices=PEERS, default="classify")
    parser.add_argument("--examples", type=Path, default=EXAMPLES, help="texts and labels")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--precision", choices=TOLERANCES, default="fp32")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compile", action="store_true", help="try torch.compile for the Trainer")
    parser.add_argument("--alone", choices=["albertkit", "best", "defaults"], help="memory of one")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    for shape in options.shape:
        with tempfile.TemporaryDirectory() as folder:
            side = Side(Path(folder), shape, options.examples, options.precision, options.task)
            if options.alone:
                alone(side, options.alone)
                continue
            best = best_way(side, options.compile)
            for name, way in (("best", best), ("defaults", {"pad_to": PAD_TO[side.task_name]})):
                found = compare(side, way, options.pairs)
                print(
                    f"{options.task}, {shape}, {options.precision}, "
                    f"Trainer at its {name} {way}: {found}",
                    flush=True,
                )
        if not options.alone:
            print(f"{shape}, peak MB: {memory(shape, options)}", flush=True)


class Side:
    """albertkit's side: the task, its model, and a step on the rows that it is given."""

    def __init__(self, folder: Path, shape: str, examples: Path, precision: str, task: str) -> None:
        self.folder, self.precision, self.task_name = folder, precision, task
        start = Checkpoint.load(START)
        given = {
            "data.train": examples,
            "model.checkpoint": START
            if SHAPES[shape] is None
            else str(random(folder, shape, start)),
            "run.output": folder / "run",
            "optim.weight_decay": 0.0,
            "optim.epsilon": 1e-8,
            **{f"model.{part}_dropout": 0.0 for part in ("hidden", "attention", "classifier")},
        }
        self.prepared = PreparedTask.resolve(open_recipe(task, given, (), resume=False))
        model, _ = self.prepared.build()
        first = Checkpoint(
            self.prepared.config, tensors_of(model), start.tokenizer, head=self.prepared.head
        )
        first.save(folder / "first")
        self.rows: list[np.ndarray] = []  # of each step; a data loader is one batch ahead

    def begin(self) -> None:
        """The first weights again, and a new optimizer."""
        model, optimizer = self.prepared.build()
        self.task = FinetuneTask.of(self.prepared, model)
        self.trainer = Trainer(model, optimizer, 1.0, self.precision, 0)
        self.done = 0

    def step(self) -> float:
        """Train on the next rows; returns the loss."""
        self.done += 1
        return self.trainer.train_step(self, self.done - 1).totals.means()["loss"]

    def micro_batches(self, step: int) -> list[TaskRows]:
        """See `Job`."""
        rows = self.rows[step]
        return [self.task._on_device(rows, float(len(rows)), torch.device("cpu"))]

    def loss(self, model: torch.nn.Module, micro_batch: TaskRows) -> Loss:
        """See `Job`."""
        return self.task.loss(model, micro_batch)

    def learning_rate(self, step: int) -> float:
        """See `Job`."""
        return RATE

    def dataset(self) -> list[dict[str, Any]]:
        """The rows for the Trainer."""
        train = self.prepared.labelled()[0]
        batch, targets = train.rows.batch, train.targets
        parts = [np.split(x, batch.starts[1:]) for x in (batch.ids, batch.segment_ids)]
        return [
            {
                "input_ids": ids.tolist(),
                "segments": segments.tolist(),
                "labels": [*target[:2].tolist(), len(ids)] if target.ndim else int(target),
                "row": number,
            }
            for number, (ids, segments, target) in enumerate(zip(*parts, targets, strict=True))
        ]


class InTurns(transformers.TrainerCallback):
    """After each step of the Trainer one of albertkit on the same rows; clocks of both."""

    def __init__(self, side: Side | None) -> None:
        self.side = side
        self.theirs: list[tuple[float, float]] = []  # wall and processor seconds of each step
        self.ours: list[tuple[float, float]] = []
        self.losses: list[float] = []
        self.began = clocks()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The Trainer's clock stands still meanwhile."""
        now = clocks()
        self.theirs.append((now[0] - self.began[0], now[1] - self.began[1]))
        if self.side is not None:
            before = clocks()
            self.losses.append(self.side.step())
            now = clocks()
            self.ours.append((now[0] - before[0], now[1] - before[1]))
        self.began = clocks()


def clocks() -> tuple[float, float]:
    """Wall and processor seconds."""
    return time.perf_counter(), time.process_time()


def run_trainer(side: Side, way: Way, steps: int, turns: InTurns) -> list[float]:
    """Train so many steps; returns the losses."""
    side.rows, losses = [], list[float]()
    pad_to = way.get("pad_to", 0)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        side.rows.append(np.array([row["row"] for row in rows]))
        width = pad_to or max(len(row["input_ids"]) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
        for number, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[number, :length] = torch.tensor(row["input_ids"])
            segments[number, :length] = torch.tensor(row["segments"])
            mask[number, :length] = 1
        labels = torch.tensor([row["labels"] for row in rows])
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        return {**inputs, "labels": labels}

    class Noting(transformers.Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            loss = super().training_step(*args, **kwargs)
            losses.append(float(loss))
            return loss

    kwargs = {"attn_implementation": way["attention"]} if "attention" in way else {}
    model = PEERS[side.task_name].from_pretrained(side.folder / "first", **kwargs)
    settings = transformers.TrainingArguments(
        str(side.folder / "trainer"),
        per_device_train_batch_size=ROWS,
        max_steps=steps,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        train_sampling_strategy=way.get("sampling", "random"),
        torch_compile=way.get("compile", False),
        remove_unused_columns=False,
        bf16=side.precision == "bf16",
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        report_to=[],
    )
    trainer = Noting(
        model,
        settings,
        train_dataset=side.dataset(),
        data_collator=collate,
        callbacks=[turns],
        compute_loss_func=loss_of_spans if side.task_name == "span" else None,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    turns.began = clocks()
    trainer.train()
    return losses


def loss_of_spans(output: Any, labels: torch.Tensor, **_: Any) -> torch.Tensor:
    """As AlbertForQuestionAnswering has it, but that no answer can stand in the padding."""
    padding = torch.arange(output.start_logits.shape[1]) >= labels[:, 2:]
    both = (output.start_logits, labels[:, 0]), (output.end_logits, labels[:, 1])
    losses = [
        torch.nn.functional.cross_entropy(logits.float().masked_fill(padding, -torch.inf), place)
        for logits, place in both
    ]
    return sum(losses) / 2


def best_way(side: Side, compiled: bool) -> Way:
    """The fastest way of the Trainer, by examples per second of processor time."""
    best: Way = {"sampling": "random", "attention": "sdpa"}
    choices = [{"sampling": "group_by_length"}, {"attention": "eager"}]
    trial = speed_alone(side, best)
    for choice in choices + ([{"compile": True}] if compiled else []):
        speed = speed_alone(side, best | choice)
        if speed > trial:
            best, trial = best | choice, speed
    return best


def speed_alone(side: Side, way: Way) -> float:
    """Steps per second of processor time, the first ones left out."""
    turns = InTurns(None)
    run_trainer(side, way, 16, turns)
    return 1 / statistics.mean(cpu for _, cpu in turns.theirs[4:])


def compare(side: Side, way: Way, pairs: int) -> str:
    """Both in turn: examples per second, ratios, and whether the losses agree."""
    side.begin()
    turns = InTurns(side)
    steps = AGREEMENT_STEPS + pairs * STEPS_A_TURN
    theirs = run_trainer(side, way, steps, turns)
    gap = np.abs(np.array(theirs) - turns.losses)[:AGREEMENT_STEPS].max()
    shown = []
    for place, clock in enumerate(("wall", "cpu")):
        them, us = (
            np.array([x[place] for x in each[AGREEMENT_STEPS:]]).reshape(pairs, -1).sum(1)
            for each in (turns.theirs, turns.ours)
        )
        low, middle, high = statistics.quantiles(them / us, n=4)
        speeds = [ROWS * STEPS_A_TURN * pairs / x.sum() for x in (us, them)]
        shown.append(
            f"{clock} {speeds[0]:.1f} and {speeds[1]:.1f} examples/s, "
            f"ratio {middle:.2f} ({low:.2f}-{high:.2f})"
        )
    verdict = "" if gap <= TOLERANCES[side.precision] else "  VOID: the losses do not agree"
    return f"{'; '.join(shown)}; losses differ by {gap:.1e} at most{verdict}"


def alone(side: Side, name: str) -> None:
    """Print the peak memory of one contestant after 30 steps."""
    if name == "albertkit":
        side.begin()
        side.rows = [rows for epoch in range(30) for rows in side.prepared.batches.epoch(epoch)]
        for _ in range(30):
            side.step()
    else:
        padded = {"pad_to": PAD_TO[side.task_name]}
        way = padded if name == "defaults" else {"sampling": "group_by_length"}
        run_trainer(side, way, 30, InTurns(None))
    # Not ru_maxrss, which a process can inherit from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) // 1024)


def memory(shape: str, options: argparse.Namespace) -> str:
    """Peak memory of each contestant in a process of its own."""
    found = []
    for name in ("albertkit", "best", "defaults"):
        command = [sys.executable, __file__, "--shape", shape, "--alone", name]
        command += ["--threads", str(options.threads), "--examples", str(options.examples)]
        command += ["--precision", options.precision, "--task", options.task]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(f"{name} {done.stdout.split()[-1]}")
    return ", ".join(found)


def random(folder: Path, shape: str, start: Checkpoint) -> Path:
    """A model of this shape with random weights, and the words of `start`."""
    from albertkit.model.heads import AlbertForPretraining

    width, layers = SHAPES[shape] or (0, 0)
    config: AlbertConfig = dataclasses.replace(
        start.config,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=4 * width,
    )
    torch.manual_seed(0)
    tensors = tensors_of(AlbertForPretraining(config))
    Checkpoint(config, tensors, start.tokenizer).save(folder / "random")
    return folder / "random"


if __name__ == "__main__":
    main()
