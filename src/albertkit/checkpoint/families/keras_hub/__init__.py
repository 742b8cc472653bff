"""KerasHub's ALBERT: preset folders (config.json, model.weights.h5, task.json), `*.weights.h5`.

The names inside are Keras' structural ones, counted by class (keras_hub/src/models/albert/). The
head count is part of the kernels' shapes, and there is no sentence-order head.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._express import with_layer_groups, with_projection
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families.keras_hub import config as keras_config
from albertkit.checkpoint.formats import hdf5
from albertkit.checkpoint.formats.dtypes import as_float32
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.mapping import (
    SAME,
    TRANSPOSED,
    LoadReport,
    Rule,
    Transform,
    dense,
    expand,
    export_tensors,
    import_tensors,
    missing_heads,
    norm,
)
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError
from albertkit.files import glimpse_json
from albertkit.tasks.head import TaskHead

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "keras-team/keras-hub, Keras 3"
WRITES = True

CONFIG, TASK, METADATA, TOKENIZER = "config.json", "task.json", "metadata.json", "tokenizer.json"
BODY_WEIGHTS, TASK_WEIGHTS = "model.weights.h5", "task.weights.h5"
INNER = "layers/albert_backbone/"  # before the names of the body in the weights of a whole task
VOCABULARY = "assets/tokenizer/vocabulary.spm"


def _of_heads(*axes: str) -> Transform:
    """Between an array [axes] of KerasHub, heads apart, and ours with the heads in one axis."""

    def shape(config: AlbertConfig) -> tuple[int, ...]:
        sizes = {"H": config.hidden_size, "heads": config.num_attention_heads}
        return tuple(sizes.get(axis, config.head_width) for axis in axes)

    def join(tensor: Array, config: AlbertConfig) -> Array:
        if tensor.shape != shape(config):
            raise CheckpointError(
                "The attention heads in the weights are not those of the config.",
                expected=f"shape {shape(config)} for {config.num_attention_heads} heads",
                found=f"shape {tuple(tensor.shape)}",
                fix="use the config that belongs to the weights",
            )
        return tensor.reshape((config.hidden_size,) * (len(axes) - 1)).T

    return Transform("heads joined, transposed", join, lambda x, c: x.T.reshape(shape(c)))


HEADS_OUT = _of_heads("H", "heads", "D")  # query, key, value
HEADS_IN = _of_heads("heads", "D", "H")  # output
HEADS_BIAS = _of_heads("heads", "D")

_ATTENTION = "albert.encoder.attention.{g}.{i}"
_FEED_FORWARD = "albert.encoder.feed_forward.{g}.{i}"
_BLOCK = "layers/transformer_encoder.{g}.{i}/"  # the two numbers become one
_DENSE, _NORM = ("0", "1", TRANSPOSED), ("0", "1")
BODY_RULES = [
    Rule("albert.embeddings.word.weight", "layers/reversible_embedding/vars/0"),
    Rule("albert.embeddings.position.weight", "layers/position_embedding/vars/0"),
    Rule("albert.embeddings.segment.weight", "layers/embedding/vars/0"),
    *norm("albert.embeddings.norm", "layers/layer_normalization/vars/", *_NORM),
    *dense("albert.embeddings.projection", "layers/dense/vars/", *_DENSE),
    *[
        Rule(f"{_ATTENTION}.{part}.{kind}", f"{_BLOCK}_self_attention_layer/{place}", change)
        for part in ("query", "key", "value", "output")
        for kind, place, change in (
            ("weight", f"{part}_dense/vars/0", HEADS_IN if part == "output" else HEADS_OUT),
            ("bias", f"{part}_dense/vars/1", SAME if part == "output" else HEADS_BIAS),
        )
    ],
    *norm(f"{_ATTENTION}.norm", f"{_BLOCK}_self_attention_layer_norm/vars/", *_NORM),
    *dense(f"{_FEED_FORWARD}.up", f"{_BLOCK}_feedforward_intermediate_dense/vars/", *_DENSE),
    *dense(f"{_FEED_FORWARD}.down", f"{_BLOCK}_feedforward_output_dense/vars/", *_DENSE),
    *norm(f"{_FEED_FORWARD}.norm", f"{_BLOCK}_feedforward_layer_norm/vars/", *_NORM),
    *dense("albert.pooler", "layers/dense_1/vars/", *_DENSE),
]
HEAD_RULES = [
    *dense("masked_lm.transform", "layers/masked_lm_head/_intermediate_dense/vars/", *_DENSE),
    *norm("masked_lm.norm", "layers/masked_lm_head/_intermediate_layer_norm/vars/", *_NORM),
    Rule("masked_lm.bias", "layers/masked_lm_head/vars/0"),
    *dense("classifier", "layers/dense/vars/", *_DENSE),
]


def detect(path: Path) -> Path | None:
    """A preset folder (also by one of its files), or a weights file of an ALBERT."""
    names = (CONFIG, TASK, BODY_WEIGHTS, TASK_WEIGHTS)
    folder = path.parent if path.name in names and not path.is_dir() else path
    if folder.is_dir():
        return folder if _is_preset(folder) else _only_weights(folder, path)
    return path if _is_weights(path) else None


def _is_preset(folder: Path) -> bool:
    """Whether config.json is that of an AlbertBackbone."""
    values = glimpse_json(folder / CONFIG)
    return keras_config.class_name(values) == keras_config.BODY_CLASS


def _only_weights(folder: Path, path: Path) -> Path | None:
    """The weights file that was named, or the only one of a folder."""
    if path.name == TASK_WEIGHTS and not _is_weights(path):
        path = folder / BODY_WEIGHTS  # the head alone: its body is beside it
    if path != folder:
        return path if _is_weights(path) else None
    there = [x for x in sorted(folder.glob("*.weights.h5")) if _is_weights(x)]
    return there[0] if len(there) == 1 else None


def _is_weights(path: Path) -> bool:
    """Whether a file holds an ALBERT of KerasHub, by the names in it; damaged ones count."""
    if path.suffix != ".h5" or not path.is_file() or not hdf5.is_hdf5(path):
        return False
    try:
        found = hdf5.read(path)
    except CheckpointError:
        return path.name.endswith(".weights.h5")
    return any(f"{body}layers/reversible_embedding/vars/0" in found for body in ("", INNER))


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a preset folder, or a weights file with the config beside it."""
    preset = found.is_dir()
    folder = found if preset else found.parent
    place = _beside.find_config(folder, [CONFIG], overrides)
    try:
        config, task = keras_config.read_configs(place, folder / TASK if preset else None)
    except ConfigError as error:
        raise error.at(place) from error
    if preset:
        files = {f"{name}/": folder / name for name in (BODY_WEIGHTS, TASK_WEIGHTS)}
        if task is None or not files[f"{TASK_WEIGHTS}/"].is_file():
            del files[f"{TASK_WEIGHTS}/"]
        body, outer = f"{BODY_WEIGHTS}/", f"{TASK_WEIGHTS}/"
    else:
        files, body, outer = {"": found}, "", ""
    stored = {p + name: x for p, file in files.items() for name, x in hdf5.read(file).items()}
    if any(name.startswith(body + INNER) for name in stored):
        body += INNER
    head = _read_head(task, stored, body, outer, overrides)
    config = _beside.with_values(config, overrides.values)
    rules = _plain(config, head, body, outer)
    wanted = {rule.theirs for rule in rules.values()}
    tensors, report = import_tensors(
        {name: _numbers(name, x) if name in wanted else x.array for name, x in stored.items()},
        rules,
        config,
        ignore=lambda name: "state of the optimizer" if "optimizer/vars/" in name else None,
    )
    _drop_empty_pooler(tensors, report, head)
    vocabulary = folder / VOCABULARY
    return LoadResult(
        config=config,
        tensors=tensors,
        report=report,
        head=head,
        provenance=_provenance(place, task, overrides),
        tokenizer=vocabulary if preset and vocabulary.is_file() else None,
        source_tensors={name: (x.dtype, tuple(x.array.shape)) for name, x in stored.items()},
        slots=_slots(stored),
        problems=_problems(stored, wanted),
        files=[place, *([folder / TASK] if task is not None else []), *files.values()],
    )


