"""Train a shipped model on one GPU within a number of seconds.

    python bench/shipped/on_gpu.py DATA OUTPUT --language en --seconds 300

The rows are those of `PretrainingLoader`, the model is albertkit's, the first weights are those of
first_weights.py. What differs from `albertkit pretrain`: rows are padded, so that a step has one
shape and is recorded as a CUDA graph; matrices are moved by Muon (Jordan 2024, scaled as in Liu et
al. 2025) where `--optimizer muon`; the rate falls with the time that is left, so that the run ends
at rate 0 whatever the speed of the card. Every sixth step has rows of 512 tokens. In two of five
steps single pieces are masked, else runs of one to three words; 25 % of the tokens, and 15 % in the
last 30 % of the time.

With several `--try NAME:RATE` each is given `--try-seconds`, and the best one is taken.
OUTPUT gets weights.safetensors (float32, albertkit's names), curve.jsonl and run.json.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from first_weights import fill
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from albertkit.config import AlbertConfig
from albertkit.data.loader import LoaderSettings, PretrainingBatch, PretrainingLoader
from albertkit.data.shards import TRAIN, VALIDATION, Shards
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.packing import Layout

MODES = ((True, True), (False, True), (True, False), (False, False))  # compiled, recorded
LENGTHS = (128, 512)
LONG_EVERY = 6  # one step in so many has the longer rows
PIECES_EVERY, PIECES = 5, 2  # two steps in five mask single pieces
MASKED = (0.25, 0.15)  # share of the tokens, at first and at the end
END = 0.7  # share of the time after which the end begins
WARM_UP = 300
BETAS, EPSILON, DECAY, CLIP = (0.9, 0.98), 1e-6, 0.01, 1.0
AHEAD = 6  # batches that each worker keeps ready
VALIDATION_ROWS = {128: 2048, 512: 512}


class Rows(NamedTuple):
    """A step's rows, padded: (B, T) ids and segments, (B,) lengths; M targets, padded by -1."""

    ids: Any
    segment_ids: Any
    lengths: Any
    swapped: Any
    positions: Any  # (M,), into B * T
    targets: Any  # (M,), -1 where there is none


def padded(batch: PretrainingBatch, tokens: int) -> Rows:
    """A packed batch as a rectangle, with room for the most targets that it can have."""
    count = len(batch.lengths)
    real = np.arange(tokens) < batch.lengths[:, None]
    ids, segments = np.zeros((2, count, tokens), dtype=np.int16)
    ids[real], segments[real] = batch.ids, batch.segment_ids
    room = count * tokens // 4
    positions, targets = np.arange(room, dtype=np.int32), np.full(room, -1, np.int16)
    positions[: len(batch.targets)] = np.flatnonzero(real)[batch.target_positions]
    targets[: len(batch.targets)] = batch.targets
    swapped = batch.swapped.astype(np.int8)
    return Rows(ids, segments, batch.lengths.astype(np.int16), swapped, positions, targets)


def tokens_of(step: int) -> int:
    """Length of the rows of a step."""
    return LENGTHS[step % LONG_EVERY == LONG_EVERY - 1]


