"""Graphs of TensorFlow tell heads, activation, order of norms, layers and groups."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from albertkit.checkpoint.families._tf.graph import GraphFacts, facts_beside, read_graph
from albertkit.checkpoint.formats.leveldb_table import written_varint
from albertkit.errors import CheckpointError

GRAPHS = Path(__file__).resolve().parents[2] / "golden" / "tf_graph"
HIDDEN = 24
# By what make.py builds: heads, activation, norms, layers, groups.
EXPECTED = {
    "google_gelu_tanh": GraphFacts(4, "gelu_tanh", "post", 2, 1),
    "google_relu": GraphFacts(4, "relu", "post", 2, 1),
    "google_tanh": GraphFacts(4, "tanh", "post", 2, 1),
    "google_gelu_erf": GraphFacts(4, "gelu_erf", "post", 2, 1),
    "google_silu": GraphFacts(4, "silu", "post", 2, 1),
    "google_linear": GraphFacts(4, None, "post", 2, 1),
    "google_groups": GraphFacts(6, "gelu_tanh", "post", 3, 2),
    "google_one_head": GraphFacts(1, "gelu_tanh", "post", 2, 1),
    "brightmart_post": GraphFacts(3, "gelu_tanh", "post", 2, None),
    "brightmart_pre": GraphFacts(4, "relu", "pre", 3, None),
}


def content(name: str) -> bytes:
    return gzip.decompress((GRAPHS / f"{name}.meta.gz").read_bytes())


def at(folder: Path, data: bytes, name: str = "model.ckpt.meta") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def field(number: int, data: bytes) -> bytes:
    """A message or string of a protocol buffer."""
    return written_varint(number << 3 | 2) + written_varint(len(data)) + data


@pytest.mark.parametrize("name", EXPECTED)
def test_a_graph_tells_what_it_was_built_with(tmp_path: Path, name: str) -> None:
    assert read_graph(at(tmp_path, content(name)), HIDDEN) == EXPECTED[name]


def test_every_graph_of_the_folder_is_tested() -> None:
    assert {path.name.removesuffix(".meta.gz") for path in GRAPHS.glob("*.gz")} == set(EXPECTED)


def test_a_saved_model_with_two_graphs_tells_what_they_agree_on(tmp_path: Path) -> None:
    same = b"\x08\x01" + 2 * field(2, content("google_relu"))
    path = at(tmp_path, same, "saved_model.pb")
    assert read_graph(path, HIDDEN) == EXPECTED["google_relu"]
    two = field(2, content("google_relu")) + field(2, content("google_groups"))
    path = at(tmp_path, two, "saved_model.pb")
    assert read_graph(path, HIDDEN) == GraphFacts(None, None, "post", None, None)


def test_a_graph_of_something_else_tells_nothing(tmp_path: Path) -> None:
    node = field(1, b"conv/kernel") + field(2, b"VariableV2")
    path = at(tmp_path, field(2, field(1, node)))
    assert read_graph(path, HIDDEN) == GraphFacts()


def test_another_width_tells_no_heads(tmp_path: Path) -> None:
    facts = read_graph(at(tmp_path, content("brightmart_pre")), 35)
    assert facts.num_attention_heads is None
    assert facts.norm_order == "pre"


def test_cut_graphs_are_refused_or_tell_nothing_else(tmp_path: Path) -> None:
    whole = content("google_relu")
    expected = EXPECTED["google_relu"]
    for size in range(1, len(whole), len(whole) // 40):
        with pytest.raises(CheckpointError):
            read_graph(at(tmp_path, whole[:size]), HIDDEN)
    for place in range(0, len(whole), len(whole) // 60):
        damaged = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        try:
            facts = read_graph(at(tmp_path, damaged), HIDDEN)
        except CheckpointError:
            continue
        for name in ("num_attention_heads", "hidden_act", "norm_order"):
            assert getattr(facts, name) in (getattr(expected, name), None)


def test_endless_graphs_are_refused(tmp_path: Path) -> None:
    path = at(tmp_path, field(2, field(1, field(1, b"a")) * 200_000))
    with pytest.raises(CheckpointError, match="more than"):
        read_graph(path, HIDDEN)


def test_the_graph_beside_a_checkpoint_is_found(tmp_path: Path) -> None:
    facts, path, notes = facts_beside(tmp_path / "model.ckpt", HIDDEN)
    assert (facts, path, notes) == (GraphFacts(), None, [])
    expected = at(tmp_path, content("google_relu"))
    facts, path, notes = facts_beside(tmp_path / "model.ckpt", HIDDEN)
    assert (facts, path, notes) == (EXPECTED["google_relu"], expected, [])
    at(tmp_path, content("google_relu")[:5000])
    facts, path, notes = facts_beside(tmp_path / "model.ckpt", HIDDEN)
    assert (facts, path) == (GraphFacts(), None)
    assert notes[0].startswith("model.ckpt.meta is not used: ")


def test_the_graph_of_a_saved_model_lies_above_its_variables(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    expected = at(tmp_path, field(2, content("google_relu")), "saved_model.pb")
    facts, path, _ = facts_beside(tmp_path / "variables" / "variables", HIDDEN)
    assert (facts, path) == (EXPECTED["google_relu"], expected)
