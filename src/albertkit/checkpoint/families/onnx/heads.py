"""The heads of an ONNX graph: what reads the vectors that the layers give."""

from __future__ import annotations

from albertkit.checkpoint.families.onnx.parts import Linear, Lookup
from albertkit.checkpoint.families.onnx.probe import ACTIVATIONS, no_albert
from albertkit.checkpoint.families.onnx.walk import Walk, put_linear
from albertkit.errors import CheckpointError

# Heads over tokens or the row, by the number of values that the caller gets from one map.
SPAN_OUTPUTS = 2


def find_heads(walk: Walk, tokens: str) -> str | None:
    """Put the weights of all heads into `walk.found`; where the task's head reads, if there is one.

    Args:
        walk: behind the layers.
        tokens: the value with the vectors of the tokens.

    Returns:
        "pooled", "tokens" or "span" for a head named `classifier` or `span`; None without.

    Raises:
        CheckpointError: a map that is in no head of an ALBERT.
    """
    pooled = None
    classifier: str | None = None
    readers = walk.by_source.get(tokens, [])
    masked_lm = [x for x in readers if _decoder(walk, x) is not None]
    for linear in readers:
        if linear in masked_lm:
            _masked_lm(walk, linear)
        elif linear.selected and linear.widths[0] == linear.widths[1]:
            pooled = _pooler(walk, linear)
        elif linear.selected or classifier is not None:
            raise no_albert(f"another map {_shown(linear)} behind the layers")
        else:
            classifier = _over_tokens(walk, linear)
    for linear in walk.by_source.get(pooled, []) if pooled is not None else []:
        if classifier is not None or "sentence_order.weight" in walk.found.tensors:
            raise no_albert(f"another map {_shown(linear)} behind the pooler")
        if masked_lm and linear.widths[1] == 2:
            put_linear(walk.found, "sentence_order", linear)
        else:
            put_linear(walk.found, "classifier", linear)
            classifier = "pooled"
    _check_explained(walk)
    return classifier


def _decoder(walk: Walk, linear: Linear) -> tuple[str, Linear] | None:
    """The map to all words behind another map, and the value that it reads.

    In albert_zh's own layout the projection stands between, and is what is returned.
    """
    words = walk.found.facts["vocab_size"]
    for source in walk.targets.get(frozenset([linear.out]), []):
        for reader in walk.by_source.get(source, []):
            if words in [x.widths[1] for x in (reader, *walk.by_source.get(reader.out, []))]:
                return source, reader
    return None


def _masked_lm(walk: Walk, transform: Linear) -> None:
    found = walk.found
    decoder = _decoder(walk, transform)
    assert decoder is not None  # that is how it was told
    source, reader = decoder
    act = found.facts["hidden_act"]
    others = [name for name in ACTIVATIONS if name != act]
    norm = walk.probe.norm(
        source, [transform.out], "the masked-LM head's normalisation", [act, *others]
    )
    if norm.activation != act:
        raise no_albert(f"{norm.activation} in the masked-LM head", f"{act} as in the layers")
    put_linear(found, "masked_lm.transform", transform)
    found.tensors["masked_lm.norm.weight"] = norm.scale
    found.tensors["masked_lm.norm.bias"] = norm.shift
    if norm.eps is not None:
        found.facts["head_layer_norm_eps"] = norm.eps
    if found.facts["embedding_order"] == "project_then_norm":
        reader = _back_through_projection(walk, reader)
    found.explained.add(id(reader))
    if reader.widths[1] != found.facts["vocab_size"] or not 1 <= len(reader.biases) <= 2:
        raise no_albert(f"{_shown(reader)} with {len(reader.biases)} biases as the decoder")
    found.tensors["masked_lm.decoder.weight"] = reader.weight
    found.tensors["masked_lm.bias"] = reader.biases[0]
    if len(reader.biases) == 2:
        found.tensors[SECOND_BIAS] = reader.biases[1]


SECOND_BIAS = "masked_lm.bias, second part"


def _back_through_projection(walk: Walk, linear: Linear) -> Linear:
    """albert_zh's own layout: the projection's matrix the other way round, then the words."""
    name = "albert.embeddings.projection.weight"
    projection = walk.found.tensors[name]
    matrix = projection.array
    readers = walk.by_source.get(linear.out, [])
    back = linear.weight.array.T
    same = back.shape == matrix.shape and bool((back == matrix).all())
    if not same or linear.biases or len(readers) != 1:
        raise no_albert(f"{_shown(linear)} behind the masked-LM head's normalisation")
    walk.found.explained.add(id(linear))
    if linear.weight.source != projection.source:
        walk.found.copies[linear.weight.source] = projection.source
    return readers[0]


def _pooler(walk: Walk, linear: Linear) -> str:
    """The value behind the pooler's tanh."""
    put_linear(walk.found, "albert.pooler", linear)
    error: CheckpointError | None = None
    for name in walk.targets.get(frozenset([linear.out]), []):
        try:
            if walk.probe.activation(name, linear.out, "the pooler") == "tanh":
                return name
        except CheckpointError as problem:
            error = problem
    raise error or no_albert("no tanh behind the pooler", "an activation tanh")


def _over_tokens(walk: Walk, linear: Linear) -> str:
    """A classifier of tokens, or the two ends of an answer."""
    outputs = [
        name
        for name in walk.parts.graph.outputs
        if walk.parts.origins.get(name) == frozenset([linear.out]) and name != linear.out
    ]
    if linear.widths[1] == SPAN_OUTPUTS and len(outputs) == SPAN_OUTPUTS:
        put_linear(walk.found, "span", linear)
        return "span"
    put_linear(walk.found, "classifier", linear)
    return "tokens"


def _check_explained(walk: Walk) -> None:
    """Refuse parts that the walk did not meet: nothing is skipped silently."""
    parts: list[Linear | Lookup] = [*walk.parts.linears, *walk.parts.lookups]
    left = [part for part in parts if id(part) not in walk.found.explained]
    if left:
        shown = ", ".join(str(part.node) for part in left[:4])
        raise no_albert(f"{len(left)} more products or look-ups: {shown}"[:300])


def _shown(linear: Linear) -> str:
    return f"{linear.widths[0]} to {linear.widths[1]}"
