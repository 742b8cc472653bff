"""Batches up to so many tokens; an answer does not depend on the texts that it is computed with."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.infer.batches import by_length
from albertkit.infer.calibration import sample_texts
from albertkit.infer.engine import run_checked
from albertkit.infer.predictor import Predictor
from albertkit.infer.torch_engine import TorchEngine
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead


def test_batches_go_by_length_and_their_rectangles_have_at_most_so_many_tokens() -> None:
    lengths = [5, 1, 4, 2, 3, 20]
    # 20 is too long for any; 2 rows of 4 are 8 tokens, and 4 rows of 2
    assert by_length(lengths, None, 8) == [[5], [0], [2, 4], [3, 1]]
    assert by_length(lengths, 1, 8) == [[5], [0], [2], [4], [3], [1]]
    assert by_length(lengths, 4, 1000) == [[5, 0, 2, 4], [3, 1]]
    assert by_length([], None, 8) == []


def test_a_run_on_a_cpu_has_fewer_tokens_than_one_on_a_gpu() -> None:
    assert Predictor().batch_tokens == 1024
    assert Predictor(device="cuda").batch_tokens == 4096  # nothing is opened before the first text
    assert Predictor(device="cuda", batch_tokens=7).batch_tokens == 7


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_tokens": 0}])
def test_limits_below_one_are_refused_when_the_model_is_opened(
    tiny_model: Path, wrong: dict[str, int]
) -> None:
    with pytest.raises(PredictionError, match=f"{next(iter(wrong))} must be 1 or more"):
        Predictor(tiny_model / "model", **wrong)


def test_the_predictor_runs_batches_of_so_many_tokens(tiny_model: Path) -> None:
    texts = ["the cat sat on the mat .", "a", "the", "a dog ran"] * 3
    predictor = Predictor(tiny_model / "model", batch_tokens=12)
    sizes: list[tuple[int, int]] = []
    run = predictor.engine.run

    def counted(batch: Batch, *question: object) -> dict[str, np.ndarray]:
        sizes.append((len(batch), int(batch.lengths.max())))
        return run(batch, *question)

    predictor.engine.run = counted  # type: ignore[method-assign]
    found = predictor.embed(texts)
    assert sum(rows for rows, _ in sizes) == len(texts)
    assert all(rows * longest <= 12 for rows, longest in sizes)
    alone = [predictor.embed(text) for text in texts]
    np.testing.assert_allclose(found, np.stack(alone), atol=1e-5)


@pytest.mark.parametrize("name", ["tiny-en", "tiny-zh"])
def test_answers_of_the_models_that_ship_do_not_depend_on_the_batch(name: str) -> None:
    base = Checkpoint.load(f"albertkit/{name}")
    torch.manual_seed(3)
    head = TaskHead("classification", 5)
    own = tensors_of(AlbertForTask(base.config, head))
    tensors = own | {x: base.tensors[x] for x in own if x in base.tensors}
    engine = TorchEngine(Checkpoint(base.config, tensors, base.tokenizer, head=head))
    draw = random.Random(4)
    sentences = sample_texts(base.tokenizer)
    texts = [" ".join(draw.choices(sentences, k=k)) for k in (1, 2, 3, 7) * 3]
    texts += [text[: draw.randint(1, 40)] for text in texts[:8]]
    limit = base.config.max_position_embeddings
    encodings = [base.tokenizer.encode(text, max_tokens=limit) for text in texts]
    assert len({len(x.ids) for x in encodings}) > 10
    want = ("task", "pooled", "hidden")
    alone = [run_checked(engine, Batch.of([x]), want) for x in encodings]
    for _ in range(2):
        order = draw.sample(range(len(texts)), len(texts))
        while order:
            part = [order.pop() for _ in range(min(len(order), draw.randint(2, 12)))]
            batch = Batch.of([encodings[i] for i in part])
            found = run_checked(engine, batch, want)
            rows = zip(
                part, found["task"], found["pooled"], batch.split(found["hidden"]), strict=True
            )
            for i, *outputs in rows:
                for output, expected in zip(outputs, (alone[i][x] for x in want), strict=True):
                    expected = expected[0] if expected.ndim > output.ndim else expected
                    scale = max(1.0, float(np.abs(expected).max()))
                    assert np.abs(output - expected).max() <= 1e-5 * scale
                best = np.sort(alone[i]["task"][0])
                if best[-1] - best[-2] > 1e-3:
                    assert outputs[0].argmax() == alone[i]["task"][0].argmax()
