"""Graphs written for the tests, with weights that are known: groups, formulas, what is refused."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_writer import Albert, field, node, tensor, value

from albertkit.checkpoint.checkpoint import Opened, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.errors import CheckpointError, ConfigError


def write(folder: Path, graph: Albert, *outputs: str) -> Path:
    path = folder / "model.onnx"
    path.unlink(missing_ok=True)
    path.write_bytes(graph.bytes(*outputs))
    return path


def assert_blocks(opened: Opened, graph: Albert, blocks: list[int]) -> None:
    """Each layer and inner place runs the block that was written there."""
    config, tensors = opened.checkpoint.config, opened.checkpoint.tensors
    inner = config.inner_group_num
    assert config.num_hidden_layers * inner == len(blocks)
    parts = {"query": "attention", "key": "attention", "value": "attention", "output": "attention"}
    parts |= {"up": "feed_forward", "down": "feed_forward"}
    for place, block in enumerate(blocks):
        layer, spot = divmod(place, inner)
        numbers = {
            "attention": config.attention_block(layer),
            "feed_forward": config.feed_forward_block(layer),
        }
        for part, side in parts.items():
            name = f"albert.encoder.{side}.{numbers[side]}.{spot}.{part}"
            np.testing.assert_array_equal(
                tensors[f"{name}.weight"], graph.state[block, f"{part}.weight"].T
            )
            np.testing.assert_array_equal(
                tensors[f"{name}.bias"], graph.state[block, f"{part}.bias"]
            )
        for side, number in numbers.items():
            for kind in ("weight", "bias"):
                name = f"albert.encoder.{side}.{number}.{spot}.norm.{kind}"
                np.testing.assert_array_equal(
                    tensors[name], graph.state[block, f"{side}.norm.{kind}"]
                )


@settings(max_examples=40, deadline=None)
@given(
    layers=st.integers(1, 6),
    groups=st.integers(1, 6),
    inner=st.integers(1, 3),
    copies=st.booleans(),
    overridden=st.booleans(),
)
def test_groups_and_inner_groups(
    layers: int, groups: int, inner: int, copies: bool, overridden: bool, tmp_path_factory
) -> None:
    # google-research/albert, modeling.py: int(layer / layers * groups).
    groups = min(layers, groups)
    blocks = [
        int(layer / layers * groups) * inner + place
        for layer in range(layers)
        for place in range(inner)
    ]
    graph = Albert(blocks, copies=copies)
    path = write(tmp_path_factory.mktemp("x"), graph)
    keys = {"num_hidden_layers": layers, "num_hidden_groups": groups, "inner_group_num": inner}
    opened = open_checkpoint(path, overrides=Overrides(values=keys if overridden else {}))
    config = opened.checkpoint.config
    if overridden:
        assert {key: getattr(config, key) for key in keys} == keys
    assert_blocks(opened, graph, blocks)
    assert config.num_attention_heads == 2
    assert (config.hidden_act, config.layer_norm_eps) == ("relu", 1e-6)


def test_an_order_that_no_albert_has(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="0 1 1 0 0"):
        open_checkpoint(write(tmp_path, Albert([0, 1, 1, 0, 0])))


@pytest.mark.parametrize(
    ("op", "act"),
    [("Relu", "relu"), ("Tanh", "tanh"), ("Gelu", "gelu_erf"), ("Identity", "linear")],
)
def test_activations(op: str, act: str, tmp_path: Path) -> None:
    config = open_checkpoint(write(tmp_path, Albert([0, 0], activation=op))).checkpoint.config
    assert config.hidden_act == act


@pytest.mark.parametrize("op", ["Softplus", "Sigmoid", "Abs", "Celu", "Erf"])
def test_activations_that_no_albert_has(op: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{op} as the activation"):
        open_checkpoint(write(tmp_path, Albert([0, 0], activation=op)))


def test_another_normalisation_is_refused(tmp_path: Path) -> None:
    graph = Albert([0, 0], norm="SimplifiedLayerNormalization")
    with pytest.raises(CheckpointError, match="SimplifiedLayerNormalization"):
        open_checkpoint(write(tmp_path, graph))


class WrittenOut(Albert):
    """Normalisations in single operations; `behind`: the epsilon is added behind the root."""

    behind = False

    def add_norm(self, block: int | None, name: str, width: int, x: str, y: str) -> str:
        total, eps = self.node("Add", x, y), self.number(np.float32(1e-6))
        centred = self.node("Sub", total, self.node("ReduceMean", total, axes=[-1]))
        square = self.node("Pow", centred, self.number(np.float32(2)))
        spread = self.node("ReduceMean", square, axes=[-1])
        for op in ("Sqrt", "Add") if self.behind else ("Add", "Sqrt"):
            spread = self.node(op, spread, *([eps] if op == "Add" else []))
        scale = self.weight(block, f"{name}.weight", (width,))
        scaled = self.node("Mul", scale, self.node("Div", centred, spread))
        return self.node("Add", scaled, self.weight(block, f"{name}.bias", (width,)))


def test_a_normalisation_in_single_operations(tmp_path: Path) -> None:
    graph = WrittenOut([0, 0])
    opened = open_checkpoint(write(tmp_path, graph))
    assert opened.checkpoint.config.layer_norm_eps == 1e-6
    assert_blocks(opened, graph, [0, 0])


def test_an_epsilon_behind_the_root_is_another_normalisation(tmp_path: Path) -> None:
    class Behind(WrittenOut):
        behind = True

    with pytest.raises(CheckpointError) as error:
        open_checkpoint(write(tmp_path, Behind([0, 0])))
    assert "Sqrt" in error.value.facts["found"]
    assert error.value.facts["expected"] == "a layer normalisation"


def test_heads_that_no_shape_shows_are_asked_for(tmp_path: Path) -> None:
    graph = Albert([0, 0], heads=2)
    sizes = [tensor(name, np.array([0, 0, 2, 4])) for name in (f"c{n}" for n in range(3000))]
    hidden = [
        x if x not in sizes else x.replace(np.array([2, 4]).tobytes(), np.array([-1, -1]).tobytes())
        for x in graph.tensors
    ]
    assert hidden != graph.tensors
    graph.tensors = hidden
    path = write(tmp_path, graph)
    with pytest.raises(ConfigError) as error:
        open_checkpoint(path)
    assert error.value.facts["expected"] == "num_attention_heads"
    opened = open_checkpoint(path, overrides=Overrides(values={"num_attention_heads": 2}))
    assert opened.result.provenance["num_attention_heads"] == "given"


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_heads(heads: int, tmp_path: Path) -> None:
    config = open_checkpoint(write(tmp_path, Albert([0], heads=heads))).checkpoint.config
    assert config.num_attention_heads == heads


def test_google_makes_no_projection_where_widths_are_equal(tmp_path: Path) -> None:
    opened = open_checkpoint(write(tmp_path, Albert([0, 0], narrow=8, project=False)))
    assert not opened.checkpoint.config.has_projection
    opened = open_checkpoint(write(tmp_path, Albert([0, 0], narrow=8)))
    assert opened.checkpoint.config.project_equal_width


def test_a_bert_is_none_unless_a_config_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, Albert([0, 1, 2], narrow=8, project=False))
    start = time.process_time()
    with pytest.raises(CheckpointError, match="a BERT"):
        open_checkpoint(path)
    assert time.process_time() - start < 2
    opened = open_checkpoint(path, overrides=Overrides(values={"num_hidden_groups": 3}))
    assert opened.checkpoint.config.num_hidden_groups == 3


def test_a_weight_too_many_is_an_error(tmp_path: Path) -> None:
    graph = Albert([0, 0])
    graph.tensors.append(tensor("more", np.arange(3, dtype="f4")))
    with pytest.raises(CheckpointError, match="no place for"):
        open_checkpoint(write(tmp_path, graph))
    graph = Albert([0, 0])
    graph.tensors.append(tensor("unused", np.ones((3, 4), "f4")))
    with pytest.raises(CheckpointError, match=r"unused \(3, 4\)"):
        open_checkpoint(write(tmp_path, graph))
    graph = Albert([0, 0])
    graph.tensors.append(tensor("numbers", np.arange(20)))
    assert "no weights" in open_checkpoint(write(tmp_path, graph)).result.report.ignored["numbers"]


def test_another_product_is_an_error(tmp_path: Path) -> None:
    graph = Albert([0, 0])
    first = graph.linear(None, "more", 8, 3, graph.last)
    second = graph.linear(None, "another", 8, 3, graph.last)
    with pytest.raises(CheckpointError, match=r"another product \(8, 3\)"):
        open_checkpoint(write(tmp_path, graph, first, second))
    graph = Albert([0, 0])
    deep = graph.linear(None, "deep", 3, 5, graph.linear(None, "more", 8, 3, graph.last))
    with pytest.raises(CheckpointError, match="1 more products"):
        open_checkpoint(write(tmp_path, graph, deep))


def test_a_classifier_of_tokens(tmp_path: Path) -> None:
    graph = Albert([0, 0])
    out = graph.linear(None, "classifier", 8, 3, graph.last)
    checkpoint = open_checkpoint(write(tmp_path, graph, out)).checkpoint
    assert checkpoint.head.kind == "token_classification"
    found = checkpoint.tensors["classifier.weight"]
    np.testing.assert_array_equal(found, graph.state[None, "classifier.weight"].T)


@pytest.mark.parametrize("op", ["DynamicQuantizeLinear", "MatMulInteger", "DequantizeLinear"])
def test_quantized_weights_are_refused_by_name(op: str, tmp_path: Path) -> None:
    graph = Albert([0, 0])
    graph.nodes.append(node(op, [graph.last], ["q"]))
    with pytest.raises(CheckpointError, match=f"quantized(.|\n)*{op}"):
        open_checkpoint(write(tmp_path, graph))


def test_attention_with_another_scale_is_refused(tmp_path: Path) -> None:
    graph = Albert([0, 0])
    wrong = [tensor for tensor in graph.tensors if len(tensor) < 24]
    assert wrong  # single numbers
    graph.tensors = [
        x.replace(np.float32(4**-0.5).tobytes(), np.float32(0.3).tobytes()) for x in graph.tensors
    ]
    with pytest.raises(CheckpointError, match="attention of query, key and value"):
        open_checkpoint(write(tmp_path, graph))


def test_an_epsilon_that_cannot_be_seen_is_asked_for(tmp_path: Path) -> None:
    graph = Albert([0, 0])
    eps = np.float32(1e-6).tobytes()
    graph.nodes = [x.replace(eps, np.float32(0).tobytes()) for x in graph.nodes]
    path = write(tmp_path, graph)
    with pytest.raises(ConfigError, match="layer_norm_eps"):
        open_checkpoint(path)
    opened = open_checkpoint(path, overrides=Overrides(values={"layer_norm_eps": 1e-12}))
    assert opened.result.provenance["layer_norm_eps"] == "given"


def test_answers_behind_a_choice_of_shapes(tmp_path: Path) -> None:
    # Exporters of torch 1.x write squeeze(-1) as: if the axis has size 1, Squeeze, else Identity.
    graph = Albert([0, 0])
    logits = graph.linear(None, "span", 8, 2, graph.last)
    graph.nodes.append(node("Split", [logits], ["start", "end"], axis=-1))
    ends = []
    for name in ("start", "end"):
        one = graph.node("Equal", graph.node("Size", name), graph.number(np.int64(10)))
        branches = {}
        for branch, op in (("then_branch", "Squeeze"), ("else_branch", "Identity")):
            body = node(op, [name], [f"{name}.{op}"])
            branches[branch] = field(1, body) + field(12, value(f"{name}.{op}"))
        ends.append(graph.node("If", one, **branches))
    checkpoint = open_checkpoint(write(tmp_path, graph, *ends)).checkpoint
    assert checkpoint.head.kind == "span"
    found = checkpoint.tensors["span.weight"]
    np.testing.assert_array_equal(found, graph.state[None, "span.weight"].T)


def test_positions_of_old_opsets(tmp_path: Path) -> None:
    # torch 1.x wrote arange for opset 9 as the places of the ones in a vector of ones.
    graph = Albert([0, 0])
    columns = graph.number(np.array([1]))
    length = graph.node("Gather", graph.node("Shape", "ids"), columns, axis=0)
    ones = graph.node("ConstantOfShape", length, value=np.array([1], np.int64))
    places = graph.node("Transpose", graph.node("NonZero", ones))
    places = graph.node("Squeeze", places, axes=[1])
    new = graph.nodes[-6:]
    old = node("Gather", [graph.names[None, "position"], "places"], ["v1003"])
    assert old in graph.nodes
    place = graph.nodes.index(old)
    changed = node("Gather", [graph.names[None, "position"], places], ["v1003"])
    graph.nodes = [*graph.nodes[:place], *new, changed, *graph.nodes[place + 1 : -6]]
    tensors = open_checkpoint(write(tmp_path, graph)).checkpoint.tensors
    found = tensors["albert.embeddings.position.weight"]
    np.testing.assert_array_equal(found, graph.state[None, "position"])
    shifted = node("Gather", [graph.names[None, "position"], "later"], ["v1003"])
    graph.tensors.append(tensor("later", np.arange(1, 6)[None]))
    graph.nodes[graph.nodes.index(changed)] = shifted
    with pytest.raises(CheckpointError, match=r"positions \[1, 2, 3, 4\]"):
        open_checkpoint(write(tmp_path, graph))
