"""Files of UER-py give UER-py's numbers, and come back from writing bit by bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from outputs import BOUND, arrays, distance, kept, outputs

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.families.uer.fold import fold
from albertkit.checkpoint.formats import torch_save
from albertkit.conversion import convert
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError
from albertkit.model.loading import build_task

CASES = [
    *["gelu_fast_tied", "gelu_untied", "relu_eps_probe"],
    *["relu_preln_option", "relu_tied", "relu_untied"],
]
POOLINGS = {"first": "first", "mean": "uer_mean", "max": "uer_max", "last": "uer_last"}


def close(found: np.ndarray, expected: np.ndarray, mask: np.ndarray | None, probe: bool) -> None:
    """Within the bound; the values of the probe are small and compared relatively."""
    scale = max(1.0, np.abs(expected).max()) / np.abs(expected).max() if probe else 1.0
    assert distance(found, expected, mask) * scale <= BOUND


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_uer(case: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / case
    inputs, expected = arrays(folder / "inputs.npz"), arrays(folder / "outputs.npz")
    opened = open_checkpoint(folder / "model.bin")
    assert opened.family == "uer"
    config = opened.checkpoint.config
    options = json.loads((folder / "options.json").read_text())
    assert config.tied_decoder == options["tie_weights"]
    assert config.norm_order == options["layernorm_positioning"]
    assert config.vocab_size == options["vocab_size"]
    mask = inputs["seg"] > 0
    found = outputs(opened.checkpoint, inputs["src"], np.maximum(inputs["seg"] - 1, 0), mask)
    theirs = {"sequence_output": "tokens", "pooled_output": "pooled"}
    theirs |= {"mlm_logits": "mlm", "sop_logits": "order"}
    theirs |= {f"layer_{n:02}": f"hidden_{n + 1:02}" for n in range(config.num_hidden_layers)}
    probe = "eps_probe" in case
    for name, ours in theirs.items():
        # UER's own numbers are all there: padding may look around and be looked past alike.
        close(found[ours], expected[name], mask if found[ours].ndim == 3 else None, probe)
    result = opened.result
    assert set(result.report.loaded) | set(result.report.ignored) == set(result.source_tensors)


@pytest.mark.shared
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_classifier_gives_the_logits_of_uer(pooling: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / "relu_untied"
    inputs = arrays(folder / "inputs.npz")
    expected = arrays(folder / "classifier_outputs.npz")[f"logits_{pooling}"]
    opened = open_checkpoint(
        folder / "classifier.bin", overrides=Overrides(values={"pooling": pooling})
    )
    head = opened.checkpoint.head
    assert (head.kind, head.num_labels, head.pooling) == ("classification", 3, POOLINGS[pooling])
    ids, types = (torch.from_numpy(inputs[name]) for name in ("src", "seg"))
    logits = build_task(opened.checkpoint)(ids, (types - 1).clamp(min=0), mask=types > 0).logits
    assert distance(logits.detach().numpy(), expected) <= BOUND
    assert opened.result.report.missing == ["masked_lm", "sentence_order"]


@pytest.mark.shared
def test_the_files_of_a_folder_are_kept_apart(shared: Path) -> None:
    family = families.named("uer")
    folder = shared / "golden" / "uer" / "relu_untied"
    assert family.detect(folder) == folder / "model.bin"
    assert family.detect(folder / "classifier.bin") == folder / "classifier.bin"
    assert family.detect(folder / "config.json") is None
    other = shared / "golden" / "huggingface" / "old_names_v4.0.1" / "masked_lm"
    assert family.detect(other) is None
    assert families.named("huggingface").detect(folder) is None


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A folder of UER, made from the tiny model."""
    return as_uer(open_checkpoint(tiny_model / "model").checkpoint, tmp_path / "uer")


