"""Train a shipped model on one GPU within a number of seconds.

    python bench/shipped/on_gpu.py DATA OUTPUT --seconds 300 --try muon:3e-3

The rows are those of `PretrainingLoader` (padded_rows.py), the model is albertkit's, the first
weights are those of first_weights.py. What differs from `albertkit pretrain`: rows are padded, so
that a step has one shape and is recorded as a CUDA graph (gpu_step.py); with `--try muon:RATE` the
matrices are moved by Muon (Jordan 2024, scaled as in Liu et al. 2025); the rate falls with the time
that is left, so that the run ends at rate 0 whatever the speed of the card. Every sixth step has
rows of 512 tokens. In two of five steps single pieces are masked, else runs of one to three words;
25 % of the tokens, and 15 % in the last 30 % of the time.

With several `--try` each is given `--try-seconds`, and the best one is taken.
OUTPUT gets weights.safetensors (float32, albertkit's names), curve.jsonl and run.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from first_weights import fill
from gpu_step import Network, Optimizer, Stepper
from padded_rows import LENGTHS, Feed, Rows, held_out
from safetensors.torch import save_file

from albertkit.config import AlbertConfig
from albertkit.data.shards import TRAIN, Shards
from albertkit.model.heads import AlbertForPretraining

MODES = ((True, True), (False, True), (True, False), (False, False))  # compiled, recorded
END = 0.7  # share of the time after which the end begins
WARM_UP = 300


@dataclass
class Trainee:
    """A model that can begin again, and a step for each optimizer that it is tried with."""

    model: AlbertForPretraining
    examples: dict[int, Rows]
    mode: int = 0  # number in MODES of the fastest way that may work here

    def __post_init__(self) -> None:
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.steppers: dict[str, Stepper] = {}

    def stepper(self, name: str) -> Stepper:
        """The step of an optimizer, from first weights and empty moments."""
        if name not in self.steppers:
            self.steppers[name] = self._build(name)
        self.model.load_state_dict(self.start)
        self.steppers[name].optimizer.forget()
        return self.steppers[name]

    def _build(self, name: str) -> Stepper:
        """In the fastest way that works here."""
        while self.mode < len(MODES):
            compiled, recorded = MODES[self.mode]
            began = time.monotonic()
            try:
                optimizer = Optimizer(self.model, name == "muon")
                stepper = Stepper(Network(self.model, compiled), optimizer)
                for rows in self.examples.values():
                    (stepper.record if recorded else stepper.warm_up)(rows)
            except Exception:  # whatever a compiler may raise: the next way is tried
                traceback.print_exc()
                self.mode += 1
                continue
            seconds = time.monotonic() - began
            print(f"{name}: {compiled=} {recorded=}, ready in {seconds:.1f} s", flush=True)
            return stepper
        raise SystemExit("no way to run a step")


@torch.no_grad()
def validate(model: AlbertForPretraining, sets: dict[int, list[Rows]]) -> dict[str, float]:
    """Means over held-out rows: masked-LM loss and accuracy, order accuracy, for each length."""
    network, found = Network(model, compiled=False), {}
    for tokens, batches in sets.items():
        means = torch.stack([network.losses(rows) for rows in batches]).mean(0).tolist()
        names = ("mlm_loss", "sop_loss", "mlm_accuracy", "sop_accuracy")
        found |= {f"{name}_{tokens}": round(x, 4) for name, x in zip(names, means, strict=True)}
    return found


def train(
    stepper: Stepper,
    feed: Feed,
    sets: dict[int, list[Rows]],
    peak: float,
    seconds: float,
    log: Callable[[dict[str, Any]], None],
    save: Callable[[], None] | None,
) -> float:
    """Train for some seconds; returns the last held-out loss at 128 tokens."""
    began, step, tokens, due = time.monotonic(), 0, 0, 0.0
    feed.at_end.value = 0
    losses, rate, good = torch.zeros(4), 0.0, {}
    while True:
        spent = time.monotonic() - began
        share = spent / seconds
        if spent >= due or share >= 1:
            done = share >= 1
            trained = losses.tolist()
            facts = {"step": step, "tokens": tokens, "seconds": round(time.monotonic() - began, 1)}
            facts |= {"rate": rate, "trained": [round(x, 3) for x in trained]}
            facts |= validate(stepper.network.model, sets)
            log(facts)
            if math.isfinite(facts["mlm_loss_128"]):
                good = {name: x.clone() for name, x in stepper.network.model.state_dict().items()}
                if save is not None:
                    save()
            elif save is not None and not done:  # back to the last good weights, at half the rate
                stepper.optimizer.forget()
                stepper.network.model.load_state_dict(good)
                peak /= 2
            if done:
                return float(facts["mlm_loss_128"])
            due = (time.monotonic() - began) + max(seconds / 16, 5)
        if share > END and save is not None:
            feed.at_end.value = 1
        rows = feed.next()
        rate = peak * min(1.0, (step + 1) / WARM_UP) * max(0.0, 1 - share)
        losses = stepper(rows, rate)
        if step % 16 == 15 and stepper.graphs:
            torch.cuda.current_stream().synchronize()  # the clock must not run ahead of the card
        step += 1
        tokens += int(rows.lengths.sum())


def shape(vocab_size: int, layers: int, hidden: int) -> AlbertConfig:
    """The model that ships."""
    return AlbertConfig(
        vocab_size=vocab_size,
        embedding_size=128,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=4 * hidden,
        hidden_act="gelu_tanh",
        max_position_embeddings=512,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.04,
    )


def main() -> None:
    """Try, choose, train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument(
        "--try",
        dest="tries",
        action="append",
        metavar="NAME:RATE",
        required=True,
        help="optimizer (adam or muon) and highest rate; of several the best is taken",
    )
    parser.add_argument("--try-seconds", type=float, default=10)
    parser.add_argument("--rows", type=int, default=256, help="of 128 tokens, in a step")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mode", type=int, default=0, help="number of the first of MODES to try")
    options = parser.parse_args()
    began = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    feed = Feed(options.data / TRAIN, options.rows, options.workers, options.device)
    model = first_model(options)
    sets = held_out(options.data, options.rows, options.device)
    trainee = Trainee(model.to(options.device), examples_of(feed), options.mode)
    print(f"first weights and rows after {time.monotonic() - began:.1f} s", flush=True)
    with (options.output / "curve.jsonl").open("w") as curve:
        name, rate, results = choose(trainee, feed, sets, options, curve)
        stepper = trainee.stepper(name)
        seconds = options.seconds - (time.monotonic() - began)
        facts = {"optimizer": name, "rate": rate, "seconds": seconds, "tries": results}
        write_facts(options, trainee, facts)
        save = partial(save_weights, trainee.model, options.output)
        train(stepper, feed, sets, rate, seconds, partial(log, curve, "train"), save)


