"""Commands about tasks: finetune, evaluate, predict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from albertkit.cli.inputs import note_unknown
from albertkit.cli.options import (
    Flag,
    Json,
    MayBeSet,
    ModelOptions,
    OnBadLine,
    Patience,
    Settings,
    at_least_one,
    not_negative,
)
from albertkit.cli.output import output_file, print_json, print_line
from albertkit.errors import PredictionError, quoted
from albertkit.progress import Bar

if TYPE_CHECKING:
    from rich.console import Console

    from albertkit.data.tables import BadRows
    from albertkit.infer.predictor import Predictor

EXAMPLES_GROUP = Group("Examples", sort_key=1)
SCHEDULE_GROUP = Group("Schedule", sort_key=2)


@Parameter(name="*", group=EXAMPLES_GROUP)
@dataclass(frozen=True, kw_only=True)
class ExampleOptions:
    """Where the examples are, and what their labels are.

    Parameters
    ----------
    train
        CSV, TSV, JSON lines or Parquet with a row for each example; or a folder: with a folder of
        texts for each label, or with a data set as Hugging Face's datasets saves it. For span also
        SQuAD's JSON, for choose files of RACE, DREAM and C3.
    dev
        The same for measuring; if left out, a folder's own validation part or a tenth of the
        training file is held out.
    kind
        What a label is: one class of several, any of several, a number; of answers whether there
        may be none (beam_span). Found from the labels and answers.
    """

    train: Path | None = None
    dev: Path | None = None
    kind: Literal["classification", "multi_label", "regression", "span", "beam_span"] | None = None


@Parameter(name="*", group=EXAMPLES_GROUP)
@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Which columns of a table are used.

    Parameters
    ----------
    text_column
        Column of the texts; found by its name (text, sentence, review, ...) if left out. Columns of
        a file without a header line are 1, 2, 3.
    pair_column
        Column of the second texts, for pairs; sentence1 and sentence2 are found by name.
    label_column
        Column of the labels, of the answers, or of the right options.
    question_column
        Column of the questions.
    context_column
        Column of the texts that they are about.
    option_columns
        For choose: column of one option, given once for each; or a column with a list of them.
    on_bad_row
        error stops at a row that cannot be used; skip leaves it out, and says how many there are.
    """

    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    question_column: str | None = None
    context_column: str | None = None
    option_columns: tuple[str, ...] | None = None
    on_bad_row: OnBadLine = "error"


SeveralRuns = Annotated[int, Parameter(validator=at_least_one, show_default=False)]
Restarts = Annotated[int, Parameter(validator=not_negative, show_default=False)]


