"""Early exit with patience: who leaves where, what it costs, and what the folder is to others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy_ops import NumpyOps

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.early_exit import EARLY_EXIT, exit_shapes
from albertkit.cli import main
from albertkit.conversion import convert
from albertkit.data.batch import Batch
from albertkit.errors import AlbertkitError, CheckpointError, PredictionError
from albertkit.graph.layouts import PackedLayout
from albertkit.graph.network import Network
from albertkit.infer.engine import ExitsEarly
from albertkit.infer.evaluate import evaluate
from albertkit.infer.exiting_engine import ExitingEngine
from albertkit.infer.graph_engines import Graph
from albertkit.infer.predictor import Predictor
from albertkit.infer.torch_engine import TorchEngine
from albertkit.model.albert import Encoder
from albertkit.model.early_exit import logits_by_depth
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build_task, tensors_of
from albertkit.tasks.early_exit import CONFIDENCE, TOLERANCE, exit_confidence
from albertkit.tasks.head import TaskHead

TEXTS = [
    " ".join(np.random.default_rng(n).choice(["the", "cat", "dog", "sat", "ran", "mat"], n % 7 + 1))
    for n in range(40)
]
LAYERS = 6
HEADS = {
    "classification": TaskHead("classification", 3, ("a", "b", "c")),
    "multi_label": TaskHead("multi_label", 3, ("a", "b", "c")),
    "regression": TaskHead("regression", 1),
}
SURE = {"classification": 0.85, "multi_label": 0.6}  # folders of their own: KIND_sure


@pytest.fixture(scope="module")
def tuned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random model of six layers with each head and classifiers after its layers."""
    base, chance = Checkpoint.load(tiny_model / "model"), np.random.default_rng(5)
    config = replace(base.config, num_hidden_layers=LAYERS)
    torch.manual_seed(1)
    body = tensors_of(AlbertForPretraining(config).albert)
    places = {}
    for name, head in [*HEADS.items(), *((f"{kind}_sure", HEADS[kind]) for kind in SURE)]:
        kind = name.removesuffix("_sure")
        shapes = {**head.shapes(config.hidden_size), **exit_shapes(config, head)}
        drawn = {n: chance.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
        exits = {n: x for n, x in drawn.items() if n.startswith("exits.")}
        if kind == "regression":
            exits[TOLERANCE] = np.array([1.5], dtype=np.float32)
        if name != kind:
            exits[CONFIDENCE] = np.array([SURE[kind]], dtype=np.float32)
        own = {n: x for n, x in drawn.items() if n.startswith("classifier.")}
        places[name] = tmp_path_factory.mktemp(name) / "model"
        Checkpoint(config, {**body, **own}, base.tokenizer, head=head, exits=exits).save(
            places[name]
        )
    return places


def by_hand(folder: Path, text: str, patience: int) -> tuple[np.ndarray, int]:
    """Logits and layers of one text by itself: the rule of the paper, and how sure, written out."""
    checkpoint = Checkpoint.load(folder)
    assert checkpoint.tokenizer is not None
    batch = Batch.of([checkpoint.tokenizer.encode(text)])
    with torch.inference_mode():
        every = logits_by_depth(
            build_task(checkpoint),
            torch.from_numpy(batch.ids),
            torch.from_numpy(batch.segment_ids),
            lengths=torch.from_numpy(batch.lengths),
        )
    outputs = [x[0].numpy() for x in every]
    assert len(outputs) == LAYERS
    kind, counter = folder.parent.name.rstrip("0123456789"), 0
    sure = SURE[kind.removesuffix("_sure")] if kind.endswith("_sure") else 0.0
    for depth in range(1, LAYERS):
        new, old = outputs[depth], outputs[depth - 1]
        if kind == "regression":
            same = abs(new[0] - old[0]) < checkpoint.exits[TOLERANCE][0]
        elif kind.startswith("multi_label"):
            same = all(
                (a > 0) == (b > 0) and max(p := 1 / (1 + np.exp(-a)), 1 - p) >= sure
                for a, b in zip(new, old, strict=True)
            )
        else:
            same = new.argmax() == old.argmax()
            same = same and np.exp(new.max()) / np.exp(new).sum() >= sure
        counter = counter + 1 if same else 0
        if counter == patience:
            return new, depth + 1
    return outputs[-1], LAYERS


def of_graphs(checkpoint: Checkpoint) -> ExitingEngine:
    """The engine over graphs, these computed by NumPy."""

    def part(number: int | None) -> Graph:
        def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            arrays = dict(inputs)
            x = arrays.pop("x", None)
            ops = NumpyOps(checkpoint.tensors)
            pick = "first" if number == LAYERS - 1 else "all"
            network = Network(checkpoint, ops, PackedLayout(ops, pick, **arrays))
            if number is None:
                return {"hidden": network.embeddings()}
            return network.after_layer(x, number)

        made.append(number)
        return run

    made: list[int | None] = []
    engine = ExitingEngine(checkpoint, lambda want: run_nothing, part)
    engine.made = made  # type: ignore[attr-defined]  # which parts were asked for
    return engine


def run_nothing(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    raise AssertionError("early exit runs no whole network")


ENGINES: dict[str, Callable[[Checkpoint], ExitsEarly]] = {
    "torch": TorchEngine,
    "graphs": of_graphs,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [*HEADS, *(f"{kind}_sure" for kind in SURE)])
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_each_row_of_a_batch_leaves_where_it_would_alone(
    tuned: dict[str, Path], kind: str, patience: int, engine: str
) -> None:
    checkpoint = Checkpoint.load(tuned[kind])
    assert checkpoint.tokenizer is not None
    batch = Batch.of([checkpoint.tokenizer.encode(text) for text in TEXTS])
    logits, depths = ENGINES[engine](checkpoint).run_with_patience(batch, patience)
    expected = [by_hand(tuned[kind], text, patience) for text in TEXTS]
    assert depths.tolist() == [depth for _, depth in expected]
    np.testing.assert_allclose(logits, np.stack([x for x, _ in expected]), atol=1e-5)
    if patience == 1:
        assert len(set(depths.tolist())) > 2  # rows of one batch leave at different layers


def test_the_confidence_is_the_least_that_keeps_the_answers() -> None:
    """Two classes, three layers; an answer with probability p has logits (0, log(p / (1 - p)))."""

    def logits(*probabilities: float) -> np.ndarray:
        p = np.array(probabilities, dtype=np.float32)
        return np.stack([np.zeros_like(p), np.log(p / (1 - p))], -1)

    head = TaskHead("classification", 2, ("a", "b"))
    # The first row would leave after layer 2 with "b", of which 0.704 is not yet sure enough.
    every = np.stack([logits(0.6, 0.8, 0.1), logits(0.704, 0.9, 0.1), logits(0.3, 0.9, 0.1)])
    assert exit_confidence(head, every) == 0.71  # row 1 then goes on; row 2 agreed rightly
    assert exit_confidence(head, every[:, 1:]) == 0.0  # nothing to keep it from leaving
    many = np.concatenate([every, np.repeat(every[:, 1:2], 497, 1)], 1)
    assert exit_confidence(head, many) == 0.0  # one answer of 500 may change
    wrong = np.stack([logits(0.6), logits(0.9999), logits(0.1)])
    assert exit_confidence(head, wrong) == 1.0  # never: too sure of what is wrong
    unsure = TaskHead("multi_label", 2, ("a", "b"))
    assert exit_confidence(unsure, every) == 0.51  # "a" has 0.5: neither yes nor no


def test_a_shared_layer_is_one_graph_and_the_last_another(tuned: dict[str, Path]) -> None:
    checkpoint = Checkpoint.load(tuned["classification"])
    assert checkpoint.tokenizer is not None
    batch = Batch.of([checkpoint.tokenizer.encode(text) for text in TEXTS])
    engine = of_graphs(checkpoint)
    for _ in range(2):
        engine.run_with_patience(batch, LAYERS)
    assert engine.made == [None, 0, LAYERS - 1]  # type: ignore[attr-defined]


def test_rows_that_left_are_computed_no_more(
    tuned: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.load(tuned["classification"])
    assert checkpoint.tokenizer is not None
    batch = Batch.of([checkpoint.tokenizer.encode(text) for text in TEXTS])
    tokens, layer = [], Encoder.layer

    def count(self: Encoder, number: int, x: Any, *more: Any) -> Any:
        tokens.append(len(x))
        return layer(self, number, x, *more)

    monkeypatch.setattr(Encoder, "layer", count)
    _, depths = TorchEngine(checkpoint).run_with_patience(batch, 1)
    assert sum(tokens) == int((batch.lengths * depths).sum())
    assert len(tokens) == depths.max()


def test_more_patience_than_layers_gives_the_answer_of_the_head(tuned: dict[str, Path]) -> None:
    for folder in tuned.values():
        plain, patient = Predictor(folder), Predictor(folder, patience=LAYERS)
        for a, b in zip(plain.classify(TEXTS), patient.classify(TEXTS), strict=True):
            assert a.value == pytest.approx(b.value, abs=1e-5)
            for x, y in zip(a.labels, b.labels, strict=True):
                assert (x.name, x.probability) == (y.name, pytest.approx(y.probability, abs=1e-5))
        assert patient.used.mean == LAYERS
        assert plain.used.rows == 0


def test_the_figures_say_how_many_layers_were_used(tuned: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    rows = [{"text": text, "label": "abc"[n % 3]} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tuned["classification"]
    found = evaluate(folder, path, patience=2)
    expected = [by_hand(folder, text, 2) for text in TEXTS]
    assert found.figures["layers_used"] == pytest.approx(np.mean([n for _, n in expected]))
    right = np.mean([x.argmax() == n % 3 for n, (x, _) in enumerate(expected)])
    assert found.figures["accuracy"] == pytest.approx(right)
    assert "layers_used" not in evaluate(folder, path).figures
    again = Predictor(folder, patience=2).classify(TEXTS)
    assert [answer.label for answer in again] == ["abc"[x.argmax()] for x, _ in expected]


def test_patience_without_such_classifiers_is_refused(
    tuned: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    for patience, source in ((0, tuned["regression"]), (1, tiny_model / "model")):
        with pytest.raises(PredictionError, match="patience|no classifiers"):
            Predictor(source, patience=patience)

    class Other:
        config, head, outputs = None, None, frozenset({"task"})

    predictor = Predictor(tuned["regression"])
    with pytest.raises(PredictionError, match="engine has no early exit"):
        replace(predictor.runner, engine=Other(), patience=1).task_logits(Batch.of([]))  # type: ignore


def test_others_open_the_folder_and_get_the_head(tuned: dict[str, Path]) -> None:
    folder = tuned["classification"]
    theirs = transformers.AlbertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = theirs(**tokenizer(TEXTS[6], return_tensors="pt")).logits[0]
    best = Predictor(folder).classify(TEXTS[6]).labels[0]
    assert best.probability == pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)


def test_a_conversion_keeps_the_classifiers_or_says_that_they_are_lost(
    tuned: dict[str, Path], tmp_path: Path
) -> None:
    before = Checkpoint.load(tuned["regression"]).exits
    convert(tuned["regression"], tmp_path / "hf", to="huggingface")
    after = Checkpoint.load(tmp_path / "hf").exits
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with pytest.raises(AlbertkitError, match="early exit"):
        convert(tuned["regression"], tmp_path / "tf", to="google_tf")


def test_classifiers_of_another_model_are_refused(tuned: dict[str, Path], tmp_path: Path) -> None:
    Checkpoint.load(tuned["classification"]).save(tmp_path / "model")
    (tmp_path / "model" / EARLY_EXIT).write_bytes((tuned["regression"] / EARLY_EXIT).read_bytes())
    with pytest.raises(CheckpointError, match="those of another model"):
        Checkpoint.load(tmp_path / "model")
    (tmp_path / "model" / EARLY_EXIT).write_bytes(b"damaged")
    with pytest.raises(CheckpointError):
        Checkpoint.load(tmp_path / "model")


def test_the_commands_take_patience(
    tuned: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = tmp_path / "test.jsonl", str(tuned["classification"])
    rows = [{"text": text, "label": "abc"[n % 3]} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [by_hand(tuned["classification"], text, 1) for text in TEXTS]
    layers = np.mean([depth for _, depth in expected])
    options = ["--model", folder, "--patience", "1"]
    assert main(["evaluate", str(path), *options]) == 0
    assert f"layers used, on average {layers:.4f}" in " ".join(capsys.readouterr().out.split())
    assert main(["predict", str(path), *options, "--output", str(tmp_path / "out.jsonl")]) == 0
    assert f"layers used: {layers:.2f} of 6 on average" in capsys.readouterr().out
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in written] == ["abc"[x.argmax()] for x, _ in expected]
    assert main(["classify", TEXTS[3], *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"][0]["label"] == written[3]["prediction"]


def test_long_calls_say_how_far_they_are(tuned: dict[str, Path], tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    predictor = Predictor(
        tuned["classification"], batch_size=16, progress=lambda *what: seen.append(what)
    )
    predictor.classify(TEXTS)
    assert seen == [("texts", 16, 40), ("texts", 32, 40), ("texts", 40, 40)]
    seen.clear()
    predictor.embed(TEXTS[:16])
    assert seen == []  # one batch
    path = tmp_path / "test.jsonl"
    rows = [{"text": text, "label": "abc"[n % 3]} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate(predictor, path, progress=lambda *what: seen.append(what))
    assert seen == [("examples", 16, 40), ("examples", 32, 40), ("examples", 40, 40)]


def test_a_bar_is_shown_on_a_terminal_alone(
    tuned: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(tuned["classification"], batch_size=16, progress=True)
    predictor.classify(TEXTS)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    predictor.classify(TEXTS)
    shown = capsys.readouterr().err
    assert "texts" in shown
    assert "40/40" in shown
