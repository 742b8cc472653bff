"""Commands that train: pretrain, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from albertkit.cli.options import Flag, Json, Settings
from albertkit.cli.output import print_json


def pretrain(
    recipe: str,
    /,
    *,
    data: Path | None = None,
    out: Path | None = None,
    set: Settings = (),
    resume: Flag = False,
    json: Json = False,
) -> int:
    """Pretrain a model by a recipe; the run folder gets metrics, report.html and the model.

    Parameters
    ----------
    recipe
        Recipe file (TOML), or the name of a shipped recipe.
    data
        Folder made by make-data; stands for --set data.path=...
    out
        Folder of the run; stands for --set run.output=...
    set
        Change one setting, as in stages.1.tokens=256; may be given several times.
    resume
        Go on from the newest state of the run folder.
    json
        At the end one JSON object: folder, steps, held-out figures, baselines. Progress goes to
        standard error.
    """
    from rich.console import Console

    from albertkit.train.pretrain import pretrain as run

    console = Console(stderr=json, highlight=False)
    result = run(recipe, data=data, out=out, set=set, resume=resume, console=console)
    if json:
        print_json(
            {
                "folder": str(result.folder),
                "model": str(result.model),
                "steps": result.steps,
                "finished": result.finished,
                "validation": result.validation,
                "baselines": vars(result.baselines),
                "learns": None if result.verdict is None else result.verdict.learns,
            }
        )
    return result.exit_code


def demo(
    *,
    language: Literal["en", "zh"] = "en",
    input: Path | None = None,
    out: Path | None = None,
    set: Settings = (),
    json: Json = False,
) -> int:
    """From text to a model that fills masks, in about three minutes and without network.

    Parameters
    ----------
    language
        en learns from the language reference that every Python carries; zh needs --input.
    input
        Text to learn from: a file, best of 500 kB or more.
    out
        Folder for everything the demo makes; by default demo-run-en, demo-run-en-2, ...
    set
        Change one setting of the recipe `demo`, as in stages.0.steps=100.
    json
        At the end one JSON object. What people read goes to standard error.
    """
    from rich.console import Console

    from albertkit.cli.demo import demo as run
    from albertkit.cli.demo import free_folder

    folder = out or free_folder(Path(f"demo-run-{language}"))
    console = Console(stderr=json, highlight=False)
    result = run(folder, language=language, source=input, overrides=set, console=console)
    if json:
        print_json(
            {
                "folder": str(folder),
                "model": str(result.run.model),
                "unigram_entropy": result.run.baselines.unigram_entropy,
                "mlm_loss": result.run.validation["mlm_loss"],
                "nats_below": result.gain,
                "goal_reached": result.reached,
                "masks": result.shown,
                "right_at_first": result.right_first,
                "right_among_five": result.right_in_five,
            }
        )
    return 0 if result.reached else 1
