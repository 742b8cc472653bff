"""Files of PaddleNLP give PaddleNLP's numbers without Paddle, and come back bit by bit."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from outputs import BOUND, arrays, distance, kept, outputs

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats import pdparams
from albertkit.conversion import convert
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError
from albertkit.text.tokenizer import Tokenizer

SHARED = Path(__file__).resolve().parents[4] / "shared" / "golden" / "paddlenlp"
THEIRS = {"prediction_logits": "mlm", "sop_logits": "order", "sequence_output": "tokens"}
THEIRS |= {"last_hidden_state": "tokens", "pooled_output": "pooled", "pooler_output": "pooled"}
THEIRS |= {"start_logits": "start", "end_logits": "end"}


def cases() -> list:
    return [
        pytest.param(path.parent, id="/".join(path.parts[-3:-1]), marks=pytest.mark.shared)
        for path in sorted(SHARED.glob("*/*/model_state.pdparams"))
    ]


@pytest.mark.parametrize("folder", cases())
def test_outputs_are_those_of_paddlenlp(folder: Path) -> None:
    inputs, expected = arrays(folder / "inputs.npz"), arrays(folder / "outputs.npz")
    opened = open_checkpoint(folder)
    assert opened.family == "paddlenlp"
    mask = inputs["attention_mask"]
    found = outputs(opened.checkpoint, inputs["input_ids"], inputs["token_type_ids"], mask)
    rows = mask.reshape(-1, mask.shape[-1])
    compared = 0
    for name, values in expected.items():
        ours = THEIRS.get(name, name.replace("hidden_states", "hidden"))
        if name == "logits" and "masked_lm" in folder.parts:
            ours = "mlm"
        if name == "end_logits":  # PaddleNLP gives the start logits again
            np.testing.assert_array_equal(values, expected["start_logits"])
            assert any("a defect" in problem for problem in opened.result.problems)
            continue
        scale = 1.0
        if "eps_probe" in folder.parts:  # small values: compared relatively
            scale = max(1.0, np.abs(values).max()) / np.abs(values).max()
        assert distance(found[ours], values, rows) * scale <= BOUND, name
        compared += 1
    assert compared
    result = opened.result
    everything = set(result.source_tensors) | {pdparams.NAMES_ENTRY}
    assert set(result.report.loaded) | set(result.report.ignored) == everything


@pytest.mark.parametrize("folder", cases())
def test_what_is_written_holds_the_same_arrays(folder: Path, tmp_path: Path) -> None:
    result = convert(folder, tmp_path / "out", "paddlenlp")
    assert len(result.kept) == len(result.source.checkpoint.tensors)
    assert not result.lost
    with (folder / "model_state.pdparams").open("rb") as file:
        theirs = pickle.load(file)
    with (tmp_path / "out" / "model_state.pdparams").open("rb") as file:
        ours = pickle.load(file)
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {pdparams.NAMES_ENTRY}:
        assert ours[name].dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(ours[name], theirs[name], name)
    if (folder / "config.json").is_file():
        config = json.loads((tmp_path / "out" / "config.json").read_text())
        theirs = json.loads((folder / "config.json").read_text())
        theirs.pop("num_choices", None)  # how many rows a question had
        extra = {"problem_type"} if "classifier" in str(ours) else set()
        assert {k: v for k, v in config.items() if k not in extra} == theirs


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A folder of PaddleNLP, made from the tiny model."""
    checkpoint = open_checkpoint(tiny_model / "model").checkpoint
    checkpoint.config = replace(checkpoint.config, head_layer_norm_eps=1e-5)
    assert families.named("paddlenlp").losses(checkpoint) == []
    (tmp_path / "paddle").mkdir()
    families.named("paddlenlp").write(checkpoint, tmp_path / "paddle", "float32")
    return tmp_path / "paddle"


