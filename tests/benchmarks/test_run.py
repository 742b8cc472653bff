"""Models are fine-tuned on data sets and scored; what is done is not done again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albertkit.benchmarks import find_sets
from albertkit.benchmarks._run import predict
from albertkit.benchmarks._scores import scores
from albertkit.cli import main

FEW = ["--set", "schedule.steps=2", "--set", "schedule.batch_size=4", "--max-tokens", "16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CoLA, RTE and STS-B in small; the other sets of GLUE are not there."""
    folder = tmp_path_factory.mktemp("glue")
    for name in ("CoLA", "RTE", "STS-B"):
        (folder / name).mkdir()
    pairs = [(f"the {a} {b} .", f"a {a} ran .") for a in ("cat", "dog") for b in ("sat", "ran")]
    cola = "".join(f"x\t{n % 2}\t\t{a}\n" for n, (a, _) in enumerate(pairs))
    for split in ("train", "dev"):
        (folder / "CoLA" / f"{split}.tsv").write_text(cola)
    (folder / "CoLA" / "test.tsv").write_text("index\tsentence\n0\ta dog .\n1\tthe mat .\n")
    head = "index\tsentence1\tsentence2\tlabel\n"
    rte = "".join(
        f"{n}\t{a}\t{b}\t{'not_' * (n % 2)}entailment\n" for n, (a, b) in enumerate(pairs)
    )
    for split in ("train", "dev"):
        (folder / "RTE" / f"{split}.tsv").write_text(head + rte)
    sts = "".join(f"g\tf\ty\t1\t{n}.500\t{a}\t{b}\n" for n, (a, b) in enumerate(pairs))
    for split in ("train", "dev"):
        (folder / "STS-B" / f"sts-{split}.csv").write_text(sts)
    return folder


def test_a_suite_is_run_scored_and_shown_beside_published_scores(
    data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = tmp_path / "runs", str(tiny_model / "model")
    command = ["benchmark", "glue", "--data", str(data), "--out", str(out), "--server-files"]
    assert main([*command, *FEW, "--model", model]) == 0
    printed = capsys.readouterr().out
    head, _, first, *_ = printed.splitlines()
    cells = dict(zip(head.split(" | "), first.split(" | "), strict=True))
    assert cells["| model"] == f"| {model}"
    assert all(cells[name] for name in ("CoLA", "RTE", "STS-B"))
    assert not any(cells[name].strip() for name in ("SST-2", "MNLI", "AX"))
    assert "| ALBERT-xxlarge, 1.5M steps | 71.4 |" in printed
    assert "SST-2 was not run: The files of SST-2 (train) were not found." in printed
    server = (out / "server" / "CoLA.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in server] == ["index", "0", "1"]
    for name in ("cola", "rte", "sts-b"):  # the scores are those of the model that is there
        [data_set] = find_sets(name)
        examples = list(data_set.examples(data, "dev"))
        found = json.loads((out / f"{name}.json").read_text())["scores"]
        assert found == pytest.approx(
            scores(data_set, examples, predict(out / name / "model", examples))
        )


def test_what_is_done_is_not_run_again(
    data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_model / "model")
    command = ["benchmark", "rte", "--data", str(data), "--out", str(tmp_path), *FEW, "--json"]
    command += ["--model", model]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    made = (tmp_path / "rte" / "metrics.jsonl").stat().st_mtime_ns
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "rte" / "metrics.jsonl").stat().st_mtime_ns == made
    (tmp_path / "rte.json").unlink()  # the run is there, its scores are not
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main([*command[:-1], "albertkit/tiny-en"]) == 2
    assert f"those of {model} on dev" in capsys.readouterr().err
    assert set(first["scores"][model]["rte"]) == {"accuracy"}


def test_published_hyper_parameters_are_taken_on_request(
    data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmark", "rte", "--data", str(data), "--out", str(tmp_path)]
    command += ["--model", str(tiny_model / "model")]
    few = ["--set", "schedule.steps=1", "--set", "objective.max_tokens=16"]
    assert main([*command, "--published-settings", *few]) == 0
    capsys.readouterr()
    recipe = (tmp_path / "rte" / "recipe.toml").read_text()
    assert "learning_rate = 3e-05" in recipe
    assert "warmup_share = 0.25" in recipe
    assert "steps = 1\n" in recipe  # what is given wins


def test_without_data_the_published_scores_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["benchmark", "reading"]) == 0
    assert "90.2/83.2" in capsys.readouterr().out
    assert main(["benchmark", "nothing"]) == 2
    assert "sst-2" in capsys.readouterr().err
    assert main(["benchmark", "rte", "--data", "."]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["benchmark", "rte", "--data", ".", "--out", "runs", "--seeds", "3"]) == 2
    assert "another --out" in capsys.readouterr().err
