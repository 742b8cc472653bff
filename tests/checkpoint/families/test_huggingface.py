"""Folders of transformers of all versions, and lonePatient's, give the original's numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from outputs import BOUND, arrays, distance, kept, outputs

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats import torch_save
from albertkit.checkpoint.formats.safetensors_file import read_weights, write_tensors
from albertkit.config import AlbertConfig
from albertkit.conversion import convert
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "golden" / "huggingface"
# The head of files whose config names no class (transformers 2.2.2).
HEADS = {
    "sequence_classification": "classification",
    "token_classification": "token_classification",
}
THEIRS = {"prediction_logits": "mlm", "sop_logits": "order", "last_hidden_state": "tokens"}
THEIRS |= {"pooler_output": "pooled", "start_logits": "start", "end_logits": "end"}


def cases() -> list:
    found = []
    for pattern in ("*/*/model.safetensors", "*/*/v4_bin/pytorch_model.bin", "old*/*/*.bin"):
        for path in sorted(SHARED.glob(pattern)):
            name = "/".join(path.relative_to(SHARED).parts[:-1])
            found.append(pytest.param(path, id=name, marks=pytest.mark.shared))
    return found


def open_case(path: Path) -> families.Opened:
    """A reference file, with what its config leaves open."""
    old = "old_names" in str(path)
    silent = "v2.2.2" in str(path)
    head = next((kind for part, kind in HEADS.items() if part in path.parts), None)
    # Up to 4.0.1 the head's epsilon was torch's default, whatever the config said.
    values = {"head_layer_norm_eps": 1e-5} if old else {}
    return open_checkpoint(path, overrides=Overrides(values=values, head=head if silent else None))


@pytest.mark.parametrize("path", cases())
def test_outputs_are_those_of_transformers(path: Path) -> None:
    folder = path.parent.parent if path.parent.name == "v4_bin" else path.parent
    inputs, expected = arrays(folder / "inputs.npz"), arrays(folder / "outputs.npz")
    opened = open_case(path)
    assert opened.family == "huggingface"
    mask = inputs["attention_mask"]
    found = outputs(opened.checkpoint, inputs["input_ids"], inputs["token_type_ids"], mask)
    rows = mask.reshape(-1, mask.shape[-1])
    compared = set()
    for name, values in expected.items():
        if name == "loss" or name.startswith("attentions"):
            continue
        ours = THEIRS.get(name, name.replace("hidden_states", "hidden"))
        if name == "logits" and "masked_lm" in path.parts:
            ours = "mlm"
        assert distance(found[ours], values, rows) <= BOUND, name
        compared.add(ours)
    assert len(compared) == len(expected) - sum(
        name == "loss" or name.startswith("attentions") for name in expected
    )
    assert ("order" in found) == ("pretraining" in path.parts)
    assert ("masked_lm" in opened.result.report.missing) == ("mlm" not in found)


@pytest.mark.shared
@pytest.mark.parametrize("version", ["2.2.2", "2.5.1", "3.0.2", "4.0.1"])
def test_every_tensor_of_an_old_file_is_in_the_account(version: str) -> None:
    path = SHARED / f"old_names_v{version}" / "masked_lm" / "pytorch_model.bin"
    result = open_case(path).result
    report = result.report
    assert set(report.loaded) | set(report.ignored) == set(result.source_tensors)
    assert not set(report.loaded) & set(report.ignored)
    summed = [why for why in report.ignored.values() if "added to predictions.bias" in why]
    assert len(summed) == (version == "2.2.2")
    assert any("two different biases" in problem for problem in result.problems) == bool(summed)


def test_a_config_without_class_asks_what_the_classifier_is_for(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model / "body", tmp_path / "x")
    tensors = read_weights(folder / "model.safetensors").tensors
    named = {f"albert.{name}": np.array(x) for name, x in tensors.items()}
    named |= {"classifier.weight": np.ones((3, 16), "f4"), "classifier.bias": np.ones(3, "f4")}
    write_tensors(folder / "model.safetensors", named)
    edit(folder, architectures=None)
    with pytest.raises(ConfigError, match="what the classifier is for"):
        open_checkpoint(folder)
    opened = open_checkpoint(folder, overrides=Overrides(head="token_classification"))
    assert opened.checkpoint.head.kind == "token_classification"


def edit(folder: Path, **values: object) -> None:
    """Set keys of config.json; None removes one."""
    config = json.loads((folder / "config.json").read_text())
    config.update(values)
    set_ones = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(set_ones))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A folder with both heads that a test may change."""
    return Path(shutil.copytree(tiny_model / "model", tmp_path / "model"))


def tensors_in(folder: Path) -> dict[str, np.ndarray]:
    return {
        name: np.array(x) for name, x in read_weights(folder / "model.safetensors").tensors.items()
    }


def same(a: Checkpoint, b: Checkpoint) -> None:
    assert a.config == b.config
    assert a.tensors.keys() == b.tensors.keys()
    for name in a.tensors:
        np.testing.assert_array_equal(a.tensors[name], b.tensors[name])