def edit(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def tensors_in(folder: Path) -> dict[str, np.ndarray]:
    read = pdparams.read_weights(folder / "model_state.pdparams")
    return {name: np.array(tensor) for name, tensor in read.tensors.items()}


def same(a: Checkpoint, b: Checkpoint) -> None:
    assert a.config == b.config
    assert a.tensors.keys() == b.tensors.keys()
    for name in a.tensors:
        np.testing.assert_array_equal(a.tensors[name], b.tensors[name])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("pairs", [False, True])
def test_old_and_new_pickles_are_read(protocol: int, pairs: bool, model: Path) -> None:
    before = kept(model)
    values = {
        name: (f"param_{number}", x) if pairs else x
        for number, (name, x) in enumerate(tensors_in(model).items())
    }
    (model / "model_state.pdparams").write_bytes(pickle.dumps(values, protocol))
    same(open_checkpoint(model).checkpoint, before)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_numbers_are_written_and_read(dtype: str, model: Path, tmp_path: Path) -> None:
    result = convert(model, tmp_path / "out", "paddlenlp", dtype=dtype)
    assert len(result.kept) == len(result.source.checkpoint.tensors)
    kinds = open_checkpoint(tmp_path / "out").result.source_tensors.values()
    assert {kind for kind, _ in kinds} == {dtype, "int64"}


def test_a_bare_file_needs_a_config(model: Path, tmp_path: Path) -> None:
    before = kept(model)
    tensors = {
        name.removeprefix("transformer."): x
        for name, x in tensors_in(model).items()
        if name.startswith("transformer.")
    }
    file = tmp_path / "albert-base-v1.pdparams"
    pdparams.write_weights(file, tensors)
    assert families.detect(file) == ("paddlenlp", file)
    with pytest.raises(ConfigError, match="albert-base-v1.json"):
        open_checkpoint(file)
    opened = open_checkpoint(file, overrides=Overrides(config=model / "config.json"))
    assert opened.result.report.missing == ["masked_lm", "sentence_order"]
    for name, tensor in opened.checkpoint.tensors.items():
        np.testing.assert_array_equal(tensor, before.tensors[name])
    shutil.copy(model / "config.json", tmp_path / "albert-base-v1.json")
    assert not open_checkpoint(file).checkpoint.has_masked_lm


def test_wrong_ids_and_lower_casing_are_reported_and_put_right(model: Path) -> None:
    words = ["[PAD]", "[UNK]", *(f"w{n}" for n in range(18)), "[CLS]", "[SEP]", "[MASK]"]
    assert len(words) == open_checkpoint(model).checkpoint.config.vocab_size
    (model / "vocab.txt").write_text("\n".join(words) + "\n")
    edit(model, pad_token_id=0, bos_token_id=2, eos_token_id=3)
    (model / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    opened = open_checkpoint(model)
    ids = {"pad_token_id": 0, "bos_token_id": 20, "eos_token_id": 21}
    assert opened.checkpoint.special_ids == ids
    problems = "\n".join(opened.result.problems)
    assert "bos_token_id is 2, not 20" in problems
    assert "do_lower_case" in problems
    tokenizer = opened.checkpoint.tokenizer
    assert tokenizer.encode("W3").ids == tokenizer.encode("w3").ids
    (model / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "W1", *words[3:]]) + "\n")
    assert "do_lower_case" not in "\n".join(open_checkpoint(model).result.problems)
    # Without a vocabulary the size tells a Chinese one.
    tensors = tensors_in(model)
    for name in ("transformer.embeddings.word_embeddings.weight", "predictions.decoder.weight"):
        tensors[name] = np.zeros((21128, 8), "f4")
    for name in ("predictions.bias", "predictions.decoder.bias"):
        tensors[name] = np.zeros(21128, "f4")
    pdparams.write_weights(model / "model_state.pdparams", tensors)
    edit(model, vocab_size=21128)
    (model / "vocab.txt").unlink()
    (model / "tokenizer.json").unlink(missing_ok=True)  # a tokenizer as well
    opened = open_checkpoint(model)
    assert opened.checkpoint.special_ids["bos_token_id"] == 101
    assert any("101 and 102" in problem for problem in opened.result.problems)


def test_a_chinese_vocabulary_is_opened_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(18))]
    (model / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    opened: list[Path] = []
    load = Tokenizer.load

    def counted(path: Path, **options: object) -> Tokenizer:
        opened.append(path)
        return load(path, **options)

    monkeypatch.setattr(Tokenizer, "load", counted)
    assert open_checkpoint(model).checkpoint.tokenizer is not None
    assert opened == [model]


def test_a_decoder_of_its_own_is_kept(model: Path, tmp_path: Path) -> None:
    tensors = tensors_in(model)
    tensors["predictions.decoder.weight"] += 1
    pdparams.write_weights(model / "model_state.pdparams", tensors)
    opened = open_checkpoint(model)
    assert not opened.checkpoint.config.tied_decoder
    assert any("not the word table" in problem for problem in opened.result.problems)
    same(convert(model, tmp_path / "a", "paddlenlp").source.checkpoint, opened.checkpoint)
    tied = open_checkpoint(model, overrides=Overrides(values={"tied_decoder": True}))
    assert tied.checkpoint.config.tied_decoder
    tensors["predictions.decoder.bias"] += 1
    pdparams.write_weights(model / "model_state.pdparams", tensors)
    with pytest.raises(CheckpointError, match="two biases"):
        open_checkpoint(model)


def test_the_epsilon_of_the_head_is_a_loss_for_transformers(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="head_layer_norm_eps=1e-05"):
        convert(model, tmp_path / "x", "huggingface")
    result = convert(model, tmp_path / "x", "huggingface", allow_loss=True)
    assert len(result.kept) == len(result.source.checkpoint.tensors)
    with pytest.raises(CheckpointError, match="head_layer_norm_eps=1e-12"):
        convert(tmp_path / "x", tmp_path / "y", "paddlenlp")
    convert(tmp_path / "x", tmp_path / "y", "paddlenlp", allow_loss=True)
    same(open_checkpoint(tmp_path / "y").checkpoint, open_checkpoint(model).checkpoint)


def test_other_files_are_refused_or_not_claimed(model: Path) -> None:
    family = families.named("paddlenlp")
    config = open_checkpoint(model).checkpoint.config
    pre = replace(open_checkpoint(model).checkpoint, config=replace(config, norm_order="pre"))
    with pytest.raises(CheckpointError, match="norm_order=pre"):
        family.losses(pre)
    weights = model / "model_state.pdparams"
    weights.write_bytes(pickle.dumps({"linear.weight": np.ones(3, "f4")}))
    assert family.detect(model) is None
    weights.write_bytes(b"\x80\x02cos\nsystem\nX\x01\0\0\0.\x85R.")
    with pytest.raises(CheckpointError, match="os.system"):
        open_checkpoint(model)
    weights.write_bytes(pickle.dumps({"transformer.embeddings.word_embeddings.weight": 3}))
    with pytest.raises(AlbertkitError, match="no array"):
        open_checkpoint(model)


def test_a_head_that_is_not_there_is_not_passed_over(model: Path) -> None:
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(model, overrides=Overrides(head="span"))
