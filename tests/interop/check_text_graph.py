"""A tokenizer inside a SavedModel beside ours: every golden line, and a model that takes texts.

Run by the stage `keras` of run.py with its own Python; no part of the ordinary tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf
from random_models import BARE, POOLED, Plan, make

import albertkit
from albertkit import Predictor, export
from albertkit.cli import main
from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.exporters import _text_graph
from albertkit.exporters._text_graph import HARD, text_graph
from albertkit.tasks.head import TaskHead
from albertkit.text.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "golden" / "tokenization_own"
SHARED = ROOT.parent / "shared"
WEIGHTS = Path(albertkit.__file__).parent / "weights"
LINES = [OWN / "english.jsonl", OWN / "chinese.jsonl"]
LINES += sorted(SHARED.glob("golden/tokenization_*/*fulltokenizer.jsonl"))
CASES = [
    *((WEIGHTS / name, True) for name in ("tiny-en", "tiny-zh")),
    *((OWN / name, lower) for name in ("spiece.model", "vocab.txt") for lower in (True, False)),
    (OWN / "spiece_cased.model", False),
    *(
        (path, True)
        for path in (SHARED / "vocab/en/30k-clean.model", SHARED / "vocab/zh/vocab.txt")
    ),
]
ALONE = """
import json
import sys
import tensorflow as tf, tensorflow_text
found = tf.saved_model.load(sys.argv[1]).signatures["texts"](texts=tf.constant(sys.argv[2:]))
print(json.dumps([found["input_ids"].numpy().tolist(), found["logits"].numpy().tolist()]))
assert not {"albertkit", "torch"} & set(sys.modules)
"""


def golden_texts() -> list[str]:
    return [
        json.loads(line)["text"]
        for file in LINES
        for line in file.read_text(encoding="utf-8").split("\n")
        if line
    ]


@pytest.mark.parametrize(("path", "lower_case"), CASES, ids=lambda x: getattr(x, "name", str(x)))
def test_ids_of_the_graph_are_ours_on_every_golden_line(path: Path, lower_case: bool) -> None:
    if not path.exists():
        pytest.skip(f"{path} is not here")
    tokenizer, texts = Tokenizer.load(path, lower_case=lower_case), [*golden_texts(), *HARD]
    run = tf.function(text_graph(tokenizer), input_signature=[tf.TensorSpec([None], tf.string)])
    found = run(tf.constant([text.encode() for text in texts])).to_list()
    ours = tokenizer.ids_batch(texts)
    assert [x for x, a, b in zip(texts, ours, found, strict=True) if a != b] == []


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A random classifier of 40 tokens with a vocabulary of words, and two lines."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(91)), "unknown"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (tmp_path / "lines.txt").write_text("w1 w2\n\nW3 unknown\n", encoding="utf-8")
    plan = Plan("classification", {}, POOLED, TaskHead("classification", 3))
    tokenizer = Tokenizer.load(tmp_path / "vocab.txt")
    replace(make("export", plan), tokenizer=tokenizer).save(tmp_path / "model")
    return tmp_path


def test_a_saved_model_takes_texts(classifier: Path) -> None:
    words = ["--to", "saved_model", "--tokenize", str(classifier / "lines.txt")]
    out = classifier / "made"
    assert main(["export", str(classifier / "model"), *words, "--out", str(out)]) == 0
    texts = ["w5 w6, w7", "W8", " ".join(["w9"] * 60)]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(out), *texts], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ids, logits = json.loads(done.stdout)
    predictor = Predictor(classifier / "model")
    encodings = [predictor.tokenizer.encode(text, max_tokens=40) for text in texts]
    assert [row[: len(e.ids)] for row, e in zip(ids, encodings, strict=True)] == [
        list(e.ids) for e in encodings
    ]
    expected = predictor.engine.run(Batch.of(encodings), ("task",))["task"]
    assert np.abs(np.array(logits) - expected).max() < 3e-5
    assert Predictor(out).classify(texts[0]) is not None  # opens with tensorflow-text's operations


def test_other_ids_are_refused_with_the_line_and_leave_nothing(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_text_graph, "MAX_WORD_CHARACTERS", 6)  # the graph's alone: a wrong rule
    with pytest.raises(PredictionError, match="cannot be part of the graph") as refused:
        export(
            classifier / "model",
            to="saved_model",
            out=classifier / "made",
            tokenize=classifier / "lines.txt",
        )
    assert "for " in refused.value.facts["expected"]
    assert not (classifier / "made").exists()


def test_tasks_of_several_texts_are_refused(tmp_path: Path) -> None:
    plan = Plan("span", {}, BARE, TaskHead("span", 2))
    checkpoint = replace(make("export", plan), tokenizer=Tokenizer.load(OWN / "vocab.txt"))
    with pytest.raises(PredictionError, match="cannot be part of the graph"):
        _text_graph.checked_text_graph(checkpoint, "question-answering", ["a"])
