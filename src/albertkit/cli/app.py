"""The program itself: its commands, and what it says when something goes wrong.

Exit codes: 0 well, 1 a demo or check that did not reach its goal, 2 a mistake of the user, 3 a run
that does not learn, 130 interrupted. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, MissingArgumentError, UnusedCliTokensError
from rich.text import Text

from albertkit import __version__
from albertkit.cli import (
    benchmark,
    checkpoints,
    embed,
    export,
    finetune,
    models,
    predict,
    prepare,
    train,
    words,
)
from albertkit.cli.options import LineOptions, ModelMissing, ModelOptions, SourceOptions
from albertkit.cli.output import Output
from albertkit.errors import AlbertkitError

MISTAKE = 2
INTERRUPTED = 130

app = App(
    name="albertkit",
    help="Read, pretrain and run ALBERT, English and Chinese.",
    help_epilogue=(
        "Start with: albertkit demo\n\nExit codes: 0 well; 1 a demo or check missed its goal; "
        "2 a mistake in what was asked; 3 a run does not learn; 130 interrupted."
    ),
    version=f"albertkit {__version__}",
    help_format="plaintext",
    result_action="return_value",
    console=Output(),
    suppress_keyboard_interrupt=False,
)
EXAMPLES: dict[Callable[..., int | None], str] = {
    prepare.build_vocab: "albertkit build-vocab text.txt --size 8000 --output vocab",
    prepare.tokenize: 'albertkit tokenize "In 2009, it rained." --vocab vocab --json',
    prepare.make_data: "albertkit make-data text.txt --vocab vocab --output data",
    words.add_words: "albertkit add-words albertkit/tiny-en model --words words.txt",
    train.pretrain: "albertkit pretrain --from albertkit/tiny-en --data data --out run",
    finetune.finetune: "albertkit finetune classify --train reviews.csv --out run",
    finetune.evaluate: "albertkit evaluate test.csv --model finetuned",
    finetune.predict: "albertkit predict lines.txt --model finetuned --output answers.csv",
    benchmark.benchmark: "albertkit benchmark glue",
    predict.fill_mask: 'albertkit fill-mask "Paris is the [MASK] of France."',
    predict.sentence_order: 'albertkit sentence-order "It rained." "So the street was wet."',
    embed.embed: "albertkit embed --input lines.txt --output vectors.npy",
    predict.classify: 'albertkit classify "A fine film." --model finetuned',
    predict.tag: 'albertkit tag "Ada Lovelace lived in London." --model finetuned',
    predict.answer: 'albertkit answer "Who wrote it?" --context text.txt --model finetuned',
    predict.choose: ('albertkit choose "It rained." "All is wet." "All is dry." --model finetuned'),
    checkpoints.info: "albertkit info albert-base-v2",
    checkpoints.inspect: "albertkit inspect model.ckpt-best",
    checkpoints.convert: "albertkit convert model.ckpt-best model --to huggingface",
    export.export: "albertkit export finetuned --to onnx --out finetuned-onnx",
    export.quantize: "albertkit quantize finetuned --check dev.csv --out finetuned-int8",
    models.download: "albertkit download albert-base-v2",
    models.models: "albertkit models albert-base-v2",
    train.demo: "albertkit demo",
}
ALIASES: dict[Callable[..., int | None], str] = {predict.sentence_order: "order"}


def _unwrap(documented: Any) -> None:
    """Let each description of a docstring be one line, which the help then wraps by itself."""
    text = inspect.cleandoc(documented.__doc__ or "")
    while (joined := re.sub(r"(\n {4}\S.*)\n {4}(?=\S)", r"\1 ", text)) != text:
        text = joined
    documented.__doc__ = text


GROUPS = (LineOptions, SourceOptions, ModelOptions, train.StartOptions)
for group in (*GROUPS, finetune.ExampleOptions, finetune.ColumnOptions, finetune.ScheduleOptions):
    _unwrap(group)
for number, (command, example) in enumerate(EXAMPLES.items()):
    _unwrap(command)
    app.command(
        command,
        None,
        alias=ALIASES.get(command),
        sort_key=number,
        help_epilogue=f"Example: {example}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Mistakes of the user are shown on standard error."""
    _stand_in_for_closed_streams()
    errors = Output(stderr=True, soft_wrap=True, highlight=False)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show a character
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result = app(arguments, exit_on_error=False, print_error=False, help_on_error=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except ModelMissing as error:
        error.command_fix = error.with_model(list(arguments or sys.argv[1:]))
        _show(errors, error.for_command_line())
        return MISTAKE
    except AlbertkitError as error:
        _show(errors, error.for_command_line())
        return MISTAKE
    except CycloptsError as error:
        _show(errors, f"{_mistake(error)}\n  to do: see albertkit {_command(arguments)}--help")
        return MISTAKE
    except BrokenPipeError:  # the reader (head, less) went away: that is not our mistake
        _close_output()
        return 0
    except KeyboardInterrupt:
        _show(errors, "interrupted")
        return INTERRUPTED
    except OSError as error:  # a file that a command opens by itself
        _show(errors, _describe(error))
        if error.filename is None:  # what could not be written is still waiting to be
            _close_output()
        return MISTAKE


def _show(errors: Output, message: str) -> None:
    """The message on standard error, its first word in red on a terminal.

    A terminal gets lines broken between words; what to do stays one line, to be copied.
    """
    first, *others = message.split("\n")
    for line in (Text.assemble(("error: ", "bold red"), first), *map(Text, others)):
        whole = not errors.is_terminal or line.plain.startswith("  to do:")
        errors.print(line, soft_wrap=whole)


def _mistake(error: CycloptsError) -> str:
    """What is wrong with the arguments; of a missing option cyclopts says that it lacks a value."""
    text, named = str(error), error.argument
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"Unexpected argument: {error.unused_tokens[0]}"
    if isinstance(error, MissingArgumentError) and named is not None and error.keyword is None:
        absent = not named.tokens and "Did you mean" not in text
        return f"{named.name} is missing." if absent else text
    return text


def _describe(error: OSError) -> str:
    where = error.filename or "standard input or output"
    return str(
        AlbertkitError(
            "A file cannot be read or written.",
            expected="files that can be read and written",
            found=error.strerror or error,
            where=where,
            fix="check the path, its permissions and the space on the disk",
        )
    )


def _command(arguments: Sequence[str] | None) -> str:
    """Name of the command that was asked for, and a space; nothing if there is none."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return f"{given[0]} " if given and given[0] in app else ""


def _stand_in_for_closed_streams() -> None:
    """Let a program that was started without standard output or error (`>&-`) write into nothing.

    Python has None for them then, and the first file to be opened would get their number.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _close_output() -> None:
    """Point standard output at nothing, so that Python's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
