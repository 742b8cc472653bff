"""What pretraining takes on one GPU: tokens per second and memory of tiny, base and large.

    python bench/gpu.py DATA OUTPUT

DATA is a folder made by make-data, OUTPUT a new folder for a short run. First the loss of a step in
float32 is compared with the CPU's, then `pretrain` runs and is resumed, then each size is timed:
rows of 128 tokens, bfloat16 products, LAMB, the package's own loop and loader.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from albertkit import settings as recipes
from albertkit.train.baselines import Baselines
from albertkit.train.loop import StepResult, Trainer
from albertkit.train.losses import Loss
from albertkit.train.prepare import PreparedRun
from albertkit.train.pretrain import pretrain
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.task import PretrainingTask

WARM_UP = 5  # steps that are not timed
TINY = {
    "model.hidden_size": 384,
    "model.num_hidden_layers": 6,
    "model.num_attention_heads": 12,
    "model.intermediate_size": 1536,
    "optim.name": "lamb",
}
SIZES: dict[str, tuple[dict[str, Any], int]] = {
    "tiny (6 x 384)": (TINY, 512),
    "base": ({"model": {"size": "albert-base-v2", "vocab_size": "from_data"}}, 256),
    "large": ({"model": {"size": "albert-large-v2", "vocab_size": "from_data"}}, 128),
}


@dataclass
class Steps:
    """A pretraining task as the loop takes it, without a log."""

    task: PretrainingTask
    device: torch.device

    def micro_batches(self, step: int) -> Sequence[Any]:
        """Rows of a step."""
        return self.task.micro_batches(step, self.device)

    def loss(self, model: nn.Module, micro_batch: Any) -> Loss:
        """Loss of a micro batch."""
        return self.task.loss(model, micro_batch)

    def learning_rate(self, step: int) -> float:
        """A rate at which nothing happens."""
        return 1e-5

    def after_step(self, result: StepResult) -> bool:
        """Go on."""
        return False

    def save(self, step: int) -> None:
        """Nothing is kept."""


def prepare(
    data: Path, size: dict[str, Any], rows: int, device: str, precision: str
) -> tuple[Trainer, Steps]:
    """A size's model and its rows."""
    stated = {
        "data.path": data,
        "run.output": Path("unused"),
        "run.device": device,
        "run.precision": precision,
        "stages.0.batch_size": rows,
        "run.validation_rows": 64,
        **size,
    }
    prepared = PreparedRun.resolve(recipes.load("tiny-en", PretrainingRecipe, [], stated))
    model, optimizer = prepared.build()
    held_out = prepared.validation_set()
    no_baselines = Baselines(0.0, 0.0, None)  # nothing is judged here
    task = PretrainingTask(prepared, prepared.stages(), held_out, no_baselines)
    trainer = Trainer(model, optimizer, 1.0, precision, 0)
    return trainer, Steps(task, next(model.parameters()).device)


def compare(data: Path) -> None:
    """Loss of the first step in float32, here and there."""
    found = {}
    for device in ("cpu", "cuda"):
        trainer, steps = prepare(data, TINY, 16, device, "fp32")
        found[device] = trainer.train_step(steps, 0).totals.means()["mlm_loss"]
    print(f"masked-LM loss of one step, fp32: {found}", flush=True)


def measure(data: Path, name: str, seconds: float) -> None:
    """Time steps of a size."""
    size, rows = SIZES[name]
    torch.cuda.reset_peak_memory_stats()
    trainer, steps = prepare(data, size, rows, "cuda", "bf16")
    for step in range(WARM_UP):
        trainer.train_step(steps, step)
    torch.cuda.synchronize()
    began, step = time.monotonic(), WARM_UP
    while time.monotonic() < began + seconds:
        result = trainer.train_step(steps, step)
        step += 1
    torch.cuda.synchronize()
    speed = rows * 128 * (step - WARM_UP) / (time.monotonic() - began)
    memory = torch.cuda.max_memory_allocated() / 1e9
    print(
        f"{name}: {rows} x 128 bf16 {speed:,.0f} places/s, {memory:.1f} GB at most, "
        f"loss {result.totals.means()['mlm_loss']:.3f}",
        flush=True,
    )


def run(data: Path, output: Path) -> None:
    """`pretrain` on the GPU, stopped after half of its steps and resumed."""
    settings = {**TINY, "stages.0.steps": 60, "stages.0.warmup_steps": 10, "run.device": "cuda"}
    settings |= {"run.validation_rows": 256, "run.precision": "bf16"}
    result = pretrain("tiny-en", data=data, out=output, set=settings)
    print(f"pretrain: {result.to_json()}", flush=True)
    again = pretrain(output / "recipe.toml", resume=True)
    print(f"resumed: {again.steps} steps, {again.validation == result.validation}", flush=True)


def main() -> None:
    """Compare, run, time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    compare(options.data)
    for name in SIZES:
        measure(options.data, name, options.seconds)
    run(options.data, options.output)


if __name__ == "__main__":
    main()
