"""SavedModel and LiteRT files beside PyTorch: every variant and head, sizes, precisions, lengths.

Run by the stage `keras` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf
import torch
from random_models import BARE, OWN_LAYOUT, POOLED, SHAPES, UER, WORDS, Plan, make
from tensorflow.lite.python import schema_py_generated as schema

import albertkit
from albertkit import Predictor, export
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.data.batch import Batch
from albertkit.errors import OutputError, PredictionError
from albertkit.infer.checked import Checked
from albertkit.infer.engines import open_exported
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exported import precision_of
from albertkit.infer.patience import with_exits
from albertkit.model.loading import build, build_body, build_task, tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import KINDS
from albertkit.text.tokenizer import Tokenizer

EXAMPLES = Path(albertkit.__file__).parent / "examples"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "mobile.md"
COUNTS = {"classification": 3, "multi_label": 4, "token_classification": 5}
FAST = {"ffn_groups": 16, "hidden_size": 32, "intermediate_size": 64}
VARIANTS = {
    "plain": Plan("plain", {}),
    "groups": Plan("groups", SHAPES["groups2_inner2"]),
    "erf": Plan("erf", {"hidden_act": "gelu_erf"}),
    "untied": Plan("untied", {"tied_decoder": False}, WORDS),
    "uer": Plan("uer", UER),
    "brightmart": Plan("brightmart", {**OWN_LAYOUT, "norm_order": "pre"}),
    "fast": Plan("fast", FAST),
    "body": Plan("body", {}, BARE),
}
HEADS = {
    kind: Plan(kind, {}, POOLED if head.needs_pooler else BARE, head)
    for kind in KINDS
    if kind != "beam_span"
    for head in (TaskHead(kind, KINDS[kind].num_outputs or COUNTS[kind]),)
}
PLANS = VARIANTS | HEADS
# Each is recorded as a graph, which takes seconds; check_keras.py has the models of all of them.
SAVED = ("plain", "uer", "body", "classification", "multiple_choice", "span")
LITE = (*VARIANTS, "multiple_choice", "token_classification", "span")
ALONE = """
import sys
import numpy as np, tensorflow as tf
for folder in sys.argv[1:]:
    given = {name: tf.constant(x) for name, x in np.load(folder + "/inputs.npz").items()}
    model = tf.saved_model.load(folder + "/model")
    found = {}
    for name, function in model.signatures.items():
        names = {"input_mask": "attention_mask", "segment_ids": "token_type_ids"}
        wanted = function.structured_input_signature[1]
        inputs = {each: given[names.get(each, each)] for each in wanted}
        if "multiple_choice" in folder:
            many = wanted["input_ids"].shape.rank == 3
            inputs = {n: x if many else tf.reshape(x, [-1, x.shape[-1]]) for n, x in inputs.items()}
        found |= {name + "/" + k: x.numpy() for k, x in function(**inputs).items()}
    np.savez(folder + "/found.npz", **found)
