"""Every command that takes a model takes the same options, and says so the same way."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from albertkit.cli import main
from albertkit.cli.options import ModelOptions, SourceOptions, read_overrides
from albertkit.errors import ConfigError, PredictionError

SOURCES = ["info", "inspect", "convert"]
MODELS = ["fill-mask", "sentence-order", "embed", "classify", "tag", "answer", "choose"]

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; its standard output, or its message where it fails."""

    def call(*arguments: object, code: int = 0) -> str:
        assert main([str(x) for x in arguments]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return call


@pytest.mark.parametrize("command", SOURCES + MODELS)
def test_the_options_are_the_same_everywhere(run: Run, command: str) -> None:
    help = run(command, "--help")
    options = ModelOptions if command in MODELS else SourceOptions
    for field in dataclasses.fields(options):
        assert f"--{field.name.replace('_', '-')} " in help


def test_the_old_order_of_arguments_is_taken_where_a_checkpoint_comes_first(
    run: Run, capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    model = tiny_model / "model"
    (tmp_path / "lines.txt").write_text("the cat\n")
    for command, *rest in (
        ("fill-mask", "the [MASK] ran", "--top-k", 2, "--json"),
        ("embed", "--input", tmp_path / "lines.txt", "--json"),
        ("sentence-order", "the cat ran .", "a dog sat .", "--json"),
    ):
        assert main([str(x) for x in (command, model, *rest)]) == 0
        captured = capsys.readouterr()
        assert f"--model {model}" in captured.err
        assert captured.out == run(command, *rest, "--model", model)


def test_what_may_be_a_model_gets_the_right_command(run: Run, tmp_path: Path) -> None:
    for meant in (tmp_path, "albert-base-v2", "albertkit/tiny-zh"):
        message = run("fill-mask", meant, "the [MASK] ran", "--top-k", 2, code=2)
        assert f"to do: albertkit fill-mask 'the [MASK] ran' --top-k 2 --model {meant}" in message
    message = run("classify", tmp_path, "--input", "lines.txt", code=2)
    assert f"to do: albertkit classify --input lines.txt --model {tmp_path}" in message
    message = run("tag", "the cat", code=2)
    assert "to do: albertkit tag 'the cat' --model FOLDER" in message


def test_a_long_text_is_not_taken_for_a_path(run: Run) -> None:
    text = "It rained, and so the street was wet. " * 8  # longer than a name of a file may be
    assert json.loads(run("embed", text.strip(), "--json"))["text"] == text.strip()


def test_the_name_of_a_file_as_a_text_gets_the_option_that_reads_it(
    run: Run, tmp_path: Path, tiny_model: Path
) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("the cat\n")
    for command in (["embed"], ["tokenize", "--vocab", tiny_model / "vocab.txt"]):
        assert f"--input {file}" in run(*command, file, code=2)


@pytest.mark.parametrize("command", ["fill-mask", "classify", "answer"])
def test_a_number_of_answers_below_one_is_refused(run: Run, command: str) -> None:
    for number in (0, -1):
        message = run(command, "a [MASK]", "--model", "m", "--top-k", number, code=2)
        assert "1 or more" in message


def test_settings_are_json_or_words() -> None:
    given = read_overrides(None, "regression", ["num_attention_heads=32", "hidden_act=relu"])
    assert given.values == {"num_attention_heads": 32, "hidden_act": "relu"}
    assert given.head == "regression"
    with pytest.raises(ConfigError) as caught:
        read_overrides(None, None, ["hidden_act"])
    assert caught.value.facts["found"] == "hidden_act"


def test_overrides_reach_the_model_of_each_command(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "model"
    shutil.copytree(tiny_model / "model", place)
    config = shutil.move(place / "config.json", tmp_path / "other.json")
    vocabulary = shutil.move(place / "vocab.txt", tmp_path / "pieces.txt")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (place / name).unlink(missing_ok=True)
    options = ("--config", config, "--tokenizer", vocabulary)
    weights = place
    plain = run("fill-mask", "the [MASK] ran", "--model", tiny_model / "model", "--json")
    assert run("fill-mask", "the [MASK] ran", "--model", weights, *options, "--json") == plain
    relu = ("--set", "hidden_act=relu")
    assert run("fill-mask", "the [MASK] ran", "--model", weights, *options, *relu) != plain
    facts = json.loads(run("inspect", weights, *options, *relu, "--json"))
    assert facts["config"]["hidden_act"] == "relu"
    facts = json.loads(run("info", weights, *options, *relu, "--json"))
    assert facts["config"]["hidden_act"] == "relu"


def test_offline_never_asks_the_network(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path))
    for command in (
        ["fill-mask", "a [MASK]", "--model", "google-albert-base-zh"],
        ["inspect", "google-albert-base-zh"],
        ["convert", "google-albert-base-zh", tmp_path / "out", "--to", "uer"],
    ):
        message = run(*command, "--offline", code=2)
        assert "where: " + str(tmp_path) in message


def test_a_batch_of_no_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictionError):
        ModelOptions(model=str(tmp_path), batch_size=0).predictor(["a"])
