"""Commands about checkpoints of any family: inspect and convert."""

from __future__ import annotations

import json as json_library
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from albertkit.cli.output import print_json, print_table, spell_bytes
from albertkit.errors import ConfigError

if TYPE_CHECKING:
    from albertkit.checkpoint.families._protocol import Overrides
    from albertkit.conversion import Conversion

Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=())]
Settings = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
Dtype = Literal["float32", "float16", "bfloat16"]


def inspect(
    path: Path,
    /,
    *,
    config: Path | None = None,
    family: str | None = None,
    head: str | None = None,
    set: Settings = (),
    tensors: Flag = False,
    json: Json = False,
) -> None:
    """Show what lies in a checkpoint: whose it is, its config and where each value came from.

    Parameters
    ----------
    path
        Checkpoint of any family: a folder, a weights file, or a prefix (model.ckpt-best).
    config
        Config file to use instead of the one beside the weights.
    family
        Whose checkpoint it is, if that cannot be told from the files.
    head
        What a fine-tuned head is for: classification, regression, multiple_choice, ...
    set
        A config value that the files get wrong or leave open, as in num_attention_heads=32.
    tensors
        Also list every tensor.
    json
        One JSON object.
    """
    from albertkit.checkpoint import families
    from albertkit.inspection import describe

    opened = families.open(path, family=family, overrides=read_choices(config, head, set))
    facts = describe(opened)
    if json:
        print_json(facts)
        return
    _show_facts(facts)
    _show_config(facts)
    if tensors:
        rows = [
            (
                t["name"],
                t["dtype"],
                " x ".join(map(str, t["shape"])) or "-",
                t.get("becomes") or f"ignored: {t['ignored']}",
            )
            for t in facts["tensors"]
        ]
        print_table("tensors", ["in the file", "dtype", "shape", "becomes"], rows, right=[2])


def _show_facts(facts: dict[str, Any]) -> None:
    head = facts["task_head"]
    slots = ", ".join(f"{count} {name}" for name, count in facts["optimizer_slots"].items())
    rows = [
        ("family", f"{facts['family']} ({facts['written_by']})"),
        ("weights", facts["path"]),
        ("parameters", f"{facts['parameters']:,}"),
        ("tensors in the file", f"{len(facts['tensors']):,}"),
        ("heads", ", ".join(facts["heads"]) or "none"),
        ("absent", ", ".join(facts["absent"]) or "nothing"),
        ("task", "none" if head is None else f"{head['kind']}, {head['num_labels']} outputs"),
        ("optimizer slots", slots or "none"),
        ("tokenizer", "none" if facts["tokenizer"] is None else _tokenizer(facts["tokenizer"])),
        ("transformers", "; ".join(facts["not_for_transformers"]) or "can run it"),
    ]
    rows[-1] = ("transformers", ("cannot: " if facts["not_for_transformers"] else "") + rows[-1][1])
    print_table("", ["", ""], rows)
    for problem in facts["problems"]:
        Console(highlight=False).print(Text.assemble(("problem: ", "bold yellow"), problem))


def _tokenizer(facts: dict[str, Any]) -> str:
    return f"{facts['pieces']:,} pieces, {Path(facts['file']).name}"


def _show_config(facts: dict[str, Any]) -> None:
    config, origin = facts["config"], facts["provenance"]
    rows = [(key, value, origin.get(key, "")) for key, value in sorted(config.items())]
    print_table("config", ["key", "value", "told by"], rows)