def _read_head(
    task: keras_config.Task | None,
    stored: Mapping[str, hdf5.Dataset],
    body: str,
    outer: str,
    overrides: Overrides,
) -> TaskHead | None:
    """The head that task.json describes, or the one in the weights of a whole classifier."""
    kernel = stored.get(f"{outer}layers/dense/vars/0") if outer != body else None
    if task is not None:
        return task.head(overrides.head)
    if kernel is None or kernel.array.ndim != 2:
        return None
    return TaskHead(overrides.head or "classification", kernel.array.shape[1])


def _provenance(
    place: Path, task: keras_config.Task | None, overrides: Overrides
) -> dict[str, str]:
    origins = dict.fromkeys(keras_config.KEYS.values(), place.name)
    origins["attention_probs_dropout_prob"] = place.name
    if task is not None and task.head() is not None:
        origins["classifier_dropout_prob"] = TASK
    fixed = ("hidden_act", "layer_norm_eps", "head_layer_norm_eps", "project_equal_width")
    origins |= dict.fromkeys(fixed, "KerasHub has no other")
    origins |= dict.fromkeys(overrides.values, "given")
    return {f.name: origins.get(f.name, "default") for f in fields(AlbertConfig)}


def _plain(config: AlbertConfig, head: TaskHead | None, body: str, outer: str) -> dict[str, Rule]:
    """Rules by our names, with the prefixes of the body's and the task's names."""
    plain = {}
    for prefix, table in ((body, BODY_RULES), (outer, HEAD_RULES)):
        for ours, rule in expand(table, config, head, renumber=True).items():
            name = re.sub(
                r"(?<=transformer_encoder)\.(\d+)\.(\d+)",
                lambda m: _count(int(m[1]) * config.inner_group_num + int(m[2])),
                rule.theirs,
            )
            plain[ours] = replace(rule, theirs=prefix + name)
    return plain


