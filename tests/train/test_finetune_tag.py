"""A model that tags words: from columns to names with their characters, measured as conlleval."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import transformers
from animals import sentences
from rich.console import Console

from albertkit.cli import main
from albertkit.infer.evaluate import evaluate
from albertkit.infer.predictor import Predictor
from albertkit.train.finetune import FinetuneResult, finetune

QUICK = {
    "schedule.epochs": 10,
    "schedule.batch_size": 16,
    "schedule.learning_rate": 0.01,
    "run.device": "cpu",
    "run.threads": 1,
}
TAGS = {"cat": "I-PET", "dog": "I-PET", "mat": "I-PLACE"}  # IOB1: I- begins


def write_conll(path: Path, count: int, seed: int = 0) -> Path:
    """Columns as CoNLL-2003's: an entity is a pet or a place, perhaps of two words."""
    lines = []
    for text, _ in sentences(count, seed):
        words = text.split()
        for n, word in enumerate(words):
            place = word == "a" and words[n + 1 : n + 2] == ["mat"]
            lines.append(f"{word} X {'I-PLACE' if place else TAGS.get(word, 'O')}")
        lines.append("")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def tagged(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    folder = tmp_path_factory.mktemp("tag")
    return finetune(
        "tag",
        train=write_conll(folder / "train.txt", 300),
        model=tiny_model / "model",
        out=folder / "run",
        set=QUICK,
        console=Console(quiet=True),
    )


def test_names_are_found_with_their_characters(tagged: FinetuneResult) -> None:
    assert tagged.exit_code == 0
    assert tagged.to_json()["task"] == "tag"  # the command that asks the model
    assert tagged.figures["metric"] == "entity_f1"
    assert tagged.figures["entity_f1"] > 0.9
    report = (tagged.folder / "report.html").read_text()
    assert "F1 of entities" in report
    assert "B-PET" in report
    assert "of the tag of each word" in report  # how sure it is
    entity_f1 = f"{tagged.figures['entity_f1']:.4f}</td>"
    assert re.search(entity_f1 + r'<td[^>]*interval">0\.\d+ to [01]\.\d+<', report)
    text = "The cat sat on a mat ."
    found = Predictor(tagged.model).tag(text)
    assert [(x.label, text[x.start : x.end]) for x in found] == [
        ("PET", "cat"),
        ("PLACE", "a mat"),
    ]
    theirs = transformers.AlbertForTokenClassification.from_pretrained(tagged.model)
    assert list(theirs.config.id2label.values()) == ["O", "B-PET", "I-PET", "B-PLACE", "I-PLACE"]


def test_it_is_measured_and_predicts_files(
    tagged: FinetuneResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = write_conll(tmp_path / "test.txt", 60, seed=9)
    found = evaluate(tagged.model, test)
    assert found.figures["entity_f1"] > 0.9
    low, high = found.intervals["entity_f1"]
    assert low <= found.figures["entity_f1"] <= high
    there = {name: count for name, _, _, count in found.classes}
    assert set(there) == {"PET", "PLACE"}
    assert there["PET"] == 60
    model = ["--model", str(tagged.model)]
    assert main(["evaluate", str(test), *model]) == 0
    assert "F1 of entities" in capsys.readouterr().out
    (tmp_path / "lines.txt").write_text("the cat sat\non , and .\n")
    assert main(["predict", str(tmp_path / "lines.txt"), *model]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[x["word"] for x in row["prediction"]] for row in rows] == [["cat"], []]
