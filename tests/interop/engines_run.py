"""ONNX Runtime and OpenVINO run what albertkit exports; run with a Python that has all three.

    python tests/interop/engines_run.py FOLDER

Each checkpoint is exported for everything that it can be, in fp32, and the files are run on the
batch of the case, which has a mask with a hole. The packed graphs of the engines answer the rows
without one. In int8 and fp16 the exporter itself compares; here is looked at what the file holds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from reading import Answer, Arrays, Case, main

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from albertkit import Checkpoint, export  # noqa: E402
from albertkit.data.batch import Batch  # noqa: E402
from albertkit.errors import PredictionError  # noqa: E402
from albertkit.graph.tasks import tasks_of  # noqa: E402
from albertkit.infer.engines import make_engine  # noqa: E402
from albertkit.infer.engines._protocol import EngineSettings  # noqa: E402

NAMES = {
    "pooler_output": "pooled",
    "prediction_logits": "mlm_logits",
    "sop_logits": "sop_logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
}
ENGINES = ("onnxruntime", "openvino")


def read(case: Case) -> Answer:
    """Everything that the files give."""
    checkpoint = Checkpoint.load(case.checkpoint)
    config = checkpoint.config
    last = f"hidden_{config.num_hidden_layers * config.inner_group_num:02d}"
    case.inputs["token_type_ids"] = segments_of(case)
    try:
        tasks = tasks_of(checkpoint)
    except PredictionError as error:  # a head that no graph has: it must be named
        named = ("beam_span", "pooling=uer_")
        problems = [] if any(name in str(error) for name in named) else [str(error)]
        return Answer({}, dict.fromkeys(case.expected, str(error)), problems)
    found: Arrays = {}
    problems: list[str] = []
    for task in tasks:
        names = {**NAMES, "last_hidden_state": last}
        names["logits"] = "mlm_logits" if task == "fill-mask" else "logits"
        rows = task != "multiple-choice"
        inputs = {x: case.rows(x) if rows else case.inputs[x] for x in case.inputs}
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            export(case.checkpoint, to="onnx", out=folder / "onnx", task=task)
            problems += copies(onnx.load(str(onnx_file(folder / "onnx"))), checkpoint)
            given = run_onnx(folder / "onnx", inputs)
            found |= {names[name]: array for name, array in given.items()}
            if task == tasks[0]:
                export(case.checkpoint, to="onnx", out=folder / "int8", precision="int8")
                problems += int8_problems(onnx.load(str(onnx_file(folder / "int8"))))
                problems += unfused(onnx_file(folder / "int8"))
                export(case.checkpoint, to="onnx", out=folder / "fp16", precision="fp16")
                export(case.checkpoint, to="openvino", out=folder / "ir")
                given = run_openvino(folder / "ir", inputs)
                apart = case.differences({names[name]: array for name, array in given.items()})
                problems += [
                    f"IR: {name} differs by {value:.1e}"
                    for name, value in apart.items()
                    if not value <= case.facts["tolerance"]
                ]
    for name in ENGINES:
        problems += packed_problems(name, case, checkpoint, last)
    left_out = {
        name: "files give the last layer" for name in case.expected if name.startswith("hidden_")
    }
    left_out.pop(last)
    return Answer(found, left_out, problems)


def onnx_file(folder: Path) -> Path:
    """The one file of an export."""
    [file] = folder.glob("onnx/*.onnx")
    return file


def run_onnx(folder: Path, inputs: Arrays) -> Arrays:
    """Outputs of a file in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(onnx_file(folder)))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def run_openvino(folder: Path, inputs: Arrays) -> Arrays:
    """Outputs of an IR in OpenVINO."""
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", hints)
    found = model(inputs)
    return {output.get_any_name(): np.array(found[output]) for output in model.outputs}


def segments_of(case: Case) -> np.ndarray:
    """Segments from 0, as our graphs count them; UER-py's begin at 1."""
    uer = case.facts["config"]["layer_norm_kind"] == "uer"
    three = case.facts["config"]["type_vocab_size"] == 3
    segments = case.inputs["token_type_ids"]
    return np.maximum(segments - 1, 0) if uer and three else segments


def copies(model: onnx.ModelProto, checkpoint: Checkpoint) -> list[str]:
    """A file in fp32 that holds more numbers than the checkpoint has."""
    held = sum(
        int(np.prod(x.dims))
        for x in model.graph.initializer
        if x.data_type == onnx.TensorProto.FLOAT and len(x.dims)
    )
    most = sum(tensor.size for tensor in checkpoint.tensors.values())
    return [f"{held} numbers in the file, {most} in the checkpoint"] if held > most else []


def int8_problems(model: onnx.ModelProto) -> list[str]:
    """A product with a constant of floating-point numbers, or a matrix that is there twice."""
    floats = {x.name for x in model.graph.initializer if x.data_type == onnx.TensorProto.FLOAT}
    problems = [
        f"int8: {node.name} has the constant {name}"
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        for name in node.input
        if name in floats
    ]
    held = [x.raw_data for x in model.graph.initializer if x.data_type == onnx.TensorProto.INT8]
    large = [data for data in held if len(data) > 1]
    if not large:
        problems.append("int8: no int8 matrix")
    if len(set(large)) != len(large):
        problems.append("int8: a matrix is there twice")
    return problems


def unfused(file: Path) -> list[str]:
    """Products of integers whose scale ONNX Runtime leaves to a second pass over their numbers."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(file.with_name("optimized.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(file), options)
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    left = [node.name for node in nodes if node.op_type == "MatMulInteger"]
    return [f"int8: {len(left)} products without their scale, such as {left[0]}"] if left else []


def packed_problems(name: str, case: Case, checkpoint: Checkpoint, last: str) -> list[str]:
    """What an engine's packed graphs give for the rows without a hole, beside what is expected."""
    mask = case.rows("attention_mask").astype(bool)
    lengths = mask.sum(1)
    whole = np.arange(mask.shape[1]) < lengths[:, None]
    rows = np.flatnonzero((mask == whole).all(1))
    real = mask[rows]
    ids, segments = (case.rows(x)[rows][real] for x in ("input_ids", "token_type_ids"))
    batch = Batch(ids, segments, lengths[rows])
    engine = make_engine(name, checkpoint, EngineSettings())
    targets = np.arange(0, len(ids), 3)
    expected = {"hidden": case.expected[last][rows][real]}
    for ours, theirs in (("pooled", "pooled"), ("sentence_order", "sop_logits")):
        if theirs in case.expected:
            expected[ours] = case.expected[theirs][rows]
    if "mlm_logits" in case.expected:
        expected["masked_lm"] = case.expected["mlm_logits"][rows][real][targets]
    if "start_logits" in case.expected:
        both = [case.expected[x][rows][real] for x in ("start_logits", "end_logits")]
        expected["task"] = np.stack(both, -1)
    elif "logits" in case.expected:
        logits = case.expected["logits"]
        if checkpoint.head.traits.reads == "tokens":
            expected["task"] = logits[rows][real]
        else:
            expected["task"] = logits.reshape(len(mask), -1)[rows]
    problems = []
    for want in [(x,) for x in expected] + [tuple(expected)]:
        found = engine.run(batch, want, targets)
        for output in want:
            largest = max(1.0, float(np.abs(expected[output]).max()))
            apart = float(np.abs(expected[output] - found[output]).max()) / largest
            if not apart <= case.facts["tolerance"]:
                problems.append(f"{name}, packed, {want}: {output} differs by {apart:.1e}")
    return problems


if __name__ == "__main__":
    sys.exit(main(read))
