"""The commands export and quantize: a model as the file of another engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.cli.finetune import NO_COLUMNS, ColumnOptions
from albertkit.cli.options import Json, SourceOptions
from albertkit.cli.output import print_json, print_line, print_table
from albertkit.errors import quoted
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from albertkit.exporters import Export
    from albertkit.exporters._quantize import Quantized

NO_OPTIONS = SourceOptions()


def export(
    model: str,
    /,
    *,
    to: str,
    out: Path,
    task: str | None = None,
    precision: str = "fp32",
    calibrate: Path | None = None,
    length: int | None = None,
    tokenize: Path | None = None,
    options: SourceOptions = NO_OPTIONS,
    json: Json = False,
) -> None:
    """Write a model for another engine; what was written is run and compared before it is kept.

    Parameters
    ----------
    model
        Checkpoint of any family: a folder, a file, a prefix (model.ckpt-best), or a name.
    to
        For which engine: onnx, openvino, saved_model or litert.
    out
        Folder to make; it opens again with --model.
    task
        feature-extraction, fill-mask, pretraining, or that of its head; the head's, else fill-mask.
    precision
        fp32, fp16 (for GPUs), int8 (for CPUs), or int16x8 of litert: activations of 16 bits.
    calibrate
        Texts for int8 of openvino and litert and for int16x8, one a line, as the model reads them.
    length
        litert only: the model takes one row of so many tokens at a time, else any number of both.
    tokenize
        saved_model only: texts, one on each line; the graph takes texts, too, if its ids are ours.
    json
        One JSON object.
    """
    path = options.locate(model)
    overrides = options.overrides(path, quiet=json)
    with Bar(f"exporting {path.name}"):
        from albertkit.exporters import export as run

        done = run(
            path,
            to=to,
            out=out,
            task=task,
            precision=precision,
            calibrate=calibrate,
            length=length,
            tokenize=tokenize,
            tokenizer=options.tokenizer,
            overrides=overrides,
            family=options.family,
        )
    if json:
        print_json(_as_json(done))
    else:
        _show(done)


def quantize(
    model: str,
    /,
    *,
    check: Path,
    out: Path,
    to: str = "openvino",
    precision: str = "int8",
    calibrate: Path | None = None,
    length: int | None = None,
    columns: ColumnOptions = NO_COLUMNS,
    options: SourceOptions = NO_OPTIONS,
    json: Json = False,
) -> None:
    """Write a fine-tuned model in int8, and show what that costs on labelled examples.

    Parameters
    ----------
    model
        Fine-tuned checkpoint: a folder, a file, or a name.
    check
        Labelled examples that the model was not trained with, as for evaluate.
    out
        Folder to make; it opens with --model, and with --engine auto if the metric was kept.
    to
        For which engine: onnx, openvino or litert.
    precision
        int8, or int16x8 of litert: activations of 16 bits, weights of 8.
    calibrate
        Texts for int8 of openvino and litert and for int16x8, one on each line, like those that
        the model will read; litert then computes with integers.
    length
        litert only: the model takes one row of so many tokens at a time, else any number of both.
    json
        One JSON object.
    """
    path = options.locate(model)
    overrides = options.overrides(path, quiet=json)
    with Bar(f"quantizing {path.name}"):
        from albertkit.exporters._quantize import quantize as run

        done = run(
            path,
            check=check,
            out=out,
            to=to,
            precision=precision,
            calibrate=calibrate,
            length=length,
            tokenizer=options.tokenizer,
            overrides=overrides,
            family=options.family,
            **asdict(columns),
        )
    if json:
        checked = done.checked
        costs = {**asdict(checked), "speed": checked.speed, "keeps": checked.keeps}
        print_json({**_as_json(done.export), **costs})
    else:
        _show_costs(done)


def _show_costs(done: Quantized) -> None:
    from albertkit.infer.checked import CLEAR, MAX_LOSS
    from albertkit.tasks.figures import TITLES

    found = done.checked
    rows = [
        ("to", f"{done.export.folder}", ""),
        (TITLES[found.metric], f"{found.before:.4f}", f"{found.after:.4f}"),
        ("size", format_bytes(found.bytes_before), format_bytes(found.bytes)),
        ("seconds in the network", f"{found.seconds_before:.2f}", f"{found.seconds:.2f}"),
    ]
    if found.agreement is not None:
        rows.append(("labels that are the same", "", f"{found.agreement:.2%}"))
    if found.clear_agreement is not None:
        title = f"of those more than {CLEAR:g} ahead"
        rows.append((title, f"{found.clear_count:,}", f"{found.clear_agreement:.2%}"))
    title = f"{found.count:,} of {found.data}"
    print_table(title, ["", "PyTorch, fp32", done.export.precision], rows, right=[1, 2])
    if found.keeps:
        print_line(f"next: --model {quoted(done.export.folder)} in every command that answers")
    else:
        print_line(
            f"note: it lost more than {100 * MAX_LOSS:g} points of {TITLES[found.metric]}; "
            "--engine auto does not take it",
        )


def _as_json(done: Export) -> dict[str, Any]:
    compared = done.compared
    return {
        "folder": str(done.folder),
        "task": done.task,
        "precision": done.precision,
        "bytes": done.bytes,
        "difference": dict(compared.difference),
        "cosine": compared.cosine,
        "milliseconds": compared.milliseconds,
        "torch_milliseconds": compared.torch_milliseconds,
    }


def _show(done: Export) -> None:
    compared = done.compared
    rows = [
        ("to", f"{done.folder}"),
        ("task", done.task),
        ("size", f"{format_bytes(done.bytes)}, {done.precision}"),
        *(
            (f"largest difference, {name}", f"{value:.1e}")
            for name, value in compared.difference.items()
        ),
        ("smallest cosine", f"{compared.cosine:.6f}"),
        ("one batch", f"{compared.milliseconds:.1f} ms"),
        ("PyTorch, fp32", f"{compared.torch_milliseconds:.1f} ms"),
    ]
    print_table("", ["", ""], rows)
    print_line(f"next: --model {quoted(done.folder)} in every command that answers")
