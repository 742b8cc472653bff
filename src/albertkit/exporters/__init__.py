"""Write a model as the file of another engine: `export("model", to="onnx", out="model-onnx")`.

A file of this folder is an exporter (`_protocol.py` says what it has); names that begin with `_`
are no exporters.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from albertkit import __version__, plugins
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._folder import write_config_file
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.errors import PredictionError
from albertkit.exporters._example import inputs_of_example
from albertkit.exporters._length import shortened
from albertkit.files import atomic_folder, sha256_of
from albertkit.graph.tasks import choose_task, file_names
from albertkit.infer.engine import Engine
from albertkit.infer.engines import open_exported
from albertkit.infer.engines._protocol import EngineSettings
from albertkit.infer.exported import Manifest
from albertkit.infer.trial import MAX_DIFFERENCE, MIN_COSINE, Compared, compare, is_near


@dataclass(frozen=True)
class Export:
    """What was written: where, for which task, how it compares with PyTorch.

    bytes: of the model; bytes_before: of its numbers in float32.
    """

    folder: Path
    task: str
    precision: str
    bytes: int
    bytes_before: int
    seconds: float
    compared: Compared


def exporter_names() -> list[str]:
    """Names of the exporters ("onnx", ...)."""
    return plugins.names("exporters")


def export(
    model: str | Path,
    *,
    to: str,
    out: str | Path,
    task: str | None = None,
    precision: str = "fp32",
    calibrate: str | Path | None = None,
    length: int | None = None,
    tokenize: str | Path | None = None,
    tokenizer: str | Path | None = None,
    overrides: Overrides | None = None,
    family: str | None = None,
    offline: bool | None = None,
) -> Export:
    """Write a model for another engine; what was written is run before it is kept.

    Args:
        model: checkpoint of any family, or a name.
        to: onnx, openvino, saved_model or litert.
        out: folder to make; must be free.
        task: feature-extraction, fill-mask, pretraining, or that of its head; the head's, else
            fill-mask, if left out.
        precision: fp32, fp16, int8, or int16x8 of litert (activations of 16 bits, weights of 8).
        calibrate: a file of texts for int8 of openvino and litert and for int16x8. Left out,
            openvino takes texts of ours, int8 of litert quantizes activations while it runs.
        length: litert only: the model takes one row of so many tokens at a time; any number of
            both if left out.
        tokenize: saved_model only: a file of texts, one on each line. The tokenizer becomes part of
            the graph, with a signature `texts`, if it gives our ids for these and for texts of ours
            that are hard to get right; else nothing is written.
        tokenizer, overrides, family, offline: see `open_checkpoint`.

    Raises:
        CheckpointError, ConfigError, VocabularyError: see `open_checkpoint`.
        PredictionError: the exporter cannot hold this model, or what it wrote gives other numbers.
        OutputError: the place is taken or cannot be written.
        AlbertkitError: no exporter of this name, or a package that it needs is not installed.
    """
    opened = open_checkpoint(
        model, family=family, tokenizer=tokenizer, overrides=overrides, offline=offline
    )
    exporter = _exporter(to, precision, calibrate is not None)
    packages = exporter.PACKAGES
    if tokenize is not None:
        packages += (_tokenizer_package(exporter, to),)
    checkpoint, started = opened.checkpoint, time.monotonic()
    if length is not None:
        checkpoint = shortened(checkpoint, length, to, exporter.FIXES_LENGTH)
    task = choose_task(checkpoint, task)
    with atomic_folder(Path(out)) as folder:
        exporter.write(checkpoint, folder, task, precision, calibrate, length, tokenize)
        size = sum(path.stat().st_size for path in _files(folder))
        inputs = inputs_of_example(checkpoint, task, length)
        _write_beside(checkpoint, folder, exporter.EXAMPLE.replace("{inputs}", inputs))
        engine = exporter.ENGINE
        compared = _run_it(engine, packages, checkpoint, folder, task, precision, str(model))
    seconds = time.monotonic() - started
    before = sum(4 * tensor.size for tensor in checkpoint.tensors.values())
    return Export(Path(out), task, precision, size, before, seconds, compared)


def _exporter(name: str, precision: str, calibrates: bool) -> ModuleType:
    known = exporter_names()
    if name not in known:
        raise PredictionError(
            f"to must be one of {', '.join(known)}.",
            found=name,
            fix=f"pass to={known[0]!r}",
            command_fix=f"give --to {known[0]}",
        )
    exporter = plugins.load("exporters", name)
    if precision not in exporter.PRECISIONS:
        raise PredictionError(
            f"precision of the exporter {name} must be one of {', '.join(exporter.PRECISIONS)}.",
            found=precision,
            fix=f"choose one of these, or another exporter than {name}",
            command_fix=f"choose one of these, or another --to than {name}",
        )
    if calibrates and precision not in exporter.CALIBRATED:
        raise PredictionError(
            "calibrate is for int8 of openvino and litert, and for int16x8 of litert.",
            expected="one of these, or no texts to calibrate with",
            found=f"{name}, {precision}",
            fix="leave calibrate out",
            command_fix="leave --calibrate out",
        )
    return exporter


def _tokenizer_package(exporter: ModuleType, name: str) -> str:
    """What a tokenizer inside the file needs."""
    package: str | None = exporter.TOKENIZER_PACKAGE
    if package is None:
        raise PredictionError(
            "Only a SavedModel can hold the tokenizer.",
            expected="to='saved_model', or no texts for a tokenizer",
            found=name,
            fix="leave tokenize out, and give the model ids of albertkit's Tokenizer",
            command_fix="leave --tokenize out, and give the model ids of albertkit's Tokenizer",
        )
    return package


def _files(folder: Path) -> list[Path]:
    """Every file of a folder and of those in it."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_beside(checkpoint: Checkpoint, folder: Path, example: str) -> None:
    """What a folder has besides the model: config, and tokenizer and program where there is one."""
    write_config_file(checkpoint, folder)
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.save(folder)
        (folder / "example.py").write_text(example, encoding="utf-8")


def _run_it(
    engine_name: str,
    packages: Iterable[str],
    checkpoint: Checkpoint,
    folder: Path,
    task: str,
    precision: str,
    source: str,
) -> Compared:
    """Write the manifest, open the folder as its users will, and compare it with PyTorch."""
    manifest = Manifest(
        engine=engine_name,
        precision=precision,
        task=task,
        outputs=file_names(checkpoint, task),
        config=checkpoint.config,
        head=checkpoint.head,
        files={path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)},
        versions={
            "albertkit": __version__,
            # Of the module: one package may come from several (tensorflow_cpu).
            **{name: import_module(name).__version__ for name in packages},
        },
        source=source,
    )
    manifest.save(folder)
    engine: Engine = open_exported(engine_name, folder, EngineSettings())
    compared = compare(checkpoint, engine)
    refuse_far(compared, precision)
    return compared


def refuse_far(found: Compared, precision: str) -> None:
    """Refuse an engine that computes something else.

    Raises:
        PredictionError: it is further from PyTorch than its precision explains.
    """
    if not is_near(found, precision):
        worst = max(found.difference.values())
        raise PredictionError(
            "What was exported does not compute the same as the model, so it was not kept.",
            expected=f"differences up to {MAX_DIFFERENCE[precision]}, cosines from "
            f"{MIN_COSINE[precision]} for {precision}",
            found=f"difference {worst:.2g}, cosine {found.cosine:.6f}",
            fix="export it with precision='fp32'",
            command_fix="export it with --precision fp32",
        )
