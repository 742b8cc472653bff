"""ONNX files of many exporters: weights bit for bit, outputs of onnxruntime, config, command."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outputs import BOUND, arrays, distance, outputs

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats import protobuf_wire
from albertkit.checkpoint.hf_names import huggingface_rules
from albertkit.cli import main
from albertkit.errors import CheckpointError, ConfigError

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "onnx"
# Other programs than torch's exporters wrote these; what of them is named in the refusal.
REFUSED = {
    "old4_30_fused": ("com.microsoft.Attention", "com.microsoft.EmbedLayerNormalization"),
    "tensorflow": ("GlobalAveragePool", "tf2onnx"),
}
CASES = sorted({path.parent.name for path in GOLDEN.glob("*/model.onnx.gz")} - set(REFUSED))
HALF = {"script_float16": 5e-3, "dynamo_bfloat16": 5e-2}
# What transformers calls each output, ours; the tuple of 2.11 has no names.
OURS = {
    "prediction_logits": "mlm",
    "sop_logits": "order",
    "last_hidden_state": "tokens",
    "pooler_output": "pooled",
    "start_logits": "start",
    "end_logits": "end",
    "out0": "mlm",
}
ACTS = {"gelu_new": "gelu_tanh", "gelu": "gelu_erf", "relu": "relu"}
HEADS = {
    "AlbertForSequenceClassification": "classification",
    "AlbertForTokenClassification": "token_classification",
    "AlbertForQuestionAnswering": "span",
    "AlbertForMultipleChoice": "multiple_choice",
}


def unpacked(case: str, folder: Path) -> Path:
    """The model file of a case, and what lies beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(
        gzip.decompress((GOLDEN / case / "model.onnx.gz").read_bytes())
    )
    for path in (GOLDEN / case).glob("*.data"):
        shutil.copy(path, folder)
    return folder / "model.onnx"


