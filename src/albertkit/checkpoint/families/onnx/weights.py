"""Which weight of a graph is which: by its place among the steps, as transformers runs them.

Embeddings, the projection, then for each layer query, key, value, the output of attention and the
two products of the feed-forward, each half with its normalisation; then the heads. Names in the
file decide nothing but the two small tables: exporters transpose, copy and renumber.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from albertkit.checkpoint.families.onnx.formulas import (
    ACTIVATIONS,
    activation,
    epsilon,
    plain_sum,
    right_scale,
)
from albertkit.checkpoint.families.onnx.steps import Step, Steps, Trail
from albertkit.checkpoint.families.onnx.tensors import Stored
from albertkit.errors import CheckpointError, listed

# Weights of one layer under the last parts of our name: "attention", then "query.weight" and so on.
Block = dict[tuple[str, str], Stored]
_USUAL = "an ALBERT as transformers exports it"
_ROLES = {"position": "max_position_embeddings", "segment": "type_vocab_size"}


@dataclass
class Found:
    """Everything that the graph holds and shows.

    tensors: by our names, without the layers. layers: the weights of each layer or inner layer as
    it runs. facts: config keys. place: "pooled", "tokens" or "span", where a task's head reads;
    None without one.
    """

    tensors: dict[str, Stored] = field(default_factory=dict)
    layers: list[Block] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    place: str | None = None


def no_albert(found: str, expected: str = _USUAL) -> CheckpointError:
    """The error of a graph that computes something else."""
    return CheckpointError(
        "This ONNX graph is not one of an ALBERT that can be read.",
        expected=expected,
        found=found,
        fix="export the original model with torch.onnx.export, and convert that file",
    )


def find_weights(steps: Steps) -> Found:
    """Walk from the ids to the outputs.

    Raises:
        CheckpointError: the graph computes something else, or in operations of another program.
    """
    return _Walk(steps).run()


class _Walk:
    def __init__(self, steps: Steps) -> None:
        self.graph = steps
        self.steps = steps.steps
        self.found = Found()
        self.used: set[int] = set()
        self._by_source: dict[tuple[str, frozenset[int]], list[Step]] = {}
        self._mixed: dict[int, list[Step]] = {}  # products of three steps, by each of the three
        for step in self.steps:
            self._by_source.setdefault((step.kind, step.source.steps), []).append(step)
            for number in step.source.steps if len(step.source.steps) == 3 else ():
                self._mixed.setdefault(number, []).append(step)

    def run(self) -> Found:
        layer_input = self._embeddings()
        tokens = self._layers(layer_input)
        self._heads(tokens)
        left = [step for step in self.steps if step.number not in self.used]
        if left:
            shown = listed([str(step.node) for step in left[:4]])
            raise self._error(f"{len(left)} more products, tables or normalisations: {shown}")
        return self.found

    def _error(self, found: str, expected: str = _USUAL) -> CheckpointError:
        """The error of a graph that goes another way; with operations that are not understood."""
        if self.graph.strange:
            found += f"; weights are read by {listed(sorted(self.graph.strange))}"
        if producer := self.graph.graph.producer:
            found += f"; written by {producer}"
        return no_albert(found[:600], expected)

    def _readers(self, kind: str, *sources: Step) -> list[Step]:
        """Steps that read the values of exactly these steps."""
        return self._by_source.get((kind, frozenset(step.number for step in sources)), [])

    def _fact(self, key: str, value: Any) -> None:
        """Keep what one place says; another must not say something else."""
        if self.found.facts.setdefault(key, value) != value:
            difference = f"{key} {self.found.facts[key]} and {value}"
            raise self._error(difference, "the same in every layer")

    def _put(self, name: str, step: Step, block: Block | None = None) -> None:
        """Keep the weight and bias of a step under our name; of a layer, in its block."""
        if step.bias is None:
            raise self._error(f"no bias of {name}, in {step.node}", "one bias")
        self.used.add(step.number)
        for kind, tensor in (("weight", step.weight), ("bias", step.bias)):
            if block is None:
                self.found.tensors[f"{name}.{kind}"] = tensor
            else:
                part, _, rest = name.partition(".")
                block[part, f"{rest}.{kind}"] = tensor

    def _norm(self, what: str, *sources: Step) -> Step:
        """The normalisation of a sum of values, and nothing else."""
        norms = self._readers("norm", *sources)
        if len(norms) != 1:
            raise self._error(f"{len(norms)} normalisations as {what}", "one")
        if epsilon(self.graph, norms[0]) is None:
            ops = listed(sorted(norms[0].source.ops))
            raise self._error(f"{ops} as {what}", "a layer normalisation")
        return norms[0]

    def _put_norm(self, name: str, norm: Step, block: Block | None = None) -> None:
        self._put(name, norm, block)
        if not plain_sum(norm):
            raise self._error(f"{listed(sorted(norm.source.ops))} before {name}", "a sum")
        if eps := epsilon(self.graph, norm):
            self._fact("layer_norm_eps", eps)

    def _activation(self, trail: Trail, what: str, *, normalised: bool = False) -> str:
        act = activation(trail, normalised=normalised)
        if act is None:
            raise self._error(f"{listed(sorted(trail.ops))} as {what}", ", ".join(ACTIVATIONS))
        return act

    def _embeddings(self) -> Step:
        """Tables, their normalisation and the projection; the step that the first layer reads."""
        tables = [step for step in self.steps if step.kind == "table"]
        given = [step for step in tables if step.source.given and step.index]
        if not given:
            raise self._error("no table of words that an input looks up")
        words = max(given, key=lambda step: len(step.weight.array))
        if self._readers("product", words):
            raise self._error(
                "the word table is projected before it is normalised", "the norm first"
            )
        self._put_table("word", words)
        norm = self._norm("the embeddings' normalisation", *tables)
        self._put_norm("albert.embeddings.norm", norm)
        self._small_tables([step for step in tables if step is not words])
        vocabulary, width = words.weight.array.shape
        facts = self.found.facts
        facts |= {"vocab_size": vocabulary, "embedding_size": width, "norm_order": "post"}
        facts |= {"embedding_order": "norm_then_project", "position_width": "embedding"}
        facts |= {"final_norm": False, "projection_bias": True, "project_equal_width": False}
        if self._attention_of(norm) is not None:
            return norm
        projections = [x for x in self._readers("product", norm) if not x.selected]
        if len(projections) != 1:
            raise self._error(
                f"{len(projections)} products behind the embeddings", "one projection"
            )
        narrow, wide = projections[0].widths
        facts["project_equal_width"] = narrow == wide
        name = "albert.embeddings.projection"
        if projections[0].bias is None:
            facts["projection_bias"] = False
            self.used.add(projections[0].number)
            self.found.tensors[f"{name}.weight"] = projections[0].weight
        else:
            self._put(name, projections[0])
        return projections[0]

    def _put_table(self, role: str, step: Step) -> None:
        self.found.tensors[f"albert.embeddings.{role}.weight"] = step.weight
        self.used.add(step.number)

    def _small_tables(self, tables: list[Step]) -> None:
        """Tell positions from segments: by name, by what looks them up, by the number of rows."""
        if len(tables) != 2:
            raise self._error(f"{len(tables) + 1} tables", "words, positions and segments")
        cut = {step.number: self._folded(step) for step in tables}

        def likely(step: Step) -> tuple[int, bool, int]:
            name = step.weight.source
            named = "position_embeddings" in name, "token_type_embeddings" in name
            places = self._index(step)
            fixed = 0 if places is None else 1 if (places[1:] > places[:-1]).all() else -1
            return named[0] - named[1] or fixed, not step.source.given, len(cut[step.number].array)

        segment, position = sorted(tables, key=likely)
        for role, step in (("position", position), ("segment", segment)):
            table = cut[step.number]
            self._put_table(role, step)
            self.found.tensors[f"albert.embeddings.{role}.weight"] = table
            self.found.facts[_ROLES[role]] = len(table.array)
            if not step.index:
                self.found.problems.append(
                    f"the graph holds {len(table.array)} row(s) of the {role} table only: it was "
                    "exported for inputs of one shape, or without segments"
                )
        places = self._index(position)
        if places is not None and (places != np.arange(len(places))).any():
            raise self._error(f"positions {places[:4].tolist()}", "0, 1, 2, ...")

    def _folded(self, step: Step) -> Stored:
        """A table; of one that the exporter looked up for good, the rows of one text."""
        if step.index:
            return step.weight
        array = step.weight.array
        texts = array.reshape(-1, *array.shape[-2:])
        if not (texts == texts[:1]).all():
            raise self._error(f"a constant {array.shape} added to the words", "one for all texts")
        same = bool((texts[0] == texts[0, :1]).all())
        return replace(step.weight, array=texts[0, :1] if same else texts[0])

    def _index(self, step: Step) -> np.ndarray | None:
        """The constant row that a table is looked up by, or that its index is cut from."""
        name = step.index
        while name and name not in self.graph.known:
            node = self.graph.producer.get(name)
            name = node.inputs[0] if node is not None and node.inputs else ""
        if not name or step.source.given:
            return None
        array = self.graph.known[name].array
        whole = array.dtype.kind in "iu" and array.ndim in (1, 2) and array.shape[-1] > 1
        return array.reshape(-1, array.shape[-1])[0] if whole else None

    def _attention_of(self, x: Step) -> tuple[list[Step], Step] | None:
        """Query, key and value that read a value, and the product behind them."""
        three = [step for step in self._readers("product", x) if not step.selected]
        numbers = {step.number for step in three}
        for out in (x for step in three for x in self._mixed.get(step.number, [])):
            mixed = out.source.steps
            if out.kind == "product" and mixed <= numbers:
                pairs = [(q, k) for q in mixed for k in self.graph.scores.get(q, ()) if k in mixed]
                if len(pairs) != 1:
                    raise self._error(f"{len(pairs)} products of query and key in {out.node}", "1")
                return [self.steps[x] for x in (*pairs[0], *mixed.difference(pairs[0]))], out
        return None

    def _attention(self, x: Step, block: Block) -> Step | None:
        """Put the attention that reads a value into the block; its last product."""
        found = self._attention_of(x)
        if found is None:
            return None
        three, out = found
        for name, step in zip(("query", "key", "value", "output"), (*three, out), strict=True):
            self._put(f"attention.{name}", step, block)
            self._fact("hidden_size", step.widths[1])
        for heads in {step.heads for step in three if step.heads}:
            self._fact("num_attention_heads", heads)
            if not right_scale(out.source, size := out.widths[1] / heads):
                difference = "attention of query, key and value that is scaled otherwise"
                raise self._error(difference, f"by {size**-0.5:g}")
        ops = out.source.ops
        if "Softmax" not in ops and not any("Attention" in op for op in ops):
            raise self._error(f"{listed(sorted(ops))} as attention", "a Softmax")
        return out

    def _layers(self, x: Step) -> Step:
        """Layers that normalise behind each sum; the last normalisation."""
        block: Block = {}
        while (out := self._attention(x, block)) is not None:
            middle = self._norm("the normalisation behind attention", x, out)
            self._put_norm("attention.norm", middle, block)
            ups = [up for up in self._readers("product", middle) if self._readers("product", up)]
            if len(ups) != 1 or len(downs := self._readers("product", ups[0])) != 1:
                raise self._error(f"no feed-forward behind {middle.node}")
            self._fact("hidden_act", self._activation(downs[0].source, "the activation"))
            self._fact("intermediate_size", ups[0].widths[1])
            self._put("feed_forward.up", ups[0], block)
            self._put("feed_forward.down", downs[0], block)
            x = self._norm("the normalisation behind the feed-forward", middle, downs[0])
            self._put_norm("feed_forward.norm", x, block)
            self.found.layers.append(block)
            block = {}
        if not self.found.layers:
            raise self._error("no attention behind the embeddings")
        return x

    def _heads(self, tokens: Step) -> None:
        """The pooler, masked-LM, sentence order and a task's head."""
        pooler = None
        for step in self._readers("product", tokens):
            norms = self._readers("norm", step)
            if norms:
                self._masked_lm(step)
            elif step.selected and step.widths[0] == step.widths[1] and pooler is None:
                pooler = step
                self._put("albert.pooler", step)
            elif self.found.place is None and not step.selected:
                self._classifier(step, "tokens")
            else:
                raise self._error(f"another product {step.widths} behind the layers")
        if pooler is None:
            return
        readers = self._readers("product", pooler)
        trails = [step.source for step in readers] or [self._output_of(pooler)]
        if any(self._activation(trail, "the pooler's") != "tanh" for trail in trails):
            raise self._error("another activation behind the pooler", "tanh")
        for step in readers:
            masked_lm = "masked_lm.bias" in self.found.tensors
            if (
                masked_lm
                and step.widths[1] == 2
                and "sentence_order.bias" not in self.found.tensors
            ):
                self._put("sentence_order", step)
            elif self.found.place is None:
                self._classifier(step, "pooled")
            else:
                raise self._error(f"another product {step.widths} behind the pooler")

    def _output_of(self, step: Step) -> Trail:
        """What became of a step's value at the end of the graph."""
        wanted = frozenset([step.number])
        trails = [self.graph.trails.get(name, Trail()) for name in self.graph.graph.outputs]
        return next((trail for trail in trails if trail.steps == wanted), Trail())

    def _classifier(self, step: Step, place: str) -> None:
        """A classifier, or the two ends of an answer, which are two outputs of one product."""
        wanted = frozenset([step.number])
        outputs = self.graph.graph.outputs
        ends = [x for x in outputs if self.graph.trails.get(x, Trail()).steps == wanted]
        span = place == "tokens" and step.widths[1] == 2 and len(ends) == 2
        self.found.place = "span" if span else place
        self._put("span" if span else "classifier", step)

    def _masked_lm(self, transform: Step) -> None:
        norm = self._norm("the masked-LM head's normalisation", transform)
        act = self._activation(norm.source, "the masked-LM head's", normalised=True)
        if act != self.found.facts["hidden_act"]:
            raise self._error(f"{act} in the masked-LM head", "the activation of the layers")
        decoders = self._readers("product", norm)
        if len(decoders) != 1 or decoders[0].widths[1] != self.found.facts["vocab_size"]:
            raise self._error(f"{len(decoders)} products behind the masked-LM head's norm", "one")
        self._put("masked_lm.transform", transform)
        self._put("masked_lm.norm", norm)
        self._put("masked_lm.decoder", decoders[0])
        self.found.tensors["masked_lm.bias"] = self.found.tensors.pop("masked_lm.decoder.bias")
        if eps := epsilon(self.graph, norm):
            self.found.facts["head_layer_norm_eps"] = eps
