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

from albertkit.model.packing import Layout

if TYPE_CHECKING:
    from albertkit.model.albert import Attention


def first_token_attention(attention: Attention, source: Tensor, layout: Layout) -> Tensor:
    """What `attention.look` gives for the first token of each row, (B, H); source: (S, H)."""
    split = (attention.heads, attention.head_width)
    key, value = (x.weight.unflatten(0, split) for x in (attention.key, attention.value))
    query = attention.query(source.index_select(0, layout.first)).unflatten(-1, split)  # (B, N, D)
    query = query / math.sqrt(attention.head_width)
    projected = torch.einsum("bnd,ndh->bnh", query, key)  # K^T q
    tokens = layout.to_padded(source)  # (B, T, H)
    # The same for all tokens, so softmax takes it away; but the bias has a gradient as elsewhere.
    constant = (query * attention.key.bias.view(split)).sum(-1, keepdim=True)  # (B, N, 1)
    scores = projected @ tokens.transpose(1, 2) + constant  # (B, N, T)
    if layout.mask is not None:
        scores = scores.masked_fill(~layout.mask[:, 0], torch.finfo(scores.dtype).min)
    dropout = attention.probability_dropout
    weights = F.dropout(scores.softmax(-1), dropout, attention.training)
    context = torch.einsum("bnh,ndh->bnd", weights @ tokens, value)
    bias = attention.value.bias.view(split) * weights.sum(-1, keepdim=True)  # 1 without dropout
    return (context + bias).flatten(1)
