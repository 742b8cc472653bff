"""The embeddings of an ONNX graph: from the tables to what the first layer reads."""

from __future__ import annotations

import numpy as np

from albertkit.checkpoint.families.onnx.parts import Linear, Lookup, Weight
from albertkit.checkpoint.families.onnx.probe import no_albert
from albertkit.checkpoint.families.onnx.run import POSITIONS
from albertkit.checkpoint.families.onnx.walk import Walk, put_linear

_ROLES = ("position", "segment")
_ADDED_UP = "rows that were looked up"


def find_embeddings(walk: Walk) -> str:
    """Put tables, norm and projection into `walk.found`; the value that the first layer reads.

    Raises:
        CheckpointError: the graph begins otherwise than an ALBERT.
    """
    return _Embeddings(walk).run()


class _Embeddings:
    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.parts = walk.parts
        self.found = walk.found

    def run(self) -> str:
        """From the tables to the vectors that the first layer reads."""
        word = self._word_table()
        self.found.tensors["albert.embeddings.word.weight"] = word.table
        self.found.explained.add(id(word))
        vocabulary, narrow = word.table.array.shape
        self.found.facts |= {"vocab_size": vocabulary, "embedding_size": narrow}
        first = self.walk.by_source.get(word.out, [])
        start = word.out
        if first:
            if len(first) != 1 or first[0].selected:
                raise no_albert(f"{len(first)} maps that read the word table")
            start = first[0].out
            self._projection(first[0])
        total = self._embedding_sum(start)
        target, norm = self.walk.norm_of([total], "the embeddings' normalisation")
        self.walk.put_norm("albert.embeddings.norm", norm)
        self.found.facts |= {
            "embedding_order": "project_then_norm" if first else "norm_then_project",
            "position_width": "hidden" if first else "embedding",
        }
        if first or target in self.walk.contexts:
            if not first:
                self._no_projection()
            return target
        projections = [x for x in self.walk.by_source.get(target, []) if not x.selected]
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
        linear = self.walk.by_out.get(name)
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
        lookup, linear = self._lookup(term), self.walk.by_out.get(term)
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