def as_uer(checkpoint: Checkpoint, folder: Path, **changes: object) -> Path:
    """A checkpoint with the standard norm as one of UER's kind (not the same function)."""
    config = replace(
        checkpoint.config,
        type_vocab_size=3,
        hidden_act="relu",
        layer_norm_kind="uer",
        layer_norm_eps=1e-6,
        head_layer_norm_eps=1e-6,
        **changes,
    )
    rows = checkpoint.tensors["albert.embeddings.segment.weight"]
    tensors = dict(checkpoint.tensors)
    tensors["albert.embeddings.segment.weight"] = np.concatenate([rows[:1] * 0.5, rows])
    if config.final_norm:
        for kind in ("weight", "bias"):
            norm = tensors[f"albert.encoder.feed_forward.0.0.norm.{kind}"]
            tensors[f"albert.encoder.norm.{kind}"] = norm + 1
    if not config.tied_decoder:
        tensors["masked_lm.decoder.weight"] = tensors["albert.embeddings.word.weight"] + 1
    made = replace(checkpoint, config=config, tensors=tensors)
    assert families.named("uer").losses(made) == []
    folder.mkdir()
    families.named("uer").write(made, folder, "float32")
    return folder


def same(a: Checkpoint, b: Checkpoint) -> None:
    assert a.config == b.config
    assert a.head == b.head
    assert a.tensors.keys() == b.tensors.keys()
    for name in a.tensors:
        np.testing.assert_array_equal(a.tensors[name], b.tensors[name])


def test_old_names_are_read(model: Path) -> None:
    before = kept(model)
    names = {
        "embedding.word.embedding": "embedding.word_embedding",
        "embedding.pos.embedding": "embedding.position_embedding",
        "embedding.seg.embedding": "embedding.segment_embedding",
        "target.mlm.linear_1": "target.mlm_linear_1",
        "target.mlm.linear_2": "target.mlm_linear_2",
        "target.mlm.layer_norm": "target.layer_norm",
        "target.sp.linear_1": "target.sop_linear_1",
        "target.sp.linear_2": "target.sop_linear_2",
    }
    tensors = {}
    for name, tensor in torch_save.read_weights(model / "model.bin").tensors.items():
        module, kind = name.rsplit(".", 1)
        tensors[f"{names.get(module, module)}.{kind}"] = np.array(tensor)
    assert "target.sop_linear_2.weight" in tensors
    torch_save.write_weights(model / "old.bin-250000", tensors)
    (model / "model.bin").unlink()
    opened = open_checkpoint(model)
    assert opened.path.name == "old.bin-250000"
    same(opened.checkpoint, before)
    assert "target.mlm_linear_2.weight" in opened.result.report.ignored


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm_order": "pre", "final_norm": True}, {"tied_decoder": False}, {"dtype": "float16"}],
)
def test_what_is_written_reads_back_the_same(
    changes: dict, tiny_model: Path, tmp_path: Path
) -> None:
    dtype = changes.get("dtype", "float32")
    rest = {key: value for key, value in changes.items() if key != "dtype"}
    folder = as_uer(open_checkpoint(tiny_model / "model").checkpoint, tmp_path / "a", **rest)
    result = convert(folder, tmp_path / "b", "uer", dtype=dtype)
    assert len(result.kept) == len(result.source.checkpoint.tensors)
    if dtype == "float32":
        same(open_checkpoint(tmp_path / "b").checkpoint, result.source.checkpoint)


@pytest.mark.shared
def test_a_classifier_is_written_with_its_pooling(shared: Path, tmp_path: Path) -> None:
    file = shared / "golden" / "uer" / "relu_untied" / "classifier.bin"
    opened = open_checkpoint(file, overrides=Overrides(values={"pooling": "last"}))
    assert families.named("uer").losses(opened.checkpoint) == []
    families.named("uer").write(opened.checkpoint, tmp_path, "float32")
    assert json.loads((tmp_path / "config.json").read_text())["pooling"] == "last"
    same(open_checkpoint(tmp_path).checkpoint, opened.checkpoint)