def test_gamma_and_beta_are_read(model: Path) -> None:
    before = kept(model)
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta")
        .replace("layer_norm.weight", "layer_norm.gamma"): x
        for name, x in tensors_in(model).items()
    }
    assert sum(name.endswith((".gamma", ".beta")) for name in tensors) > 6
    write_tensors(model / "model.safetensors", tensors)
    same(open_checkpoint(model).checkpoint, before)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_put_together(kind: str, model: Path) -> None:
    before = kept(model)
    tensors = tensors_in(model)
    names = list(tensors)
    stem = "model" if kind == "safetensors" else "pytorch_model"
    write = write_tensors if kind == "safetensors" else torch_save.write_weights
    places = {}
    for number, part in enumerate((names[:5], names[5:9], names[9:])):
        file = f"{stem}-{number + 1:05}-of-00003.{kind}"
        write(model / file, {name: tensors[name] for name in part})
        places |= dict.fromkeys(part, file)
    (model / "model.safetensors").unlink()
    index = model / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    opened = open_checkpoint(model)
    same(opened.checkpoint, before)
    assert len(opened.result.files) == 5  # config, index, shards

    for wrong, found in [
        ({**places, "more": places[names[0]]}, "no more in the shards"),
        ({name: places[name] for name in names if name != names[3]}, "does not name"),
        ({**places, names[0]: f"../{file}"}, "not a file of the folder"),
        ({**places, names[0]: 3}, "not a file of the folder"),
        ({**places, names[0]: "gone.bin"}, "cannot be read"),
        ({}, "no weight_map"),
    ]:
        index.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(CheckpointError, match=found):
            open_checkpoint(model)


def test_a_decoder_of_its_own_asks_for_a_choice(model: Path) -> None:
    tensors = tensors_in(model)
    decoder = tensors["albert.embeddings.word_embeddings.weight"] + 1
    write_tensors(model / "model.safetensors", {**tensors, "predictions.decoder.weight": decoder})
    with pytest.raises(CheckpointError, match='"tied_decoder": False'):
        open_checkpoint(model)
    untied = open_checkpoint(model, overrides=Overrides(values={"tied_decoder": False})).checkpoint
    np.testing.assert_array_equal(untied.tensors["masked_lm.decoder.weight"], decoder)
    opened = open_checkpoint(model, overrides=Overrides(values={"tied_decoder": True}))
    assert "masked_lm.decoder.weight" not in opened.checkpoint.tensors
    assert "chosen" in opened.result.report.ignored["predictions.decoder.weight"]
    assert opened.result.provenance["tied_decoder"] == "given"


def test_a_wrong_choice_is_an_error(model: Path) -> None:
    with pytest.raises(ConfigError, match="not a key of an ALBERT config"):
        open_checkpoint(model, overrides=Overrides(values={"heads": 3}))
    (model / "config.json").unlink()
    with pytest.raises(ConfigError, match="no config beside"):
        open_checkpoint(model)


def test_a_tensor_too_many_is_an_error(model: Path) -> None:
    more = {**tensors_in(model), "albert.embeddings.extra.weight": np.ones(3, "f4")}
    write_tensors(model / "model.safetensors", more)
    with pytest.raises(CheckpointError, match="embeddings.extra"):
        open_checkpoint(model)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_written_reads_back_the_same(dtype: str, model: Path, tmp_path: Path) -> None:
    result = convert(model, tmp_path / "out", "huggingface", dtype=dtype)
    assert len(result.kept) == len(result.source.checkpoint.tensors)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == dtype
    kinds = {kind for kind, _ in open_checkpoint(tmp_path / "out").result.source_tensors.values()}
    assert kinds == {dtype}