assert not {"albertkit", "torch"} & set(sys.modules)
"""
NAMES = {
    "last_hidden_state": "hidden",
    "sequence_output": "hidden",
    "pooler_output": "pooled",
    "pooled_output": "pooled",
    "prediction_logits": "words",
    "sop_logits": "order",
    "start_logits": "start",
    "end_logits": "end",
}


def inputs_of(plan: Plan) -> dict[str, np.ndarray]:
    """Rows of several lengths, the second with a hole in its mask; (2, 2, T) for choices."""
    draws = np.random.default_rng(0)
    ids = draws.integers(1, 97, (4, 13))
    mask = np.arange(13) < np.array([13, 9, 11, 2])[:, None]
    mask[1, 4] = False
    segments = (np.arange(13) >= 5) & mask
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
    found = {name: x.astype(np.int32) for name, x in given.items()}
    if plan.name == "multiple_choice":
        return {name: x.reshape(2, 2, 13) for name, x in found.items()}
    return {**found, "mlm_positions": np.array([[0, 5], [1, 1], [3, 9], [0, 1]], np.int32)}


def expected_of(plan: Plan, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """What PyTorch gives, for every token."""
    names = ("input_ids", "token_type_ids", "attention_mask")
    ids, segments, mask = (torch.from_numpy(inputs_of(plan)[name]).long() for name in names)
    with torch.no_grad():
        if plan.head is not None:
            output = build_task(checkpoint)(ids, segments, mask=mask.bool())
            found = {x: getattr(output, x) for x in ("logits", "start", "end")}
            encoder = output.encoder
        elif checkpoint.has_masked_lm:
            output = build(checkpoint)(ids, segments, mask=mask.bool())
            found = {"words": output.mlm_logits, "order": output.sop_logits}
            found["logits"] = output.mlm_logits
            encoder = output.encoder
        else:
            found, encoder = {}, build_body(checkpoint)(ids, segments, mask=mask.bool())
    found |= {"hidden": encoder.hidden, "pooled": encoder.pooled}
    return {name: x.numpy() for name, x in found.items() if x is not None}


def assert_near(plan: Plan, name: str, found: np.ndarray, expected: dict[str, Any]) -> None:
    """Like PyTorch at the places that are real."""
    key = NAMES.get(name, name)
    real = inputs_of(plan)["attention_mask"].astype(bool)
    if name == "mlm_logits":
        places = inputs_of(plan)["mlm_positions"]
        theirs = np.take_along_axis(expected["words"], places[..., None], 1)
        theirs = theirs.reshape(found.shape)
    elif name == "sop_log_probs":
        theirs = torch.from_numpy(expected["order"]).log_softmax(-1).numpy()
    else:
        theirs = expected[key]
    assert found.shape == theirs.shape, name
    if found.shape[: real.ndim] == real.shape:
        found, theirs = found[real], theirs[real]
    assert np.abs(found - theirs).max() <= 3e-5 * max(1.0, np.abs(theirs).max()), name


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each plan."""
    place = tmp_path_factory.mktemp("checkpoints")
    for name, plan in PLANS.items():
        make("export", plan).save(place / name)
    return {name: place / name for name in PLANS}


