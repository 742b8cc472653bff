"""Mistakes of the first day, each answered with what to type instead."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from albertkit.cli import main
from albertkit.train.resume import RECIPE


def message_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(list(arguments)) == code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("fill-mask the [MASK] sat", 'put it into quotes: "the [MASK] sat"'),
        ("make-data text.txt --output data", "--vocab is missing."),
        ("convert model --to google_tf", "TARGET is missing."),
        ("pretrain --resume", f"albertkit pretrain RUN/{RECIPE} --resume"),
        ("pretrain --resume --out run", f"albertkit pretrain run/{RECIPE} --resume"),
        ("pretrain run --resume", f"give run/{RECIPE}"),
        (
            "pretrain demo --data nothing --out new",
            "albertkit make-data TEXT --vocab VOCAB --output nothing",
        ),
        (
            "pretrain demo --data text.txt --out new",
            "albertkit make-data text.txt --vocab VOCAB --output text-data",
        ),
        ("pretrain demo --out new --set steps=3", "did you mean 'stages.0.steps'?"),
        (
            "finetune classify --train text.txt --out new --set schedule.epoch=3",
            "did you mean 'schedule.epochs'?",
        ),
        ("fill-mask reviews.csv", "albertkit predict reviews.csv --model MODEL"),
        ("fill-mask text.txt", "give --input text.txt"),
        ("benchmark mnlii", "did you mean mnli"),
        ("finetune classify text.txt --out new", "Unexpected argument: text.txt"),
        (
            "classify hello --model albertkit/tiny-en",
            "albertkit finetune classify --train FILE --out run, then --model run/model",
        ),
        (
            "tag hello --model albertkit/tiny-en",
            "albertkit finetune tag --train FILE --out run, then --model run/model",
        ),
        (
            "make-data text.txt --vocab nothing --output data",
            "albertkit build-vocab TEXT --output nothing",
        ),
        # Names with spaces are in quotes.
        ("pretrain --resume --out 'my run'", f"albertkit pretrain 'my run/{RECIPE}' --resume"),
        ("pretrain 'my run' --resume", f"give 'my run/{RECIPE}'"),
        ("pretrain demo --data 'my text.txt' --out new", "make-data 'my text.txt' --vocab VOCAB"),
        ("pretrain demo --data text.txt --out 'my run'", f"pretrain 'my run/{RECIPE}' --resume"),
        ("finetune classify --train text.txt --out 'my run'", f"finetune 'my run/{RECIPE}'"),
        ("make-data text.txt --vocab 'no words' --output data", "TEXT --output 'no words'"),
        ("fill-mask 'my text.txt'", "give --input 'my text.txt'"),
    ],
)
def test_the_answer_can_be_typed(
    arguments: str,
    answer: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("The cat sat on the mat. A dog ran.\n")
    Path("reviews.csv").write_text("text,label\n")
    Path("my text.txt").write_text("The cat sat on the mat. A dog ran.\n")
    for run in ("run", "my run"):
        Path(run).mkdir()
        Path(run, RECIPE).write_text("")
    assert answer in message_of(capsys, *shlex.split(arguments))


@pytest.mark.parametrize(
    ("command", "said"), [("fill-mask", "The text has no mask."), ("embed", "A text is empty.")]
)
def test_an_empty_text_is_no_model(
    command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in message_of(capsys, command, "")


def test_a_model_can_be_named_for_its_vocabulary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenize", "the door", "--vocab", "albertkit/tiny-en"]) == 0
    assert capsys.readouterr().out == "▁the ▁door\n"


def test_a_text_that_the_vocabulary_lacks_is_said(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_model / "model")
    said = message_of(capsys, "fill-mask", "他来[MASK]", "--model", model, code=0)
    assert "note: 2 of the 2 tokens of text 1 are not in the vocabulary" in said
    assert message_of(capsys, "fill-mask", "the [MASK] sat", "--model", model, code=0) == ""
