"""Models are fine-tuned on data sets and scored; what is done is not done again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albertkit.benchmarks import find_sets
from albertkit.benchmarks._scores import scores
from albertkit.benchmarks._tasks import predict
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
    (tmp_path / "rte.json").write_text("{")
    assert main(command) == 2
    assert "a file that cannot be read" in capsys.readouterr().err
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


def cells_of(printed: str) -> dict[str, str]:
    """The first row of the table by the titles of its columns."""
    head, _, first, *_ = printed.splitlines()
    pairs = zip(head.split(" | "), first.split(" | "), strict=True)
    return {name.strip("| "): cell.strip("| ") for name, cell in pairs}


def test_the_median_of_seeds_stands_with_the_lowest_and_highest(
    data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmark", "cola", "--data", str(data), "--out", str(tmp_path), *FEW]
    command += ["--model", str(tiny_model / "model"), "--seed", "4"]
    assert main([*command, "--seeds", "2"]) == 0
    capsys.readouterr()
    second = tmp_path / "cola" / "seed-5" / "metrics.jsonl"
    made = second.stat().st_mtime_ns
    assert main([*command, "--seeds", "3", "--json"]) == 0  # goes on with what is there
    said = json.loads(capsys.readouterr().out)
    assert second.stat().st_mtime_ns == made
    [found] = said["seeds"].values()
    kept = [json.loads((tmp_path / "cola" / f"seed-{n}.json").read_text()) for n in (4, 5, 6)]
    assert found["cola"] == [x["scores"] for x in kept]
    values = sorted(x["matthews"] for x in found["cola"])
    [medians] = said["scores"].values()
    assert medians["cola"]["matthews"] == values[1]
    low, middle, high = (f"{100 * x:.1f}" for x in values)
    assert main([*command, "--seeds", "3"]) == 0
    cell = cells_of(capsys.readouterr().out)["CoLA"]
    assert cell == f"{middle} ({low} to {high})"


def test_one_model_of_race_has_scores_of_both_levels(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, level in enumerate(("middle", "high")):
        for split, count in (("train", 2), ("dev", 1 + number)):
            for n in range(count):
                passage = {
                    **{"article": "the cat sat .", "questions": ["the _ sat", "a _"]},
                    **{"options": [["cat", "dog"], ["mat", "cat"]], "answers": ["A", "B"]},
                    "id": f"{level}{n}.txt",
                }
                file = tmp_path / "RACE" / split / level / f"{n}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(passage))
    out = tmp_path / "runs"
    command = ["benchmark", "reading", "--data", str(tmp_path), "--out", str(out), *FEW]
    assert main([*command, "--model", str(tiny_model / "model")]) == 0
    cells = cells_of(capsys.readouterr().out)
    assert sorted(x.name for x in out.iterdir() if x.is_dir()) == ["examples", "race"]
    found = [
        json.loads((out / f"{name}.json").read_text())["scores"]["accuracy"]
        for name in ("race", "race-middle", "race-high")
    ]
    assert 6 * found[0] == pytest.approx(2 * found[1] + 4 * found[2])
    titles = ("RACE", "RACE (middle)", "RACE (high)")
    assert [cells[name] for name in titles] == [f"{100 * x:.1f}" for x in found]


def test_the_model_of_mnli_answers_both_dev_sets_and_the_diagnostics(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "index\tsentence1\tsentence2\tgold_label\n"
    labels = ("entailment", "neutral", "contradiction", "-")
    for name in ("train", "dev_matched", "dev_mismatched"):
        rows = "".join(f"{n}\tthe cat\ta dog\t{labels[n % 4]}\n" for n in range(8))
        (tmp_path / f"{name}.tsv").write_text(head + rows)
    (tmp_path / "diagnostic-full.tsv").write_text(
        "Domain\tPremise\tHypothesis\tLabel\nx\tthe cat\ta cat\tentailment\n"
        "x\tthe cat\ta dog\tneutral\n"
    )
    out = tmp_path / "runs"
    command = ["benchmark", "glue", "--data", str(tmp_path), "--out", str(out), *FEW]
    assert main([*command, "--model", str(tiny_model / "model")]) == 0
    cells = cells_of(capsys.readouterr().out)
    found = json.loads((out / "mnli.json").read_text())["scores"]
    both = (found["accuracy"], found["accuracy_mismatched"])
    assert cells["MNLI"] == "/".join(f"{100 * x:.1f}" for x in both)
    assert cells["AX"] == "0.0"  # all answers are the same
    assert not (out / "ax").exists()


def test_tags_and_choices_are_learned_and_scored(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MSRA has no dev set: a part of its training set chooses the model, its test set is scored."""
    words = "".join(f"{word} {tag}\n" for word, tag in (("\u732b", "B-PER"), ("\u8dd1", "O")))
    for name, count in (("train", 12), ("test", 3)):
        (tmp_path / "msra_ner").mkdir(exist_ok=True)
        (tmp_path / "msra_ner" / f"{name}.txt").write_text(
            "\n".join(words + "\u5728 O\n" * n for n in range(count))
        )
    turns = [[["\u732b\u8dd1\u3002"], [{"question": "\u732b", "choice": ["\u8dd1", "\u72d7"],
        "answer": "\u8dd1"}], str(n)] for n in range(4)]  # fmt: skip
    for split in ("train", "dev"):
        (tmp_path / "c3").mkdir(exist_ok=True)
        (tmp_path / "c3" / f"c3-m-{split}.json").write_text(json.dumps(turns))
        (tmp_path / "c3" / f"c3-d-{split}.json").write_text(json.dumps(turns))
    for name, shown in (("msra-ner", "MSRA NER"), ("c3", "C3")):
        out = tmp_path / "runs"
        command = ["benchmark", name, "--data", str(tmp_path), "--out", str(out), *FEW]
        assert main([*command, "--model", str(tiny_model / "model")]) == 0
        assert cells_of(capsys.readouterr().out)[shown]
        [data_set] = find_sets(name)
        kept = json.loads((out / f"{name}.json").read_text())
        assert kept["split"] == ("test" if name == "msra-ner" else "dev")
        examples = list(data_set.examples(tmp_path, kept["split"]))
        said = predict(out / name / "model", examples)
        assert kept["scores"] == pytest.approx(scores(data_set, examples, said))
        if name == "msra-ner":
            assert all(len(said[x.id]) == len(x.words) for x in examples)
            assert (out / name / "split.json").is_file()


