"""What every exporter does around its file; the files themselves are in tests/interop."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from graph_variants import HEADS, fine_tuned, variant

from albertkit import export
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import AlbertkitError, PredictionError
from albertkit.exporters import refuse_far
from albertkit.graph.quantized import LARGEST, quantize
from albertkit.graph.tasks import choose_task, file_names, tasks_of
from albertkit.infer.calibration import calibration_batches, sample_texts
from albertkit.infer.exported import MANIFEST, Manifest, engine_of, is_exported
from albertkit.infer.predictor import Predictor
from albertkit.infer.trial import Compared
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead
from albertkit.text.tokenizer import Tokenizer


def manifest(folder: Path, **changes: object) -> Manifest:
    checkpoint = fine_tuned("classification")
    values = {
        "engine": "torch",
        "precision": "fp32",
        "task": "text-classification",
        "outputs": {"task": ("logits",)},
        "config": checkpoint.config,
        "head": checkpoint.head,
        "files": {},
        "versions": {"albertkit": "0"},
        "source": "here",
    }
    made = Manifest(**{**values, **changes})
    made.save(folder)
    return made


def test_a_missing_package_is_named_with_its_extra(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    install = 'pip install "albertkit[onnx]"'
    with pytest.raises(AlbertkitError) as refused:
        export(tiny_model / "model", to="onnx", out=tmp_path / "out")
    assert refused.value.facts["to do"] == install
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AlbertkitError) as refused:
        Predictor(tiny_model / "model", engine="onnxruntime")
    assert refused.value.facts["to do"] == install


def test_what_is_not_calibrated_takes_no_texts(tiny_model: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the cat\n")
    for to, precision in (("onnx", "int8"), ("openvino", "fp32")):
        with pytest.raises(PredictionError, match="int8 of openvino only"):
            export(
                tiny_model / "model",
                to=to,
                out=tmp_path / "out",
                precision=precision,
                calibrate=lines,
            )


def test_calibration_reads_lines_and_falls_back_on_texts_that_the_vocabulary_knows(
    tiny_model: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.load(tiny_model / "vocab.txt")
    lines = tmp_path / "lines.txt"
    lines.write_text("the cat sat on the mat\n\na dog\n", encoding="utf-8")
    (batch,) = calibration_batches(tokenizer, lines, 6)
    assert batch.lengths.tolist() == [6, 4]
    lines.write_text("\n")
    with pytest.raises(PredictionError, match="no texts"):
        calibration_batches(tokenizer, lines, 6)
    with pytest.raises(PredictionError, match="no tokenizer"):
        calibration_batches(None, None, 6)
    english, chinese = (
        sample_texts(Checkpoint.load(f"albertkit/{name}").tokenizer)
        for name in ("tiny-en", "tiny-zh")
    )
    assert all(text.isascii() for text in english)
    assert any("\u4e00" <= text[0] <= "\u9fff" for text in chinese)


def test_unknown_exporters_precisions_and_tasks_are_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PredictionError, match=r"to must be one of .*onnx"):
        export(tiny_model / "model", to="onyx", out=out)
    with pytest.raises(PredictionError, match=r"precision .* must be one of fp32"):
        export(tiny_model / "model", to="onnx", out=out, precision="int3")
    with pytest.raises(PredictionError, match="task must be one of fill-mask"):
        export(tiny_model / "model", to="onnx", out=out, task="text-classification")
    assert not out.exists()


def test_a_manifest_says_which_engine_opens_the_folder_and_notices_changed_files(
    tmp_path: Path,
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"abc")
    # sha256sum of the three letters
    hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    made = manifest(tmp_path, files={"model.onnx": hash})
    assert is_exported(tmp_path)
    assert engine_of(tmp_path) == "torch"
    found = Manifest.load(tmp_path, "It", "model.onnx", "auto")
    assert (found.config, found.head) == (made.config, made.head)
    with pytest.raises(PredictionError, match="It cannot open this folder"):
        Manifest.load(tmp_path, "It", "model.onnx", "int8")
    (tmp_path / "model.onnx").write_bytes(b"abd")
    with pytest.raises(PredictionError, match="damaged"):
        Manifest.load(tmp_path, "It", "model.onnx", "auto")
    values = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**values, "format": 99}))
    with pytest.raises(PredictionError, match="another version"):
        Manifest.load(tmp_path, "It", "model.onnx", "auto")


def test_torch_does_not_open_exported_folders(tmp_path: Path) -> None:
    manifest(tmp_path)
    with pytest.raises(PredictionError, match="exported folders"):
        Predictor(tmp_path)


def test_tasks_have_the_names_of_the_hub_and_outputs_those_of_optimum() -> None:
    pretrained = variant("plain")
    assert tasks_of(pretrained) == ["fill-mask", "feature-extraction", "pretraining"]
    names = {
        "classification": ("text-classification", ("logits",)),
        "regression": ("text-classification", ("logits",)),
        "multi_label": ("text-classification", ("logits",)),
        "multiple_choice": ("multiple-choice", ("logits",)),
        "token_classification": ("token-classification", ("logits",)),
        "span": ("question-answering", ("start_logits", "end_logits")),
    }
    for kind in HEADS:
        checkpoint = fine_tuned(kind)
        task = choose_task(checkpoint, None)
        assert (task, file_names(checkpoint, task)["task"]) == names[kind]
    assert file_names(pretrained, "feature-extraction") == {
        "hidden": ("last_hidden_state",),
        "pooled": ("pooler_output",),
    }


def test_a_beam_search_is_refused_by_its_name() -> None:
    plain = fine_tuned("span")
    head = TaskHead("beam_span", 2)
    model = AlbertForTask(plain.config, head)
    with pytest.raises(PredictionError) as refused:
        choose_task(Checkpoint(plain.config, tensors_of(model), head=head), None)
    assert "beam_span" in refused.value.facts["found"]


def test_int8_numbers_are_the_nearest_with_a_scale_for_each_output() -> None:
    matrix = np.array([[0.5, -1.0, 0.26], [0.0, 0.0, 0.0], [64.0, 1.4, 1.6]], np.float32)
    made = quantize(matrix, axis=1)
    np.testing.assert_allclose(made.scale[:, 0], [1 / LARGEST, 1, 64 / LARGEST])
    assert made.numbers.tolist() == [[32, -64, 17], [0, 0, 0], [64, 1, 2]]


def test_what_is_far_from_torch_is_not_kept() -> None:
    near = Compared({"hidden": 1e-6}, 1.0, 1.0, 1.0)
    refuse_far(near, "fp32")
    for far in (Compared({"hidden": 0.01}, 1.0, 1.0, 1.0), Compared({"hidden": 0}, 0.99, 1.0, 1.0)):
        with pytest.raises(PredictionError, match="not kept"):
            refuse_far(far, "fp32")
