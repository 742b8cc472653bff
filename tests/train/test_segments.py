"""Pretraining and prediction number segments alike, whatever table the model has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from albertkit.config import AlbertConfig
from albertkit.data.batch import Batch
from albertkit.model.albert import Albert
from albertkit.model.checks import first_segment
from albertkit.text.encoding import Encoding

PLAIN = AlbertConfig(
    vocab_size=30,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
)


@pytest.mark.parametrize(
    ("kind", "segments", "used"), [("standard", 2, [0, 1]), ("uer", 3, [1, 2])]
)
def test_segments_0_and_1_train_the_rows_that_answers_use(
    kind: str, segments: int, used: list[int]
) -> None:
    """The batch holds 0 and 1; the rows of the table that get a gradient are the model's."""
    config = replace(PLAIN, layer_norm_kind=kind, type_vocab_size=segments)
    assert first_segment(config) == used[0]
    model = Albert(config)
    encoding = Encoding([2, 7, 3, 9, 3], [0, 0, 0, 1, 1], [(0, 0)] * 5, [True] * 5)
    batch = Batch.of([encoding, encoding])
    np.testing.assert_array_equal(batch.segment_ids, [0, 0, 0, 1, 1] * 2)
    output = model(
        torch.from_numpy(batch.ids),
        torch.from_numpy(batch.segment_ids),
        lengths=torch.from_numpy(batch.lengths),
    )
    output.hidden.square().sum().backward()
    rows = model.embeddings.segment.weight.grad.abs().sum(1)
    assert rows.nonzero().flatten().tolist() == used
