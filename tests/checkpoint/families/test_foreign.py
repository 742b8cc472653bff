"""Files that are no state dict of an ALBERT are called by what they are, with what to do."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats.tensor_bundle import write_bundle
from albertkit.conversion import convert
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError

SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
}
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@pytest.fixture(scope="module")
def albert() -> transformers.AlbertForMaskedLM:
    config = transformers.AlbertConfig(embedding_size=8, **SIZES)
    return transformers.AlbertForMaskedLM(config).eval()


@pytest.fixture(scope="module")
def bert() -> transformers.BertForMaskedLM:
    return transformers.BertForMaskedLM(transformers.BertConfig(**SIZES))


def saved(model: transformers.PreTrainedModel, folder: Path, name: str = WEIGHTS[0]) -> Path:
    """A model's folder with its weights in a file of this name."""
    model.save_pretrained(folder)
    if name != WEIGHTS[0]:
        (folder / WEIGHTS[0]).unlink()
        torch.save(model.state_dict(), folder / name)
    return folder


def facts_of(path: Path) -> dict[str, str]:
    """The message of the error about a path, by its facts."""
    with pytest.raises(AlbertkitError) as caught:
        open_checkpoint(path)
    return {"what": caught.value.what, **caught.value.facts}


# Another encoder.


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("config", ["own", "without model_type", "of an ALBERT", "none"])
def test_a_bert_is_named_whatever_its_config_says(
    config: str, name: str, bert: transformers.BertForMaskedLM, tmp_path: Path
) -> None:
    folder = saved(bert, tmp_path / "bert", name)
    file = folder / "config.json"
    values = json.loads(file.read_text())
    if config == "without model_type":
        del values["model_type"], values["architectures"]
        file.write_text(json.dumps(values))
    if config == "of an ALBERT":
        transformers.AlbertConfig(embedding_size=8, **SIZES).save_pretrained(folder)
    if config == "none":
        file.unlink()
    for path in (folder, folder / name):
        assert "BERT, not of an ALBERT" in facts_of(path)["what"]
        assert facts_of(path)["where"].endswith(name)


def test_the_config_of_a_bert_beside_an_albert_is_named(
    albert: transformers.AlbertForMaskedLM, tmp_path: Path
) -> None:
    folder = saved(albert, tmp_path / "x")
    values = {**SIZES, "vocab_size": 30522, "hidden_act": "gelu"}
    (folder / "config.json").write_text(json.dumps(values))
    assert "no embedding_size, as in BERT" in facts_of(folder)["found"]
    (folder / WEIGHTS[0]).unlink()
    (folder / "config.json").write_text(json.dumps({**values, "architectures": ["BertModel"]}))
    assert "BertModel" in facts_of(folder)["found"]


def test_a_bert_of_tensorflow_is_named(tmp_path: Path) -> None:
    query = np.zeros((16, 16), np.float32)
    names = [f"bert/encoder/layer_{n}/attention/self/query/kernel" for n in range(2)]
    words = {"bert/embeddings/word_embeddings": np.zeros((30, 16), np.float32)}
    write_bundle(tmp_path / "bert_model.ckpt", {**words, **dict.fromkeys(names, query)})
    (tmp_path / "bert_config.json").write_text(json.dumps(SIZES))
    for path in (tmp_path, tmp_path / "bert_model.ckpt", tmp_path / "bert_model.ckpt.index"):
        assert "BERT" in facts_of(path)["what"]


def test_an_adapter_names_the_model_that_it_changes(tmp_path: Path) -> None:
    name = "base_model.model.albert.encoder.albert_layer_groups.0.lora_A.weight"
    save_file({name: torch.zeros(2, 16)}, tmp_path / "adapter_model.safetensors")
    values = {"peft_type": "LORA", "base_model_name_or_path": "albert-base-v2"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(values))
    assert "albert-base-v2" in facts_of(tmp_path)["found"]
    assert "merge_and_unload" in facts_of(tmp_path)["to do"]


# More or less than a state dict.


