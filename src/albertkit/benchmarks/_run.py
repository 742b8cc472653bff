"""Fine-tune a model on data sets and score it; what is done is kept, and not done again.

OUT/
  examples/NAME/   the examples as JSON lines
  NAME/            the run of a data set: `finetune` has its layout
  NAME.json        its scores
  server/          files for the GLUE server
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from albertkit.benchmarks import glue
from albertkit.benchmarks._protocol import DataSet, Example
from albertkit.benchmarks._scores import scores
from albertkit.errors import CorpusError, OutputError
from albertkit.files import atomic_file, write_atomic
from albertkit.infer.predictor import Predictor
from albertkit.tasks.examples import TextExample
from albertkit.train.finetune import finetune
from albertkit.train.resume import RECIPE

TRAINED = ("classification", "regression")  # kinds of head that can be fine-tuned so far
DEFAULT_MODELS = {"en": "albertkit/tiny-en", "zh": "albertkit/tiny-zh"}


@dataclass(frozen=True)
class Outcome:
    """What became of a data set: its scores (-1 or 0 to 1), or a note that says why it has none.

    exit_code: of the run, 0 if it was not stopped and learned.
    """

    data_set: DataSet
    model: str
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class Plan:
    """How data sets are run: data and out are folders; the rest is as in `finetune`.

    model: None takes the one of this package for the language. split: which is scored.
    published: with the first published hyper-parameters of a data set instead of our defaults.
    server_files: also write what the GLUE server takes.
    """

    data: Path
    out: Path
    model: str | None = None
    split: str = "dev"
    published: bool = False
    server_files: bool = False
    set: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def run_sets(sets: Sequence[DataSet], plan: Plan, console: Console) -> Iterator[Outcome]:
    """Every data set in turn; ends after one that a signal stopped.

    Raises what `finetune` raises; CorpusError for files that are not of their format; OutputError
    for scores of another model or split in the folder.
    """
    for data_set in sets:
        outcome = _run(data_set, plan, console)
        yield outcome
        if outcome.exit_code > 128:  # 128 + signal
            return


def _run(data_set: DataSet, plan: Plan, console: Console) -> Outcome:
    model = plan.model or DEFAULT_MODELS[data_set.language]
    kept = plan.out / f"{data_set.name}.json"
    if kept.is_file():
        found = json.loads(kept.read_text("utf-8"))
        if (found["model"], found["split"]) != (model, plan.split):
            raise OutputError(
                "The folder has the scores of another run.",
                expected=f"none, or those of {model} on {plan.split}",
                found=f"those of {found['model']} on {found['split']}",
                where=kept,
                fix="pass another folder as out",
                command_fix="give another folder: --out NEW",
            )
        return Outcome(data_set, model, found["scores"])
    if data_set.kind not in TRAINED:
        return Outcome(data_set, model, note=f"no fine-tuning of {data_set.kind} yet")
    try:
        for split in ("train", plan.split):
            data_set.files(plan.data, split)
    except CorpusError as error:
        return Outcome(data_set, model, note=error.what)
    console.print(f"{data_set.title}:", markup=False)
    result = finetune(
        "classify",
        model=model,
        out=plan.out / data_set.name,
        resume=(plan.out / data_set.name / RECIPE).is_file(),
        console=console,
        **_inputs(data_set, plan),
    )
    if not result.finished:
        return Outcome(data_set, model, note="stopped", exit_code=result.exit_code)
    examples = list(data_set.examples(plan.data, plan.split))
    made = scores(data_set, examples, predict(result.model, examples))
    write_atomic(
        kept, json.dumps({"model": model, "split": plan.split, "scores": made}, indent=1) + "\n"
    )
    if plan.server_files:
        _write_server_files(data_set, plan, result.model)
    return Outcome(data_set, model, made, exit_code=result.exit_code)


def _inputs(data_set: DataSet, plan: Plan) -> dict[str, Any]:
    """Arguments of `finetune`: files of examples, written now, and settings."""
    folder = plan.out / "examples" / data_set.name
    files = {}
    pairs = False
    for split in ("train", "dev" if "dev" in data_set.splits else plan.split):
        examples = [x for x in data_set.examples(plan.data, split) if _has_label(x)]
        pairs = any(x.pair is not None for x in examples if isinstance(x, TextExample))
        files[split] = folder / f"{split}.jsonl"
        _write(files[split], examples)
    train, dev = files.values()
    settings: dict[str, Any] = {}
    if plan.published and data_set.settings:
        settings = data_set.settings[0].recipe()
    given = [f"{key}={value!r}" for key, value in settings.items()]
    return {
        "train": train,
        "dev": dev,
        "text_column": "text",
        "label_column": "label",
        "kind": data_set.kind,
        "set": [*given, *plan.set],
        **({"pair_column": "pair"} if pairs else {}),
        **{key: value for key, value in plan.options.items() if value is not None},
    }


def _has_label(example: Example) -> bool:
    return isinstance(example, TextExample) and example.label is not None


def _write(path: Path, examples: Sequence[Example]) -> None:
    """Texts, pairs and labels as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        for x in examples:
            assert isinstance(x, TextExample)
            cells = {"text": x.text, "pair": x.pair, "label": x.label}
            row = {name: cell for name, cell in cells.items() if cell is not None}
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def predict(model: Path, examples: Sequence[Example]) -> dict[str, str | float]:
    """The class or number of each text, by its id."""
    texts = [x for x in examples if isinstance(x, TextExample)]
    pairs = [x.pair for x in texts if x.pair is not None]
    answers = Predictor(model).classify([x.text for x in texts], pairs or None)
    found: dict[str, str | float] = {}
    for example, answer in zip(texts, answers, strict=True):
        value = answer.label if answer.value is None else answer.value
        assert value is not None
        found[example.id] = value
    return found


def _write_server_files(data_set: DataSet, plan: Plan, model: Path) -> None:
    """Files of the test sets that are there; the model of MNLI answers the diagnostics too."""
    sets = [data_set, *(x for x in glue.SETS if x.name == "ax" and data_set.name == "mnli")]
    for one in sets:
        for split in ("test", "test_mismatched"):
            try:
                one.files(plan.data, split)
            except CorpusError:
                continue
            examples = list(one.examples(plan.data, split))
            name, text = glue.server_file(one, examples, predict(model, examples), split)
            folder = plan.out / "server"
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, text)