@Parameter(name="*", group=SCHEDULE_GROUP)
@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How long and how fast a model is trained.

    Parameters
    ----------
    epochs
        Passes over the examples, by default 3; of few examples more, so that there are 100 steps,
        at most 20.
    batch_size
        Rows in one optimizer step, by default 32.
    learning_rate
        Highest rate; by default one for the model's size.
    max_tokens
        Longest window in tokens; longer texts are read in several. By default what the model reads.
    patience
        End after so many validations without a better one; 0 trains to the end.
    metric
        Figure that decides which validation is best: accuracy, macro_f1, loss, ...
    seed
        Of the new head, the order of examples and dropout.
    seeds
        So many runs with different seeds, in the folders seed-0, seed-1, ... of --out; shows the
        median and the spread.
    restarts
        Begin again with the next seed, so often at most, when a run does not learn.
    device
        cpu, cuda; auto takes cuda when it is there.
    tensorboard
        Also write losses and figures for TensorBoard, into the folder tensorboard of the run.
    """

    epochs: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    max_tokens: int | None = None
    patience: int | None = None
    metric: str | None = None
    seed: int | None = None
    seeds: SeveralRuns = 1
    restarts: Restarts = 0
    device: str | None = None
    tensorboard: MayBeSet = None


NO_EXAMPLES = ExampleOptions()
NO_COLUMNS = ColumnOptions()
NO_MODEL = ModelOptions()
NO_SCHEDULE = ScheduleOptions()


def finetune(
    task: str,
    /,
    *,
    model: str | None = None,
    out: Path | None = None,
    examples: ExampleOptions = NO_EXAMPLES,
    columns: ColumnOptions = NO_COLUMNS,
    schedule: ScheduleOptions = NO_SCHEDULE,
    set: Settings = (),
    resume: Flag = False,
    json: Json = False,
) -> int:
    """Fine-tune a model on examples; the run folder gets metrics and the best model.

    Parameters
    ----------
    task
        What is learned: classify (classes and numbers of texts), tag (names in texts), span
        (answers to questions about texts), choose (the right one of several options). Or the
        recipe.toml of a run.
    model
        Path or name of any model; if left out, albertkit/tiny-zh for Chinese texts and
        albertkit/tiny-en for others.
    out
        Folder of the run; the model is in its folder model.
    set
        Change any setting of the recipe, as in optim.layer_decay=0.8; may be given several times.
    resume
        Go on from the newest state of the run folder.
    json
        At the end one JSON object: folder, model, held-out figures, what was learned. Progress goes
        to standard error.
    """
    from rich.console import Console

    console = Console(stderr=json, highlight=False)
    with Bar("loading PyTorch", console=console) as bar:
        place = f", into {out}" if out else ""
        bar.log(f"fine-tuning: {task}{place}")
        from albertkit.train.finetune import finetune as run

    groups = (examples, columns, schedule)
    options: dict[str, Any] = {"model": model, "out": out, "set": set, "resume": resume}
    options |= {name: value for group in groups for name, value in asdict(group).items()}
    if (seeds := options.pop("seeds")) > 1:
        return _several(task, seeds, options, console, json)
    result = run(task, console=console, **options)
    if json:
        print_json(result.to_json())
    elif result.exit_code == 0:
        name, texts = _ASKED.get(result.task, (result.task, '"..."'))
        ask = f"albertkit {name} {texts} --model {quoted(result.model)}"
        console.print(f"next: {ask}", soft_wrap=True, markup=False)
    return result.exit_code


# What a command is given behind its name, as the last line of a run shows it.
_ASKED = {
    "span": ("answer", '"QUESTION" "TEXT"'),
    "choose": ("choose", '"QUESTION" "TEXT" --options "ONE" --options "ANOTHER"'),
}


def _several(task: str, seeds: int, options: dict[str, Any], console: Console, json: bool) -> int:
    """Run `--seeds` and show the median."""
    from albertkit.train.finetune_seeds import finetune_seeds

    found = finetune_seeds(task, seeds=seeds, console=console, **options)
    if json:
        print_json(found.to_json())
    return found.exit_code


def evaluate(
    data: Path,
    /,
    *,
    model: ModelOptions = NO_MODEL,
    columns: ColumnOptions = NO_COLUMNS,
    patience: Patience = None,
    json: Json = False,
) -> None:
    """Measure a fine-tuned model on a table with labels, or on questions with answers.

    Parameters
    ----------
    data
        CSV, TSV or JSON lines with a row for each example, or SQuAD's JSON.
    json
        One JSON object: figures, their 95 % intervals, labels, confusion (rows: what is there;
        columns: what was predicted), skipped rows.
    """
    from albertkit.cli.evaluation import show_figures
    from albertkit.infer.evaluate import evaluate as run

    predictor, _ = model.predictor((), needs_head=True, patience=patience)
    note_unknown(predictor, data)
    found = run(predictor, data, **asdict(columns), progress=True)
    if json:
        print_json(found.to_json())
        return
    show_figures(found)


def predict(
    data: Path,
    /,
    *,
    output: Path | None = None,
    n_best: Path | None = None,
    model: ModelOptions = NO_MODEL,
    columns: ColumnOptions = NO_COLUMNS,
    patience: Patience = None,
) -> None:
    """Ask a fine-tuned model about every row of a table; the order of the rows is kept.

    A run that was stopped goes on where it was if the same command is given again.

    Parameters
    ----------
    data
        CSV, TSV, JSON lines, or a text on each line; for span SQuAD's JSON, for choose files of
        RACE, DREAM and C3 too.
    output
        File for the answers: .csv and .tsv are tables, other names JSON lines; without it JSON
        lines are printed. Answers to questions go to .json as the official programs of SQuAD
        read them.
    n_best
        With answers as .json: a JSON file for the 20 best of each, with their probabilities.
    """
    from albertkit.data.tables import BadRows, Table
    from albertkit.infer.predict_file import predict_file, predict_rows
    from albertkit.tasks.columns import find_columns, text_examples

    output = output_file(output, data)
    predictor, _ = model.predictor((), needs_head=True, patience=patience)
    note_unknown(predictor, data)
    bad = BadRows(columns.on_bad_row)
    task = None if predictor.head is None else predictor.head.traits.task
    if task == "span":
        _predict_answers(predictor, data, output, n_best, columns, bad)
        return
    if task == "choose":
        _predict_choices(predictor, data, output, columns, bad)
        return
    table = Table(data)
    used = find_columns(
        table, text=columns.text_column, pair=columns.pair_column, label=columns.label_column,
        needs_label=False,
    )  # fmt: skip
    if output is None:
        _print_rows(predict_rows(predictor, table, used, bad))
        return
    with Bar("examples", late=True) as bar:
        if bar.is_shown:
            rows_there = text_examples(table, used, BadRows("skip"), needs_label=False)
            bar.update(0, total=sum(1 for _ in rows_there))
        rows = predict_file(predictor, table, used, output, bad, bar.report)
    _wrote(rows, output, bad)
    if patience is not None:
        layers = predictor.config.num_hidden_layers
        print_line(f"layers used: {predictor.used.mean:.2f} of {layers} on average")


def _predict_choices(
    predictor: Predictor, data: Path, output: Path | None, columns: ColumnOptions, bad: BadRows
) -> None:
    """Choose an option of every question of a file."""
    from albertkit.infer.predict_choices import choice_rows, predict_choices
    from albertkit.tasks.choice_columns import GivenColumns

    options = columns.option_columns or ()
    given = GivenColumns(columns.context_column, columns.question_column, options)
    if output is None:
        _print_rows(choice_rows(predictor, data, given, bad))
        return
    with Bar("examples", late=True) as bar:
        rows = predict_choices(predictor, data, given, output, bad, bar.report)
    _wrote(rows, output, bad)


def _print_rows(groups: Iterable[list[dict[str, Any]]]) -> None:
    for group in groups:
        for row in group:
            print_json(row)


def _wrote(rows: int, output: Path, bad: BadRows) -> None:
    print_line(f"wrote {rows:,} predictions to {output}")
    if bad.skipped:
        print_line(f"left out: {len(bad.skipped):,} rows, the first at {bad.skipped[0]}")


def _predict_answers(
    predictor: Predictor,
    data: Path,
    output: Path | None,
    n_best: Path | None,
    columns: ColumnOptions,
    bad: BadRows,
) -> None:
    """Answer every question of a file."""
    from albertkit.infer import predict_answers as of
    from albertkit.tasks.span_files import AnswerColumns

    named = AnswerColumns(
        columns.question_column or "", columns.context_column or "", columns.label_column or ""
    )
    official = output is not None and output.suffix.lower() == ".json"
    if n_best is not None and not official:
        raise PredictionError(
            "The best answers go with the file of the official programs.",
            expected="--output with a name that ends with .json",
            found="no --output" if output is None else str(output),
            fix="give --output answers.json, or leave --n-best out",
        )
    if output is None:
        _print_rows(of.answer_rows(predictor, data, named, bad))
    elif official:
        found = of.predict_answers(predictor, data, bad=bad, columns=named)
        assert predictor.head is not None  # it was asked for
        of.write_answers(predictor.head, found, output, output_file(n_best, data))
        _wrote(len(found), output, bad)
    else:
        with Bar("examples", late=True) as bar:
            rows = of.write_answer_rows(predictor, data, named, output, bad, bar.report)
        _wrote(rows, output, bad)