def test_transformers_opens_what_is_written_in_float16(model: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    convert(model, tmp_path / "out", "huggingface", dtype="float16")
    theirs = transformers.AlbertForPreTraining.from_pretrained(tmp_path / "out")
    assert theirs.dtype == torch.float16
    table = theirs.albert.embeddings.word_embeddings.weight.detach().numpy()
    ours = open_checkpoint(model).checkpoint.tensors["albert.embeddings.word.weight"]
    np.testing.assert_array_equal(table, ours.astype("f2"))


def test_a_model_that_transformers_lacks_is_refused(model: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    checkpoint = open_checkpoint(model).checkpoint
    family = families.named("huggingface")
    assert family.losses(checkpoint) == []
    pre = replace(checkpoint, config=replace(checkpoint.config, norm_order="pre"))
    with pytest.raises(CheckpointError, match="norm_order=pre"):
        family.losses(pre)
    eps = replace(checkpoint, config=replace(checkpoint.config, head_layer_norm_eps=1e-5))
    assert "1e-05" in family.losses(eps)[0].sentence
    (tmp_path / "out").mkdir()
    family.write(eps, tmp_path / "out", "float32")
    same(open_checkpoint(tmp_path / "out").checkpoint, checkpoint)


LONE = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.LayerNorm": "LayerNorm",
    "full_layer_layer_norm": "LayerNorm_1",
    "ffn_output": "ffn.intermediate.output.dense",
    "ffn": "ffn.intermediate.dense",
}
BRIGHT = {
    **LONE,
    "attention.LayerNorm": "attention.output.LayerNorm",
    "full_layer_layer_norm": "output.LayerNorm",
    "ffn_output": "output.dense",
    "ffn": "intermediate.dense",
}
OUTER = {
    "albert.pooler": "bert.pooler.dense",
    "albert.encoder.embedding_hidden_mapping_in": "bert.encoder.embedding_hidden_mapping_in",
    "predictions.dense": "cls.predictions.transform.dense",
    "predictions.LayerNorm": "cls.predictions.transform.LayerNorm",
    "predictions": "cls.predictions",
    "sop_classifier.classifier": "cls.seq_relationship",
}


def lone_name(name: str, layer: str, table: dict[str, str]) -> str:
    """lonePatient's name of a tensor of transformers."""
    module, kind = name.rsplit(".", 1)
    inside = "albert.encoder.albert_layer_groups.0.albert_layers.0."
    if module.startswith(inside):
        return f"bert.{layer}.{table[module.removeprefix(inside)]}.{kind}"
    return f"{OUTER.get(module, module.replace('albert.', 'bert.'))}.{kind}"


def test_lone_patients_google_files_are_read(model: Path) -> None:
    before = kept(model)
    layer = "encoder.transformer.group.0.inner_group.0"
    tensors = {lone_name(name, layer, LONE): x for name, x in tensors_in(model).items()}
    assert f"bert.{layer}.ffn.intermediate.output.dense.weight" in tensors
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    (model / "model.safetensors").unlink()
    torch_save.write_weights(model / "pytorch_model.bin", tensors)
    edit(model, model_type=None, architectures=None, ln_type="postln", share_type="all")
    opened = open_checkpoint(model)
    assert opened.result.report.ignored.keys() == {"cls.predictions.decoder.weight"}
    same(opened.checkpoint, before)


def test_lone_patients_brightmart_files_are_read(tmp_path: Path) -> None:
    draws = np.random.default_rng(4)
    config = AlbertConfig(
        vocab_size=30,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
        hidden_act="gelu_erf",
        embedding_order="project_then_norm",
        position_width="hidden",
        projection_bias=False,
        project_equal_width=True,
    )
    from albertkit.checkpoint.hf_names import huggingface_rules
    from albertkit.parameters import parameter_shapes

    ours = {n: draws.normal(size=s).astype("f4") for n, s in parameter_shapes(config).items()}
    rules = huggingface_rules(config, renumber=False)
    names = {ours: rule.theirs for ours, rule in rules.items()}
    tensors = {
        lone_name(names[name], "encoder.layer_shared", BRIGHT).replace(
            "encoder.embedding_hidden_mapping_in", "embeddings.word_embeddings_2"
        ): x
        for name, x in ours.items()
    }
    words = "bert.embeddings.word_embeddings_2.weight"
    assert "bert.encoder.layer_shared.attention.output.LayerNorm.weight" in tensors
    assert tensors[words].shape == (16, 8)
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.project_layer.weight"] = np.ascontiguousarray(tensors[words].T)
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                **{k: getattr(config, k) for k in ("vocab_size", "embedding_size", "hidden_size")},
                **{"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32},
                **{"max_position_embeddings": 12, "type_vocab_size": 2, "hidden_act": "gelu"},
                **{"ln_type": "postln", "directionality": "bidi", "initializer_range": 0.02},
            }
        )
    )
    torch_save.write_weights(tmp_path / "pytorch_model.bin", tensors)
    opened = open_checkpoint(tmp_path)
    assert opened.checkpoint.config == config
    for name, tensor in ours.items():
        np.testing.assert_array_equal(opened.checkpoint.tensors[name], tensor)
    assert not opened.result.problems
    tensors["cls.predictions.project_layer.weight"] += 1
    torch_save.write_weights(tmp_path / "pytorch_model.bin", tensors)
    assert "defect 46" in open_checkpoint(tmp_path).result.problems[0]


def test_a_hostile_file_is_refused_and_not_passed_over(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\nX\x01\0\0\0.\x85R.")
    with pytest.raises(CheckpointError, match="os.system"):
        open_checkpoint(model)
    assert families.named("huggingface").detect(model / "vocab.txt") is None


def test_a_file_of_nobody_is_not_claimed(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", {"layer.weight": np.ones(3, "f4")})
    assert families.named("huggingface").detect(tmp_path / "x.safetensors") is None
    assert families.named("huggingface").detect(tmp_path) is None
    with pytest.raises(AlbertkitError, match="not a checkpoint"):
        open_checkpoint(tmp_path / "x.safetensors")


def test_a_head_that_is_not_there_is_not_passed_over(model: Path) -> None:
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(model, overrides=Overrides(head="span"))
