"""Names that other programs than google's give the variables of an ALBERT in TensorFlow's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tf_parity import GOLDEN, check_pretraining, plain, same

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats.leveldb_table import crc32c, masked, written_varint
from albertkit.checkpoint.formats.tensor_bundle import write_bundle
from albertkit.config import AlbertConfig
from albertkit.conversion import convert
from albertkit.errors import CheckpointError, ConfigError

SMALL = GOLDEN / "google_tf" / "g1_i1_gelu"


def objects(names: dict[str, str]) -> bytes:
    """The object graph of a file: for each key the full name of its variable."""
    graph = b""
    for key, full in names.items():
        attribute = b"".join(
            written_varint(number << 3 | 2) + written_varint(len(text)) + text.encode()
            for number, text in ((1, "VARIABLE_VALUE"), (2, full), (3, key))
        )
        node = b"\x12" + written_varint(len(attribute)) + attribute
        graph += b"\x0a" + written_varint(len(node)) + node
    return graph


def write_objects(prefix: Path, tensors: dict[str, np.ndarray], names: dict[str, str]) -> None:
    """A checkpoint of TensorFlow 2: keys of objects, and the graph that names them.

    The string lies behind the tensors; its entry is put into the index by hand.
    """
    from albertkit.checkpoint.formats import tensor_bundle
    from albertkit.checkpoint.formats.leveldb_table import read_table, write_table

    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    write_bundle(prefix, {key + suffix: tensor for key, tensor in tensors.items()})
    graph = objects({key + suffix: full for key, full in names.items()})
    length = len(graph).to_bytes(4, "little")
    check = masked(crc32c(length)).to_bytes(4, "little")
    data = tensor_bundle.data_file(prefix, 0, 1)
    offset = data.stat().st_size
    content = written_varint(len(graph)) + check + graph
    data.write_bytes(data.read_bytes() + content)
    crc = masked(crc32c(graph, crc32c(check, crc32c(length))))
    entry = b"\x08\x07\x12\x00\x20" + written_varint(offset) + b"\x28"
    entry += written_varint(len(content)) + b"\x35" + crc.to_bytes(4, "little")
    table = {**read_table(tensor_bundle.index_file(prefix)), b"_CHECKPOINTABLE_OBJECT_GRAPH": entry}
    write_table(tensor_bundle.index_file(prefix), sorted(table.items()))


@pytest.mark.parametrize("way", ["full names", "paths", "escaped"])
def test_variables_that_tensorflow_2_saved_again(tmp_path: Path, way: str) -> None:
    variables = plain(SMALL)
    keys = {name: f"model/variables/{n}" for n, name in enumerate(sorted(variables))}
    if way == "paths":
        keys = {name: f"model/{name}" for name in variables}
    if way == "escaped":
        keys = {name: "model/" + name.replace("/", ".S") for name in variables}
    tensors = {keys[name]: variable for name, variable in variables.items()}
    slot = keys["bert/pooler/dense/bias"] + "/.OPTIMIZER_SLOT/optimizer/m"
    tensors[slot] = variables["bert/pooler/dense/bias"]
    tensors["save_counter"] = np.array(1, dtype=np.int64)
    names = {keys[name]: name for name in variables} if way == "full names" else {}
    write_objects(tmp_path / "ckpt-1", tensors, names)
    shutil.copy(SMALL / "albert_config.json", tmp_path)
    opened = open_checkpoint(tmp_path)
    assert opened.family == "google_tf"
    assert same(opened.checkpoint, open_checkpoint(SMALL).checkpoint)
    assert opened.result.slots == {"m": 1}
    assert len(opened.result.report.ignored) == 3


def models_tensors() -> dict[str, np.ndarray]:
    """g1_i1_gelu under the names of tensorflow/models, heads in axes of their own."""
    block = "bert/encoder/transformer/group_0/inner_group_0/"
    pairs = {
        "word_embeddings/embeddings": "bert/embeddings/word_embeddings",
        "position_embedding/embeddings": "bert/embeddings/position_embeddings",
        "type_embeddings/embeddings": "bert/embeddings/token_type_embeddings",
        "embeddings/layer_norm/": "bert/embeddings/LayerNorm/",
        "embedding_projection/": "bert/encoder/embedding_hidden_mapping_in/",
        "transformer/self_attention/query/": block + "attention_1/self/query/",
        "transformer/self_attention/key/": block + "attention_1/self/key/",
        "transformer/self_attention/value/": block + "attention_1/self/value/",
        "transformer/self_attention/attention_output/": block + "attention_1/output/dense/",
        "transformer/self_attention_layer_norm/": block + "LayerNorm/",
        "transformer/intermediate/": block + "ffn_1/intermediate/dense/",
        "transformer/output/": block + "ffn_1/intermediate/output/dense/",
        "transformer/output_layer_norm/": block + "LayerNorm_1/",
        "pooler_transform/": "bert/pooler/dense/",
        "cls/predictions/transform/": "cls/predictions/transform/",
        "cls/predictions/output_bias/bias": "cls/predictions/output_bias",
    }
    tensors = {}
    for name, variable in plain(SMALL).items():
        for theirs, google in pairs.items():
            if name.startswith(google) and (google.endswith("/") or name == google):
                tensors[theirs + name.removeprefix(google)] = variable
    heads, width = 4, 6
    for part in ("query", "key", "value"):
        place = f"transformer/self_attention/{part}/"
        tensors[place + "kernel"] = tensors[place + "kernel"].reshape(24, heads, width)
        tensors[place + "bias"] = tensors[place + "bias"].reshape(heads, width)
    place = "transformer/self_attention/attention_output/kernel"
    tensors[place] = tensors[place].reshape(heads, width, 24)
    return tensors


def test_the_encoder_of_tensorflow_models(tmp_path: Path) -> None:
    tensors = models_tensors()
    keys = {name: f"encoder/layer-{n}/x" for n, name in enumerate(sorted(tensors))}
    write_objects(
        tmp_path / "ckpt-1",
        {keys[name]: tensor for name, tensor in tensors.items()},
        {key: name for name, key in keys.items()},
    )
    overrides = Overrides(values={"num_hidden_layers": 3, "hidden_act": "gelu_tanh"})
    opened = open_checkpoint(tmp_path, overrides=overrides)
    expected = open_checkpoint(SMALL).checkpoint
    body = {n: x for n, x in expected.tensors.items() if not n.startswith("sentence_order")}
    assert same(opened.checkpoint, Checkpoint(expected.config, body))
    assert opened.checkpoint.config.num_attention_heads == 4
    assert opened.result.report.missing == ["sentence_order"]
    with pytest.raises(ConfigError, match="expected: num_hidden_layers, hidden_act"):
        open_checkpoint(tmp_path)


def converted(*, first: bool) -> dict[str, np.ndarray]:
    """The same with the sentence-order head, as tensorflow/models' own converter names them.

    `first`: its first version, which replaced "LayerNorm/" everywhere; the later one puts "bert/"
    before the masked-LM head. Both turn the (2, H) matrix of the sentence order over.
    """
    tensors = models_tensors()
    google = plain(SMALL)
    logits = "predictions/transform/logits/"
    tensors[logits + "kernel"] = google["cls/seq_relationship/output_weights"].T
    tensors[logits + "bias"] = google["cls/seq_relationship/output_bias"]
    pairs = {"cls/predictions/": "bert/cls/predictions/"}
    if first:
        pairs = {
            "transformer/self_attention/attention_output/": "transformer/self_attention_output/",
            "cls/predictions/transform/LayerNorm/": (
                "cls/predictions/transform/self_attention_layer_norm/"
            ),
        }
    renamed = {}
    for name, tensor in tensors.items():
        start = next((old for old in pairs if name.startswith(old)), "")
        renamed[pairs.get(start, "") + name.removeprefix(start)] = tensor
    return renamed


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("way", ["by name", "full names", "paths", "escaped"])
def test_what_tensorflow_models_converter_writes_is_the_model_of_google(
    way: str, first: bool, tmp_path: Path
) -> None:
    tensors = converted(first=first)
    if way == "by name":
        step = {"global_step": np.array(7, dtype=np.int64)}
        write_bundle(tmp_path / "ckpt-1", {**tensors, **step})
    else:
        keys = {name: f"model/layer_with_weights-{n}/kernel" for n, name in enumerate(tensors)}
        if way == "paths":
            keys = {name: f"model/{name}" for name in tensors}
        if way == "escaped":
            keys = {name: "model/" + name.replace("/", ".S") for name in tensors}
        names = {keys[name]: name for name in tensors} if way == "full names" else {}
        write_objects(tmp_path / "ckpt-1", {keys[n]: x for n, x in tensors.items()}, names)
    shutil.copy(SMALL / "albert_config.json", tmp_path)
    opened = open_checkpoint(tmp_path)
    assert opened.family == "google_tf"
    assert same(opened.checkpoint, open_checkpoint(SMALL).checkpoint)
    assert opened.result.report.missing == []
    check_pretraining(opened.checkpoint, SMALL)
    convert(tmp_path, tmp_path / "hf", "huggingface")
    assert same(open_checkpoint(tmp_path / "hf").checkpoint, opened.checkpoint)


# google's program under TensorFlow 2: Keras' normalisations, which no scope shares.


def with_norms_of_layers(folder: Path, case: Path) -> dict[str, np.ndarray]:
    """A golden case under the names of google's program on TensorFlow 2, config beside it.

    Each layer of a group has a copy of its group's normalisations; they are counted through the
    graph: the embeddings' is number 0, the masked-LM head's the last.
    """
    google = plain(case)
    config = AlbertConfig.load(case / "albert_config.json")
    variables = {name: x for name, x in google.items() if "LayerNorm" not in name}
    number = 1
    times: dict[int, int] = {}
    for layer in range(config.num_hidden_layers):
        group = config.group_of_layer(layer)
        again = f"_{times[group]}" if group in times else ""
        times[group] = times.get(group, 0) + 1
        for inner in range(config.inner_group_num):
            place = f"bert/encoder/transformer/group_{group}/inner_group_{inner}/"
            scope = f"group_{group}{again}/layer_{layer}/inner_group_{inner}"
            for norm in ("LayerNorm", "LayerNorm_1"):
                theirs = f"bert/encoder/transformer/{scope}/layer_normalization_{number}"
                for part in ("beta", "gamma"):
                    variables[f"{theirs}/{part}"] = google[f"{place}{norm}/{part}"]
                number += 1
    for part in ("beta", "gamma"):
        head = "cls/predictions/transform/"
        variables[f"{head}layer_normalization_{number}/{part}"] = google[f"{head}LayerNorm/{part}"]
        outer = google[f"bert/embeddings/LayerNorm/{part}"]
        variables[f"bert/embeddings/layer_normalization/{part}"] = outer
    write_bundle(folder / "model.ckpt-1", variables)
    shutil.copy(case / "albert_config.json", folder)
    return variables


@pytest.mark.parametrize("name", ["g1_i1_gelu", "g2_l4_i2_relu"])
def test_two_normalisations_for_every_layer(name: str, tmp_path: Path) -> None:
    case = GOLDEN / "google_tf" / name
    with_norms_of_layers(tmp_path, case)
    opened = open_checkpoint(tmp_path)
    check_pretraining(opened.checkpoint, case)
    layers = opened.checkpoint.config.num_hidden_layers
    assert opened.checkpoint.config.layer_plan == [(n, n) for n in range(layers)]
    assert any("equal matrices" in problem for problem in opened.result.problems)
    done = convert(tmp_path, tmp_path / "hf", "huggingface")
    assert done.lost == []
    folder = open_checkpoint(tmp_path / "hf").checkpoint
    assert folder.config.num_hidden_groups == layers
    check_pretraining(folder, case)


def test_normalisations_of_layers_may_differ(tmp_path: Path) -> None:
    variables = with_norms_of_layers(tmp_path, SMALL)
    last = "bert/encoder/transformer/group_0_2/layer_2/inner_group_0/layer_normalization_"
    variables[last + "5/gamma"] = variables[last + "5/gamma"] + np.float32(1)
    write_bundle(tmp_path / "model.ckpt-1", variables)
    found, plain_one = open_checkpoint(tmp_path).checkpoint, open_checkpoint(SMALL).checkpoint
    shared = plain_one.tensors["albert.encoder.attention.0.0.norm.weight"]
    assert np.array_equal(found.tensors["albert.encoder.attention.1.0.norm.weight"], shared)
    assert np.array_equal(found.tensors["albert.encoder.attention.2.0.norm.weight"], shared + 1)


@pytest.mark.parametrize("gone", ["layer_normalization_4/", "layer_1/"])
def test_a_layer_without_its_normalisations_is_refused(gone: str, tmp_path: Path) -> None:
    variables = with_norms_of_layers(tmp_path, SMALL)
    kept = {name: x for name, x in variables.items() if gone not in name}
    assert len(kept) < len(variables)
    write_bundle(tmp_path / "model.ckpt-1", kept)
    with pytest.raises(CheckpointError, match="layer_normalization_"):
        open_checkpoint(tmp_path)