def loader(shards: Shards, tokens: int, rows: int, share: float, pieces: bool) -> PretrainingLoader:
    """Rows of one kind; each kind has draws of its own."""
    settings = LoaderSettings(
        max_tokens=tokens,
        masked_probability=share,
        max_predictions=tokens // 4,
        whole_words=not pieces,
        max_ngram=1 if pieces else 3,
        seed=1 + tokens + 2 * int(share * 100) + pieces,
    )
    return PretrainingLoader(shards, shards.special_ids, settings, rows * LENGTHS[0] // tokens)


def work(folder: Path, rows: int, first: int, stride: int, box: Any, at_end: Any) -> None:
    """In a process of its own: the rows of steps first, first + stride, ..."""
    torch.set_num_threads(1)
    shards = Shards(folder)
    kinds = {
        (tokens, share, pieces): loader(shards, tokens, rows, share, pieces)
        for tokens in LENGTHS
        for share in MASKED
        for pieces in (False, True)
    }
    step = first
    while True:
        tokens = tokens_of(step)
        share, pieces = MASKED[at_end.value], step // LONG_EVERY % PIECES_EVERY < PIECES
        box.put(padded(kinds[tokens, share, pieces].batch(step), tokens))
        step += stride


class Feed:
    """Rows of step after step on the device, made by processes, fetched by a thread."""

    def __init__(self, folder: Path, rows: int, workers: int, device: str) -> None:
        context = multiprocessing.get_context("fork")
        self.at_end = context.Value("b", 0)
        self._boxes = [context.Queue(AHEAD) for _ in range(workers)]
        self._device = device
        self._ready: queue.Queue[Rows] = queue.Queue(8)
        for number, box in enumerate(self._boxes):
            work_of = (folder, rows, number, workers, box, self.at_end)
            context.Process(target=work, args=work_of, daemon=True).start()

    def begin(self) -> None:
        """Start to fetch: after the processes, as threads do not survive a fork."""
        threading.Thread(target=self._fetch, daemon=True).start()

    def _fetch(self) -> None:
        step = 0
        while True:
            rows = self._boxes[step % len(self._boxes)].get()
            tensors = [torch.from_numpy(x) for x in rows]
            if self._device == "cuda":
                tensors = [x.pin_memory() for x in tensors]
            self._ready.put(Rows(*tensors))
            step += 1

    def next(self) -> Rows:
        """Rows of the next step, in pinned memory."""
        return self._ready.get()


class Network:
    """Losses of padded rows; the shared layer is compiled once for each shape."""

    def __init__(self, model: AlbertForPretraining, compiled: bool) -> None:
        self.model = model
        self.attention = model.albert.encoder.attention["0"][0]  # type: ignore[index]
        self.feed_forward = model.albert.encoder.feed_forward["0"][0]  # type: ignore[index]
        wrap: Callable[..., Any] = (
            (lambda part: torch.compile(part, dynamic=False)) if compiled else (lambda part: part)
        )
        self.embed, self.layer, self.predict = map(wrap, (self._embed, self._layer, self._predict))

    def _embed(self, ids: Tensor, segment_ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device).repeat(ids.shape[0])
        embedded: Tensor = self.model.albert.embeddings(
            ids.flatten().long(), segment_ids.flatten().long(), places
        )
        return embedded

    def _layer(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, tokens = mask.shape[0], mask.shape[-1]
        layout = Layout(batch, tokens, x, slice(0, None, tokens), mask=mask)
        moved: Tensor = self.feed_forward(self.attention(x, layout, None))
        return moved

    def _predict(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model.masked_lm(x, self.model.albert.embeddings).float()
        loss = F.cross_entropy(logits, targets.long(), ignore_index=-1, reduction="sum")
        right = ((logits.detach().argmax(-1) == targets) & (targets >= 0)).sum()
        return loss, right

    def losses(self, rows: Rows) -> Tensor:
        """(4,): mean masked-LM loss, mean order loss, shares of right answers."""
        batch, tokens = rows.ids.shape
        device = rows.ids.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            place = torch.arange(tokens, device=rows.ids.device)
            mask = (place < rows.lengths[:, None])[:, None, None, :]
            x = self.embed(rows.ids, rows.segment_ids)
            for _ in range(self.model.config.num_hidden_layers):
                x = self.layer(x, mask)
            loss, right = self.predict(x.index_select(0, rows.positions.long()), rows.targets)
            head, pooler = self.model.sentence_order, self.model.albert.pooler
            assert head is not None
            assert pooler is not None
            order = head(torch.tanh(pooler(x[::tokens]))).float()
            swapped = rows.swapped.long()
            count = (rows.targets >= 0).sum()
            found = (order.detach().argmax(-1) == swapped).float().mean()
            return torch.stack(
                [loss / count, F.cross_entropy(order, swapped), right / count, found]
            )


class Optimizer:
    """AdamW, or Muon for the matrices inside the model and AdamW for the rest.

    Muon: the momentum of a matrix made orthogonal by five Newton-Schulz steps, with the length
    that AdamW's update has, so that one rate serves both.
    """

    def __init__(self, model: AlbertForPretraining, muon: bool) -> None:
        named = dict(model.named_parameters())
        self.parameters = list(named.values())
        inside = [n for n, p in named.items() if muon and p.ndim == 2 and "encoder" in n]
        self.matrices = [named[n] for n in inside]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        rest = [(n, p) for n, p in named.items() if n not in inside]
        device = self.parameters[0].device
        self.rate = torch.zeros((), device=device)
        groups = [
            {"params": [p for n, p in rest if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for n, p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(
            groups, lr=self.rate, betas=BETAS, eps=EPSILON, capturable=device.type == "cuda"
        )
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def clear(self) -> None:
        """Gradients to zero, where they are."""
        torch._foreach_zero_([p.grad for p in self.parameters])

    def forget(self) -> None:
        """Moments to zero, where they are."""
        self.clear()
        if self.momenta:
            torch._foreach_zero_(self.momenta)
        for state in self.adam.state.values():
            for value in state.values():
                value.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Clip, then move."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (CLIP / (norm + 1e-6)).clamp(max=1.0))
        self.adam.step()
        for matrix, momentum in zip(self.matrices, self.momenta, strict=True):
            assert matrix.grad is not None
            momentum.lerp_(matrix.grad, 0.05)
            update = orthogonal(matrix.grad.lerp(momentum, 0.95))
            update = update * (0.2 * max(matrix.shape) ** 0.5) + DECAY * matrix
            matrix.sub_(update * self.rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix next to this one (Jordan 2024: Newton-Schulz, quintic)."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x if wide else x.T).float()


class Stepper:
    """One optimizer step for rows of either length, recorded as a CUDA graph where there is one."""

    def __init__(self, network: Network, optimizer: Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        self.graphs: dict[int, tuple[Any, Rows, Tensor]] = {}

    def plain(self, rows: Rows) -> Tensor:
        """A step, operation by operation."""
        self.optimizer.clear()
        losses = self.network.losses(rows)
        (losses[0] + losses[1]).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return losses.detach()

    def warm_up(self, rows: Rows) -> None:
        """A step that moves nothing."""
        self(rows, 0.0)

    def record(self, rows: Rows) -> None:
        """Record the step of this shape; the weights do not move, as the rate is 0."""
        own = Rows(*(x.cuda() for x in rows))
        self.optimizer.rate.zero_()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.plain(own)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            losses = self.plain(own)
        self.graphs[rows.ids.shape[1]] = (graph, own, losses)

    def __call__(self, rows: Rows, rate: float) -> Tensor:
        """Do a step; returns the losses on the device, valid until the next step."""
        self.optimizer.rate.fill_(rate)
        recorded = self.graphs.get(rows.ids.shape[1])
        if recorded is None:
            device = self.optimizer.rate.device
            return self.plain(Rows(*(x.to(device) for x in rows)))
        graph, own, losses = recorded
        for kept, new in zip(own, rows, strict=True):
            kept.copy_(new, non_blocking=True)
        graph.replay()
        return losses


@dataclass
class Trainee:
    """A model that can begin again, and a step for each optimizer that it is tried with."""

    model: AlbertForPretraining
    examples: dict[int, Rows]

    def __post_init__(self) -> None:
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.steppers: dict[str, Stepper] = {}
        self.mode = 0

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


def held_out(folder: Path, rows: int, device: str) -> dict[int, list[Rows]]:
    """Held-out rows of each length, 15 % masked by whole words, in full batches."""
    shards = Shards(folder / VALIDATION)
    sets = {}
    for tokens in LENGTHS:
        maker = loader(shards, tokens, rows, 0.15, False)
        batches = maker.validation_batches(VALIDATION_ROWS[tokens])
        full = [b for b in batches if len(b) == maker.batch_size]
        sets[tokens] = [
            Rows(*(torch.from_numpy(x).to(device) for x in padded(b, tokens))) for b in full
        ]
    return sets


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
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="NAME:RATE")
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
    shards = Shards(options.data / TRAIN)
    config = shape(shards.special_ids.vocab_size, options.layers, options.hidden)
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.enable_cudnn_sdp(False)  # it has no plan for a mask of this shape
    first = AlbertForPretraining(config)
    fill(first, shards)
    print(f"first weights after {time.monotonic() - began:.1f} s", flush=True)
    sets = held_out(options.data, options.rows, options.device)
    feed.begin()
    examples: dict[int, Rows] = {}
    while len(examples) < len(LENGTHS):
        rows = feed.next()
        examples[rows.ids.shape[1]] = rows
    print(f"rows after {time.monotonic() - began:.1f} s", flush=True)

    curve = (options.output / "curve.jsonl").open("w")

    def log(kind: str) -> Callable[[dict[str, Any]], None]:
        def write(facts: dict[str, Any]) -> None:
            line = json.dumps({"run": kind, **facts})
            curve.write(line + "\n")
            curve.flush()
            print(line, flush=True)

        return write

    tries = [(name, float(rate)) for name, rate in (t.split(":") for t in options.tries)]
    trainee = Trainee(first.to(options.device), examples)
    trainee.mode = options.mode
    results = []
    for name, rate in tries if len(tries) > 1 else []:
        stepper = trainee.stepper(name)
        told = log(f"{name}:{rate}")
        loss = train(stepper, feed, sets, rate, options.try_seconds, told, None)
        results.append((loss if math.isfinite(loss) else 99.0, name, rate))
    _, name, rate = min(results) if results else (0.0, *tries[0])
    stepper = trainee.stepper(name)

    def save() -> None:
        tensors = {n: x.detach().cpu().contiguous() for n, x in trainee.model.state_dict().items()}
        save_file(tensors, options.output / "weights.safetensors.new")
        (options.output / "weights.safetensors.new").replace(options.output / "weights.safetensors")

    seconds = options.seconds - (time.monotonic() - began)
    facts = {"optimizer": name, "rate": rate, "seconds": seconds, "tries": results}
    facts |= {"card": torch.cuda.get_device_name() if options.device == "cuda" else "cpu"}
    facts |= {
        "torch": torch.__version__,
        "compiled, recorded": MODES[trainee.mode],
        "rows": options.rows,
    }
    facts |= {"config": {k: v for k, v in vars(config).items() if isinstance(v, (int, float, str))}}
    (options.output / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts), flush=True)
    train(stepper, feed, sets, rate, seconds, log("train"), save)


if __name__ == "__main__":
    main()
