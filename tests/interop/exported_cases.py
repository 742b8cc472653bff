"""Cases for the programs that open what albertkit exports; run with a Python that has the engines.

    python tests/interop/exported_cases.py FOLDER

FOLDER holds what cases.py wrote. FOLDER/onnx/NAME and FOLDER/openvino/NAME get the same files;
`checkpoint` is the exported folder, outputs have their names in the file, and case.json holds

    task, precision, head  of the export
    texts, pairs           from which the tokenizer in the folder must make the inputs; or null
    numbers                in ONNX, inputs and outputs once more, for programs without NumPy

There are the shipped models, one that is fine-tuned here, and golden models of every head, whose
expected outputs are those of cases.py. An export has a hole in the mask where the case has one.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from reading import Arrays, open_case

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from cases import TOLERANCE, outputs  # noqa: E402

import albertkit  # noqa: E402
from albertkit import Checkpoint, export, finetune  # noqa: E402
from albertkit.data.batch import Batch  # noqa: E402
from albertkit.graph.tasks import file_names  # noqa: E402
from albertkit.infer.predictor import Predictor  # noqa: E402

GOLDEN = ("huggingface-gelu_new-", "huggingface-relu_inner2-")  # every head, and groups
TEXTS = {
    "tiny-en": ["Paris is the [MASK] of France.", "Nobody [MASK] (not even she) in 1999."],
    "tiny-zh": ["北京是[MASK]国的首都。", "他们[MASK]天2019年去了Paris。"],
}
PLAIN = ["It rained all night.", "The soup was cold, said Ann."]
TRAINING = [("A fine film.", "good"), ("The soup was cold.", "bad"), ("Well made.", "good")]
# In int8 a last bit decides how an activation is rounded, and each rounding the next ones: with
# norms changed by 1e-7 ONNX Runtime itself gives logits that differ by 0.011 to 0.025.
INT8 = 0.05
INT8_ONE_LAYER = 0.02  # one rounding that goes the other way changes a logit by 0.012
# Outputs of an `Engine` as cases.py calls them.
NAMES = {"pooled": "pooled", "masked_lm": "mlm_logits", "sentence_order": "sop_logits"}


@dataclass(frozen=True)
class Source:
    """What is exported; texts: None where the inputs are those of a case."""

    name: str
    model: Path
    task: str | None
    inputs: Arrays
    expected: Arrays
    texts: list[str] | None = None
    pairs: list[str] | None = None
    precision: str = "fp32"
    tolerance: float | None = None  # None: that of its precision


def sources(folder: Path, place: Path) -> Iterator[Source]:
    """Everything that is exported; place: for what is made on the way."""
    for case_folder in sorted((folder / "huggingface").iterdir()):
        if case_folder.name.startswith(GOLDEN):
            case = open_case(case_folder)
            yield Source(case_folder.name, case.checkpoint, None, case.inputs, case.expected)
    weights = Path(albertkit.__file__).parent / "weights"
    for name, texts in TEXTS.items():
        yield _of_texts(f"{name}-words", weights / name, "fill-mask", texts)
        yield _of_texts(f"{name}-features", weights / name, "feature-extraction", texts)
    rows = "".join(f"{text},{label}\n" for text, label in TRAINING * 8)
    (place / "train.csv").write_text("text,label\n" + rows, encoding="utf-8")
    finetune(
        "classify",
        model=weights / "tiny-en",
        train=place / "train.csv",
        out=place / "tuned",
        epochs=1,
    )
    yield _of_texts("tiny-en-tuned", place / "tuned" / "model", None, PLAIN, PLAIN[::-1])
    words = _of_texts("tiny-en-int8", weights / "tiny-en", "fill-mask", TEXTS["tiny-en"])
    yield replace(words, precision="int8")
    checkpoint = Checkpoint.load(weights / "tiny-en")
    config = replace(checkpoint.config, num_hidden_layers=1)
    replace(checkpoint, config=config).save(place / "one-layer")
    words = _of_texts("one-layer-int8", place / "one-layer", "fill-mask", TEXTS["tiny-en"])
    yield replace(words, precision="int8", tolerance=INT8_ONE_LAYER)


def _of_texts(
    name: str, model: Path, task: str | None, texts: list[str], pairs: list[str] | None = None
) -> Source:
    checkpoint = Checkpoint.load(model)
    made = checkpoint.tokenizer(texts, pairs, padding=True, return_tensors="np")
    inputs = {name: np.asarray(x, np.int64) for name, x in made.items()}
    return Source(name, model, task, inputs, outputs(checkpoint, inputs), texts, pairs)


def write(place: Path, to: str, source: Source) -> None:
    """One case."""
    checkpoint = Checkpoint.load(source.model)
    done = export(
        source.model,
        to=to,
        out=place / "checkpoint",
        task=source.task,
        precision=source.precision,
    )
    expected = expected_of(checkpoint, done.task, source.expected)
    if source.precision == "int8":
        expected = {"logits": int8_logits(place / "checkpoint", source)}
    np.savez(place / "inputs.npz", **source.inputs)
    np.savez(place / "expected.npz", **expected)
    facts: dict[str, Any] = {
        "task": done.task,
        "precision": source.precision,
        "head": None if checkpoint.head is None else checkpoint.head.kind,
        "tolerance": source.tolerance or (INT8 if source.precision == "int8" else TOLERANCE),
        "relative": False,
        "texts": source.texts,
        "pairs": source.pairs,
    }
    if to == "onnx":
        facts["numbers"] = {
            kind: {name: x.tolist() for name, x in arrays.items()}
            for kind, arrays in (("inputs", source.inputs), ("expected", expected))
        }
    (place / "case.json").write_text(json.dumps(facts), encoding="utf-8")


def expected_of(checkpoint: Checkpoint, task: str, given: Arrays) -> Arrays:
    """The outputs of an export by their names in its file."""
    config = checkpoint.config
    last = f"hidden_{config.num_hidden_layers * config.inner_group_num:02d}"
    found: Arrays = {}
    for output, names in file_names(checkpoint, task).items():
        for name in names:
            ours = {**NAMES, "hidden": last, "task": name}[output]
            found[name] = given[ours]
    return found


def int8_logits(folder: Path, source: Source) -> np.ndarray:
    """What ONNX Runtime makes of an int8 file; at padding nothing."""
    predictor = Predictor(folder)
    ids, types, mask = (source.inputs[x] for x in ("input_ids", "token_type_ids", "attention_mask"))
    batch = Batch.from_padded(ids, types, mask.sum(1))
    found = predictor.engine.run(batch, ("masked_lm",), np.arange(len(batch.ids)))["masked_lm"]
    logits = np.zeros((*ids.shape, found.shape[-1]), np.float32)
    logits[mask.astype(bool)] = found
    return logits


def main(folder: Path) -> None:
    """Write every case in both formats."""
    with tempfile.TemporaryDirectory() as temporary:
        for source in sources(folder, Path(temporary)):
            for to in ("onnx", "openvino"):
                if to == "openvino" and source.precision == "int8":
                    continue  # half a minute of NNCF: engines_run.py does without it, too
                place = folder / to / source.name
                place.mkdir(parents=True)
                write(place, to, source)
    # The folder that the page about ONNX speaks of.
    place = folder / "onnx" / "tiny-en-words"
    shutil.copytree(place / "checkpoint", place / "tiny-onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
