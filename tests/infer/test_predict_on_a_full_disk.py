"""A disk that becomes full at any write of predictions: no line is lost, doubled or half."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing_writes import disk, points

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.cli import main
from albertkit.cli.app import MISTAKE
from albertkit.infer import predict_answers, predict_choices, predict_file
from albertkit.tasks.head import TaskHead

TEXTS = ["a cat", "the dog ran", "a mat", "the cat sat", "a dog sat", "the mat", "a cat ran"]
INPUTS = {
    "classification": ["text", *TEXTS],
    "token_classification": TEXTS,
    "multiple_choice": ["question,A,B", *(f"{text},the cat,a dog" for text in TEXTS)],
    "span": ["question,context", *(f"the {text},{text} on the mat" for text in TEXTS)],
}
HEADS = {
    "classification": TaskHead("classification", 2, ("cat", "dog")),
    "token_classification": TaskHead("token_classification", 2, ("O", "B-PET")),
    "multiple_choice": TaskHead("multiple_choice", 1),
    "span": TaskHead("span", 2),
}


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model with a random head of each kind."""
    import torch

    from albertkit.model.loading import tensors_of
    from albertkit.model.task_heads import AlbertForTask

    body, place = Checkpoint.load(tiny_model / "model"), tmp_path_factory.mktemp("heads")
    for kind, head in HEADS.items():
        torch.manual_seed(0)
        tensors = tensors_of(AlbertForTask(body.config, head))
        Checkpoint(body.config, tensors, body.tokenizer, head=head).save(place / kind)
    return {kind: place / kind for kind in HEADS}


@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, "answers.jsonl") for kind in HEADS), ("classification", "answers.csv")],
)
def test_predictions_go_on_where_the_disk_was_full(
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    name: str,
) -> None:
    for module in (predict_file, predict_choices, predict_answers):
        monkeypatch.setattr(module, "GROUP", 3)
    lines = INPUTS[kind]
    data = tmp_path / ("data.csv" if "," in lines[0] or lines[0] == "text" else "data.txt")
    data.write_text("\n".join(lines) + "\n")
    place = tmp_path / "disk"
    place.mkdir()

    def predict(output: Path) -> tuple[int, str]:
        code = main(["predict", str(data), "--model", str(models[kind]), "--output", str(output)])
        return code, capsys.readouterr().err

    with disk(place) as free:
        assert predict(place / name) == (0, "")
    whole = (place / name).read_text()
    assert whole.count("\n") == len(TEXTS) + (name == "answers.csv")
    (place / name).unlink()
    every = (kind, name) == ("classification", "answers.jsonl")  # others: each kind of write
    for what, number in points(free.done, every=every).items():
        before = "from before\n" if number % 2 else None
        if before is not None:
            (place / name).write_text(before)
        with disk(place, number):
            code, said = predict(place / name)
        assert (code, "Traceback" in said) == (MISTAKE, False), (what, said)
        for part in ("No space left", str(place / name), "free some space"):
            assert part in said, (what, said)
        begun = (place / f"{name}.part.json").exists()
        assert ("the same command goes on" in said) == begun, (what, said)
        left = (place / name).read_text() if (place / name).exists() else None
        assert left in (before, whole), what
        assert predict(place / name) == (0, ""), what
        assert (place / name).read_text() == whole, what
        assert [x.name for x in place.iterdir()] == [name], what
        (place / name).unlink()


@pytest.mark.parametrize("n_best", [False, True])
def test_files_of_the_official_programs_are_whole_or_as_before(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], n_best: bool
) -> None:
    data, place = tmp_path / "data.csv", tmp_path / "disk"
    data.write_text("\n".join(INPUTS["span"]) + "\n")
    place.mkdir()
    words = ["predict", str(data), "--model", str(models["span"])]
    words += ["--output", str(place / "answers.json")]
    words += ["--n-best", str(place / "best.json")] if n_best else []
    names = ["answers.json", "best.json"][: 1 + n_best]
    with disk(place) as free:
        assert main(words) == 0
    whole = [(place / name).read_text() for name in names]
    for what, number in points(free.done, every=True).items():
        for name in names:
            (place / name).write_text("{}")
        with disk(place, number):
            assert main(words) == MISTAKE, what
        said = capsys.readouterr().err
        for part in ("No space left", str(place), "free some space"):
            assert part in said, (what, said)
        for name, text in zip(names, whole, strict=True):
            assert (place / name).read_text() in ("{}", text), what
        assert sorted(x.name for x in place.iterdir()) == names, what
