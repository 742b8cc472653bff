"""Commands about tasks: finetune, evaluate, predict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cyclopts import Group, Parameter

from albertkit.cli.options import Flag, Json, OnBadLine, Settings
from albertkit.cli.output import print_json
from albertkit.progress import Bar

EXAMPLES_GROUP = Group("Examples", sort_key=1)
SCHEDULE_GROUP = Group("Schedule", sort_key=2)


@Parameter(name="*", group=EXAMPLES_GROUP)
@dataclass(frozen=True, kw_only=True)
class ExampleOptions:
    """Where the examples are, and which columns of their tables are used.

    Parameters
    ----------
    train
        CSV, TSV, JSON lines or Parquet with a row for each example; or a folder: with a folder of
        texts for each label, or with a data set as Hugging Face's datasets saves it.
    dev
        The same for measuring; if left out, a folder's own validation part or a tenth of the
        training file is held out.
    kind
        What a label is: one class of several, any of several, a number; found from the labels.
    text_column
        Column of the texts; found by its name (text, sentence, review, ...) if left out. Columns of
        a file without a header line are 1, 2, 3.
    pair_column
        Column of the second texts, for pairs; sentence1 and sentence2 are found by name.
    label_column
        Column of the labels.
    on_bad_row
        error stops at a row that cannot be used; skip leaves it out, and says how many there are.
    """

    train: Path | None = None
    dev: Path | None = None
    kind: Literal["classification", "multi_label", "regression"] | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    on_bad_row: OnBadLine | None = None


@Parameter(name="*", group=SCHEDULE_GROUP)
@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How long and how fast a model is trained.

    Parameters
    ----------
    epochs
        Passes over the examples, by default 3.
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
        Of the new head, the order of examples, dropout, and what is held out.
    device
        cpu, cuda; auto takes cuda when it is there.
    """

    epochs: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    max_tokens: int | None = None
    patience: int | None = None
    metric: str | None = None
    seed: int | None = None
    device: str | None = None


NO_EXAMPLES = ExampleOptions()
NO_SCHEDULE = ScheduleOptions()


def finetune(
    task: str,
    /,
    *,
    model: str | None = None,
    out: Path | None = None,
    examples: ExampleOptions = NO_EXAMPLES,
    schedule: ScheduleOptions = NO_SCHEDULE,
    set: Settings = (),
    resume: Flag = False,
    json: Json = False,
) -> int:
    """Fine-tune a model on examples; the run folder gets metrics and the best model.

    Parameters
    ----------
    task
        What is learned: classify. Or the recipe.toml of a run.
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

    options = {"model": model, "out": out, **asdict(examples), **asdict(schedule)}
    result = run(task, set=set, resume=resume, console=console, **options)
    if json:
        print_json(result.to_json())
    elif result.exit_code == 0:
        console.print(
            f'next: albertkit classify "..." --model {result.model}', soft_wrap=True, markup=False
        )
    return result.exit_code