def test_saved_models_run_in_tensorflow_alone(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    plans = {name: PLANS[name] for name in SAVED}
    for name, plan in plans.items():
        (tmp_path / name).mkdir()
        export(checkpoints[name], to="saved_model", out=tmp_path / name / "model")
        np.savez(tmp_path / name / "inputs.npz", **inputs_of(plan))
    folders = [str(tmp_path / name) for name in plans]
    done = subprocess.run([sys.executable, "-c", ALONE, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, plan in plans.items():
        checkpoint = Checkpoint.load(checkpoints[name])
        expected, signatures = expected_of(plan, checkpoint), set()
        for key, found in np.load(tmp_path / name / "found.npz").items():
            signature, output = key.split("/")
            signatures.add(signature)
            if name != "multiple_choice" or signature in ("serving_default", "task"):
                assert_near(plan, output, found, expected)
        has = {
            "pooled": checkpoint.has_pooler,
            "mlm": checkpoint.has_masked_lm,
            "sop": checkpoint.has_sentence_order,
            "task": checkpoint.head is not None,
        }
        assert signatures == {"serving_default", "tokens", *(x for x in has if has[x])}, name


def run_litert(folder: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    runner = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner()
    return runner(**{name: x for name, x in inputs.items() if name != "mlm_positions"})


def bytes_of_tensors(folder: Path) -> int:
    """Of all that is stored in a file, without the graph."""
    file = schema.Model.GetRootAs((folder / "model.tflite").read_bytes(), 0)
    return sum(file.Buffers(i).DataLength() for i in range(file.BuffersLength()))


def operations(folder: Path) -> set[str]:
    interpreter = tf.lite.Interpreter(str(folder / "model.tflite"))
    return {each["op_name"] for each in interpreter._get_ops_details()}


@pytest.mark.parametrize("name", LITE)
def test_litert_files_of_any_length(
    checkpoints: dict[str, Path], tmp_path: Path, name: str
) -> None:
    plan, checkpoint = PLANS[name], Checkpoint.load(checkpoints[name])
    export(checkpoints[name], to="litert", out=tmp_path / "made")
    assert not {op for op in operations(tmp_path / "made") if "Flex" in op or op == "CUSTOM"}
    numbers = 4 * sum(x.size for x in checkpoint.tensors.values())
    assert bytes_of_tensors(tmp_path / "made") < 1.1 * numbers  # each once, and some constants
    found = run_litert(tmp_path / "made", inputs_of(plan))
    for output, values in found.items():
        assert_near(plan, output, values, expected_of(plan, checkpoint))


@pytest.mark.parametrize("name", ["plain", "classification", "span", "multiple_choice"])
def test_a_file_for_one_length_gives_shorter_texts_the_same(
    checkpoints: dict[str, Path], tmp_path: Path, name: str
) -> None:
    done = export(checkpoints[name], to="litert", out=tmp_path / "made", length=16)
    assert max(done.compared.difference.values()) < 3e-5  # its batch has rows of 4 to 16 tokens
    with pytest.raises(PredictionError, match="cannot have this length"):
        export(checkpoints[name], to="litert", out=tmp_path / "other", length=41)


def test_a_full_disk_leaves_nothing_behind(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:  # what TensorFlow does there
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    for to in ("saved_model", "litert"):
        with pytest.raises(OutputError) as refused:
            export(checkpoints["body"], to=to, out=tmp_path / "made")
        assert refused.value.facts["expected"] == "free space on the disk"
        assert list(tmp_path.iterdir()) == []


def test_a_model_with_early_exits_is_exported_with_all_its_layers(tmp_path: Path) -> None:
    made = make("export", PLANS["classification"])
    tensors = tensors_of(AlbertForTask(made.config, made.head, early_exit=True))
    exits = {name: tensors.pop(name) for name in list(tensors) if name.startswith("exits.")}
    assert exits
    replace(made, tensors=tensors, exits=exits).save(tmp_path / "model")
    done = export(tmp_path / "model", to="saved_model", out=tmp_path / "made")
    assert max(done.compared.difference.values()) < 3e-5  # PyTorch's are those of the last layer
    with pytest.raises(PredictionError, match="no early exit"):
        with_exits(open_exported("tensorflow", tmp_path / "made", EngineSettings()), 1)


@pytest.mark.parametrize("length", [16, None])
@pytest.mark.parametrize(("precision", "kind"), [("int8", np.int8), ("int16x8", np.int16)])
def test_calibrated_files_compute_products_with_integers(
    tmp_path: Path, precision: str, kind: type, length: int | None
) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(92))]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    lines = [" ".join(f"w{n * k % 92}" for k in range(12)) for n in range(1, 17)]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    tokenizer, out = Tokenizer.load(tmp_path / "vocab.txt"), tmp_path / "made"
    made = replace(make("export", PLANS["classification"]), tokenizer=tokenizer)
    made.save(tmp_path / "model")
    done = export(
        tmp_path / "model",
        to="litert",
        out=out,
        precision=precision,
        calibrate=tmp_path / "lines.txt",
        length=length,
    )
    assert done.precision == precision
    # Its batch has padding, and the texts had none: 0.44 for a model that looks at the padding.
    assert done.compared.difference["task"] < 0.15
    interpreter = tf.lite.Interpreter(str(out / "model.tflite"))
    kinds = {each["index"]: each["dtype"] for each in interpreter.get_tensor_details()}
    operations = interpreter._get_ops_details()
    assert not {x["op_name"] for x in operations if "Flex" in x["op_name"]}
    last = {each["index"] for each in interpreter.get_output_details()}
    products = [x for x in operations if x["op_name"] == "FULLY_CONNECTED"]
    products = [x for x in products if not last & set(x["outputs"])]
    assert products
    for each in products:
        given, weights = each["inputs"][:2]
        assert [kinds[place] for place in (given, weights, *each["outputs"])] == [
            kind,
            np.int8,
            kind,
        ]
    tables = [x["inputs"][0] for x in operations if x["op_name"] == "GATHER"]
    assert {kinds[place] for place in tables} - {np.int32} == {np.int8}  # int32: of shapes
    few = [x for x in operations if x["op_name"] == "BATCH_MATMUL" or last & set(x["outputs"])]
    assert {kinds[place] for x in few for place in (*x["inputs"], *x["outputs"])} == {np.float32}
    numbers = sum(x.size for x in made.tensors.values())
    assert bytes_of_tensors(out) < 2 * numbers  # one byte each, of the layer once, and biases


def test_a_few_large_columns_do_not_blur_the_tables_of_a_small_file(tmp_path: Path) -> None:
    made = make("export", PLANS["classification"])
    segment = "albert.embeddings.segment.weight"
    table = made.tensors[segment].copy()
    table[:, 0] *= 10
    replace(made, tensors={**made.tensors, segment: table}).save(tmp_path / "model")
    export(tmp_path / "model", to="litert", out=tmp_path / "made", precision="int8")
    interpreter = tf.lite.Interpreter(str(tmp_path / "made" / "model.tflite"))
    interpreter.allocate_tensors()
    kinds = {each["index"]: each["dtype"] for each in interpreter.get_tensor_details()}
    gathers = [x["inputs"][0] for x in interpreter._get_ops_details() if x["op_name"] == "GATHER"]
    tables = [interpreter.get_tensor(place) for place in gathers if kinds[place] == np.int8]
    (small,) = (rows for rows in tables if rows.shape == table.shape)
    factors = np.abs(table).max(0) / 127  # a step for each column
    assert (np.abs(small * factors - table).max(0) <= factors / 2 * (1 + 1e-5)).all()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder where every command of docs/mobile.md was typed."""
    place = tmp_path_factory.mktemp("page")
    (place / "demo-run").mkdir()
    for file in EXAMPLES.glob("reviews-zh*.csv"):
        shutil.copy(file, place / "demo-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
            for line in block.splitlines():
                program, *words = shlex.split(line)
                if program == "albertkit":  # else pip: the packages are here
                    assert main(words) == 0, line
        yield place


def test_the_page_of_phones_leaves_a_small_file_that_runs_alone(page: Path) -> None:
    folder = page / "reviews-phone"
    assert (folder / "model.tflite").stat().st_size < 5_000_000
    assert not {op for op in operations(folder) if "Flex" in op or op == "CUSTOM"}
    done = subprocess.run(
        [sys.executable, str(folder / "example.py")], capture_output=True, text=True
    )
    assert done.stdout.startswith("logits (1, 2)"), done.stderr


def test_a_fine_tuned_model_gives_the_labels_of_pytorch(page: Path) -> None:
    model = page / "run-zh" / "model"
    export(model, to="litert", out=page / "float")
    texts = [
        row["text"]
        for file in sorted((page / "demo-run").glob("*.csv"))
        for row in csv.DictReader(file.read_text("utf-8").splitlines())
    ]
    assert len(texts) == 240
    expected, found, small = (logits(page / x, texts) for x in (model, "float", "reviews-phone"))
    sure = np.abs(expected[:, 0] - expected[:, 1]) > 1e-3
    assert (found.argmax(1) == expected.argmax(1))[sure].all()
    # Of so few texts 7 or more differ once in a hundred times where 1 % of all texts do.
    assert (small.argmax(1) != expected.argmax(1))[sure].sum() <= 6


def test_activations_of_16_bits_keep_the_labels(page: Path) -> None:
    rows = csv.DictReader((page / "demo-run" / "reviews-zh.csv").read_text("utf-8").splitlines())
    (page / "texts.txt").write_text("\n".join(row["text"] for row in rows), encoding="utf-8")
    (line,) = (
        x for x in PAGE.read_text("utf-8").splitlines() if "int16x8 --cali" in x and "check" in x
    )
    words = ["demo-run/reviews-zh-test.csv" if x == "test.csv" else x for x in shlex.split(line)]
    assert main(words[1:]) == 0
    checked = Checked.load(page / "phone")
    assert checked is not None
    assert checked.keeps
    assert checked.clear_count >= 70
    assert checked.clear_agreement >= 0.97  # 1 or 2 of so few may differ
    assert precision_of(page / "phone") == "int16x8"


def logits(model: Path, texts: list[str]) -> np.ndarray:
    """Of a model's own task (N, C)."""
    predictor = Predictor(model)
    encodings = [predictor.tokenizer.encode(text, max_tokens=128) for text in texts]
    parts = [Batch.of(encodings[i : i + 16]) for i in range(0, len(texts), 16)]
    return np.concatenate([predictor.engine.run(part, ("task",))["task"] for part in parts])
