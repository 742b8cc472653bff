"""The command add-words, and the way on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albertkit import Tokenizer
from albertkit.cli import main


def test_words_of_a_list_make_a_model_that_pretraining_goes_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("polymerase\nthe\n")
    new, data = str(tmp_path / "new"), str(tmp_path / "data")
    words = ["--words", str(tmp_path / "words.txt")]
    assert main(["add-words", "albertkit/tiny-en", new, *words]) == 0
    out = capsys.readouterr().out
    assert "▁polymerase: was ▁poly mer ase" in out
    assert "one piece already: 1 words" in out
    assert f"--vocab {new}" in out
    assert "## Added words" in (tmp_path / "new" / "README.md").read_text()
    text = "\n\n".join(f"The polymerase moves {n}.\nIt binds {n} times." for n in range(200))
    (tmp_path / "text.txt").write_text(text)
    assert main(["make-data", str(tmp_path / "text.txt"), "--vocab", new, "--output", data]) == 0
    run = str(tmp_path / "run")
    few = ["--set", "stages.0.steps=2", "--set", "run.validation_rows=8", "--json"]
    few += ["--set", "stages.0.tokens=32", "--set", "run.threads=1"]
    capsys.readouterr()
    # So short a run may not learn (3); it is no mistake.
    assert main(["pretrain", "--from", new, "--data", data, "--out", run, *few]) in (0, 3)
    result = json.loads(capsys.readouterr().out)
    assert set(result["lessons"]) == {"masked_lm", "sentence_order"}
    assert result["before"]["mlm_loss"] > 0
    assert len(Tokenizer.load(Path(run) / "model").ids("polymerase")) == 1
    # The model without the words has another tokenizer.
    assert main(["pretrain", "--from", "albertkit/tiny-en", "--data", data, "--out", "x"]) == 2
    assert "make-data TEXT --vocab albertkit/tiny-en" in capsys.readouterr().err


def test_words_are_learned_from_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("The polymerase moves. Myocarditis hurts.\n" * 9)
    out = str(tmp_path / "new")
    text = str(tmp_path / "text.txt")
    assert main(["add-words", "albertkit/tiny-en", out, text, "--learn", "2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert list(made["added"]) == ["▁myocarditis", "▁polymerase"]


@pytest.mark.parametrize("given", [[], ["--learn", "5"], ["text.txt"], ["--words", "a", "b.txt"]])
def test_which_words_must_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert main(["add-words", "albertkit/tiny-en", str(tmp_path / "new"), *given]) == 2
    assert "--words FILE, or --learn 200 TEXT" in capsys.readouterr().err
