"""Pieces of tensors: the same numbers in row order, however the tensor lies in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albertkit.checkpoint.formats.memory_map import chunk_slices, chunks, contiguous


@st.composite
def views(draw: st.DrawFn) -> np.ndarray:
    """Any view: axes in any order, steps, sizes of one and none, axes split and merged."""
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 7, 40, 150]), min_size=0, max_size=3))
    array = (np.arange(int(np.prod(shape))) % 2048).astype(np.float32).reshape(shape)
    array = array.transpose(draw(st.permutations(range(len(shape)))))
    steps = tuple(slice(None, None, draw(st.sampled_from([1, 1, 1, 2, -1]))) for _ in shape)
    array = array[steps]
    if array.ndim == 2 and array.shape[1] % 2 == 0 and draw(st.booleans()):
        array = array.reshape(array.shape[0], 2, array.shape[1] // 2)
    return array


@settings(max_examples=300, deadline=None)
@given(view=views(), kind=st.sampled_from(["<f4", "f8", "f2"]))
def test_any_view_in_row_order(view: np.ndarray, kind: str) -> None:
    found = contiguous(view, kind)
    assert found.flags.c_contiguous
    assert found.dtype == np.dtype(kind)
    assert found.shape == view.shape
    np.testing.assert_array_equal(found, view.astype(kind))


def test_what_lies_in_row_order_is_not_copied() -> None:
    array = np.ones((300, 500), np.float32)
    assert np.shares_memory(contiguous(array, np.float32), array)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_blocks_are_the_tensor_bit_by_bit(axes: tuple[int, ...]) -> None:
    # Large enough for several pieces; NaNs with a payload of their own must stay as they are.
    bits = np.random.default_rng(0).integers(0, 2**32, (64, 130, 700), dtype=np.uint32)
    tensor = bits.view(np.float32).transpose(axes)
    found = list(chunks(tensor))
    assert len(found) > 1
    assert [len(block) for block in found] == [len(tensor[piece]) for piece in chunk_slices(tensor)]
    assert max(block.nbytes for block in found) <= max(4 << 20, tensor[:1].nbytes)
    np.testing.assert_array_equal(
        np.concatenate(found).view(np.uint32), np.ascontiguousarray(bits.transpose(axes))
    )
