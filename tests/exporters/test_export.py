"""What every exporter does around its file; the files themselves are in tests/interop."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from graph_variants import HEADS, fine_tuned, variant

from albertkit import export
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.errors import AlbertkitError, PredictionError
from albertkit.exporters import refuse_far
from albertkit.exporters._integers import rows_without_padding
from albertkit.graph.quantized import LARGEST, quantize
from albertkit.graph.tasks import choose_task, file_names, tasks_of
from albertkit.infer.calibration import calibration_batches, sample_texts
from albertkit.infer.exported import MANIFEST, Manifest, engine_of, is_exported
from albertkit.infer.graph_engines import PaddedEngine
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


def test_only_a_saved_model_takes_its_tokenizer_along(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\n")
    for to in ("onnx", "openvino", "litert"):
        with pytest.raises(PredictionError, match="Only a SavedModel") as refused:
            export(
                tiny_model / "model",
                to=to,
                out=tmp_path / "out",
                tokenize=tmp_path / "lines.txt",
            )
        assert refused.value.facts["found"] == to
        assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize("to", ["saved_model", "litert"])
def test_a_missing_or_too_old_keras_is_named_with_its_extra(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    keras = ModuleType("keras")
    keras.__version__ = "2.15.0"
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.setitem(sys.modules, "keras", keras)
    with pytest.raises(AlbertkitError, match="too old") as refused:
        export(tiny_model / "model", to=to, out=tmp_path / "out")
    assert refused.value.facts["found"] == "2.15.0"
    assert refused.value.facts["to do"] == 'pip install --upgrade "albertkit[tensorflow]"'
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(AlbertkitError) as refused:
        export(tiny_model / "model", to=to, out=tmp_path / "out")
    assert refused.value.facts["to do"] == 'pip install "albertkit[tensorflow]"'
    assert list(tmp_path.iterdir()) == []


def test_rows_to_calibrate_with_are_full_and_begin_with_each_text() -> None:
    batch = Batch(np.array([5, 6, 7, 8, 9]), np.array([0, 1, 0, 0, 0]), np.array([2, 3]))
    first, second = rows_without_padding([batch], 4, choices=False)
    assert first["input_ids"].tolist() == [[5, 6, 7, 8]]
    assert first["token_type_ids"].tolist() == [[0, 1, 0, 0]]
    assert second["input_ids"].tolist() == [[7, 8, 9, 5]]  # after the last text comes the first
    assert second["attention_mask"].tolist() == [[1, 1, 1, 1]]
    (row, _) = rows_without_padding([batch], 4, choices=True)
    assert {x.shape for x in row.values()} == {(1, 1, 4)}
    assert {x.dtype for x in row.values()} == {np.dtype(np.int32)}


def test_int16x8_needs_texts(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="int16x8 needs texts") as refused:
        export(tiny_model / "model", to="litert", out=tmp_path / "out", precision="int16x8")
    assert "calibrate='texts.txt'" in refused.value.facts["to do"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_calibrated_takes_no_texts(tiny_model: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the cat\n")
    for to, precision in (("onnx", "int8"), ("openvino", "fp32"), ("litert", "fp16")):
        with pytest.raises(PredictionError, match="int8 of openvino and litert, and for int16x8"):
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
    with pytest.raises(PredictionError, match="another version") as refused:
        Manifest.load(tmp_path, "It", "model.onnx", "auto")
    assert refused.value.facts["found"] == "format 99 (int)"


EXPORTER = """
from pathlib import Path
TITLE, ENGINE, PRECISIONS, PACKAGES = "Nested", "nested", ("fp32",), ()
CALIBRATED, FIXES_LENGTH, TOKENIZER_PACKAGE, EXAMPLE = (), {fixes}, None, "{{inputs}}"

def write(checkpoint, folder, task, precision, calibrate, length, tokenize):
    (folder / "deep").mkdir()
    checkpoint.save(folder / "deep" / "model")
"""
ENGINE = """
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.infer.exported import Manifest
from albertkit.infer.torch_engine import TorchEngine
TITLE, PRECISIONS = "Nested", ("fp32",)

