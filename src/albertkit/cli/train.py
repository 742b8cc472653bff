"""Commands that train: pretrain, demo."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from albertkit.cli.options import Flag, Json, MayBeSet, Settings
from albertkit.cli.output import free_folder, print_json
from albertkit.errors import CorpusError
from albertkit.progress import Bar

if TYPE_CHECKING:
    from rich.console import Console


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What a run goes on from, and what it does not forget.

    Parameters
    ----------
    start_from
        Model to go on from: a path, or a name that `albertkit models` lists. Its sizes and its
        tokenizer hold; a head that it lacks is made new.
    max_positions
        Longest row in tokens, more than the model has: new positions begin as copies of trained
        ones.
    replay
        Second data folder, such as general text, of which rows are mixed in against forgetting.
    replay_share
        Share of the rows from there, by default 0.2; 0 only measures its held-out text.
    """

    start_from: Annotated[str | None, Parameter(name="--from")] = None
    max_positions: int | None = None
    replay: Path | None = None
    replay_share: float | None = None


NO_START = StartOptions()


def pretrain(
    recipe: str | None = None,
    /,
    *,
    data: Path | None = None,
    out: Path | None = None,
    begin: StartOptions = NO_START,
    set: Settings = (),
    tensorboard: MayBeSet = None,
    resume: Flag = False,
    json: Json = False,
) -> int:
    """Pretrain a model by a recipe; the run folder gets metrics, report.html and the model.

    Parameters
    ----------
    recipe
        Recipe file (TOML), or the name of a shipped recipe; `continue` if left out and --from is
        given.
    data
        Folder made by make-data; stands for --set data.path=...
    out
        Folder of the run; stands for --set run.output=...
    set
        Change one setting, as in stages.1.tokens=256; may be given several times.
    tensorboard
        Also write losses and figures for TensorBoard, into the folder tensorboard of the run.
    resume
        Go on from the newest state of the run folder.
    json
        At the end one JSON object: folder, steps, held-out figures before and after, baselines,
        what was learned. Progress goes to standard error.
    """
    from rich.console import Console

    console = Console(stderr=json, highlight=False)
    options = {"data": data, "out": out, "tensorboard": tensorboard, **asdict(begin)}
    with Bar("loading PyTorch", console=console) as bar:
        if recipe or begin.start_from:
            origin = f", from {begin.start_from}" if begin.start_from else ""
            place = f", into {out}" if out else ""
            bar.log(f"pretraining by the recipe {recipe or 'continue'}{origin}{place}")
        from albertkit.train.pretrain import pretrain as run
    result = run(recipe, **options, set=set, resume=resume, console=console)
    if json:
        print_json(result.to_json())
    return result.exit_code


def demo(
    *,
    from_scratch: Flag = False,
    language: Literal["en", "zh"] = "en",
    input: Path | None = None,
    out: Path | None = None,
    set: Settings = (),
    json: Json = False,
) -> int:
    """Show what the models that ship can do, go on training one, and fine-tune it for a job.

    Parameters
    ----------
    from_scratch
        Instead go from text to a new model that fills masks, in about three minutes.
    language
        Of --from-scratch: en learns from the language reference that every Python carries; zh
        needs --input.
    input
        Of --from-scratch: text to learn from, a file, best of 500 kB or more.
    out
        Folder for everything the demo makes; by default demo-run, demo-run-2, ...
    set
        Change one setting of the recipe, `continue` or (--from-scratch) `demo`, as in
        stages.0.steps=100; or of the fine-tuning, as in schedule.epochs=5.
    json
        At the end one JSON object. What people read goes to standard error.
    """
    from rich.console import Console

    console = Console(stderr=json, highlight=False)
    if from_scratch:
        return _demo_from_scratch(console, language, input, out, set, json)
    if language != "en" or input is not None:
        raise CorpusError(
            "The demo takes no text.",
            expected="--language and --input with --from-scratch",
            found="--input" if input is not None else f"--language {language}",
            fix=f"albertkit demo --from-scratch --language {language} --input FILE",
        )
    folder = out or free_folder(Path("demo-run"))
    with Bar("loading PyTorch", console=console) as bar:
        bar.log(f"What the models that ship can do; then one is trained, into {folder}.\n")
        from albertkit.cli.demo import demo as run
    result = run(folder, overrides=set, console=console)
    if json:
        print_json({"folder": str(folder), **result.to_json()})
    return 0 if result.learned else 1


def _demo_from_scratch(
    console: Console,
    language: str,
    source: Path | None,
    out: Path | None,
    overrides: Settings,
    json: bool,
) -> int:
    """Make vocabulary, data and model; what `demo --json` prints then."""
    folder = out or free_folder(Path(f"demo-run-{language}"))
    with Bar("loading PyTorch", console=console) as bar:
        bar.log(f"From text to a new model, in about three minutes, into {folder}.\n")
        from albertkit.cli.from_scratch import from_scratch
    result = from_scratch(
        folder, language=language, source=source, overrides=overrides, console=console
    )
    if json:
        print_json(
            {
                "folder": str(folder),
                "model": str(result.run.model),
                "unigram_entropy": result.run.baselines.unigram_entropy,
                "mlm_loss": result.run.validation["mlm_loss"],
                "nats_below": result.gain,
                "goal_reached": result.reached,
                "masks": result.masks.shown,
                "right_at_first": result.masks.right_first,
                "right_among_five": result.masks.right_in_five,
                "lessons": result.run.to_json()["lessons"],
            }
        )
    return 0 if result.reached else 1