@pytest.mark.parametrize("new", [True, False])
def test_a_pickled_module_names_its_class_and_how_to_save_the_tensors(
    new: bool, albert: transformers.AlbertForMaskedLM, tmp_path: Path
) -> None:
    albert.config.save_pretrained(tmp_path)
    torch.save(albert, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    for path in (tmp_path, tmp_path / "pytorch_model.bin"):
        assert "AlbertForMaskedLM" in facts_of(path)["found"]
        assert "model.state_dict()" in facts_of(path)["to do"]


def quantised_state(kind: str, model: transformers.AlbertForMaskedLM) -> dict[str, object]:
    """A state dict as torch's dynamic quantisation, its tensors, or bitsandbytes leave it."""
    state = {name: x for name, x in model.state_dict().items() if "decoder" not in name}
    name = "predictions.dense.weight"
    if kind == "dynamic":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantize = torch.ao.quantization.quantize_dynamic
            return quantize(model, {torch.nn.Linear}, dtype=torch.qint8).state_dict()
    if kind == "tensor":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state[name] = torch.quantize_per_tensor(state[name], 0.01, 0, torch.qint8)
    if kind == "int8":
        state[name] = (state[name] * 127).to(torch.int8)
        state["predictions.dense.SCB"] = torch.ones(8)
    if kind == "int4":
        state["predictions.dense.qweight"] = torch.zeros(2, 8, dtype=torch.int32)
        del state[name]
    return state


@pytest.mark.parametrize("kind", ["dynamic", "tensor", "int8", "int4"])
def test_quantised_weights_are_named(
    kind: str, albert: transformers.AlbertForMaskedLM, tmp_path: Path
) -> None:
    albert.config.save_pretrained(tmp_path)
    state = quantised_state(kind, albert)
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert "quantised" in facts_of(tmp_path)["what"]
    assert "before it is quantised" in facts_of(tmp_path)["to do"]
    if kind in ("int8", "int4"):
        (tmp_path / "pytorch_model.bin").unlink()
        save_file({name: x.contiguous() for name, x in state.items()}, tmp_path / WEIGHTS[0])
        assert "quantised" in facts_of(tmp_path)["what"]


# Config files of other names, and none.


@pytest.mark.parametrize("to", ["huggingface", "google_tf", "paddlenlp"])
def test_a_config_of_another_name_is_named_and_its_use_can_be_typed(
    to: str, tiny_model: Path, tmp_path: Path
) -> None:
    convert(tiny_model / "model", tmp_path / "x", to, allow_loss=True)
    config = "albert_config.json" if to == "google_tf" else "config.json"
    mine = (tmp_path / "x" / config).rename(tmp_path / "x" / "my_config.json")
    with pytest.raises(ConfigError) as caught:
        open_checkpoint(tmp_path / "x")
    assert "my_config.json" in caught.value.facts["found"]
    assert f'overrides=Overrides(config="{mine}")' in caught.value.facts["to do"]
    assert f"--config {mine}" in str(caught.value.command_fix)
    given = Overrides(config=str(mine))  # type: ignore[arg-type]
    assert open_checkpoint(tmp_path / "x", overrides=given).checkpoint.has_masked_lm


@pytest.mark.parametrize("to", ["huggingface", "paddlenlp", "keras_hub"])
def test_a_missing_config_is_no_fault_of_the_weights(
    to: str, tiny_model: Path, tmp_path: Path
) -> None:
    convert(tiny_model / "model", tmp_path / "x", to, allow_loss=True)
    (tmp_path / "x" / "config.json").unlink()
    weights = [x for x in (tmp_path / "x").iterdir() if x.suffix in (".safetensors", ".h5")]
    for path in (tmp_path / "x", *weights):
        facts = facts_of(path)
        assert "no config" in facts["what"]
        assert facts["expected"].startswith("config.json")
        assert facts["where"] == str(tmp_path / "x")
    with pytest.raises(ConfigError, match="other.json"):
        open_checkpoint(tmp_path / "x", overrides=Overrides(config=tmp_path / "other.json"))


def test_a_folder_of_ours_without_its_config_does_not_ask_for_an_option(tmp_path: Path) -> None:
    save_file({"albertkit.albert.pooler.bias": torch.zeros(2)}, tmp_path / "albertkit.safetensors")
    facts = facts_of(tmp_path)
    assert "no config" in facts["what"]
    assert "Overrides" not in facts["to do"]


# Several files.


@pytest.mark.parametrize("short", [False, True])
def test_two_usual_files_that_agree_are_one_model(
    short: bool, albert: transformers.AlbertForMaskedLM, tmp_path: Path
) -> None:
    folder = saved(albert, tmp_path / "x")
    half = {n: x.bfloat16() if short else x for n, x in albert.state_dict().items()}
    torch.save(half, folder / "pytorch_model.bin")
    assert open_checkpoint(folder).path == folder / "model.safetensors"


def test_two_usual_files_that_disagree_are_not_guessed_between(
    albert: transformers.AlbertForMaskedLM, tmp_path: Path
) -> None:
    folder = saved(albert, tmp_path / "x")
    state = albert.state_dict()
    bias = "albert.pooler.bias" if "albert.pooler.bias" in state else "predictions.bias"
    torch.save({**state, bias: state[bias] + 1}, folder / "pytorch_model.bin")
    facts = facts_of(folder)
    assert facts["found"] == f"model.safetensors and pytorch_model.bin: {bias} has other numbers"
    assert str(folder / "model.safetensors") in facts["to do"]
    for name in WEIGHTS:
        assert open_checkpoint(folder / name).path.name == name


def test_several_files_of_no_usual_name_are_listed(
    albert: transformers.AlbertForMaskedLM, tmp_path: Path
) -> None:
    albert.config.save_pretrained(tmp_path)
    for name in ("a.bin", "b.bin"):
        torch.save(albert.state_dict(), tmp_path / name)
    with pytest.raises(CheckpointError, match="a.bin, b.bin"):
        Checkpoint.load(tmp_path)
    assert Checkpoint.load(tmp_path / "b.bin").has_masked_lm