def _count(number: int) -> str:
    """How Keras tells objects of one class apart: nothing for the first, then _1, _2, ..."""
    return f"_{number}" if number else ""


def _numbers(name: str, dataset: hdf5.Dataset) -> Array:
    kinds = ("float32", "float16", "bfloat16", "float64")
    if dataset.dtype not in kinds:
        raise CheckpointError(
            "A weight is not a floating-point number; perhaps the model was quantized.",
            expected=", ".join(kinds),
            found=f"{name}: {dataset.dtype}",
            fix="save the model before it is quantized",
        )
    return as_float32(dataset.array, dataset.dtype)


def _drop_empty_pooler(
    tensors: dict[str, Array], report: LoadReport, head: TaskHead | None
) -> None:
    """A pooler of zeros stands for none: this format cannot leave it out."""
    names = ("albert.pooler.weight", "albert.pooler.bias")
    if head is not None or any(name not in tensors or tensors[name].any() for name in names):
        return
    for theirs, (ours, _) in list(report.loaded.items()):
        if ours in names:
            del report.loaded[theirs], tensors[ours]
            report.ignored[theirs] = "all zero: in place of a pooler that the model does not have"
    report.missing = missing_heads(tensors)


def _slots(stored: Mapping[str, hdf5.Dataset]) -> dict[str, int]:
    count = sum("optimizer/vars/" in name for name in stored)
    return {"optimizer": count} if count else {}


def _problems(stored: Mapping[str, hdf5.Dataset], wanted: set[str]) -> list[str]:
    double = sum(stored[name].dtype == "float64" for name in stored if name in wanted)
    return [f"{double} tensors in float64 are rounded to float32"] if double else []


