"""Heads of tasks: packed and padded batches agree, names are those of the checkpoint, errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError
from albertkit.model.albert import Albert
from albertkit.model.loading import build_body, build_task, tensors_of
from albertkit.model.outputs import TaskOutput
from albertkit.model.task_heads import AlbertForTask, barred
from albertkit.tasks.head import POOLINGS, TaskHead
from albertkit.tasks.kinds import KINDS

CONFIG = AlbertConfig(
    vocab_size=30,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.4,
)
LENGTHS = torch.tensor([7, 2, 5, 3])


def head_of(kind: str, **options: object) -> TaskHead:
    count = {"regression": 1, "multiple_choice": 1, "span": 2, "beam_span": 2}.get(kind, 3)
    return TaskHead(kind, count, **options)


def model_of(kind: str, **options: object) -> AlbertForTask:
    torch.manual_seed(0)
    return AlbertForTask(CONFIG, head_of(kind, **options)).eval()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Ids, types, and which places are real; four rows of seven."""
    torch.manual_seed(1)
    ids = torch.randint(0, CONFIG.vocab_size, (4, 7))
    return ids, torch.arange(7).expand(4, 7) // 3 % 2, torch.arange(7) < LENGTHS[:, None]


def parts(output: TaskOutput, real: Tensor | None) -> list[Tensor]:
    """All that a head gives, at real places if there are others."""
    if output.beam is not None:
        beam = output.beam
        return [beam.start_scores, beam.end_scores, beam.end_places, beam.unanswerable]
    found = [x for x in (output.logits, output.start, output.end) if x is not None]
    shape = (4, 7)
    return [x[real] if real is not None and x.shape[:2] == shape else x for x in found]


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [*((kind, "first") for kind in KINDS), *(("classification", p) for p in POOLINGS[1:])],
)
def test_packed_rows_give_what_padded_rows_give(kind: str, pooling: str) -> None:
    # Rows allow more places than the beam is wide, or ties would be compared.
    options = {"start_n_top": 2, "end_n_top": 1} if kind == "beam_span" else {"pooling": pooling}
    model = model_of(kind, **options)
    ids, types, real = batch()
    lengths = LENGTHS
    if kind == "multiple_choice":
        lengths = LENGTHS.view(2, 2)
        shape = (2, 2, 7)
        padded = model(ids.view(shape), types.view(shape), mask=real.view(shape))
        assert padded.logits.shape == (2, 2)
    else:
        padded = model(ids, types, mask=real)
    packed = model(ids[real], types[real], lengths=lengths)
    for one, other in zip(parts(padded, real), parts(packed, None), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_have_the_names_and_shapes_of_the_checkpoint(kind: str) -> None:
    model, head = model_of(kind), head_of(kind)
    found = {name: tuple(x.shape) for name, x in model.named_parameters()}
    mine = {name: shape for name, shape in found.items() if not name.startswith("albert.")}
    assert mine == head.shapes(CONFIG.hidden_size)
    Checkpoint(CONFIG, tensors_of(model), head=head)


def test_dropout_stands_before_the_classifier_and_only_while_training() -> None:
    ids, types, real = batch()
    for kind in ("classification", "token_classification"):
        model = model_of(kind)
        calm = model(ids, types, mask=real).logits
        assert torch.equal(calm, model(ids, types, mask=real).logits)
        model.train()
        assert not torch.equal(calm, model(ids, types, mask=real).logits)
    span = model_of("span").train()  # google's and transformers' span heads have none
    assert torch.equal(span(ids, types, mask=real).start, span(ids, types, mask=real).start)


def test_answers_stay_where_they_may_stand() -> None:
    ids, types, real = batch()
    allowed = torch.zeros(4, 7, dtype=torch.bool)
    allowed[:, [0, 1]] = True
    beam = model_of("beam_span", start_n_top=2, end_n_top=2)(
        ids, types, mask=real, allowed=allowed
    ).beam
    assert set(beam.start_places.unique().tolist()) == {0, 1}
    assert set(beam.end_places.unique().tolist()) == {0, 1}
    torch.testing.assert_close(beam.starts.exp().sum(-1), torch.ones(4))
    assert beam.ends is None


def test_a_beam_is_no_wider_than_its_rows() -> None:
    ids, types, _ = batch()
    beam = model_of("beam_span", start_n_top=9, end_n_top=20)(ids, types).beam
    assert beam.start_scores.shape == (4, 7)
    assert beam.end_scores.shape == (4, 7, 7)


def test_barred_places_are_finite_in_half_precision() -> None:
    logits = torch.zeros(1, 3, dtype=torch.float16)
    found = barred(logits, torch.tensor([[True, False, True]]))
    assert torch.isfinite(found).all()
    assert found.float().softmax(-1).tolist() == [[0.5, 0.0, 0.5]]


def test_rows_are_pooled_alike_with_two_segment_rows_and_with_three() -> None:
    """A model of UER-py says the same when its padding row of segments is taken away."""
    ids, types, real = batch()
    native = replace(CONFIG, layer_norm_kind="uer", type_vocab_size=3)
    for pooling in POOLINGS:
        head = head_of("classification", pooling=pooling)
        torch.manual_seed(0)
        three = AlbertForTask(native, head).eval()
        two = AlbertForTask(replace(native, type_vocab_size=2), head).eval()
        name = "albert.embeddings.segment.weight"
        two.load_state_dict({**three.state_dict(), name: three.state_dict()[name][1:]})
        expected = three(ids, types, mask=real).logits
        torch.testing.assert_close(two(ids, types, mask=real).logits, expected)
        torch.testing.assert_close(two(ids).logits, three(ids).logits)
        assert torch.isfinite(expected).all()


def test_a_body_can_be_shared() -> None:
    model, head = model_of("classification"), head_of("classification")
    checkpoint = Checkpoint(CONFIG, tensors_of(model), head=head)
    body = build_body(checkpoint)
    task = build_task(checkpoint, body)
    assert task.albert is body
    ids, types, real = batch()
    again = task(ids, types, mask=real).logits
    torch.testing.assert_close(again, model(ids, types, mask=real).logits)


def test_what_does_not_fit_is_reported() -> None:
    ids, types, real = batch()
    body = Checkpoint(CONFIG, tensors_of(Albert(CONFIG)))
    with pytest.raises(CheckpointError, match="not fine-tuned"):
        build_task(body)
    with pytest.raises(ConfigError, match="several rows for one question"):
        model_of("multiple_choice")(ids, types)
    with pytest.raises(ConfigError, match="several rows for one question"):
        model_of("multiple_choice")(ids[real], lengths=LENGTHS)
    for wrong in (real[:, :3], real.long()):
        with pytest.raises(ConfigError, match="places allowed"):
            model_of("beam_span")(ids, types, allowed=wrong)
