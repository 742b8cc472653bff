"""The command line: what it prints for people and machines, and how it fails."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from albertkit.cli import main
from albertkit.cli.app import EXAMPLES, app
from albertkit.cli.inputs import read_lines
from albertkit.infer.predictor import Predictor
from albertkit.progress import format_bytes
from albertkit.sizes import SIZES

COMMANDS = ["build-vocab", "tokenize", "make-data", "add-words", "pretrain"]
COMMANDS += ["finetune", "evaluate", "predict", "benchmark"]
COMMANDS += ["fill-mask", "sentence-order", "embed", "classify", "tag", "answer", "choose"]
COMMANDS += ["info", "inspect", "convert", "export", "quantize", "download", "models", "demo"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Standard output of one command."""
    assert main([str(x) for x in arguments]) == code
    return capsys.readouterr().out


def give_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let the command read these bytes as standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = run(capsys, command, "--help")
    assert f"Example: albertkit {command}" in " ".join(out.split())
    assert len(EXAMPLES) == len(COMMANDS)


def test_help_lists_the_commands_in_the_order_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "--help")
    places = [out.index(f"│ {command} ") for command in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", list(EXAMPLES.values()))
def test_examples_parse(command: str) -> None:
    """Options of the examples exist and take these values (nothing is run)."""
    import shlex

    words = shlex.split(command.partition(" < ")[0])[1:]
    app.parse_args(words, exit_on_error=False, print_error=False)


def test_version_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version").startswith("albertkit 0.")


def test_help_comes_at_once_and_loads_no_torch() -> None:
    code = (
        "import sys; from albertkit.cli import main; code = main(['--help']);"
        "sys.exit(code or 'torch' in sys.modules or 'numpy' in sys.modules)"
    )
    fastest = 9.0
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        fastest = min(fastest, time.perf_counter() - began)
    assert fastest < 2.0  # a quarter of a second on an idle machine


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "albertkit", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("albertkit 0.")


def test_tokenize_prints_one_object_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    give_input(monkeypatch, "The CATS ran.\r\n\n猫在跑\n".encode())
    out = run(capsys, "tokenize", "--vocab", tiny_model / "vocab.txt", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["pieces"] for line in lines] == [
        ["the", "cat", "##s", "ran", "."],
        [],
        ["猫", "在", "跑"],
    ]
    assert lines[0]["offsets"] == [[0, 3], [4, 7], [7, 8], [9, 12], [12, 13]]
    assert lines[2]["ids"] == [18, 20, 21]  # places in the vocabulary file


def test_lines_have_no_ends_and_no_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes("\ufeffone\r\n\n two \r\r\n\ufeffthree".encode())
    assert list(read_lines(file)) == ["one", "", " two \r", "\ufeffthree"]


def test_tokenize_options_change_special_tokens_and_case(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("\ufeffThe cat", encoding="utf-8")
    command = ("tokenize", "--vocab", tiny_model / "vocab.txt", "--input", file)
    assert run(capsys, *command) == "the cat\n"
    assert run(capsys, *command, "--special") == "[CLS] the cat [SEP]\n"
    assert run(capsys, *command, "--cased") == "[UNK] cat\n"


def test_tokenize_answers_a_line_before_the_next_one_comes(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "albertkit", "tokenize", "--vocab", tiny_model / "vocab.txt"]
    with subprocess.Popen(
        [*command, "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("the cat", "a dog"):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["pieces"] == text.split()
        process.stdin.close()
    assert process.returncode == 0


def test_fill_mask_prints_a_table_or_json(
    capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    model, text = tiny_model / "model", "the [MASK] ran on [MASK] ."
    found = Predictor(model).fill_mask(text, top_k=2)
    out = run(capsys, "fill-mask", text, "--model", model, "--top-k", 2, "--json")
    facts = json.loads(out)
    assert facts["text"] == text
    assert [f["sequence"] for f in facts["fillings"]] == [f.text for f in found]
    assert facts["fillings"][0]["score"] == pytest.approx(found[0].probability)
    assert [len(mask) for mask in facts["masks"]] == [2, 2]
    table = run(capsys, "fill-mask", text, "--model", model, "--top-k", 2)
    assert f"{found[0].probability:.2%}" in table
    assert found[1].text in table


def test_fill_mask_reads_lines_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    give_input(monkeypatch, b"the [MASK] ran\na [MASK] sat\n")
    out = run(capsys, "fill-mask", "--model", tiny_model / "model", "--json")
    assert [json.loads(line)["text"] for line in out.splitlines()] == [
        "the [MASK] ran",
        "a [MASK] sat",
    ]


def test_sentence_order_prints_a_table_or_json(
    capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    probability = Predictor(tiny_model / "model").order("the cat ran .", "it sat .")
    command = ("sentence-order", "the cat ran .", "it sat .", "--model", tiny_model / "model")
    facts = json.loads(run(capsys, *command, "--json"))
    assert facts == json.loads(run(capsys, "order", *command[1:], "--json"))
    assert facts["score"] == pytest.approx(probability)
    assert f"{probability:.1%}" in run(capsys, *command)


def test_embed_writes_an_array_or_prints_json(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    model = tiny_model / "model"
    wanted = Predictor(model).embed(["the cat", "a dog ran"], "cls")
    command = ("embed", "the cat", "a dog ran", "--model", model, "--pooling", "cls")
    lines = [json.loads(line) for line in run(capsys, *command, "--json").splitlines()]
    np.testing.assert_allclose([line["vector"] for line in lines], wanted, rtol=1e-5)
    out = run(capsys, *command, "--output", tmp_path / "vectors.npy")
    assert "2 vectors of width 16" in out
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), wanted, rtol=1e-5)
    assert "1.000" in run(capsys, *command)  # cosine of the first text to itself


def test_info_tells_the_published_parameter_counts(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(run(capsys, "info", "albert-base-v2", "--json"))
    assert facts["parameters"]["body"] == 11_683_584  # albert-systems.md, section 2.3
    assert facts["parameters"]["body without pooler"] == 11_683_584 - 768 * 769
    assert facts["config"]["hidden_size"] == 768
    assert {m["for"] for m in facts["memory"]} == {"run", "train"}
    assert all(m["total"] > m["weights"] >= 4 * 11_683_584 for m in facts["memory"])


def test_info_reads_names_folders_and_config_files(
    capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    folder = json.loads(run(capsys, "info", tiny_model / "model", "--json"))
    file = json.loads(run(capsys, "info", tiny_model / "model" / "config.json", "--json"))
    assert folder["parameters"] == file["parameters"]
    assert folder["config"]["vocab_size"] == 23
    table = run(capsys, "info", "brightmart-tiny")
    assert "transformers cannot run it" in table
    for name in SIZES:
        run(capsys, "info", name)


@pytest.mark.parametrize(
    ("arguments", "words_expected"),
    [
        (["info", "albert-bse-v2"], ["error: There is no size", "albert-base-v2", "to do:"]),
        (
            ["fill-mask", "a [MASK]", "--model", "nowhere"],
            ["No file, folder or known model", "nowhere"],
        ),
        (["tokenize", "--vocab", "nowhere"], ["error: The vocabulary was not found", "to do:"]),
        (["tokenise"], ["error:", "tokenise", "see albertkit --help"]),
        (["info"], ["error:", "SOURCE", "see albertkit info --help"]),
        (["fill-mask", "a", "--top-k", "many"], ["error:", "many", "see albertkit fill-mask"]),
        (["embed", "text", "--model", "m", "--pooling", "max"], ["error:", "max"]),
    ],
)
def test_mistakes_are_reported_on_standard_error_with_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words_expected: list[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    for words in words_expected:
        assert words in captured.err


def test_a_reader_that_goes_away_is_no_error(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("the cat sat on the mat .\n" * 20_000)
    command = (
        f"{sys.executable} -m albertkit tokenize --vocab {tiny_model}/vocab.txt --input {file}"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -n 1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert done.stdout == "the cat sat on the mat .\n"
    assert done.stderr == ""
    assert done.returncode == 0


def test_an_interrupt_says_so_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("albertkit.cli.prepare.groups_of", interrupt)
    assert main(["tokenize", "--vocab", str(tiny_model / "vocab.txt")]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


# Jobs that a shell runs in the background ignore SIGINT, and pass that on to their children.
AS_IN_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def test_an_interrupt_while_the_program_is_still_loading_shows_no_traceback() -> None:
    code = AS_IN_A_TERMINAL + (
        "import builtins, sys; real = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'cyclopts': raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "from albertkit.cli import main; sys.exit(main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "error: interrupted\n"


@pytest.mark.parametrize("module", ["albertkit.cli", "cyclopts"])
def test_ctrl_c_while_modules_are_imported_shows_nothing(module: str) -> None:
    code = AS_IN_A_TERMINAL + (
        "import builtins, os, runpy, signal; real = builtins.__import__\n"
        "def interrupted(name, *rest, **others):\n"
        f"    if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest, **others)\n"
        "builtins.__import__ = interrupted\n"
        "runpy.run_module('albertkit', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


def test_a_ctrl_c_that_is_ignored_stays_so() -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from albertkit.cli import main; main(['--version'])\n"
        "sys.exit(signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (47_255_240, "47.3 MB"), (999_600, "1.0 MB")],
)
def test_bytes_are_spelled_in_decimal_units(count: int, text: str) -> None:
    assert format_bytes(count) == text