def make(checkpoint, settings):
    raise NotImplementedError

def open_exported(folder, settings):
    Manifest.load(folder, TITLE, "deep/model/config.json", settings.precision)
    return TorchEngine(Checkpoint.load(folder / "deep" / "model"))
"""


@pytest.fixture(params=[True, False], ids=["one length", "any length"])
def nested(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """An exporter that writes folders in its folder, and whether it takes a length."""
    for kind, text in (("exporters", EXPORTER.format(fixes=request.param)), ("engines", ENGINE)):
        (tmp_path / "plugins" / kind).mkdir(parents=True)
        (tmp_path / "plugins" / kind / "nested.py").write_text(text)
    monkeypatch.setenv("ALBERTKIT_PLUGINS", str(tmp_path / "plugins"))
    return bool(request.param)


def test_files_in_folders_are_counted_and_noticed(
    tiny_model: Path, tmp_path: Path, nested: bool
) -> None:
    done = export(tiny_model / "model", to="nested", out=tmp_path / "out")
    files = [path for path in (tmp_path / "out" / "deep").rglob("*") if path.is_file()]
    assert done.bytes == sum(path.stat().st_size for path in files)
    (tmp_path / "out/deep/model/config.json").write_text("{}")
    with pytest.raises(PredictionError, match=r"deep/model/config.json .* changed"):
        Predictor(tmp_path / "out")


def test_a_length_leaves_texts_of_this_length_as_they_were(
    tiny_model: Path, tmp_path: Path, nested: bool
) -> None:
    source, out = tiny_model / "model", tmp_path / "out"
    if not nested:
        with pytest.raises(PredictionError, match="models for any length"):
            export(source, to="nested", out=out, length=8)
        assert not out.exists()
        return
    for wrong in (4, Checkpoint.load(source).config.max_position_embeddings + 1):
        with pytest.raises(PredictionError, match="cannot have this length"):
            export(source, to="nested", out=out, length=wrong)
    export(source, to="nested", out=out, length=8)
    made, original = Predictor(out), Predictor(source)
    assert made.engine.config.max_position_embeddings == 8
    text = "the cat sat on"
    np.testing.assert_allclose(made.embed([text]), original.embed([text]), atol=1e-6)
    assert 'padding="max_length", max_length=8' in (out / "example.py").read_text()


def test_a_graph_for_one_length_gets_rows_of_this_length(tmp_path: Path) -> None:
    made = manifest(tmp_path, task="feature-extraction", outputs={"hidden": ("last_hidden_state",)})
    shapes: list[tuple[int, ...]] = []

    def graph(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        shapes.extend(x.shape for x in inputs.values())
        return {"last_hidden_state": inputs["input_ids"][..., None].astype(np.float32)}

    batch = Batch(np.array([5, 6, 7]), np.zeros(3, np.int64), np.array([2, 1]))
    found = PaddedEngine(made, graph, 4).run(batch, ("hidden",))["hidden"]
    assert shapes == [(2, 4)] * 3
    assert found[:, 0].tolist() == [5, 6, 7]


def test_litert_opens_files_alone(tiny_model: Path) -> None:
    with pytest.raises(PredictionError, match="opens exported folders only"):
        Predictor(tiny_model / "model", engine="litert")


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


@pytest.mark.parametrize("to", ["onnx", "openvino", "saved_model", "litert"])
def test_a_beam_search_is_refused_by_its_name(tmp_path: Path, to: str) -> None:
    plain = fine_tuned("span")
    head = TaskHead("beam_span", 2)
    model = AlbertForTask(plain.config, head)
    Checkpoint(plain.config, tensors_of(model), head=head).save(tmp_path / "model")
    with pytest.raises(PredictionError) as refused:
        export(tmp_path / "model", to=to, out=tmp_path / "out")
    assert "beam_span" in refused.value.facts["found"]
    assert (
        "checkpoint itself" in refused.value.facts["to do"]
    )  # an export has no engine to leave out
    assert not (tmp_path / "out").exists()


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