def convert(
    source: Path,
    target: Path,
    /,
    *,
    to: str,
    tokenizer: Path | None = None,
    dtype: Dtype = "float32",
    config: Path | None = None,
    family: str | None = None,
    head: str | None = None,
    set: Settings = (),
    detect: Path | None = None,
    allow_loss: Flag = False,
    check_forward: Flag = False,
    json: Json = False,
) -> None:
    """Write a checkpoint of any family as one of another, and prove that nothing changed.

    Args:
        source: Checkpoint of any family: a folder, a file, or a prefix (model.ckpt-best).
        target: Folder to make.
        to: albertkit, huggingface, google_tf, brightmart_tf, uer, paddlenlp or keras_hub.
        tokenizer: spiece.model or vocab.txt; else the one found beside the source.
        dtype: float32, float16 or bfloat16.
        config: Config file to use instead of the one beside the source.
        family: Whose checkpoint the source is, if that cannot be told from the files.
        head: What a fine-tuned head is for: classification, regression, multiple_choice, ...
        set: A config value that the files get wrong or leave open, as in num_attention_heads=32.
        detect: Text: decides what the files leave open by the masked-LM loss.
        allow_loss: Write although the target cannot hold everything; what is lost is printed.
        check_forward: Also run a fixed batch through source and target.
        json: One JSON object: the whole report.
    """
    from albertkit.conversion import convert as run

    overrides = read_choices(config, head, set)
    if detect is not None:
        overrides = _detected(source, detect, overrides, family, tokenizer, quiet=json)
    done = run(
        source,
        target,
        to,
        overrides=overrides,
        family=family,
        tokenizer=tokenizer,
        dtype=dtype,
        allow_loss=allow_loss,
        check_forward=check_forward,
    )
    if json:
        print_json(done.to_json())
    else:
        _show_conversion(done)


def _show_conversion(done: Conversion) -> None:
    result, console = done.source.result, Console(highlight=False)
    changes = Counter(how for _, how in result.report.loaded.values())
    used = ", ".join(f"{count} {how}" for how, count in changes.items())
    rows = [
        ("from", f"{done.source.family}  {done.source.path}"),
        ("to", f"{done.to}  {done.folder}"),
        ("tensors used", f"{len(result.report.loaded)} ({used})"),
        ("tensors ignored", len(result.report.ignored)),
        ("heads absent", ", ".join(result.report.missing) or "none"),
        ("read back, equal bit by bit", f"{len(done.kept)} tensors in {done.dtype}"),
        ("lost", len(done.lost)),
        ("written", f"{spell_bytes(done.bytes_written)} in {done.seconds:.2f} s"),
    ]
    print_table("", ["", ""], rows)
    reasons = Counter(result.report.ignored.values())
    if reasons:
        print_table("ignored", ["tensors", "why"], [(n, r) for r, n in reasons.items()], right=[0])
    if done.differences:
        differences = [(name, f"{value:.1e}") for name, value in done.differences.items()]
        columns = ["output", "largest difference"]
        print_table("one batch through both", columns, differences, right=[1])
    for kind, lines in (
        ("lost", done.lost),
        ("problem", result.problems),
        ("note", done.notes),
    ):
        for line in lines:
            console.print(Text.assemble((f"{kind}: ", "bold yellow"), line))


def read_choices(config: Path | None, head: str | None, settings: tuple[str, ...]) -> Overrides:
    """What the user says about a source, from the options of a command.

    Raises:
        ConfigError: a setting that is not KEY=VALUE.
    """
    from albertkit.checkpoint.families._protocol import Overrides

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise ConfigError("This is no setting.", expected="--set KEY=VALUE", found=setting[:80])
        try:
            values[key] = json_library.loads(value)
        except ValueError:
            values[key] = value  # a word, such as relu
    return Overrides(config=config, values=values, head=head)


def _detected(
    source: Path,
    text: Path,
    overrides: Overrides,
    family: str | None,
    tokenizer: Path | None,
    *,
    quiet: bool,
) -> Overrides:
    """Overrides made by masked-LM loss on a text; all losses are shown."""
    from albertkit.checkpoint import families
    from albertkit.checkpoint.checkpoint import Checkpoint
    from albertkit.cli.inputs import read_lines, require_lines
    from albertkit.conversion import with_choices
    from albertkit.infer.disambiguate import detect_choices, open_choices

    def opened(values: dict[str, Any]) -> Checkpoint:
        chosen = with_choices(overrides, values)
        return families.open(
            source, family=family, overrides=chosen, tokenizer=tokenizer
        ).checkpoint

    lines = list(require_lines(read_lines(text)))
    losses = detect_choices(opened, open_choices(opened, overrides.values), lines)
    if not quiet:
        rows = [
            (" ".join(f"{key}={value}" for key, value in values.items()), f"{loss:.4f}")
            for values, loss in losses
        ]
        print_table("masked-LM loss of each choice", ["choice", "nats"], rows, right=[1])
    return with_choices(overrides, losses[0][0])
