"""FGM, R-Drop and the joint loss of early exit: each against its formula on a small case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from animals import sentences, write_csv, write_jsonl
from rich.console import Console
from torch import Tensor, nn

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import RecipeError
from albertkit.infer.predictor import Predictor
from albertkit.tasks.early_exit import CONFIDENCE
from albertkit.train.exit_loss import joint_loss
from albertkit.train.finetune import finetune
from albertkit.train.loop import Trainer
from albertkit.train.losses import Loss
from albertkit.train.rdrop import DIVERGENCES, rdrop_loss

EPSILON = 0.5


class Linear(nn.Module):
    """y = w . mean of the rows of a table: one word for each id."""

    def __init__(self) -> None:
        super().__init__()
        self.albert = nn.Module()
        self.albert.embeddings = nn.Module()
        self.albert.embeddings.word = nn.Embedding(4, 2)
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))

    @property
    def table(self) -> Tensor:
        table: Tensor = self.albert.embeddings.word.weight  # type: ignore[union-attr, assignment]
        return table


class Keep(torch.optim.SGD):
    """An optimizer that leaves the weights and keeps the gradients."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.seen = [p.grad.clone() for g in self.param_groups for p in g["params"]]


class Squared:
    """(y - target) ** 2 / 2, summed over micro-batches of one text each."""

    texts = (([0, 1], 3.0), ([2, 2], -1.0))

    def micro_batches(self, step: int) -> Sequence[Any]:
        return self.texts

    def loss(self, model: Linear, micro_batch: Any) -> Loss:
        ids, target = micro_batch
        y = model.albert.embeddings.word(torch.tensor(ids)).mean(0) @ model.weight  # type: ignore
        value = (y - target) ** 2 / 2
        return Loss(value, {"loss": value.detach()}, {"loss": 1})

    def learning_rate(self, step: int) -> float:
        return 0.0


