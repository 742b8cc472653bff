"""Options that commands share, declared once: where a checkpoint is and what overrides its files.

A command takes a group of them as one parameter; the group opens what it describes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from albertkit.cli.inputs import OF_TABLES, OF_TEXTS
from albertkit.cli.output import print_line
from albertkit.errors import AlbertkitError, ConfigError, quoted
from albertkit.files import is_there
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint, Opened
    from albertkit.checkpoint.families._protocol import Overrides
    from albertkit.infer.predictor import Predictor

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
MayBeSet = Annotated[bool | None, Parameter(negative=(), show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
Settings = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
Texts = Annotated[str, Parameter(show_default=False)]


def refuse_unknown_options(kind: object, value: object) -> None:
    """Let "-" pass as a name for standard input, and nothing else that begins with a hyphen."""
    for name in value if isinstance(value, tuple) else (value,):
        if str(name).startswith("-") and str(name) != "-":
            raise ValueError(f"Unknown option: {name}.")


def at_least_one(kind: object, value: int | None) -> None:
    """Refuse numbers below 1."""
    if value is not None and value < 1:
        raise ValueError("It must be 1 or more.")


def not_negative(kind: object, value: int | None) -> None:
    """Refuse numbers below 0."""
    if value is not None and value < 0:
        raise ValueError("It must be 0 or more.")


HYPHEN = Parameter(allow_leading_hyphen=True, validator=refuse_unknown_options)
Sources = Annotated[str, HYPHEN]
File = Annotated[Path | None, HYPHEN]
MODEL = Group("Model", sort_key=1)
OnBadLine = Literal["error", "skip"]
TextsOrLines = Annotated[
    str,
    Parameter(
        show_default=False,
        help="Texts; without any, the lines of --input or of standard input.",
    ),
]
TopK = Annotated[int, Parameter(validator=at_least_one)]
Patience = Annotated[
    int | None,
    Parameter(
        validator=at_least_one,
        help="For models with early exit: a text leaves the network when so many layers in a row "
        "agree on its answer; by default it goes through all layers.",
    ),
]
Truncate = Annotated[Flag, Parameter(help="Cut texts that are too long at their end.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LineOptions:
    """Where texts come from that are not on the command line.

    Parameters
    ----------
    input
        File with one text on each line; - is standard input.
    on_bad_line
        error stops at a text that cannot be used (not UTF-8, blank, too long, without a mask where
        one is filled); skip goes on without it, gives it no answer, and says so on standard error.
    """

    input: File = None
    on_bad_line: OnBadLine = "error"


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What the user says about a checkpoint whose files do not say it, or say it wrong.

    Parameters
    ----------
    tokenizer
        spiece.model, vocab.txt or tokenizer.json to use instead of the one beside the weights.
    config
        Config file to use instead of the one beside the weights.
    set
        A config value to use, as in num_attention_heads=32; may be given several times.
    detect
        Text file: the masked-LM loss on it decides what the files leave open.
    family
        Whose checkpoint it is, where the files do not show it: google_tf, uer, ...
    head
        What a fine-tuned head is for: classification, regression, multiple_choice, ...;
        none leaves a head out that is not one of ALBERT's.
    offline
        Use downloaded files only, never ask the network.
    """

    tokenizer: Path | None = None
    config: Path | None = None
    set: Settings = ()
    detect: Path | None = None
    family: str | None = None
    head: str | None = None
    offline: Flag = False

    def locate(self, source: str | Path) -> Path:
        """Path of a checkpoint; a known name is downloaded unless it is in the cache."""
        from albertkit import hub

        if is_there(source):
            return Path(source)

        offline = True if self.offline else None  # else as HF_HUB_OFFLINE says
        with Bar(f"looking for {source}", format=format_bytes) as bar:
            return hub.resolve(str(source), offline=offline, progress=bar.report)

    def overrides(self, path: Path, *, quiet: bool = True) -> Overrides:
        """Overrides of the checkpoint at a path; quiet: do not show the losses of --detect."""
        given = read_overrides(self.config, self.head, self.set)
        return given if self.detect is None else self._detected(path, given, quiet)

    def open(self, source: str | Path, *, quiet: bool = True) -> Opened:
        """Open a checkpoint of any family."""
        path = self.locate(source)
        return self._open(path, self.overrides(path, quiet=quiet))

    def _open(self, path: Path, overrides: Overrides) -> Opened:
        from albertkit.checkpoint.checkpoint import open_checkpoint

        return open_checkpoint(
            path, family=self.family, overrides=overrides, tokenizer=self.tokenizer
        )

    def _detected(self, path: Path, given: Overrides, quiet: bool) -> Overrides:
        """Overrides with what the masked-LM loss on a text decides."""
        from albertkit.cli.inputs import read_lines
        from albertkit.cli.output import print_table

        def opened(values: dict[str, Any]) -> Checkpoint:
            return self._open(path, _with(given, values)).checkpoint

        lines = list(read_lines(self.detect))
        with Bar("trying what the files leave open"):
            from albertkit.infer.disambiguate import detect_choices, open_choices

            losses = detect_choices(opened, open_choices(opened, given.values), lines)
        if not quiet:
            rows = [
                (" ".join(f"{key}={value}" for key, value in values.items()), f"{loss:.4f}")
                for values, loss in losses
            ]
            print_table("masked-LM loss of each choice", ["choice", "nats"], rows, right=[1])
        return _with(given, losses[0][0])


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class ModelOptions(SourceOptions):
    """The model that answers.

    Parameters
    ----------
    model
        Checkpoint of any family (a folder, a weights file, or a prefix such as
        model.ckpt-best), or a name that `albertkit models` lists. fill-mask, sentence-order
        and embed take albertkit/tiny-zh for Chinese texts and albertkit/tiny-en for others if
        none is named.
    device
        cpu, cuda, cuda:1, mps; auto takes cuda when it is there.
    batch_tokens
        Most tokens in one run of the network; texts of like length go together. 1024 on a CPU
        and 4096 on another device if left out.
    batch_size
        Most texts in one run; as many as --batch-tokens allows if left out.
    engine
        What computes: torch, onnxruntime, openvino, ...; auto tries which installed one is the
        fastest for this model; left out, torch, or what an exported folder was written for.
    precision
        fp32, bf16 or int8, where the engine has it.
    threads
        Threads of the CPU; all that this process may use if left out.
    calibrate
        Texts for int8 with openvino, one on each line; texts of albertkit's if left out.
    """

    model: Annotated[str | None, Parameter(name=("--model", "-m"), show_default=False)] = None
    device: str = "cpu"
    batch_tokens: Annotated[int | None, Parameter(validator=at_least_one)] = None
    batch_size: Annotated[int | None, Parameter(validator=at_least_one)] = None
    engine: Annotated[str | None, Parameter(show_default=False)] = None
    precision: str = "auto"
    threads: Annotated[int | None, Parameter(validator=at_least_one)] = None
    calibrate: Path | None = None

    def predictor(
        self, texts: Sequence[str], *, needs_head: bool = False, patience: int | None = None
    ) -> tuple[Predictor, list[str]]:
        """The model, ready to answer, and the positionals of the command that are texts.

        Without --model the first texts choose one that ships; but if the first positional is the
        path of a checkpoint it is the model: that was the order of arguments in 0.1.

        Args:
            texts: the positionals.
            needs_head: only a fine-tuned model can answer, and none ships.
            patience: of its early exit.

        Raises:
            ModelMissing: no --model, and no text to choose by.
        """
        model, texts = self.model, list(texts)
        if model is None and texts and _is_checkpoint(texts[0]):
            model = texts.pop(0)
            print_line(f"note: the first argument is taken as --model {quoted(model)}", stderr=True)
        if model is None:
            self._refuse_to_choose(texts, needs_head)
        path = None if model is None else self.locate(model)
        overrides = None if path is None else self.overrides(path)
        with Bar("loading PyTorch" if model is None else f"loading {model}"):
            from albertkit.infer.exported import is_exported
            from albertkit.infer.predictor import Predictor

            if self.engine in (None, "torch") and not (path and is_exported(path)):
                import albertkit.infer.torch_engine  # noqa: F401  # seconds, before texts are read

            predictor = Predictor(
                path,
                self.device,
                batch_size=self.batch_size,
                batch_tokens=self.batch_tokens,
                tokenizer=self.tokenizer,
                overrides=overrides,
                family=self.family,
                engine=self.engine,
                precision=self.precision,
                threads=self.threads,
                calibrate=self.calibrate,
                patience=patience,
            )
        return predictor, texts

    def _refuse_to_choose(self, texts: Sequence[str], needs_head: bool) -> None:
        """Raise ModelMissing where a model must be named."""
        meant = texts[0] if texts and _names_a_model(texts[0]) else None
        none = SourceOptions()
        if needs_head:
            raise ModelMissing("--model with a model that was fine-tuned for this", meant)
        if any(getattr(self, name) != getattr(none, name) for name in _OF_A_CHECKPOINT):
            raise ModelMissing("--model with the checkpoint that the options are about", meant)
        if meant is not None:
            raise ModelMissing("the model as --model, then texts", meant)


