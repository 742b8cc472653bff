"""The command export: a model as the file of another engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.cli.options import Json, SourceOptions
from albertkit.cli.output import print_json, print_line, print_table
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from albertkit.exporters import Export

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
    options: SourceOptions = NO_OPTIONS,
    json: Json = False,
) -> None:
    """Write a model for another engine; what was written is run and compared before it is kept.

    Parameters
    ----------
    model
        Checkpoint of any family: a folder, a file, a prefix (model.ckpt-best), or a name.
    to
        For which engine: onnx or openvino.
    out
        Folder to make; it opens again with --model.
    task
        What the file is for: feature-extraction, fill-mask, pretraining, or the task of its head;
        the head's, else fill-mask, if left out.
    precision
        fp32, fp16 or int8: int8 is smaller and faster on CPUs, fp16 is for GPUs.
    calibrate
        Texts for openvino's int8, one on each line, like those that the model will read.
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
            tokenizer=options.tokenizer,
            overrides=overrides,
            family=options.family,
        )
    if json:
        print_json(_as_json(done))
    else:
        _show(done)


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
    print_line(f"next: --model {done.folder} in every command that answers")
