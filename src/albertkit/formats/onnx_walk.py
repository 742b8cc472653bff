"""The walk through an ONNX graph from the word table to the outputs: which weight is which.

A tensor is known by its place in the flow of numbers alone. Embeddings stand here, with the
layers and what each of them is made of; heads are in onnx_heads.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from albertkit.errors import CheckpointError
from albertkit.formats.onnx_expand import POSITIONS
from albertkit.formats.onnx_parts import Linear, Lookup, Parts, Weight
from albertkit.formats.onnx_probe import Norm, Probe, no_albert

# Weights of one block under the last part of our name: "query.weight" and so on.
Block = dict[str, Weight]


_ROLES = ("position", "segment")
_ADDED_UP = "rows that were looked up"


@dataclass
class Found:
    """What the walk tells.

    tensors: by our names, without the blocks. attention, feed_forward: the blocks in the order
    in which they run, each time one is used. facts: config keys.
    """

    tensors: dict[str, Weight] = field(default_factory=dict)
    attention: list[Block] = field(default_factory=list)
    feed_forward: list[Block] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)  # name in the file: of which other
    explained: set[int] = field(default_factory=set)  # ids of the parts that were met

    def fact(self, key: str, value: Any) -> None:
        """Keep what one place tells.

        Raises:
            CheckpointError: another place tells something else.
        """
        if self.facts.setdefault(key, value) != value:
            raise no_albert(f"{key} {self.facts[key]} and {value}", "the same in every layer")


def put_linear(found: Found, name: str, linear: Linear, to: Block | None = None) -> None:
    """Keep a map under our name.

    Raises:
        CheckpointError: it has no bias, or several.
    """
    if len(linear.biases) != 1:
        raise no_albert(f"{len(linear.biases)} biases of {name}", "one")
    tensors = found.tensors if to is None else to
    tensors[f"{name}.weight"], tensors[f"{name}.bias"] = linear.weight, linear.biases[0]
    found.explained.add(id(linear))


class Walk:
    """Follows the numbers through the parts of a graph."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.probe = Probe(parts)
        self.found = Found()
        self.by_source: dict[str, list[Linear]] = {}
        self.by_out = {linear.out: linear for linear in parts.linears}
        for linear in parts.linears:
            self.by_source.setdefault(linear.source, []).append(linear)
        outputs = [parts.origin(name)[0] for name in parts.graph.outputs]
        self.targets: dict[frozenset[str], list[str]] = {}
        for name in dict.fromkeys([*self.by_source, *outputs]):
            self.targets.setdefault(parts.made_of.get(name, frozenset()), []).append(name)
        self._contexts = self._find_contexts()

    def run(self) -> str:
        """Follow embeddings and layers; the value with the vectors of the tokens.

        Raises:
            CheckpointError: the graph computes something else than an ALBERT.
        """
        x = self._embeddings()
        post = x in self._contexts
        self.found.fact("norm_order", "post" if post else "pre")
        return self._post_layers(x) if post else self._pre_layers(x)

    def _embeddings(self) -> str:
        """From the tables to the vectors that the first layer reads."""
        word = self._word_table()
        self.found.tensors["albert.embeddings.word.weight"] = word.table
        self.found.explained.add(id(word))
        vocabulary, narrow = word.table.array.shape
        self.found.facts |= {"vocab_size": vocabulary, "embedding_size": narrow}
        first = self.by_source.get(word.out, [])
        start = word.out
        if first:
            if len(first) != 1 or first[0].selected:
                raise no_albert(f"{len(first)} maps that read the word table")
            start = first[0].out
            self._projection(first[0])
        total = self._embedding_sum(start)
        target, norm = self.norm_of([total], "the embeddings' normalisation")
        self._put_norm("albert.embeddings.norm", norm)
        self.found.facts |= {
            "embedding_order": "project_then_norm" if first else "norm_then_project",
            "position_width": "hidden" if first else "embedding",
        }
        if first or target in self._contexts:
            if not first:
                self._no_projection()
            return target
        projections = [x for x in self.by_source.get(target, []) if not x.selected]
        if len(projections) != 1:
            raise no_albert(f"{len(projections)} maps behind the embeddings", "one, or attention")
        self._projection(projections[0])
        return projections[0].out

    def _no_projection(self) -> None:
        """Google makes none where the widths are equal."""
        self.found.facts |= {"projection_bias": True, "project_equal_width": False}

    def _projection(self, linear: Linear) -> None:
        narrow, wide = linear.widths
        name = "albert.embeddings.projection"
        biased = bool(linear.biases)
        if biased:
            put_linear(self.found, name, linear)
        self.found.tensors[f"{name}.weight"] = linear.weight
        self.found.explained.add(id(linear))
        self.found.facts |= {"projection_bias": biased, "project_equal_width": narrow == wide}

    def _word_table(self) -> Lookup:
        """The largest table that is looked up by what the caller gives."""
        given = [x for x in self.parts.lookups if x.index in self.parts.given]
        tables = [x for x in given if x.table.array.ndim == 2]
        if not tables:
            raise no_albert("no table of words that an input looks up")
        return max(tables, key=lambda x: len(x.table.array))

    def _embedding_sum(self, start: str) -> str:
        """The sum of words, positions and segments."""
        total, terms = start, [start]
        for _ in range(4):
            grown = self._next_sum(total)
            if grown is None:
                break
            total, other = grown
            terms += other
        told = {term: self._role(term) for term in terms[1:]}
        for term, role in told.items():
            if role:
                self._add_table(term, role)
        rest = [term for term, role in told.items() if not role]
        rest.sort(key=lambda term: -self._rows(term))
        missing = [x for x in _ROLES if f"albert.embeddings.{x}.weight" not in self.found.tensors]
        if len(rest) > len(missing):
            raise no_albert(f"{len(rest)} more tables", "words, positions and segments summed")
        for term, role in zip(rest, missing[-len(rest) :], strict=False):
            self._add_table(term, role)
        tensors, segment = self.found.tensors, "albert.embeddings.segment.weight"
        place = tensors.get("albert.embeddings.position.weight")
        if place is not None and segment not in tensors and place.how == _ADDED_UP:
            zeros = np.zeros((1, place.array.shape[1]), place.array.dtype)
            tensors[segment] = Weight(place.source, _ADDED_UP, zeros, place.dtype)
            self.found.facts["type_vocab_size"] = 1
        for key, what in (("position", "positions"), ("segment", "segments")):
            if f"albert.embeddings.{key}.weight" not in tensors:
                raise no_albert(f"no table of {what}", "words, positions and segments summed")
        return total

    def _next_sum(self, name: str) -> tuple[str, list[str]] | None:
        """The sum that takes a value, and its other terms; None if there is no such sum."""
        users = [x for x in self.parts.users.get(name, []) if x.op in ("Add", "Sum")]
        if len(users) != 1:
            return None
        terms, waiting = [], [x for x in users[0].inputs if x != name]
        while waiting:
            term = waiting.pop()
            origin = term if self.parts.is_weight(term) else self.parts.origin(term)[0]
            node = self.parts.producer.get(origin)
            if self._is_table(origin):
                terms.append(origin)
            elif node is not None and node.op == "Add" and len(terms) + len(waiting) < 4:
                waiting += node.inputs
            else:
                return None
        return users[0].outputs[0], terms

    def _is_table(self, name: str) -> bool:
        if self.parts.is_weight(name) or any(x.out == name for x in self.parts.lookups):
            return True
        linear = self.by_out.get(name)
        return linear is not None and self._is_one_hot(linear)

    def _is_one_hot(self, linear: Linear) -> bool:
        node = self.parts.producer.get(linear.source)
        return node is not None and node.op == "OneHot" and not linear.biases

    def _lookup(self, term: str) -> Lookup | None:
        return next((x for x in self.parts.lookups if x.out == term), None)

    def _rows(self, term: str) -> int:
        lookup = self._lookup(term)
        return 0 if lookup is None else len(lookup.table.array)

    def _add_table(self, term: str, role: str) -> None:
        """Keep a table that is added to the words."""
        lookup, linear = self._lookup(term), self.by_out.get(term)
        if lookup is not None:
            table = lookup.table
            self.found.explained.add(id(lookup))
        elif linear is not None:  # google's own program looks segments up by a product
            w = linear.weight
            table = Weight(w.source, "as it is", w.array.T, w.dtype)
            self.found.explained.add(id(linear))
        else:  # the exporter looked them up for good
            table = self._fixed(term)
            rows = len(table.array)
            self.found.problems.append(
                f"the graph holds {rows} row{'s' if rows > 1 else ''} of the {role} table only: "
                "it was exported for inputs of one shape, or without segments"
            )
        array = table.array.reshape(-1, table.array.shape[-1])
        name = f"albert.embeddings.{role}.weight"
        if name in self.found.tensors:
            raise no_albert(f"two tables of {role}s")
        self.found.tensors[name] = Weight(table.source, table.how, array, table.dtype)
        key = "type_vocab_size" if role == "segment" else "max_position_embeddings"
        self.found.facts[key] = len(array)

    def _fixed(self, term: str) -> Weight:
        return _without_copies(self.parts.weights[term], self.parts.columns)

    def _role(self, term: str) -> str:
        """Whether a table is looked up by places or by segments; "" if the caller gives which."""
        lookup = self._lookup(term)
        if lookup is None:
            fixed = self.parts.is_weight(term)
            return "position" if fixed and len(self._fixed(term).array) > 1 else "segment"
        if lookup.node.op in (POSITIONS, "Slice"):
            return "position"
        if lookup.index in self.parts.given:
            return ""
        index = self.parts.values.get(lookup.index)
        if not isinstance(index, np.ndarray) or not index.size:
            return "position"
        columns = self.parts.columns
        if columns > 1 and (index == index.reshape(-1)[0]).all():
            return "segment"
        if columns == 1:
            return "segment" if len(lookup.table.array) <= 4 else "position"
        if index.size % columns or (index.reshape(-1, columns) != np.arange(columns)).any():
            raise no_albert(f"positions {index.reshape(-1)[:4].tolist()}", "0, 1, 2, ...")
        return "position"

    def norm_of(self, ends: list[str], what: str) -> tuple[str, Norm]:
        """The value that is the normalised sum of these.

        Raises:
            CheckpointError: there is none.
        """
        origins = frozenset[str]().union(*(self.parts.origins[name] for name in ends))
        error: CheckpointError | None = None
        for name in [*self.targets.get(origins, []), *self._likely(origins)]:
            if name in ends:
                continue
            try:
                return name, self.probe.norm(name, ends, what)
            except CheckpointError as problem:
                error = error or problem
        if error is None:
            raise no_albert(f"nothing is made of {', '.join(ends)[:100]} alone", what)
        raise error

    def _plain_sum(self, ends: list[str]) -> str:
        """The value that is the sum of these as it is; "" if there is none."""
        origins = frozenset[str]().union(*(self.parts.origins[name] for name in ends))
        found = [x for x in self.targets.get(origins, []) if self.probe.is_sum(x, ends)]
        return found[0] if found else ""

    def _likely(self, origins: frozenset[str]) -> list[str]:
        """Values that may be a normalisation, where no map reads it: behind the last layer."""
        names = []
        for node in self.parts.graph.nodes:
            if node.outputs and self.parts.made_of.get(node.outputs[0]) == origins:
                scaled = node.op == "Add" and any(map(self.parts.is_weight, node.inputs))
                if node.op == "LayerNormalization" or scaled:
                    names.append(node.outputs[0])
        return names[:4]

    def _put_norm(self, name: str, norm: Norm, to: Block | None = None) -> None:
        tensors = self.found.tensors if to is None else to
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = norm.scale, norm.shift
        if norm.eps is not None:
            self.found.fact("layer_norm_eps", norm.eps)

    def _find_contexts(self) -> dict[str, list[tuple[Linear, list[Linear]]]]:
        """By the value that it reads: every map behind something made of three maps of it."""
        contexts: dict[str, list[tuple[Linear, list[Linear]]]] = {}
        for linear in self.parts.linears:
            made = self.parts.made_of.get(linear.source, frozenset())
            three = [self.by_out[name] for name in sorted(made) if name in self.by_out]
            sources = {part.source for part in three}
            if len(three) == 3 == len(made) and len(sources) == 1:
                contexts.setdefault(sources.pop(), []).append((linear, three))
        return contexts

    def _attention(self, x: str) -> tuple[Block, str]:
        """The attention that reads a value: its weights, and what it gives."""
        contexts = self._contexts[x]
        if len(contexts) != 1 or any(part.selected for part in contexts[0][1]):
            raise no_albert(f"{len(contexts)} attentions that read {x[:80]!r}", "one")
        output, three = contexts[0]
        heads, order = self.probe.attention(output.source, [part.out for part in three])
        self.found.fact("num_attention_heads", heads)
        block: Block = {}
        for name, out in zip(("query", "key", "value"), order, strict=True):
            self.found.fact("hidden_size", self.by_out[out].widths[1])
            put_linear(self.found, name, self.by_out[out], block)
        put_linear(self.found, "output", output, block)
        return block, output.out

    def _feed_forward(self, x: str) -> tuple[Block, str]:
        """The feed-forward that reads a value: its weights, and what it gives."""
        for up in self.by_source.get(x, []):
            for down in self.parts.linears:
                if down.source == up.out or self.parts.made_of.get(down.source) == {up.out}:
                    block: Block = {}
                    act = "linear"
                    if down.source != up.out:
                        act = self.probe.activation(down.source, up.out, "the activation")
                    self.found.fact("hidden_act", act)
                    self.found.fact("intermediate_size", up.widths[1])
                    put_linear(self.found, "up", up, block)
                    put_linear(self.found, "down", down, block)
                    return block, down.out
        raise no_albert(f"no feed-forward behind {x[:80]!r}")

    def _post_layers(self, x: str) -> str:
        """Layers that normalise behind each sum; the last one's value."""
        while x in self._contexts:
            attention, mixed = self._attention(x)
            middle, norm = self.norm_of([x, mixed], "the normalisation behind attention")
            self._put_norm("norm", norm, attention)
            feed_forward, inner = self._feed_forward(middle)
            x, norm = self.norm_of([middle, inner], "the normalisation behind the feed-forward")
            self._put_norm("norm", norm, feed_forward)
            self.found.attention.append(attention)
            self.found.feed_forward.append(feed_forward)
        self.found.facts["final_norm"] = False
        return x

    def _pre_layers(self, x: str) -> str:
        """Layers that normalise before each map; sums are never normalised."""
        stream = [x]
        while True:
            try:
                source, norm = self.norm_of(stream, "the normalisation before attention")
            except CheckpointError:
                source = self._plain_sum(stream)
                if not self.found.attention or not source:
                    raise
                self.found.facts["final_norm"] = False
                return source
            if source not in self._contexts:
                break
            attention, mixed = self._attention(source)
            self._put_norm("norm", norm, attention)
            stream.append(mixed)
            middle, norm = self.norm_of(stream, "the normalisation before the feed-forward")
            feed_forward, inner = self._feed_forward(middle)
            self._put_norm("norm", norm, feed_forward)
            stream.append(inner)
            self.found.attention.append(attention)
            self.found.feed_forward.append(feed_forward)
        if not self.found.attention:
            raise no_albert("no attention behind the embeddings")
        self._put_norm("albert.encoder.norm", norm)
        self.found.facts["final_norm"] = True
        return source


def _without_copies(table: Weight, columns: int) -> Weight:
    """Rows that were looked up for good: those of one text; one row where all are the same."""
    width = table.array.shape[-1]
    rows = table.array.reshape(-1, width)
    if len(rows) % columns == 0:
        texts = rows.reshape(-1, columns, width)
        if not (texts == texts[:1]).all():
            raise no_albert(f"a constant {table.array.shape} added to the words", "one for all")
        rows = texts[0]
    same = len(rows) > 1 and bool((rows == rows[:1]).all())
    return Weight(table.source, _ADDED_UP, rows[:1] if same else rows, table.dtype)