_OF_A_CHECKPOINT = ("tokenizer", "config", "set", "detect", "family", "head")


def _names_a_model(text: str) -> bool:
    """Whether a text is a path that is there, or a model known by this name."""
    from albertkit import hub

    there = bool(text) and is_there(text) and Path(text).suffix not in OF_TEXTS + OF_TABLES
    return there or hub.find(text) is not None or hub.is_shipped(text)


class ModelMissing(AlbertkitError):
    """A command that needs a --model; meant: the positional that seems to be it."""

    def __init__(self, expected: str, meant: str | None) -> None:
        self.meant = meant
        super().__init__(
            "No model is named.", expected=expected, found=meant or "texts without --model"
        )

    def with_model(self, arguments: Sequence[str]) -> str:
        """The command with a --model: the positional that was meant, else a place to fill."""
        rest = list(arguments)
        if self.meant is not None:
            rest.remove(self.meant)
        return shlex.join(["albertkit", *rest, "--model", self.meant or "FOLDER"])


def _is_checkpoint(text: str) -> bool:
    """Whether a text is the path of a checkpoint that can be opened."""
    from albertkit.checkpoint.families import claim

    try:
        return is_there(text) and bool(claim(Path(text)))
    except AlbertkitError:
        return False


def read_overrides(config: Path | None, head: str | None, settings: Sequence[str]) -> Overrides:
    """Overrides from options.

    Raises:
        ConfigError: a setting that is not KEY=VALUE.
    """
    from albertkit.checkpoint.families._protocol import Overrides

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise ConfigError(
                "--set must be KEY=VALUE.",
                expected="a config key and its value, as in num_attention_heads=32",
                found=setting[:80],
                fix="write --set KEY=VALUE, as in --set num_attention_heads=32",
            )
        try:
            values[key] = json.loads(value)
        except (ValueError, RecursionError):
            values[key] = value  # a word, such as relu
    return Overrides(config=config, values=values, head=head)


def _with(overrides: Overrides, values: Mapping[str, Any]) -> Overrides:
    return replace(overrides, values={**overrides.values, **values})
