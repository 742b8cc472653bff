"""What no family reads is called by its name, and keys of tools in a config are passed over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.conversion import convert
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError, VocabularyError
from albertkit.files import LFS_POINTER
from albertkit.text.tokenizer import Tokenizer


def facts_of(path: Path) -> str:
    """The message about a path that cannot be opened."""
    with pytest.raises(AlbertkitError) as caught:
        Checkpoint.load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "model.safetensors",
        "model.ckpt-1.index",
        "model.ckpt-1.data-00000-of-00001",
        "pytorch_model.bin.index.json",
    ],
)
def test_a_pointer_of_git_lfs_is_named_with_the_bytes_that_are_missing(
    name: str, tmp_path: Path
) -> None:
    text = (
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 47372894\n"
    )
    (tmp_path / name).write_text(text)
    (tmp_path / "config.json").write_text('{"model_type": "albert"}')
    for path in (tmp_path, tmp_path / name):
        message = facts_of(path)
        assert "git lfs pull" in message
        assert "47,372,894" in message


def test_a_spare_copy_that_was_not_fetched_is_no_obstacle(tiny_model: Path, tmp_path: Path) -> None:
    Checkpoint.load(tiny_model / "model").save(tmp_path / "x")
    for name in ("pytorch_model.bin", "tf_model.h5"):
        (tmp_path / "x" / name).write_bytes(LFS_POINTER + b"v1\n")
    assert Checkpoint.load(tmp_path / "x").has_masked_lm
    (tmp_path / "x" / "config.json").write_bytes(LFS_POINTER + b"v1\n")
    assert "git lfs pull" in facts_of(tmp_path / "x")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "config.json"])
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>\n<html></html>"])
def test_a_download_that_failed_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert "download" in facts_of(tmp_path)
    assert f"{name}, {len(content)} bytes" in facts_of(tmp_path)


@pytest.mark.parametrize("name", ["spiece.model", "vocab.txt", "tokenizer.json"])
def test_a_vocabulary_that_was_not_fetched_is_named(name: str, tmp_path: Path) -> None:
    for content, found in {LFS_POINTER + b"v1\n": "git-lfs", b"<html></html>": "web page"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VocabularyError) as caught:
            Tokenizer.load(tmp_path / name)
        assert found in caught.value.facts["found"]


def test_folders_with_the_checkpoint_inside_name_it(tiny_model: Path, tmp_path: Path) -> None:
    model = Checkpoint.load(tiny_model / "model")
    for step in (500, 1000, 90):
        (tmp_path / "out").mkdir(exist_ok=True)
        model.save(tmp_path / "out" / f"checkpoint-{step}")
    assert str(tmp_path / "out" / "checkpoint-1000") in facts_of(tmp_path / "out")
    (tmp_path / "sentence").mkdir()
    model.save(tmp_path / "sentence" / "0_Transformer")
    assert str(tmp_path / "sentence" / "0_Transformer") in facts_of(tmp_path / "sentence")


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack"])
def test_weights_for_another_framework_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "albert"}')
    (tmp_path / name).write_bytes(b"\0" * 64)
    assert name in facts_of(tmp_path)
    assert "save_pretrained" in facts_of(tmp_path)


def test_an_index_without_its_shards_names_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "albert"}')
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00001-of-00002.safetensors" in facts_of(tmp_path)


def changed(tiny_model: Path, folder: Path, **more: object) -> Path:
    """A copy of the tiny model with other keys in its config."""
    Checkpoint.load(tiny_model / "model").save(folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **more}))
    return folder


# Written by transformers of some version, or by a program beside it; none changes a number.
HARMLESS = {
    "framework": "pytorch_fx",
    "transformers.js_config": {"dtype": "q8"},
    "auto_map": {"AutoModel": "modeling_x.X"},
    "shared_type": "all",
    "optimum_version": "1.16.2",
    "summary_type": "first",
    "summary_use_proj": True,
    "training": False,
    "num_relation_heads": 0,
    "layer_norm_type": None,
    "adapters": {"adapters": {}, "config_map": {}},
    "quantization_config": {"quant_method": "bitsandbytes"},
}
WITHOUT_A_WORD = {"_commit_hash": "0" * 40, "ln_type": "postln", "mask_token_id": 4}


@pytest.mark.parametrize("key", HARMLESS)
def test_keys_of_tools_are_passed_over_and_named(
    key: str, tiny_model: Path, tmp_path: Path
) -> None:
    opened = open_checkpoint(changed(tiny_model, tmp_path / "x", **{key: HARMLESS[key]}))
    assert [problem for problem in opened.result.problems if f"key {key} " in problem]
    assert opened.checkpoint.config == Checkpoint.load(tiny_model / "model").config


def test_keys_of_every_version_are_no_news(tiny_model: Path, tmp_path: Path) -> None:
    opened = open_checkpoint(changed(tiny_model, tmp_path / "x", **WITHOUT_A_WORD))
    assert not [problem for problem in opened.result.problems if "config key" in problem]
    assert opened.checkpoint.config == Checkpoint.load(tiny_model / "model").config


@pytest.mark.parametrize("family", ["google_tf", "paddlenlp", "uer"])
def test_other_families_pass_over_the_same_keys(
    family: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = Checkpoint.load(tiny_model / "model")
    if family == "uer":
        config = replace(model.config, layer_norm_kind="uer", type_vocab_size=3)
        config = replace(config, layer_norm_eps=1e-6, head_layer_norm_eps=1e-6)
        config = replace(config, attention_probs_dropout_prob=config.hidden_dropout_prob)
        segments = np.zeros((3, config.embedding_size), np.float32)
        tensors = {**model.tensors, "albert.embeddings.segment.weight": segments}
        model = Checkpoint(config, tensors)
    model.save(tmp_path / "start")
    convert(tmp_path / "start", tmp_path / "end", family, allow_loss=True)
    name = "albert_config.json" if family == "google_tf" else "config.json"
    file = tmp_path / "end" / name
    more = {"framework": "x", "layer_norm_type": None, "num_relation_heads": 0}
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))
    problems = "\n".join(open_checkpoint(tmp_path / "end").result.problems)
    assert all(f"config key {key} " in problems for key in more)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_relation_heads", 4),
        ("layer_norm_type", "rms"),
        ("adapters", {"adapters": {"sst": "pfeiffer"}}),
        ("ln_type", "preln"),
        ("position_embedding_type", "relative_key"),
    ],
)
def test_keys_that_would_change_a_number_are_refused(
    key: str, value: object, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=key):
        Checkpoint.load(changed(tiny_model, tmp_path / "x", **{key: value}))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_another_kind_of_model_is_named(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(tiny_model, tmp_path / "x", model_type=kind)
    with pytest.raises(ConfigError, match=kind.upper()):
        Checkpoint.load(folder)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises((ConfigError, CheckpointError), match=kind):
        Checkpoint.load(tmp_path / "y")


def test_the_folder_of_a_run_names_the_model_inside(tiny_model: Path, tmp_path: Path) -> None:
    Checkpoint.load(tiny_model / "model").save(tmp_path / "run" / "model")
    (tmp_path / "run" / "recipe.toml").write_text("")
    assert str(tmp_path / "run" / "model") in facts_of(tmp_path / "run")
