"""Normalisations that google's program names after Keras' layers when it runs on TensorFlow 2.

There `tf.keras.layers.LayerNormalization` stands in the place of contrib's, whose variables were
shared by their scope: each call makes variables of its own, counted through the whole graph
(`layer_normalization_3`), inside the name scope of its layer (`group_0_1/layer_1`). The matrices
are still shared. Such a model is one group for each layer, with equal matrices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TRANSFORMER = "bert/encoder/transformer/"
_OF_LAYER = re.compile(
    rf"{_TRANSFORMER}group_(\d{{1,6}})(?:_\d{{1,6}})?/layer_(\d{{1,6}})/inner_group_(\d{{1,6}})/"
    r"layer_normalization(?:_(\d{1,6}))?/(beta|gamma)"
)
_OF_GROUP = re.compile(rf"{_TRANSFORMER}group_(\d{{1,6}})/(.*)")
_OUTSIDE = re.compile(r"(.*)/layer_normalization(?:_\d{1,6})?/(beta|gamma)")


def rename(files: Mapping[str, str]) -> tuple[dict[str, str], dict[int, int]]:
    """The variables with a group for each layer, and for each group the one that has its matrices.

    Args:
        files: plain name to name in the file. Given back as they are, with an empty second part,
            where the normalisations are not named in this way.
    """
    found = {name: match for name in files if (match := _OF_LAYER.fullmatch(name))}
    groups = {int(match[2]): int(match[1]) for match in found.values()}  # of each layer
    if not found or sorted(groups) != list(range(len(groups))):
        return dict(files), {}
    first: dict[int, int] = {}  # layer of each group
    for layer in range(len(groups)):
        first.setdefault(groups[layer], layer)
    counted: dict[tuple[str, str], set[int]] = {}
    for match in found.values():
        counted.setdefault((match[2], match[3]), set()).add(int(match[4] or 0))
    if any(len(numbers) != 2 for numbers in counted.values()):
        return dict(files), {}
    renamed = {}
    for name, in_file in files.items():
        if name in found:
            match = found[name]
            second = int(match[4] or 0) == max(counted[match[2], match[3]])
            place = f"{_TRANSFORMER}group_{match[2]}/inner_group_{match[3]}/LayerNorm"
            plain = f"{place}{'_1' if second else ''}/{match[5]}"
        else:
            plain = _renamed(name, first)
        if plain in renamed:
            return dict(files), {}
        renamed[plain] = in_file
    return renamed, {layer: first[group] for layer, group in groups.items()}


def _renamed(name: str, first: Mapping[int, int]) -> str:
    """A variable that is not a normalisation of a layer; `first`: the first layer of each group."""
    matrix = _OF_GROUP.fullmatch(name)
    if matrix is not None and int(matrix[1]) in first:
        return f"{_TRANSFORMER}group_{first[int(matrix[1])]}/{matrix[2]}"
    outside = _OUTSIDE.fullmatch(name)
    return name if outside is None else f"{outside[1]}/LayerNorm/{outside[2]}"