def express(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The equal model that KerasHub has: it always projects, and its groups are of equal size."""
    checkpoint, notes = with_projection(checkpoint, bias=True)
    checkpoint, more = with_layer_groups(checkpoint, keras_config.deals_evenly)
    return checkpoint, notes + more


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """Sentence-order head, other tasks than classes, names of classes, one of two tasks."""
    keras_config.refuse_other_models(checkpoint.config)
    head = checkpoint.head
    kept = _kept_head(checkpoint)
    lost: list[Loss] = []

    def lose(keys: tuple[str, ...], sentence: str) -> None:
        lost.append(Loss(keys, sentence))

    if checkpoint.has_sentence_order:
        lose(("sentence_order",), "the sentence-order head: KerasHub has none")
    if head is not None and kept is None:
        what = f"the head for {head.kind}: KerasHub's ALBERT has classes and masked words"
        lose(("head",), what)
    if kept is not None and checkpoint.has_masked_lm:
        what = "the masked-LM head: a preset has one task, and here it is the classifier"
        lose(("masked_lm",), what)
    if kept is not None and kept.kind == "regression":
        what = "that the output is a number and not the only class: KerasHub does not say it"
        lose(("problem_type",), what)
    if kept is not None and kept.labels:
        lose(("labels",), "the names of the classes: KerasHub keeps their number only")
    eps = checkpoint.config.head_layer_norm_eps
    if kept is None and checkpoint.has_masked_lm and eps != keras_config.HEAD_EPS:
        theirs = keras_config.HEAD_EPS
        what = f"head_layer_norm_eps {eps}: KerasHub's masked-LM head has {theirs}"
        lose(("head_layer_norm_eps",), what)
    if not checkpoint.has_pooler:
        lose((), "that there is no pooler: KerasHub always has one, here of zeros")
    if checkpoint.tokenizer is not None and checkpoint.tokenizer.kind != "sentencepiece":
        what = "the WordPiece vocabulary: KerasHub's ALBERT reads SentencePiece models only"
        lose(("tokenizer",), what)
    elif checkpoint.tokenizer is not None:
        for what in checkpoint.tokenizer.lost_without_settings():
            lose(("tokenizer",), what)
    return lost


def _kept_head(checkpoint: Checkpoint) -> TaskHead | None:
    """The head of the task if KerasHub has such a one."""
    head = checkpoint.head
    fits = head is not None and head.traits.task == "classify" and head.pooling == "first"
    return head if fits else None


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write a preset folder that KerasHub's from_preset opens."""
    config, head = checkpoint.config, _kept_head(checkpoint)
    keras_config.refuse_other_models(config)
    rules = _plain(config, head, f"{BODY_WEIGHTS}/", f"{TASK_WEIGHTS}/")
    left = ("masked_lm.",) if head is not None else ("classifier.",)
    tensors = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if name in rules and not name.startswith(left)
    }
    if not checkpoint.has_pooler:
        wide = config.hidden_size
        tensors["albert.pooler.weight"] = np.zeros((wide, wide), np.float32)
        tensors["albert.pooler.bias"] = np.zeros(wide, np.float32)
    theirs = export_tensors(tensors, rules, config)
    task = head is not None or checkpoint.has_masked_lm
    texts = {CONFIG: keras_config.write_body(config, dtype)}
    count = sum(x.size for name, x in theirs.items() if name.startswith(BODY_WEIGHTS))
    texts[METADATA] = keras_config.write_metadata(count)
    if task:
        texts[TASK] = keras_config.write_task(config, head, dtype)
    tokenizer = checkpoint.tokenizer
    vocabulary = None if tokenizer is None else tokenizer.plain_vocabulary()
    if vocabulary is not None and vocabulary[0] == "spiece.model":
        texts[TOKENIZER] = keras_config.write_tokenizer()
        (folder / VOCABULARY).parent.mkdir(parents=True)
        (folder / VOCABULARY).write_bytes(vocabulary[1])
    for name, values in texts.items():
        (folder / name).write_text(json.dumps(values, indent=4), encoding="utf-8")
    for name in (BODY_WEIGHTS, *([TASK_WEIGHTS] if task else [])):
        inside = {
            place.removeprefix(f"{name}/"): tensor
            for place, tensor in theirs.items()
            if place.startswith(f"{name}/")
        }
        hdf5.write(folder / name, inside, dtype)
