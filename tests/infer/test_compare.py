"""Two checkpoints on one batch: each output's difference is the one that was put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError
from albertkit.infer.compare import check_forward
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import KINDS

SMALL = AlbertConfig(
    vocab_size=40,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
    initializer_range=0.3,
)


def pretrained(config: AlbertConfig = SMALL) -> Checkpoint:
    torch.manual_seed(1)
    return Checkpoint(config, tensors_of(AlbertForPretraining(config)))


def changed(checkpoint: Checkpoint, name: str, by: float) -> Checkpoint:
    tensors = {**checkpoint.tensors, name: checkpoint.tensors[name] + np.float32(by)}
    return replace(checkpoint, tensors=tensors)


def test_a_checkpoint_does_not_differ_from_itself() -> None:
    same = dict.fromkeys(["hidden", "pooled", "mlm", "order"], 0.0)
    assert check_forward(pretrained(), pretrained()) == same


@pytest.mark.parametrize(
    ("name", "output"), [("masked_lm.bias", "mlm"), ("sentence_order.bias", "order")]
)
def test_a_shifted_bias_shows_in_its_output_alone(name: str, output: str) -> None:
    found = check_forward(pretrained(), changed(pretrained(), name, 0.5))
    assert found.pop(output) == pytest.approx(0.5, abs=1e-5)
    assert set(found.values()) == {0.0}


def test_a_change_in_the_body_shows_everywhere() -> None:
    other = changed(pretrained(), "albert.encoder.feed_forward.0.0.norm.bias", 0.1)
    assert min(check_forward(pretrained(), other).values()) > 0.01


def test_a_head_that_one_of_them_lacks_is_left_out() -> None:
    whole = pretrained()
    body = {n: x for n, x in whole.tensors.items() if n.startswith("albert.")}
    bare = {n: x for n, x in body.items() if not n.startswith("albert.pooler")}
    assert check_forward(whole, Checkpoint(SMALL, body)) == {"hidden": 0.0, "pooled": 0.0}
    assert check_forward(Checkpoint(SMALL, bare), whole) == {"hidden": 0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_of_a_task_is_compared(kind: str) -> None:
    count = {"regression": 1, "multiple_choice": 1}.get(kind, 2)
    head = TaskHead(kind, count)
    torch.manual_seed(2)
    one = Checkpoint(SMALL, tensors_of(AlbertForTask(SMALL, head)), head=head)
    assert check_forward(one, one) == {"hidden": 0.0, "pooled": 0.0, "head": 0.0}
    if kind == "beam_span":
        other = changed(one, "beam_span.answer.weight", 0.5)
        assert check_forward(one, other)["head"] > 0.1
    else:
        other = changed(one, f"{head.part}.bias", 0.25)
        assert check_forward(one, other)["head"] == pytest.approx(0.25, abs=1e-5)


def test_three_segment_rows_are_compared_with_the_two_that_are_used() -> None:
    native = replace(SMALL, layer_norm_kind="uer", type_vocab_size=3)
    one = pretrained(native)
    name = "albert.embeddings.segment.weight"
    two = {**one.tensors, name: one.tensors[name][1:]}
    other = Checkpoint(replace(native, type_vocab_size=2), two)
    assert set(check_forward(one, other).values()) == {0.0}


def test_another_vocabulary_cannot_be_compared() -> None:
    with pytest.raises(CheckpointError, match="same batch"):
        check_forward(pretrained(), pretrained(replace(SMALL, vocab_size=41)))