def test_answers_that_are_not_public_are_named_before_anything_is_trained(
    data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmark", "cola", "--data", str(data), "--out", str(tmp_path), *FEW]
    assert main([*command, "--model", str(tiny_model / "model"), "--split", "test"]) == 0
    assert "the answers of its test set are not public" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_answers_are_learned_and_scored_as_the_official_programs_do(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQuAD 1.1, 2.0 and CMRC 2018, one of whose answers does not stand in its context."""
    files = {
        "squad1": ("train-v1.1.json", "dev-v1.1.json"),
        "squad2": ("train-v2.0.json", "dev-v2.0.json"),
    }
    for folder, names in files.items():
        (tmp_path / folder).mkdir()
        for name in names:
            paragraphs = []
            for n, animal in enumerate(("cat", "dog") * 4):
                one = {"id": f"q{n}", "question": f"the {animal}"}
                one["answers"] = [{"text": "sat", "answer_start": 8}]
                if folder == "squad2" and n % 2:
                    one |= {"answers": [], "is_impossible": True}
                if n == 7:
                    one["answers"] = [{"text": "flew", "answer_start": 8}]
                paragraphs.append({"context": f"the {animal} sat . {'on ' * n}", "qas": [one]})
            data = {"version": "1", "data": [{"title": "a", "paragraphs": paragraphs}]}
            (tmp_path / folder / name).write_text(json.dumps(data))
    out = tmp_path / "runs"
    command = ["benchmark", "reading", "--data", str(tmp_path), "--out", str(out), *FEW]
    assert main([*command, "--model", str(tiny_model / "model")]) == 0
    cells = cells_of(capsys.readouterr().out)
    for name, title in (("squad-1.1", "SQuAD 1.1"), ("squad-2.0", "SQuAD 2.0")):
        [data_set] = find_sets(name)
        examples = list(data_set.examples(tmp_path, "dev"))
        found = json.loads((out / f"{name}.json").read_text())["scores"]
        predicted = predict(out / name / "model", examples)
        assert found == pytest.approx(scores(data_set, examples, predicted))
        assert cells[title] == "/".join(f"{100 * x:.1f}" for x in found.values())
    recipe = (out / "squad-2.0" / "recipe.toml").read_text()
    assert 'kind = "beam_span"' in recipe
