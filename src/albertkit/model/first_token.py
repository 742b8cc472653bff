"""Attention for the first token of each row alone, without keys and values of the others.

A pooled vector needs no more of the last layer. With q the query of a first token, in a head with
the matrices K and V (D, H):

    score of a token x     q . (K x + b) = (K^T q) . x + q . b
    average of the values  sum w (V x + c) = V (sum w x) + c sum w

So K and V are applied once a row and head instead of once a token. The result differs by rounding
alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from albertkit.model import kernels
from albertkit.model.packing import Layout

if TYPE_CHECKING:
    from albertkit.model.albert import Attention


def first_token_attention(attention: Attention, source: Tensor, layout: Layout) -> Tensor:
    """What `attention.look` gives for the first token of each row, (B, H); source: (S, H).

    In bfloat16 on a CPU it is computed in float32: the shapes of its small products, B and T, are
    new in every batch, see kernels.py.
    """
    query = attention.query(source.index_select(0, layout.first))  # (B, H)
    if not kernels.computes_in_bfloat16(attention.key.weight):
        return _look(attention, query, source, layout)
    with torch.autocast("cpu", enabled=False):
        return _look(attention, query.float(), source.float(), layout).to(query.dtype)


def _look(attention: Attention, query: Tensor, source: Tensor, layout: Layout) -> Tensor:
    """The same for the queries (B, H) of the first tokens."""
    split = (attention.heads, attention.head_width)
    maps = (attention.key, attention.value)
    key, value = (x.weight.to(query.dtype).unflatten(0, split) for x in maps)
    key_bias, value_bias = (x.bias.to(query.dtype).view(split) for x in maps)
    query = query.unflatten(-1, split) / math.sqrt(attention.head_width)  # (B, N, D)
    projected = torch.einsum("bnd,ndh->bnh", query, key)  # K^T q
    tokens = layout.to_padded(source)  # (B, T, H)
    # The same for all tokens, so softmax takes it away; but the bias has a gradient as elsewhere.
    constant = (query * key_bias).sum(-1, keepdim=True)  # (B, N, 1)
    scores = projected @ tokens.transpose(1, 2) + constant  # (B, N, T)
    if layout.mask is not None:
        scores = scores.masked_fill(~layout.mask[:, 0], torch.finfo(scores.dtype).min)
    dropout = attention.probability_dropout
    weights = F.dropout(scores.softmax(-1), dropout, attention.training)
    context = torch.einsum("bnh,ndh->bnd", weights @ tokens, value)
    bias = value_bias * weights.sum(-1, keepdim=True)  # 1 without dropout
    return (context + bias).flatten(1)
