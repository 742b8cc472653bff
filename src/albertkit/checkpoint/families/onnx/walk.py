"""The walk through an ONNX graph from the word table to the outputs: which weight is which.

A tensor is known by its place in the flow of numbers alone. The layers stand here;
embeddings.py comes before them, heads.py behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from albertkit.checkpoint.families.onnx.parts import Linear, Parts, Weight
from albertkit.checkpoint.families.onnx.probe import Norm, Probe, no_albert
from albertkit.errors import CheckpointError

# Weights of one block under the last part of our name: "query.weight" and so on.
Block = dict[str, Weight]


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
        self.contexts = self._find_contexts()
        self._likely = self._find_likely()

    def layers(self, x: str) -> str:
        """Follow the layers from the value that the first one reads; what the last one gives.

        Raises:
            CheckpointError: the graph computes something else than an ALBERT.
        """
        post = x in self.contexts
        self.found.fact("norm_order", "post" if post else "pre")
        return self._post_layers(x) if post else self._pre_layers(x)

    def norm_of(self, ends: list[str], what: str) -> tuple[str, Norm]:
        """The value that is the normalised sum of these.

        Raises:
            CheckpointError: there is none.
        """
        origins = frozenset[str]().union(*(self.parts.origins[name] for name in ends))
        error: CheckpointError | None = None
        for name in [*self.targets.get(origins, []), *self._likely.get(origins, [])]:
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

    def _find_likely(self) -> dict[frozenset[str], list[str]]:
        """Values that may be a normalisation, where no map reads it: behind the last layer."""
        likely: dict[frozenset[str], list[str]] = {}
        for node in self.parts.graph.nodes:
            scaled = node.op == "Add" and any(map(self.parts.is_weight, node.inputs))
            if node.op == "LayerNormalization" or scaled:
                name = node.outputs[0]
                likely.setdefault(self.parts.made_of[name], []).append(name)
        return {made: names[:4] for made, names in likely.items()}

    def put_norm(self, name: str, norm: Norm, to: Block | None = None) -> None:
        """Keep a normalisation under our name."""
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
        contexts = self.contexts[x]
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
                if down.source == up.out or self.parts.made_of.get(down.source) == frozenset(
                    [up.out]
                ):
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
        while x in self.contexts:
            attention, mixed = self._attention(x)
            middle, norm = self.norm_of([x, mixed], "the normalisation behind attention")
            self.put_norm("norm", norm, attention)
            feed_forward, inner = self._feed_forward(middle)
            x, norm = self.norm_of([middle, inner], "the normalisation behind the feed-forward")
            self.put_norm("norm", norm, feed_forward)
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
            if source not in self.contexts:
                break
            attention, mixed = self._attention(source)
            self.put_norm("norm", norm, attention)
            stream.append(mixed)
            middle, norm = self.norm_of(stream, "the normalisation before the feed-forward")
            feed_forward, inner = self._feed_forward(middle)
            self.put_norm("norm", norm, feed_forward)
            stream.append(inner)
            self.found.attention.append(attention)
            self.found.feed_forward.append(feed_forward)
        if not self.found.attention:
            raise no_albert("no attention behind the embeddings")
        self.put_norm("albert.encoder.norm", norm)
        self.found.facts["final_norm"] = True
        return source
