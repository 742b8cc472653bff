"""The losses of 50 steps are those of transformers on the same weights, order and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from animals import questions, sentences, write_jsonl

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.model.loading import tensors_of
from albertkit.tasks.kinds import KINDS
from albertkit.train.finetune import open_recipe
from albertkit.train.finetune_prepare import PreparedTask
from albertkit.train.finetune_task import FinetuneTask
from albertkit.train.loop import Trainer
from albertkit.train.optim import learning_rate

STEPS = 50


def prepared_for(tiny_model: Path, folder: Path, kind: str) -> PreparedTask:
    """A run of 50 steps of 8 rows without dropout."""
    task = KINDS[kind].task
    rows: list[dict[str, object]] = []
    for n, (text, animal) in enumerate(sentences(90)):
        label: dict[str, object] = {
            "classification": animal,
            "multi_label": [word for word in ("cat", "on", "ran") if word in text.split()],
            "regression": n % 7 / 3.0,
            "token_classification": None,
        }
        words = text.split()
        tags = [word.upper() if word in ("cat", "on") else "O" for word in words]
        if task == "tag":
            rows.append({"words": [f"{word}s" for word in words], "tags": tags})
        elif task == "choose":
            options = ["mat", animal, "dog" if animal == "cat" else "cat"][: 2 + n % 2]
            rows.append(
                {"context": text, "question": "a _ ran", "options": options, "answer": animal}
            )
        else:
            rows.append({"sentence1": text, "sentence2": f"a {animal}", "label": label.get(kind)})
    if task == "span":  # windows of 16 tokens without padding: 2 + 11 + 3
        rows = questions(90, words=21)
    path = write_jsonl(folder / "rows.jsonl", rows)
    given = {
        "data.train": path,
        "data.dev": path,
        "model.checkpoint": str(tiny_model / "model"),
        "model.classifier_dropout": 0.0,
        "objective.kind": kind,
        **({"objective.max_tokens": 16, "objective.doc_stride": 5} if task == "span" else {}),
        "schedule.steps": STEPS,
        "schedule.batch_size": 8,
        "schedule.learning_rate": 1e-3,
        "schedule.micro_batch_tokens": 60,  # several micro-batches a step
        "run.output": folder / "run",
        "run.device": "cpu",
    }
    return PreparedTask.resolve(open_recipe(task, given, (), resume=False))


class Steps:
    """The job of a trainer that writes down the loss of each step."""

    def __init__(self, task: FinetuneTask) -> None:
        self.task, self.losses = task, list[float]()

    def micro_batches(self, step: int) -> Any:
        return self.task.micro_batches(step, torch.device("cpu"))

    def loss(self, model: Any, micro_batch: Any) -> Any:
        return self.task.loss(model, micro_batch)

    def learning_rate(self, step: int) -> float:
        return self.task.learning_rate(step)

    def after_step(self, result: Any) -> bool:
        self.losses.append(result.totals.means()["loss"])
        return False

    def save(self, step: int) -> None:
        raise AssertionError("no signal came")


def losses_of_transformers(folder: Path, prepared: PreparedTask, task: FinetuneTask) -> list[float]:
    """torch's AdamW on transformers' model, batch by batch with padding."""
    kind = prepared.head.kind
    theirs = getattr(transformers, KINDS[kind].transformers).from_pretrained(folder)
    decayed = [p for n, p in theirs.named_parameters() if "bias" not in n and "orm" not in n]
    others = [p for n, p in theirs.named_parameters() if "bias" in n or "orm" in n]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, eps=1e-6)
    losses, targets = [], torch.from_numpy(task.train.targets)
    for step in range(STEPS):
        epoch, number = divmod(step, prepared.batches.steps_per_epoch)
        groups = prepared.batches.epoch(epoch)[number]
        rows = prepared.train.rows_of(groups)
        batch = prepared.train.batch.take(rows)
        real = torch.arange(int(batch.lengths.max())) < torch.from_numpy(batch.lengths)[:, None]
        ids, segments = (torch.zeros(real.shape, dtype=torch.int64) for _ in range(2))
        ids[real], segments[real] = torch.from_numpy(batch.ids), torch.from_numpy(batch.segment_ids)
        outputs = prepared.train.outputs_of(rows)
        labels = targets[prepared.train.owners[outputs]]
        if kind == "token_classification":  # pieces that begin no word have no label
            packed = torch.full((len(batch.ids),), -100)
            packed[torch.from_numpy(prepared.train.places(rows, batch))] = labels
            labels = torch.full(real.shape, -100)
            labels[real] = packed
        if kind == "multiple_choice":
            loss = loss_of_choices(theirs.train(), prepared, groups, ids, segments, real)
        else:
            answers: dict[str, Any] = {"labels": labels}
            if kind == "span":
                assert real.all()  # transformers lets padding take part in the loss of an answer
                answers = {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
            loss = theirs.train()(
                input_ids=ids, token_type_ids=segments, attention_mask=real.long(), **answers
            ).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, task._schedule)
        optimizer.step()
        losses.append(loss.item())
    return losses


def loss_of_choices(
    theirs: Any, prepared: PreparedTask, groups: Any, ids: Any, segments: Any, real: Any
) -> torch.Tensor:
    """Their loss of the questions with two options, and with three, which they take apart."""
    sizes = torch.from_numpy(prepared.train.num_options[groups])
    answers = torch.tensor([prepared.examples.train[n].answer for n in groups])
    of_row = sizes.repeat_interleave(sizes)
    total = torch.zeros(())
    for size in sizes.unique().tolist():
        shape = (int((sizes == size).sum()), size, -1)
        inputs = (x[of_row == size].view(shape) for x in (ids, segments, real.long()))
        names = ("input_ids", "token_type_ids", "attention_mask")
        given = dict(zip(names, inputs, strict=True))
        total = total + shape[0] * theirs(**given, labels=answers[sizes == size]).loss
    return total / len(groups)


@pytest.mark.parametrize(
    "kind",
    [
        *("classification", "multi_label", "regression", "token_classification"),
        *("multiple_choice", "span"),
    ],
)
def test_fifty_steps_have_the_losses_of_transformers(
    tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    prepared = prepared_for(tiny_model, tmp_path, kind)
    model, optimizer = prepared.build()
    task = FinetuneTask.of(prepared, model)
    first = Checkpoint(prepared.config, tensors_of(model), prepared.tokenizer, head=prepared.head)
    first.save(tmp_path / "first")
    theirs = losses_of_transformers(tmp_path / "first", prepared, task)
    steps = Steps(task)
    Trainer(model, optimizer, 1.0, "fp32", 0).train(steps, 0, STEPS)
    assert max(len(task.micro_batches(n, torch.device("cpu"))) for n in range(11)) > 1
    np.testing.assert_allclose(steps.losses, theirs, atol=1e-4)
    weight = f"{prepared.head.part}.weight"
    still, moved = Checkpoint.load(tmp_path / "first").tensors[weight], tensors_of(model)[weight]
    assert np.abs(moved - still).max() > 10 * 1e-3
