"""Commands that answer about texts: as lines come, in batches, past bad lines by choice."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.infer.predictor import Predictor
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead

Run = Callable[..., str]
LINES = "the cat ran\n" * 3 + "\n" + "a dog sat .\n" + "the " * 50 + "\n" + "a mat\n"
GOOD = ["the cat ran"] * 3 + ["a dog sat .", "a mat"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on standard input; its standard output, or its message where it fails."""

    def call(*arguments: object, data: str = "", code: int = 0) -> str:
        source = io.TextIOWrapper(io.BytesIO(data.encode()), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", source)
        assert main([str(x) for x in arguments]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return call


@pytest.fixture
def tuned(tiny_model: Path, tmp_path: Path) -> Path:
    """A random model with a head for reading comprehension."""
    import torch

    base = Checkpoint.load(tiny_model / "model")
    head = TaskHead("span", 2)
    torch.manual_seed(5)
    tensors = tensors_of(AlbertForTask(base.config, head))
    Checkpoint(base.config, tensors, base.tokenizer, head=head).save(tmp_path / "tuned")
    return tmp_path / "tuned"


def test_embed_skips_bad_lines_by_choice(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    model = tiny_model / "model"
    command = ("embed", "--model", model, "--output", tmp_path / "v.npy")
    message = run(*command, data=LINES, code=2)
    assert "where: standard input, line 4" in message
    assert not (tmp_path / "v.npy").exists()
    run(*command, "--on-bad-line", "skip", data=LINES)
    wanted = Predictor(model).embed(GOOD)
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), wanted, atol=1e-6)


def test_lines_of_json_leave_bad_lines_out(run: Run, tiny_model: Path) -> None:
    command = ("embed", "--model", tiny_model / "model", "--json")
    lines = [
        json.loads(x)["text"]
        for x in run(*command, "--on-bad-line", "skip", data=LINES).splitlines()
    ]
    assert lines == GOOD


def test_skipping_everything_is_an_error(run: Run, tiny_model: Path) -> None:
    command = ("fill-mask", "--model", tiny_model / "model", "--on-bad-line", "skip")
    assert "No text could be used" in run(*command, data="no mask\n\n", code=2)


def test_a_model_that_cannot_answer_is_no_bad_line(run: Run, tiny_model: Path) -> None:
    command = ("fill-mask", "--model", tiny_model / "body", "--on-bad-line", "skip")
    message = run(*command, data="the [MASK]\n", code=2)
    assert "skipped" not in message
    assert str(tiny_model / "body") in message


def test_fill_mask_runs_lines_in_batches(
    run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = Predictor.fill_mask

    def counting(self: Predictor, text: list[str], *rest: object, **options: object) -> object:
        asked.append(len(text))
        return real(self, text, *rest, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Predictor, "fill_mask", counting)
    texts = [f"the {word} [MASK]" for word in ("cat", "dog", "mat") * 30]
    data = "".join(f"{text}\n" for text in texts)
    out = run("fill-mask", "--model", tiny_model / "model", "--json", data=data)
    assert [json.loads(line)["text"] for line in out.splitlines()] == texts
    assert asked == [90]


def test_advice_is_in_the_words_of_the_command_line(run: Run, tiny_model: Path) -> None:
    message = run("embed", "a " * 50, "--model", tiny_model / "model", code=2)
    assert "--truncate" in message
    assert "truncate=" not in message
    with pytest.raises(ValueError, match="truncate=True"):
        Predictor(tiny_model / "model").embed("a " * 50)
    message = run("embed", "a", "--model", tiny_model / "model", "--output", "-", code=2)
    assert "--json" in message


def test_sentence_order_wants_two_texts(run: Run, tiny_model: Path) -> None:
    message = run("sentence-order", "a", "--model", tiny_model / "model", code=2)
    assert "found: 1 text\n" in message


def test_vectors_come_while_the_input_stays_open(tiny_model: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "albertkit",
        "embed",
        "--model",
        tiny_model / "model",
        "--json",
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("the cat\n" * 200)
        process.stdin.flush()
        assert len(json.loads(process.stdout.readline())["vector"]) == 16
        process.stdin.close()
        assert len(process.stdout.readlines()) == 199
    assert process.returncode == 0


def test_classify_shows_the_classes_of_a_fine_tuned_head(run: Run, golden: Path) -> None:
    model = golden / "written_by_0_1" / "model-zh-classes"
    command = ("classify", "\u4eca\u5929", "--model", model)
    [line] = run(*command, "--json").splitlines()
    labels = json.loads(line)["labels"]
    assert sum(x["score"] for x in labels) == pytest.approx(1)
    assert labels == sorted(labels, key=lambda x: -x["score"])
    assert labels[0]["label"] in run(*command, "--top-k", 1)


def test_tag_shows_what_a_text_names(run: Run, golden: Path) -> None:
    model = golden / "written_by_0_1" / "model-zh-token-classes"
    text = "\u4eca\u5929\u5728\u5317\u4eac"
    facts = json.loads(run("tag", text, "--model", model, "--json"))
    assert facts["text"] == text
    assert facts["entities"] == [dict(span) for span in Predictor(model).tag(text)]
    for found in facts["entities"]:
        assert set(found) == {"entity_group", "score", "word", "start", "end"}
        assert text[found["start"] : found["end"]] == found["word"]


def test_answer_finds_characters_of_the_text(run: Run, tmp_path: Path, tuned: Path) -> None:
    context = "the cat sat on the mat . a dog ran"
    (tmp_path / "context.txt").write_text(context)
    plain = run("answer", "the cat", context, "--model", tuned, "--top-k", 2, "--json")
    facts = json.loads(plain)
    assert len(facts["answers"]) == 2
    for found in facts["answers"]:
        assert context[found["start"] : found["end"]] == found["answer"]
    options = ("--context", tmp_path / "context.txt", "--model", tuned, "--top-k", 2, "--json")
    assert run("answer", "the cat", *options) == plain
    message = run("answer", "the cat", "--model", tuned, code=2)
    assert "found: 1 text\n" in message


def test_choose_prefers_one_of_several_texts(run: Run, tmp_path: Path, tuned: Path) -> None:
    import torch

    base = Checkpoint.load(tuned)
    head = TaskHead("multiple_choice", 1)
    torch.manual_seed(6)
    tensors = tensors_of(AlbertForTask(base.config, head))
    place = tmp_path / "choosing"
    Checkpoint(base.config, tensors, base.tokenizer, head=head).save(place)
    text, choices = "the cat sat .", ["a dog ran .", "it sat on the mat .", "the mat"]
    facts = json.loads(run("choose", text, *choices, "--model", place, "--json"))
    wanted = Predictor(place).choose(text, choices)
    assert facts["label"] == wanted.number
    assert [x["choice"] for x in facts["choices"]] == choices
    scores = [x["score"] for x in facts["choices"]]
    assert scores == pytest.approx(wanted.probabilities)
    assert sum(scores) == pytest.approx(1)
    (tmp_path / "context.txt").write_text(text)
    options = ("--context", tmp_path / "context.txt", "--model", place)
    assert json.loads(run("choose", *choices, *options, "--json")) == facts
    table = run("choose", *choices, *options)
    assert table.index(choices[wanted.number]) == min(table.index(x) for x in choices)
    assert "albertkit choose --help" in run("choose", text, "--model", place, code=2)
    assert "albertkit choose" in run("classify", text, "--model", place, code=2)


def test_masks_are_filled_alone_by_choice(run: Run, tiny_model: Path) -> None:
    command = ("fill-mask", "the [MASK] [MASK]", "--model", tiny_model / "model", "--json")
    alone = json.loads(run(*command, "--independent"))
    assert alone["masks"] == json.loads(run(*command))["masks"]
    best = [mask[0]["score"] for mask in alone["masks"]]
    assert alone["fillings"][0]["score"] == pytest.approx(best[0] * best[1])


@pytest.mark.parametrize(
    ("arguments", "data", "model"),
    [
        (("fill-mask", "a [MASK]"), "", "tiny-en"),
        (("fill-mask",), "\u4e00[MASK]\n2009[MASK]\n", "tiny-zh"),
        (("sentence-order", "\u4e00", "\u4e8c"), "", "tiny-zh"),
        (("embed", "a", "b"), "", "tiny-en"),
        (("fill-mask", "a [MASK]", "--offline", "--batch-size", "2"), "", "tiny-en"),
    ],
)
def test_the_script_of_the_texts_chooses_the_model_that_is_not_named(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    data: str,
    model: str,
) -> None:
    named = run(*arguments, "--model", f"albertkit/{model}", "--json", data=data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == named
    assert captured.err.startswith(f"model: albertkit/{model}, chosen by")
    assert captured.err.count("model: ") == 1


def test_a_later_line_in_another_script_ends_the_command(run: Run) -> None:
    lines = "the [MASK]\n" * 20 + "\u4e00[MASK]\n"
    for size in (1, 32):  # whether it comes in the first group of lines or in a later one
        message = run(
            "fill-mask", "--batch-size", size, "--on-bad-line", "skip", data=lines, code=2
        )
        assert "add --model albertkit/tiny-en or --model albertkit/tiny-zh" in message


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("classify", "a film"), "albertkit classify 'a film' --model FOLDER"),
        (("tag", "Ada"), "albertkit tag Ada --model FOLDER"),
        (("answer", "who?", "she."), "albertkit answer 'who?' she. --model FOLDER"),
        (("embed", "a", "--family", "uer"), "albertkit embed a --family uer --model FOLDER"),
        (("embed", "albert-base-v2", "a"), "albertkit embed a --model albert-base-v2"),
        (("embed", "albertkit/tiny-zh"), "albertkit embed --model albertkit/tiny-zh"),
    ],
)
def test_where_no_text_can_choose_the_command_with_a_model_is_shown(
    run: Run, arguments: tuple[str, ...], fix: str
) -> None:
    message = run(*arguments, code=2)
    assert "No model is named" in message
    assert f"to do: {fix}\n" in message