def test_names_tell_the_norm_order_and_a_choice_the_decoder(model: Path, tmp_path: Path) -> None:
    tensors = {
        n: np.array(x) for n, x in torch_save.read_weights(model / "model.bin").tensors.items()
    }
    for kind in ("gamma", "beta"):
        tensors[f"encoder.layer_norm.{kind}"] = tensors["encoder.transformer.layer_norm_2.beta"] + 1
    tensors["target.mlm.linear_2.weight"] += 1
    torch_save.write_weights(model / "model.bin", tensors)
    opened = open_checkpoint(model)
    config = opened.checkpoint.config
    assert (config.norm_order, config.final_norm, config.tied_decoder) == ("pre", True, False)
    assert opened.result.provenance["norm_order"] == "tensor names"
    tied = open_checkpoint(model, overrides=Overrides(values={"tied_decoder": True}))
    assert "chosen" in tied.result.report.ignored["target.mlm.linear_2.weight"]


def test_an_output_layer_asks_what_it_is_for(model: Path) -> None:
    tensors = {
        n: np.array(x) for n, x in torch_save.read_weights(model / "model.bin").tensors.items()
    }
    body = {name: x for name, x in tensors.items() if not name.startswith("target.")}
    body |= {"output_layer.weight": np.ones((2, 16), "f4"), "output_layer.bias": np.ones(2, "f4")}
    torch_save.write_weights(model / "model.bin", body)
    with pytest.raises(ConfigError, match="what the output layer is for"):
        open_checkpoint(model)
    for kind in ("span", "token_classification"):
        head = open_checkpoint(model, overrides=Overrides(head=kind)).checkpoint.head
        assert head.kind == kind
    with pytest.raises(ConfigError, match="what the output layer is for"):
        open_checkpoint(model, overrides=Overrides(head="multiple_choice"))


def test_other_models_are_refused(model: Path, tiny_model: Path) -> None:
    standard = open_checkpoint(tiny_model / "model").checkpoint
    with pytest.raises(CheckpointError, match="layer_norm_kind=standard"):
        families.named("uer").losses(standard)
    tensors = torch_save.read_weights(model / "model.bin").tensors
    bert = {n: np.array(x) for n, x in tensors.items() if not n.startswith("encoder.linear")}
    torch_save.write_weights(model / "model.bin", bert)
    with pytest.raises(CheckpointError, match="is not an ALBERT"):
        open_checkpoint(model)
    (model / "config.json").unlink()
    with pytest.raises(AlbertkitError, match="no config beside"):
        open_checkpoint(model)


@pytest.mark.shared
@pytest.mark.parametrize("case", ["relu_tied", "gelu_fast_tied", "gelu_untied"])
def test_folding_changes_the_outputs_by_rounding_only(case: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / case
    inputs = arrays(folder / "inputs.npz")
    checkpoint = open_checkpoint(folder / "model.bin").checkpoint
    folded = fold(checkpoint)
    assert (folded.config.layer_norm_kind, folded.config.type_vocab_size) == ("standard", 2)
    mask = inputs["seg"] > 0
    before = outputs(checkpoint, inputs["src"], np.maximum(inputs["seg"] - 1, 0), mask)
    after = outputs(folded, inputs["src"], np.maximum(inputs["seg"] - 1, 0), mask)
    assert before.keys() == after.keys()
    worst = max(distance(after[n], before[n], mask) for n in before)
    assert worst <= 5e-5
    # Without the factor the same model is off by percents, so the test sees it.
    plain = replace(folded, tensors={**folded.tensors, **norms(checkpoint)})
    off = outputs(plain, inputs["src"], np.maximum(inputs["seg"] - 1, 0), mask)
    assert distance(off["tokens"], before["tokens"], mask) > 1e-3
    with pytest.raises(CheckpointError, match="nothing to fold"):
        fold(folded)


def norms(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {n: x for n, x in checkpoint.tensors.items() if n.endswith("norm.weight")}


def test_a_folded_model_is_one_of_transformers(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="normalisation"):
        convert(model, tmp_path / "x", "huggingface")
    result = convert(model, tmp_path / "y", "huggingface", allow_loss=True)
    assert "UER's normalisation" in result.lost[0].sentence
    assert open_checkpoint(tmp_path / "y").family == "huggingface"
    shutil.rmtree(tmp_path / "y")


def test_a_head_that_is_not_there_is_not_passed_over(model: Path) -> None:
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(model, overrides=Overrides(head="span"))