def gradients_by_hand(table: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the table and of w: d loss / d row is (y - target) w / 2 for each place of a row."""
    of_table, of_w = np.zeros_like(table), np.zeros_like(w)
    for ids, target in Squared.texts:
        mean = table[ids].mean(0)
        error = mean @ w - target
        of_w += error * mean
        for number in ids:
            of_table[number] += error * w / len(ids)
    return of_table, of_w


def test_fgm_adds_the_gradients_at_the_embeddings_moved_along_theirs() -> None:
    torch.manual_seed(0)
    model = Linear()
    before = model.table.detach().clone()
    table, w = before.numpy().astype(np.float64), np.array([1.0, -2.0])
    plain_table, plain_w = gradients_by_hand(table, w)
    moved = table + EPSILON * plain_table / np.linalg.norm(plain_table)
    moved_table, moved_w = gradients_by_hand(moved, w)
    optimizer = Keep(model.parameters(), lr=0.1)
    Trainer(model, optimizer, 0.0, "fp32", 0, EPSILON).train_step(Squared(), 0)  # type: ignore
    by_name = dict(zip((n for n, _ in model.named_parameters()), optimizer.seen, strict=True))
    np.testing.assert_allclose(
        by_name["albert.embeddings.word.weight"], plain_table + moved_table, rtol=1e-5
    )
    np.testing.assert_allclose(by_name["weight"], plain_w + moved_w, rtol=1e-5)
    assert torch.equal(model.table, before)


def test_fgm_without_a_gradient_moves_nothing() -> None:
    model, job = Linear(), Squared()
    with torch.no_grad():
        at = [float(model.table[ids].mean(0) @ model.weight) for ids in ([0, 1], [2, 2])]
    job.texts = (([0, 1], at[0]), ([2, 2], at[1]))
    optimizer = Keep(model.parameters(), lr=0.1)
    Trainer(model, optimizer, 0.0, "fp32", 0, EPSILON).train_step(job, 0)  # type: ignore
    assert all(torch.isfinite(gradient).all() for gradient in optimizer.seen)


def test_divergences_are_the_mean_of_both_kullback_leibler_ones() -> None:
    a, b = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[0.0, 0.5, 0.0]])
    p, q = a.softmax(-1)[0], b.softmax(-1)[0]
    both = sum(float(p[n] * (p[n] / q[n]).log() + q[n] * (q[n] / p[n]).log()) for n in range(3))
    assert DIVERGENCES["cross_entropy"](a, b).item() == pytest.approx(both / 2, rel=1e-5)
    r, s = a.sigmoid()[0], b.sigmoid()[0]
    sides = [(r, s), (s, r), (1 - r, 1 - s), (1 - s, 1 - r)]
    of_each = sum((x * (x / y).log() for x, y in sides), torch.zeros(3)) / 2
    assert DIVERGENCES["binary_cross_entropy"](a, b).item() == pytest.approx(
        of_each.mean().item(), rel=1e-5
    )
    numbers = DIVERGENCES["mean_squared_error"](torch.tensor([[2.0]]), torch.tensor([[0.5]]))
    assert numbers.tolist() == [2.25]


def test_a_class_that_is_not_there_has_no_part_in_the_divergence() -> None:
    a = torch.tensor([[1.0, 0.0, -torch.inf]], requires_grad=True)
    b = torch.tensor([[0.0, 0.5, -torch.inf]])
    found = DIVERGENCES["cross_entropy"](a, b)
    short = DIVERGENCES["cross_entropy"](a.detach()[:, :2], b[:, :2])
    assert found.item() == pytest.approx(short.item())
    found.sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_rdrop_is_the_mean_of_both_passes_and_alpha_times_their_divergence() -> None:
    one = Loss(torch.tensor(2.0), {"loss": torch.tensor(7.0)}, {"loss": 2})
    other = Loss(torch.tensor(4.0), {"loss": torch.tensor(9.0)}, {"loss": 2})
    weights = torch.tensor([1.0, 3.0])
    apart = torch.tensor([0.5, 0.25])
    found = rdrop_loss(one, other, apart, weights, step_weight=5.0, alpha=2.0)
    assert found.value.item() == pytest.approx(3.0 + 2.0 * (0.5 + 0.75) / 5)
    assert (found.parts["loss"].item(), found.counts["loss"]) == (7.0, 2)


def test_the_joint_loss_weighs_each_layer_by_its_depth() -> None:
    losses = [
        Loss(torch.tensor(x), {"loss": torch.tensor(x)}, {"loss": 1}) for x in (6.0, 3.0, 1.0)
    ]
    found = joint_loss(losses)
    assert found.value.item() == pytest.approx((1 * 6 + 2 * 3 + 3 * 1) / 6)
    assert found.parts["loss"].item() == 1.0
    assert joint_loss(losses[:1]).value.item() == 6.0


ALL = {
    "objective.fgm_epsilon": 0.1,
    "objective.rdrop_alpha": 1.0,
    "objective.early_exit": True,
}
QUICK = {
    "schedule.epochs": 6,
    "schedule.batch_size": 16,
    "schedule.learning_rate": 0.01,
    "run.device": "cpu",
    "run.threads": 1,
}


def run(task: str, model: Path, train: Path, out: Path, **options: Any) -> Any:
    changed = options.pop("set", {})
    return finetune(
        task, model=model, train=train, out=out, set={**QUICK, **changed},
        console=Console(quiet=True), **options,
    )  # fmt: skip


def test_all_three_learn_together_and_resume_to_the_same_bits(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv = write_csv(tmp_path / "reviews.csv", 160)
    settings = {**ALL, "run.save_every": 3}
    whole = run("classify", tiny_model / "model", csv, tmp_path / "whole", set=settings)
    assert whole.figures["accuracy"] > 0.9
    step_of = Trainer.train_step

    def kill(self: Trainer, job: Any, step: int) -> Any:
        if step == 10:
            raise KeyboardInterrupt
        return step_of(self, job, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", kill)
        with pytest.raises(KeyboardInterrupt):
            run("classify", tiny_model / "model", csv, tmp_path / "again", set=settings)
    again = run(
        "classify", tiny_model / "model", csv, tmp_path / "again", set=settings, resume=True
    )
    ours, theirs = (Checkpoint.load(result.model) for result in (again, whole))
    names = {f"exits.{n}.{part}" for n in (0, 1) for part in ("weight", "bias")}
    assert ours.exits.keys() == {*names, CONFIDENCE}
    for mine, other in ((ours.tensors, theirs.tensors), (ours.exits, theirs.exits)):
        assert all(np.array_equal(mine[name], other[name]) for name in other)


def test_a_patience_of_1_keeps_the_answers_of_the_held_out_examples(
    tiny_model: Path, tmp_path: Path
) -> None:
    csv, dev = write_csv(tmp_path / "train.csv", 60), write_csv(tmp_path / "dev.csv", 200)
    settings = {"objective.early_exit": True, "schedule.steps": 11}
    model = run(
        "classify", tiny_model / "model", csv, tmp_path / "run", dev=dev, set=settings
    ).model

    def answers(folder: Path, patience: int | None = None) -> list[str]:
        texts = [text for text, _ in sentences(200)]
        return [x.label for x in Predictor(folder, patience=patience).classify(texts)]

    checkpoint, whole = Checkpoint.load(model), answers(model)
    assert answers(model, 1) == whole
    less = checkpoint.exits[CONFIDENCE] - np.float32(0.01)
    replace(checkpoint, exits={**checkpoint.exits, CONFIDENCE: less}).save(tmp_path / "less")
    assert answers(tmp_path / "less", 1) != whole


def test_how_a_step_is_cut_does_not_change_what_fgm_and_early_exit_learn(
    tiny_model: Path, tmp_path: Path
) -> None:
    csv = write_csv(tmp_path / "reviews.csv", 60)
    settings = {**ALL, "objective.rdrop_alpha": 0.0, "model.classifier_dropout": 0.0,
                "schedule.steps": 3}  # fmt: skip
    results = [
        run("classify", tiny_model / "model", csv, tmp_path / f"{tokens}",
            set={**settings, "schedule.micro_batch_tokens": tokens})
        for tokens in (16_384, 64)
    ]  # fmt: skip
    assert results[0].figures["loss"] == pytest.approx(results[1].figures["loss"], rel=1e-3)


def test_tags_are_learned_with_fgm_and_rdrop(tiny_model: Path, tmp_path: Path) -> None:
    tag_of = {"cat": "B-ANIMAL", "dog": "B-ANIMAL"}
    rows: list[dict[str, object]] = [
        {"words": text.split(), "tags": [tag_of.get(word, "O") for word in text.split()]}
        for text, _ in sentences(80)
    ]
    path = write_jsonl(tmp_path / "tags.jsonl", rows)
    changed = {name: value for name, value in ALL.items() if name != "objective.early_exit"}
    found = run("tag", tiny_model / "model", path, tmp_path / "run", set=changed)
    assert found.figures["entity_f1"] > 0.9
    with pytest.raises(RecipeError, match="Early exit"):
        run("tag", tiny_model / "model", path, tmp_path / "b", set={"objective.early_exit": True})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective.rdrop_alpha": 1, "model.classifier_dropout": 0}, "there is none"),
        ({"objective.fgm_epsilon": 1, "optim.frozen": ["embeddings"]}, "which are frozen"),
        ({"objective.fgm_epsilon": -1}, "fgm_epsilon"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    csv = write_csv(tmp_path / "reviews.csv", 60)
    with pytest.raises(RecipeError, match=message):
        run("classify", tiny_model / "model", csv, tmp_path / "run", set=settings)
    assert not (tmp_path / "run").exists()