def first_model(options: argparse.Namespace) -> AlbertForPretraining:
    """The model with its first weights."""
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.enable_cudnn_sdp(False)  # it has no plan for a mask of this shape
    shards = Shards(options.data / TRAIN)
    model = AlbertForPretraining(
        shape(shards.special_ids.vocab_size, options.layers, options.hidden)
    )
    fill(model, shards)
    return model


def examples_of(feed: Feed) -> dict[int, Rows]:
    """Rows of each length, to record steps with."""
    feed.begin()
    examples: dict[int, Rows] = {}
    while len(examples) < len(LENGTHS):
        rows = feed.next()
        examples[rows.ids.shape[1]] = rows
    return examples


def choose(
    trainee: Trainee,
    feed: Feed,
    sets: dict[int, list[Rows]],
    options: argparse.Namespace,
    curve: TextIO,
) -> tuple[str, float, list[tuple[float, str, float]]]:
    """The best optimizer and rate after a short training of each, and all results."""
    tries = [(name, float(rate)) for name, rate in (t.split(":") for t in options.tries)]
    results = []
    for name, rate in tries if len(tries) > 1 else []:
        write = partial(log, curve, f"{name}:{rate}")
        stepper = trainee.stepper(name)
        loss = train(stepper, feed, sets, rate, options.try_seconds, write, None)
        results.append((loss if math.isfinite(loss) else 99.0, name, rate))
    _, name, rate = min(results) if results else (0.0, *tries[0])
    return name, rate, results


def log(curve: TextIO, run: str, facts: dict[str, Any]) -> None:
    """A line of curve.jsonl, printed too."""
    line = json.dumps({"run": run, **facts})
    curve.write(line + "\n")
    curve.flush()
    print(line, flush=True)


def save_weights(model: AlbertForPretraining, output: Path) -> None:
    """Write weights.safetensors, whole or not at all."""
    tensors = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    save_file(tensors, output / "weights.safetensors.new")
    (output / "weights.safetensors.new").replace(output / "weights.safetensors")


def write_facts(options: argparse.Namespace, trainee: Trainee, facts: dict[str, Any]) -> None:
    """Write run.json: what was chosen, and on what it runs."""
    config = vars(trainee.model.config).items()
    facts |= {
        "card": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "compiled, recorded": MODES[trainee.mode],
        "rows": options.rows,
        "config": {key: value for key, value in config if isinstance(value, (int, float, str))},
    }
    (options.output / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
