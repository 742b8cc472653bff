"""ALBERT, the whole network. Read from the bottom: Albert, Encoder, its blocks, the embeddings.

Axes, as written at line ends:

    B  rows of the batch        V  vocabulary             N  attention heads
    T  columns (longest row)    E  embedding width        D  width of a head, H / N
    S  tokens in the batch      H  hidden width           I  width inside the feed-forward

Inside the model a batch is always a flat list of S tokens. A padded batch is the case
S = B * T; a packed batch leaves the padding out. Only attention looks at rows, and asks the
`Layout` for them. Lan et al. 2019 (arXiv 1909.11942); the numbers are those of
google-research/albert, modeling.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError
from albertkit.model import kernels
from albertkit.model.checks import first_segment
from albertkit.model.first_token import first_token_attention
from albertkit.model.outputs import AlbertOutput, with_transformers_arguments
from albertkit.model.packing import Layout, Part

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "gelu_erf": F.gelu,
    "relu": F.relu,
    "tanh": torch.tanh,
    "linear": nn.Identity(),
    "silu": F.silu,
}


class UerLayerNorm(nn.Module):
    """UER's normalisation: deviation of n - 1, epsilon added to the deviation.

    Source: dbiir/UER-py, uer/layers/layer_norm.py.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        deviation = x.std(-1, keepdim=True, unbiased=True) + self.eps
        return self.weight * ((x - x.mean(-1, keepdim=True)) / deviation) + self.bias


