"""Commands about one model or checkpoint: info, inspect and convert."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from albertkit.cli.options import Flag, Json, SourceOptions
from albertkit.cli.output import Output, print_json, print_line, print_table
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from albertkit.conversion import Conversion

NO_OPTIONS = SourceOptions()
Dtype = Literal["float32", "float16", "bfloat16"]


def info(source: str, /, *, options: SourceOptions = NO_OPTIONS, json: Json = False) -> None:
    """Show what a model is: config, exact parameters, memory to run and to train.

    Parameters
    ----------
    source
        A size (albert-base-v2, albert-chinese-tiny, ...), a checkpoint of any family, or a
        config file.
    json
        One JSON object with every figure.
    """
    from albertkit.cli.facts import describe

    facts = describe(source, options)
    if json:
        print_json(facts)
        return
    print_table(f"{facts['name']}: config", ["key", "value"], facts["config"].items())
    counts = [(name, f"{count:,}") for name, count in facts["parameters"].items()]
    print_table("exact parameters", ["counted", "parameters"], counts, right=[1])
    memory = [
        (m["for"], m["batch"], m["tokens"], format_bytes(m["weights"]), format_bytes(m["total"]))
        for m in facts["memory"]
    ]
    columns = ["to", "batch", "tokens", "weights", "total memory"]
    print_table("memory in float32", columns, memory, right=[1, 2, 3, 4])
    for reason in facts["not_for_transformers"]:
        print_line(f"transformers cannot run it: {reason}")


def inspect(
    path: str,
    /,
    *,
    source: SourceOptions = NO_OPTIONS,
    tensors: Flag = False,
    json: Json = False,
) -> None:
    """Show what is in a checkpoint: whose it is, its config and where each value came from.

    Parameters
    ----------
    path
        Checkpoint of any family: a folder, a weights file, a prefix (model.ckpt-best), or a name.
    tensors
        Also list every tensor.
    json
        One JSON object.
    """
    from albertkit.cli.facts import describe_checkpoint

    facts = describe_checkpoint(source.open(path, quiet=json))
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
        ("missing", ", ".join(facts["missing"]) or "nothing"),
        ("task", "none" if head is None else f"{head['kind']}, {head['num_labels']} outputs"),
        ("optimizer slots", slots or "none"),
        ("tokenizer", "none" if facts["tokenizer"] is None else _tokenizer(facts["tokenizer"])),
        ("transformers", "; ".join(facts["not_for_transformers"]) or "can run it"),
    ]
    rows[-1] = ("transformers", ("cannot: " if facts["not_for_transformers"] else "") + rows[-1][1])
    print_table("", ["", ""], rows)
    for problem in facts["problems"]:
        Output(highlight=False).print(Text.assemble(("problem: ", "bold yellow"), problem))


def _tokenizer(facts: dict[str, Any]) -> str:
    return f"{facts['pieces']:,} pieces, {Path(facts['file']).name}"


def _show_config(facts: dict[str, Any]) -> None:
    config, origin = facts["config"], facts["provenance"]
    rows = [(key, value, origin.get(key, "")) for key, value in sorted(config.items())]
    print_table("config", ["key", "value", "from"], rows)


def convert(
    source: str,
    target: Path,
    /,
    *,
    to: str,
    options: SourceOptions = NO_OPTIONS,
    dtype: Dtype = "float32",
    allow_loss: Flag = False,
    check_forward: Flag = False,
    json: Json = False,
) -> None:
    """Write a checkpoint of any family as one of another, and prove that nothing changed.

    Parameters
    ----------
    source
        Checkpoint of any family: a folder, a file, a prefix (model.ckpt-best), or a name.
    target
        Folder to make.
    to
        Family to write: huggingface, albertkit, google_tf, ...; a wrong name lists all of them.
    dtype
        float32, float16 or bfloat16.
    allow_loss
        Write although the target cannot hold everything; what is lost is printed.
    check_forward
        Also run a fixed batch through source and target.
    json
        One JSON object: the whole report.
    """
    path = options.locate(source)
    overrides = options.overrides(path, quiet=json)
    with Bar(f"opening {path.name}", format=format_bytes) as bar:
        from albertkit.conversion import convert as run

        done = run(
            path,
            target,
            to,
            overrides=overrides,
            family=options.family,
            tokenizer=options.tokenizer,
            dtype=dtype,
            allow_loss=allow_loss,
            check_forward=check_forward,
            progress=bar.report,
        )
    if json:
        print_json(done.to_json())
    else:
        _show_conversion(done)


def _show_conversion(done: Conversion) -> None:
    result, console = done.source.result, Output(highlight=False)
    changes = Counter(how for _, how in result.report.loaded.values())
    loaded = ", ".join(f"{count} {how}" for how, count in changes.items())
    rows = [
        ("from", f"{done.source.family}  {done.source.path}"),
        ("to", f"{done.to}  {done.folder}"),
        ("tensors loaded", f"{len(result.report.loaded)} ({loaded})"),
        ("tensors ignored", len(result.report.ignored)),
        ("heads missing", ", ".join(result.report.missing) or "none"),
        ("read back, equal bit by bit", f"{len(done.kept)} tensors in {done.dtype}"),
        ("lost", len(done.lost)),
        ("written", f"{format_bytes(done.bytes_written)} in {done.seconds:.2f} s"),
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
            console.print(Text.assemble((f"{kind}: ", "bold yellow"), str(line)))