def case_of(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is known of a case: case.json, expected.npz."""
    return json.loads((GOLDEN / name / "case.json").read_text()), arrays(
        GOLDEN / name / "expected.npz"
    )


def assert_same_weights(opened: families.Opened, expected: dict[str, np.ndarray]) -> set[str]:
    """Every tensor has the bits of the exported model; the names of those that were compared."""
    checkpoint = opened.checkpoint
    rules = huggingface_rules(checkpoint.config, checkpoint.head, renumber=False)
    names = {ours: rule.theirs for ours, rule in rules.items()}
    compared = set()
    for ours, found in checkpoint.tensors.items():
        name = names[ours] if f"state/{names[ours]}" in expected else names[ours][len("albert.") :]
        if ours == "masked_lm.bias" and "state/predictions.decoder.bias" in expected:
            name = "predictions.decoder.bias"  # the one that every version of transformers adds
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[f"state/{name}"], err_msg=ours)
        compared.add(name)
    return compared


@pytest.mark.parametrize("case", CASES)
def test_weights_are_those_that_were_exported(case: str, tmp_path: Path) -> None:
    _, expected = case_of(case)
    opened = open_checkpoint(unpacked(case, tmp_path / "x"))
    assert opened.family == "onnx"
    compared = assert_same_weights(opened, expected)
    left = {
        name.removeprefix("state/") for name in expected if name.startswith("state/")
    } - compared
    copies = {"predictions.bias", "predictions.decoder.bias", "predictions.decoder.weight"}
    pooler = {"albert.pooler.weight", "albert.pooler.bias"} if case == "old2_11" else set()
    assert left <= copies | pooler  # transformers 2 makes a pooler that its masked-LM never uses


@pytest.mark.parametrize("case", REFUSED)
def test_graphs_of_other_programs_are_refused_by_name(case: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(unpacked(case, tmp_path / "x"))
    for name in REFUSED[case]:
        assert name in error.value.facts["found"]


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_graph(case: str, tmp_path: Path) -> None:
    facts, expected = case_of(case)
    opened = open_checkpoint(unpacked(case, tmp_path / "x"))
    ids = expected["in/input_ids"]
    mask = expected.get("in/attention_mask", np.ones_like(ids))
    types = expected.get("in/token_type_ids", np.zeros_like(ids))
    found = outputs(opened.checkpoint, ids, types, mask)
    seen = 0
    for name, values in expected.items():
        if name.startswith("out/"):
            ours = OURS.get(name[4:], "mlm" if "MaskedLM" in facts["class"] else "logits")
            real = mask.reshape(-1, mask.shape[-1]) if ours not in ("pooled", "order") else None
            assert distance(found[ours], values, real) <= HALF.get(case, BOUND), name
            seen += 1
    assert seen >= 1


@pytest.mark.parametrize("case", CASES)
def test_the_graph_tells_the_config_alone(case: str, tmp_path: Path) -> None:
    facts, _ = case_of(case)
    opened = open_checkpoint(unpacked(case, tmp_path / "x"))
    config, given = opened.checkpoint.config, facts["config"]
    for key in set(given) - {"hidden_act", "layer_norm_eps", "type_vocab_size"}:
        assert getattr(config, key) == given[key], key
    assert config.hidden_act == ACTS[given["hidden_act"]]
    assert config.layer_norm_eps == pytest.approx(given["layer_norm_eps"], rel=1e-12)
    assert config.norm_order == "post"
    assert config.embedding_order == "norm_then_project"
    assert config.tied_decoder == (case != "dynamo23_untied")
    head = opened.checkpoint.head
    kind = HEADS.get(facts["class"])
    if case == "old4_30":  # one label, as in transformers
        kind = "regression"
    assert (None if head is None else head.kind) == kind
    assert opened.result.provenance["num_attention_heads"] == "graph"


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_of_the_file_is_in_the_account(case: str, tmp_path: Path) -> None:
    result = open_checkpoint(unpacked(case, tmp_path / "x")).result
    report = result.report
    assert set(report.loaded) | set(report.ignored) == set(result.source_tensors)
    assert not set(report.loaded) & set(report.ignored)
    ours = {name for used, _ in report.loaded.values() for name in used.split(", ")}
    assert ours == set(result.tensors)


def test_the_account_tells_what_was_turned(tmp_path: Path) -> None:
    used = open_checkpoint(unpacked("script17", tmp_path / "x")).result.report.loaded.values()
    changes = {ours: how for names, how in used for ours in names.split(", ")}
    assert changes["albert.encoder.attention.0.0.query.weight"] == "transposed"  # MatMul
    assert changes["albert.pooler.weight"] == "as it is"  # Gemm with transB
    assert changes["albert.embeddings.word.weight"] == "as it is"


def test_the_old_masked_lm_head_has_an_epsilon_of_its_own(tmp_path: Path) -> None:
    # transformers up to 4.0.1 left torch's default in that head.
    config = open_checkpoint(unpacked("old4_0", tmp_path / "x")).checkpoint.config
    assert (config.layer_norm_eps, config.head_layer_norm_eps) == (1e-12, 1e-5)


def renamed(data: bytes, source: random.Random) -> bytes:
    """The file with another name for every value and node, the initializers in another order."""
    names: dict[str, str] = {"": ""}

    def other(value: Any) -> bytes:
        text = str(value, "utf-8")
        return names.setdefault(text, f"{source.randrange(10**9)}").encode()

    def message(value: Any, texts: dict[int, Any]) -> bytes:
        parts = []
        for number, content in protobuf_wire.fields(memoryview(value)):
            done = texts[number](content) if number in texts else content
            parts.append(field(number, done))
        return b"".join(parts)

    def graph(value: Any) -> bytes:
        tensors, others = [], []
        kinds = {
            1: lambda x: message(x, {1: other, 2: other, 3: lambda _: b"n"}),
            5: lambda x: message(x, {8: other}),
            11: lambda x: message(x, {1: other}),
            12: lambda x: message(x, {1: other}),
        }
        for number, content in protobuf_wire.fields(memoryview(value)):
            done = kinds[number](content) if number in kinds else content
            (tensors if number == 5 else others).append(field(number, done))
        source.shuffle(tensors)
        return b"".join([*others, *tensors])

    return message(data, {7: graph})


def field(number: int, value: Any) -> bytes:
    """A field of a protocol buffer; bytes of fixed width come as bytes and go as such."""

    def varint(count: int) -> bytes:
        out = bytearray()
        while count > 0x7F:
            out.append(count & 0x7F | 0x80)
            count >>= 7
        return bytes([*out, count])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if number == 2 and len(value) == 4 and not isinstance(value, bytes):  # a fraction
        return varint(number << 3 | 5) + bytes(value)
    return varint(number << 3 | 2) + varint(len(value)) + bytes(value)


@pytest.mark.parametrize("case", ["script11", "dynamo20", "onnxruntime_fused", "old4_0", "copies"])
def test_names_mean_nothing(case: str, tmp_path: Path) -> None:
    path = unpacked(case, tmp_path / "x")
    before = open_checkpoint(path).checkpoint
    tensors = {name: np.array(tensor) for name, tensor in before.tensors.items()}
    data = renamed(path.read_bytes(), random.Random(case))
    assert data != path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    after = open_checkpoint(path)
    assert after.checkpoint.config == before.config
    assert after.checkpoint.tensors.keys() == tensors.keys()
    for name, tensor in after.checkpoint.tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)
    assert all(name.isdigit() for name in after.result.report.loaded)


def test_copies_for_every_layer_are_one_block(tmp_path: Path) -> None:
    result = open_checkpoint(unpacked("copies", tmp_path / "x")).result
    copies = [why for why in result.report.ignored.values() if why.startswith("a copy of ")]
    assert len(copies) >= 16  # all of the second layer
    assert result.config.num_hidden_groups == 1


def test_the_command_converts_what_is_then_opened_by_transformers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    import transformers

    _, expected = case_of("dynamo20")
    path = unpacked("dynamo20", tmp_path / "x")
    assert main(["convert", str(path), str(tmp_path / "out"), "--to", "huggingface", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["source"]["report"]
    assert report["loaded"]
    assert report["ignored"]
    theirs = transformers.AlbertForPreTraining.from_pretrained(tmp_path / "out").eval()
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            np.testing.assert_array_equal(tensor.numpy(), expected[f"state/{name}"], err_msg=name)
    given = {n[3:]: torch.from_numpy(x) for n, x in expected.items() if n.startswith("in/")}
    with torch.inference_mode():
        found = theirs(**given)
    mask = expected["in/attention_mask"]
    for name in ("prediction_logits", "sop_logits"):
        real = mask if name == "prediction_logits" else None
        assert distance(found[name].numpy(), expected[f"out/{name}"], real) <= BOUND


def write_config(folder: Path, **values: object) -> None:
    """A config of transformers beside a case, with other values."""
    facts, _ = case_of("dynamo20")
    config = {**facts["config"], "model_type": "albert", **values}
    (folder / "config.json").write_text(json.dumps(config))


def test_a_config_beside_adds_what_the_graph_does_not_tell(tmp_path: Path) -> None:
    path = unpacked("dynamo20", tmp_path / "x")
    write_config(path.parent, classifier_dropout_prob=0.3, bos_token_id=2)
    result = open_checkpoint(path).result
    assert result.config.classifier_dropout_prob == 0.3
    assert result.provenance["classifier_dropout_prob"] == "config.json"
    assert result.provenance["num_hidden_layers"] == "config.json"
    assert result.problems == []
    assert result.special_ids == {"bos_token_id": 2}
    assert path.parent / "config.json" in result.files


def test_the_graph_wins_over_a_config_and_says_so(tmp_path: Path) -> None:
    path = unpacked("dynamo20", tmp_path / "x")
    write_config(path.parent, num_attention_heads=2, hidden_act="relu", num_hidden_layers=7)
    result = open_checkpoint(path).result
    config = result.config
    assert (config.num_attention_heads, config.hidden_act) == (4, "gelu_tanh")
    assert config.num_hidden_layers == 2
    problems = " ".join(result.problems)
    for key in ("num_attention_heads=2", "hidden_act='relu'", "num_hidden_layers=7"):
        assert f"config.json says {key}" in problems


def test_a_config_that_cannot_be_read_is_reported_and_not_used(tmp_path: Path) -> None:
    path = unpacked("dynamo20", tmp_path / "x")
    write_config(path.parent, some_new_key=1, classifier_dropout_prob=0.3)
    result = open_checkpoint(path).result
    assert result.config.classifier_dropout_prob == 0.1
    assert len(result.problems) == 1
    assert "config.json is not used: Unknown key 'some_new_key'" in result.problems[0]
    chosen = Overrides(config=path.parent / "config.json")
    with pytest.raises(ConfigError, match="some_new_key"):
        open_checkpoint(path, overrides=chosen)


def test_a_config_of_another_model_is_an_error(tmp_path: Path) -> None:
    path = unpacked("dynamo20", tmp_path / "x")
    (path.parent / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    with pytest.raises(ConfigError, match="not the config of an ALBERT"):
        open_checkpoint(path)
    write_config(tmp_path)
    opened = open_checkpoint(path, overrides=Overrides(config=tmp_path / "config.json"))
    assert opened.result.problems == []


def test_choices_that_the_graph_contradicts(tmp_path: Path) -> None:
    path = unpacked("dynamo20", tmp_path / "x")
    with pytest.raises(ConfigError, match="another size"):
        open_checkpoint(path, overrides=Overrides(values={"vocab_size": 31}))
    with pytest.raises(ConfigError, match="not shared that way"):
        open_checkpoint(path, overrides=Overrides(values={"num_hidden_layers": 3}))
    with pytest.raises(ConfigError, match="not a key of an ALBERT config"):
        open_checkpoint(path, overrides=Overrides(values={"heads": 3}))
    result = open_checkpoint(path, overrides=Overrides(values={"layer_norm_eps": 1e-6})).result
    assert result.config.layer_norm_eps == 1e-6
    assert "layer_norm_eps=1e-06" in result.problems[0]


def test_groups_may_be_named_otherwise(tmp_path: Path) -> None:
    # Two blocks one after another, twice: two inner blocks, here in two layers.
    path = unpacked("old4_0", tmp_path / "x")
    config = open_checkpoint(path).checkpoint.config
    assert (config.num_hidden_layers, config.inner_group_num) == (2, 2)
    path = unpacked("dynamo18_groups", tmp_path / "y")
    result = open_checkpoint(path).result
    assert result.config.num_hidden_groups == 2
    assert any("compute the same" in problem for problem in result.problems)


def test_what_the_head_is_for(tmp_path: Path) -> None:
    path = unpacked("copies", tmp_path / "x")
    assert open_checkpoint(path).checkpoint.head.num_labels == 5
    multi = open_checkpoint(path, overrides=Overrides(head="multi_label")).checkpoint.head
    assert multi.kind == "multi_label"
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(path, overrides=Overrides(head="span"))
    labels = {str(n): f"class {n}" for n in range(5)}
    write_config(
        path.parent,
        architectures=["AlbertForSequenceClassification"],
        problem_type="multi_label_classification",
        id2label=labels,
    )
    head = open_checkpoint(path).checkpoint.head
    assert (head.kind, head.labels) == ("multi_label", tuple(labels.values()))
    write_config(path.parent, architectures=["AlbertForMaskedLM"])
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(
            unpacked("dynamo20", tmp_path / "y"), overrides=Overrides(head="classification")
        )


def test_folders_that_are_claimed(tmp_path: Path) -> None:
    path = unpacked("dynamo20", tmp_path / "x")
    assert families.detect(path) == ("onnx", path)
    assert families.detect(path.parent) == ("onnx", path)
    second = path.with_name("model_quantized.onnx")
    second.write_bytes(b"")
    assert families.detect(path.parent) == ("onnx", path)
    path.rename(path.with_name("one.onnx"))
    with pytest.raises(CheckpointError, match="model_quantized.onnx, one.onnx"):
        families.detect(path.parent)
    inner = tmp_path / "hub"
    inner.mkdir()
    path = unpacked("dynamo20", inner / "onnx")
    assert families.detect(inner) == ("onnx", path)
    write_config(inner, classifier_dropout_prob=0.2)
    assert open_checkpoint(inner).result.config.classifier_dropout_prob == 0.2


def test_weights_of_another_family_are_preferred(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model / "model", tmp_path / "model"))
    unpacked("dynamo20", folder)
    assert families.detect(folder)[0] == "huggingface"
    assert families.detect(folder / "model.onnx")[0] == "onnx"


def test_it_is_not_written(tmp_path: Path) -> None:
    family = families.named("onnx")
    assert not family.WRITES
    checkpoint = open_checkpoint(unpacked("dynamo20", tmp_path / "x")).checkpoint
    with pytest.raises(CheckpointError, match="are only read"):
        family.losses(checkpoint)
    with pytest.raises(CheckpointError, match="are only read"):
        family.write(checkpoint, tmp_path, "float32")