class GroupedLinear(nn.Module):
    """`groups` independent linear maps: input slice g takes every groups-th feature from g on.

    Weight (groups, out / groups, in / groups). Source: brightmart/albert_zh,
    modeling_google_fast.py, where slices interleave on the way in and follow one another on the
    way out.
    """

    def __init__(self, width_in: int, width_out: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(groups, width_out // groups, width_in // groups))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(-1, (-1, self.groups))  # (S, in/G, G)
        return torch.einsum("sig,goi->sgo", x, self.weight).flatten(1) + self.bias


def make_norm(config: AlbertConfig, width: int, eps: float | None = None) -> nn.Module:
    """Normalisation over the last axis, of the kind that the config names."""
    kind = UerLayerNorm if config.layer_norm_kind == "uer" else nn.LayerNorm
    return kind(width, eps=config.layer_norm_eps if eps is None else eps)


def make_feed_forward_part(config: AlbertConfig, width_in: int, width_out: int) -> nn.Module:
    """One of the two maps of a feed-forward block."""
    if config.ffn_groups > 1:
        return GroupedLinear(width_in, width_out, config.ffn_groups)
    return nn.Linear(width_in, width_out)


def make_embedding(rows: int, width: int) -> nn.Embedding:
    """A table with random values, or with none on the meta device.

    Random values on the meta device would import torch's compiler: more than a second.
    """
    table = torch.empty(rows, width)
    if table.is_meta:
        return nn.Embedding.from_pretrained(table, freeze=False)
    return nn.Embedding(rows, width)


class Embeddings(nn.Module):
    """Ids to vectors of width H: word + position + segment, normalised, brought to width H.

    Segments are 0 and 1. Where the table has a row for padding before them (UER-py), they are
    counted on from `first_segment` here and nowhere else.

    albert_zh's own layout (`project_then_norm`) projects the words first and adds positions and
    types at width H; google adds and normalises at width E, then projects.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.project_first = config.embedding_order == "project_then_norm"
        width = config.hidden_size if self.project_first else config.embedding_size
        self.word = make_embedding(config.vocab_size, config.embedding_size)
        self.position = make_embedding(config.max_position_embeddings, width)
        self.segment = make_embedding(config.type_vocab_size, width)
        self.first_segment = first_segment(config)
        self.norm = make_norm(config, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.projection = (
            nn.Linear(config.embedding_size, config.hidden_size, bias=config.projection_bias)
            if config.has_projection
            else None
        )

    def project(self, x: Tensor) -> Tensor:
        """Width E to width H."""
        return x if self.projection is None else self.projection(x)

    def forward(self, ids: Tensor, segment_ids: Tensor | None, positions: Tensor) -> Tensor:
        x = self.word(ids)  # (S, E)
        if self.project_first:
            x = self.project(x)  # (S, H)
        x = x + self.position(positions)
        if segment_ids is None:
            x = x + self.segment.weight[self.first_segment]
        else:
            x = x + self.segment(segment_ids + self.first_segment)
        x = self.dropout(self.norm(x))
        return x if self.project_first else self.project(x)  # (S, H)


class Attention(nn.Module):
    """Every token looks at the tokens of its row; residual and normalisation included."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.head_width = config.num_attention_heads, config.head_width
        self.pre_norm = config.norm_order == "pre"
        self.probability_dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm = make_norm(config, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        probabilities: list[Tensor] | None,
        needed: Tensor | None = None,
    ) -> Tensor:
        source = self.norm(x) if self.pre_norm else x  # (S, H)
        if needed is not None and len(needed) == layout.batch_size:  # the first of each row alone
            mixed = first_token_attention(self, source, layout)  # (B, H)
        else:
            states = [part(source) for part in (self.query, self.key, self.value)]
            mixed = self.look(states, layout, probabilities)  # (S, H)
            mixed = mixed if needed is None else mixed.index_select(0, needed)  # (M, H)
        x = x if needed is None else x.index_select(0, needed)
        x = x + self.dropout(self.output(mixed))
        return x if self.pre_norm else self.norm(x)

    def look(
        self, states: list[Tensor], layout: Layout, probabilities: list[Tensor] | None
    ) -> Tensor:
        """What each token sees in its row (S, H); states: queries, keys and values (S, H)."""
        if layout.parts and probabilities is None:
            return self.look_by_parts(states, layout.parts)
        split = (self.heads, self.head_width)
        query, key, value = (
            layout.to_padded(x).unflatten(-1, split).transpose(1, 2) for x in states
        )  # (B, N, T, D) each
        mixed = self.mix(query, key, value, layout.mask, probabilities)  # (B, N, T, D)
        return layout.to_packed(mixed.transpose(1, 2).flatten(2), len(states[0]))

    def look_by_parts(self, states: list[Tensor], parts: Sequence[Part]) -> Tensor:
        """As `look`, one part after the other; in float32 where that is faster."""
        seen = []
        for part in parts:
            mine = [x.index_select(0, part.tokens) for x in states]
            in_float32 = kernels.is_faster_in_float32(mine[0], part.layout.max_length)
            with torch.autocast("cpu", enabled=False) if in_float32 else nullcontext():
                mine = [x.float() for x in mine] if in_float32 else mine
                seen.append(self.look(mine, part.layout, None).to(states[0].dtype))
        order = torch.cat([part.tokens for part in parts])
        return torch.zeros_like(states[0]).index_copy(0, order, torch.cat(seen))

    def mix(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        probabilities: list[Tensor] | None,
    ) -> Tensor:
        """Averages of the values; written out to keep the probabilities, or for speed."""
        dropout = self.probability_dropout if self.training else 0.0
        if probabilities is None and not kernels.is_faster_written_out(query):
            return F.scaled_dot_product_attention(query, key, value, mask, dropout)
        scores = query @ key.transpose(2, 3) / math.sqrt(self.head_width)  # (B, N, T, T)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = F.dropout(scores.softmax(-1), dropout, self.training)
        if probabilities is not None:
            probabilities.append(weights)
        return weights @ value


class FeedForward(nn.Module):
    """Two linear maps with an activation between; residual and normalisation included.

    Dropout stands after the second map, as in google's code (transformers makes it but never
    calls it).
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.pre_norm = config.norm_order == "pre"
        self.activation = ACTIVATIONS[config.hidden_act]
        self.up = make_feed_forward_part(config, config.hidden_size, config.intermediate_size)
        self.down = make_feed_forward_part(config, config.intermediate_size, config.hidden_size)
        self.norm = make_norm(config, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.activation(self.up(self.norm(x) if self.pre_norm else x))  # (S, I)
        x = x + self.dropout(self.down(inner))  # (S, H)
        return x if self.pre_norm else self.norm(x)


class Encoder(nn.Module):
    """The layers: a plan of which block each uses, and the blocks, most of them used many times.

    Blocks are kept by their number in the plan; numbers that no layer uses have no block, as in
    google's code. Behind the attention of the last layer tokens no longer look at one another:
    from there on only the `needed` ones are computed.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.plan = [
            (
                f"attention.{config.attention_block(layer)}.{inner}",
                f"feed_forward.{config.feed_forward_block(layer)}.{inner}",
            )
            for layer in range(config.num_hidden_layers)
            for inner in range(config.inner_group_num)
        ]
        inner = range(config.inner_group_num)
        self.attention = nn.ModuleDict(
            {
                str(n): nn.ModuleList(Attention(config) for _ in inner)
                for n in config.attention_blocks
            }
        )
        self.feed_forward = nn.ModuleDict(
            {
                str(n): nn.ModuleList(FeedForward(config) for _ in inner)
                for n in config.feed_forward_blocks
            }
        )
        self.norm = make_norm(config, config.hidden_size) if config.final_norm else None

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        states: list[Tensor],
        probabilities: list[Tensor] | None,
        needed: Tensor | None = None,
    ) -> Tensor:
        for number in range(len(self.plan)):
            rest = needed if number == len(self.plan) - 1 else None
            x = self.layer(number, x, layout, probabilities, rest)
            if probabilities is not None:
                states.append(self.finish(x))
        return self.finish(x)

    def layer(
        self,
        number: int,
        x: Tensor,
        layout: Layout,
        probabilities: list[Tensor] | None = None,
        needed: Tensor | None = None,
    ) -> Tensor:
        """One layer of the plan, (S, H) to (S, H), or to the needed ones of them."""
        attend, feed = self.plan[number]
        x = self.get_submodule(attend)(x, layout, probabilities, needed)
        return self.get_submodule(feed)(x)

    def finish(self, x: Tensor) -> Tensor:
        """What an encoder that stopped here would give: with `final_norm` one more norm."""
        return x if self.norm is None else self.norm(x)


class Albert(nn.Module):
    """The body of every ALBERT: ids in, one vector for each token and one for each row out."""

    def __init__(self, config: AlbertConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        self.few_shapes = False  # whether packed tokens are padded to few numbers of them
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if pooler else None
        initialize(self, config.initializer_range)

    @with_transformers_arguments
    def forward(
        self,
        ids: Tensor,
        segment_ids: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        positions: Tensor | None = None,
        return_all: bool = False,
    ) -> AlbertOutput:
        """Encode a padded batch, ids (B, T), or a packed one, ids (S,) with lengths (B,).

        Args:
            ids: integers below vocab_size; packed sequences follow one another.
            segment_ids: 0 or 1 for each token, shaped like ids; 0 if left out.
            mask: padded only; (B, T) bool, True for tokens that may be looked at.
            lengths: tokens of each sequence, on the CPU; padded or packed.
            positions: (M,) the tokens whose vectors are needed, as indices into B * T, or S when
                packed; `hidden` is then (M, H), and the last layer is computed for these and the
                first token of each sequence alone (faster). Empty if `pooled` is all that counts.
                Not with return_all.
            return_all: also keep every hidden state and attention (slower).

        transformers' names of these work too: input_ids, token_type_ids, attention_mask.

        Raises:
            ConfigError: ids, segment_ids, positions or lengths that this model has no room for.
        """
        if return_all and positions is not None:
            raise ConfigError(
                "Every state is asked for, and the tokens of some positions alone.",
                expected="one of return_all and positions",
                found="both",
                fix="leave positions out, and index hidden_states",
            )
        layout = Layout.of(self.config, ids, segment_ids, mask, lengths)
        segments = None if segment_ids is None else segment_ids.flatten()
        uneven = layout.parts and kernels.computes_in_bfloat16(self.embeddings.word.weight)
        tokens = (ids.flatten(), segments, layout.positions)
        if not return_all and (uneven or self.few_shapes):
            tokens = kernels.pad_to_multiple(*tokens)
        x = self.embeddings(*tokens)  # (S, H)
        states = [x] if return_all else []
        probabilities: list[Tensor] | None = [] if return_all else None
        needed = None if positions is None else torch.cat([layout.first, positions])
        x = self.encoder(x, layout, states, probabilities, needed)
        shape = (*ids.shape, -1)
        if needed is None:
            x = x[: ids.numel()]
            first, hidden = x.index_select(0, layout.first), x.view(shape)
        else:
            first, hidden = x.tensor_split([layout.batch_size])  # (B, H), (M, H)
        pooled = None if self.pooler is None else torch.tanh(self.pooler(first))
        return AlbertOutput(
            hidden=hidden,
            pooled=pooled,
            hidden_states=tuple(state.view(shape) for state in states),
            attentions=tuple(probabilities or ()),
        )


@torch.no_grad()
def initialize(module: nn.Module, spread: float) -> None:
    """Google's initial values: normal(0, spread) cut at two deviations; biases 0, scales 1."""
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            continue  # it has no values
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.ndim == 1:  # scale of a normalisation
            parameter.fill_(1.0)
        else:
            nn.init.trunc_normal_(parameter, std=spread, a=-2 * spread, b=2 * spread)
