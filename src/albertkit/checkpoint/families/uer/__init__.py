"""UER-py and TencentPretrain: model.bin with a config.json of their own keys.

Names and config: names.py. The normalisation is UER's own and stays so
(`layer_norm_kind` uer); fold.py turns it into the standard one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._config_keys import UER_KEYS, notes_on
from albertkit.checkpoint.families._express import with_projection
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families.uer import names as uer_names
from albertkit.checkpoint.families.uer.fold import fold
from albertkit.checkpoint.formats import torch_save
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.sharded import names_in
from albertkit.checkpoint.mapping import expand, export_tensors, import_tensors
from albertkit.errors import CheckpointError, ConfigError, shown
from albertkit.tasks.head import TaskHead

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "dbiir/UER-py and Tencent/TencentPretrain"
WRITES = True
WEIGHTS = "model.bin"
CONFIG = "config.json"


def detect(path: Path) -> Path | None:
    """A file of torch with UER's names, or a folder with one."""
    if path.is_file():
        return path if _is_mine(path) else None
    if not path.is_dir():
        return None
    # UER adds the number of steps behind the suffix: model.bin-250000.
    there = [x for x in sorted(path.glob("*.bin*")) if x.is_file() and _is_mine(x)]
    usual = [x for x in there if x.name == WEIGHTS]
    chosen = usual or there
    return chosen[0] if len(chosen) == 1 else None


def _is_mine(path: Path) -> bool:
    if ".bin" not in path.name and path.suffix not in (".pt", ".pth"):
        return False
    return uer_names.WORDS in {uer_names.today(name) for name in names_in(path) or []}


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a file of weights and the config beside it."""
    file = _beside.find_config(found.parent, [CONFIG], overrides)
    values = _beside.read_values(file)
    weights = torch_save.read_weights(found)
    source = {uer_names.today(name): tensor for name, tensor in weights.tensors.items()}
    names = {uer_names.today(name): name for name in weights.tensors}
    if len(names) != len(weights.tensors):
        raise CheckpointError(
            "The file holds tensors under old and new names.",
            expected="each tensor once",
            found=f"{len(weights.tensors) - len(names)} twice",
            fix="save the weights again with one of the two names of each tensor",
        )
    _check_albert(source)
    given = dict(overrides.values)
    pooling = given.pop("pooling", values.get("pooling", "first"))
    tied = given.pop("tied_decoder", None)
    try:
        config = uer_names.read_config(
            values,
            vocab_size=len(source[uer_names.WORDS]),
            segments=len(source["embedding.seg.embedding.weight"]),
            final_norm=uer_names.FINAL_NORM in source,
            tied=_is_tied(source) if tied is None else tied,
        )
        head = _head(source, values, overrides.head, pooling)
        _beside.check_head(head, overrides.head)
    except ConfigError as error:
        raise error.at(file) from error
    config = _beside.with_values(config, given)
    plain = expand(uer_names.rules(head), config, head)
    tensors, report = import_tensors(source, plain, config, ignore=_ignored(source, head))
    report.loaded = {names[theirs]: use for theirs, use in report.loaded.items()}
    report.ignored = {names[theirs]: why for theirs, why in report.ignored.items()}
    problems = weights.problems + notes_on(values)
    decided = {
        "vocab_size": "shape of the word table",
        "type_vocab_size": "shape of the segment table",
        "tied_decoder": "decoder and word table",
        "layer_norm_kind": "UER-py",
    }
    if uer_names.FINAL_NORM in source:
        decided |= dict.fromkeys(("norm_order", "final_norm"), "tensor names")
    keys = {**UER_KEYS, "dropout": "hidden_dropout_prob", "layernorm_positioning": "norm_order"}
    return LoadResult(
        config=config,
        tensors=tensors,
        report=report,
        head=head,
        provenance=_beside.provenance(
            config, {key: keys.get(key, "") for key in values}, file, overrides, decided
        ),
        tokenizer=_beside.find_tokenizer(found.parent, problems),
        source_tensors=weights.kinds,
        problems=problems,
        files=[file, found],
    )


def _check_albert(source: Mapping[str, Array]) -> None:
    """Refuse other models of UER, and other kinds of tables."""
    needed = [uer_names.WORDS, "embedding.seg.embedding.weight", "encoder.linear.weight"]
    missing = [name for name in needed if name not in source or source[name].ndim != 2]
    if missing:
        raise CheckpointError(
            "This model of UER-py is not an ALBERT.",
            expected=", ".join(needed),
            found="no table " + ", ".join(missing),
            fix="check that the file is the right one",
        )


def _is_tied(source: Mapping[str, Array]) -> bool:
    """Whether the masked-LM decoder is the word table, or is not there."""
    decoder = source.get(uer_names.DECODER)
    return decoder is None or np.array_equal(decoder, source[uer_names.WORDS], equal_nan=True)


def _ignored(source: Mapping[str, Array], head: TaskHead | None) -> Callable[[str], str | None]:
    """The function that says why a tensor may be left out."""
    own_pooler = head is not None and head.kind in uer_names.CLASSIFIERS

    def why(name: str) -> str | None:
        if name == uer_names.DECODER:
            copy = _is_tied(source)
            return "a copy of the word table" if copy else "tied_decoder=true was chosen"
        if own_pooler and name.startswith("target.sp."):
            return "the classifier has a pooler of its own"
        return None

    return why


def _head(
    source: Mapping[str, Array], values: Mapping[str, Any], kind: str | None, pooling: object
) -> TaskHead | None:
    """The head of a task that the names show.

    Raises:
        ConfigError: its purpose is not known, or is another than was chosen.
    """
    pooled = "output_layer_2.weight" in source
    matrix = source.get("output_layer_2.weight" if pooled else "output_layer.weight")
    if matrix is None:
        return None
    if uer_names.HEAD_KEY in values:  # our own files say it, with the names of the classes
        head = TaskHead.from_json(values[uer_names.HEAD_KEY])
        if kind in (None, head.kind):
            return head
    count = len(matrix) if matrix.ndim else 0
    if pooled and kind is None:
        kind = "regression" if count == 1 else "classification"
    kinds = uer_names.CLASSIFIERS if pooled else uer_names.OVER_TOKENS
    if kind is None or kind not in kinds:
        raise ConfigError(
            "The files do not say what the output layer is for.",
            expected=", ".join(kinds),
            found="nothing" if kind is None else kind,
            fix=f"pass overrides=Overrides(head={kinds[0]!r}); the multiple choice of UER (C3) has "
            "no pooler and is not read",
            command_fix=f"add --head {kinds[0]}; the multiple choice of UER (C3) has no pooler and "
            "is not read",
        )
    poolings = {**uer_names.POOLINGS, **{x: x for x in uer_names.POOLINGS.values()}}
    if not isinstance(pooling, str) or pooling not in poolings:
        raise ConfigError(
            f"pooling must be one of {', '.join(uer_names.POOLINGS)}.",
            found=shown(pooling),
            fix="correct pooling in the config file",
        )
    return TaskHead(kind, count, pooling=poolings[pooling] if pooled else "first")


def express(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The equal model that UER-py has: it always projects, with a bias."""
    return with_projection(checkpoint, bias=True)


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """What UER's files cannot hold."""
    reasons = uer_names.reasons(checkpoint.config)
    if reasons:
        raise CheckpointError(
            "UER-py has no model that computes this.",
            expected="an ALBERT of UER's kind (layer_norm_kind=uer, 3 segments, all shared)",
            found="; ".join(reasons),
            fix="convert to huggingface or albertkit",
        )
    head, kept = checkpoint.head, _within(checkpoint)
    lost = []
    if head is not None and kept.head is None:
        what = f"the head of the task: UER-py has none for {head.kind}"
        lost.append(Loss(("head",), what))
    if checkpoint.has_sentence_order and not kept.has_sentence_order:
        what = "the sentence-order head: UER's classifier has a pooler of its own"
        lost.append(Loss(("sentence_order",), what))
    return lost


def _within(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without what `losses` names."""
    head, tensors = checkpoint.head, dict(checkpoint.tensors)
    if head is not None and head.kind not in (*uer_names.CLASSIFIERS, *uer_names.OVER_TOKENS):
        for name in head.shapes(checkpoint.config.hidden_size):
            del tensors[name]
        head = None
    if head is not None and head.kind in uer_names.CLASSIFIERS:
        tensors = {n: x for n, x in tensors.items() if not n.startswith("sentence_order.")}
    return replace(checkpoint, tensors=tensors, head=head)


def nearest(checkpoint: Checkpoint) -> tuple[Checkpoint, Loss] | None:
    """The standard normalisation in the place of UER's, for formats that have no other.

    The factor sqrt((n - 1) / n) goes into the scales; see fold.py.
    """
    if checkpoint.config.layer_norm_kind != "uer":
        return None
    what = (
        "UER's normalisation (deviation of n - 1, epsilon outside the root) becomes the standard "
        "one with scaled weights"
    )
    return fold(checkpoint), Loss(("layer_norm_kind",), what)


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write config.json and model.bin in today's names."""
    kept = _within(checkpoint)
    config, head = kept.config, kept.head
    named = export_tensors(kept.tensors, expand(uer_names.rules(head), config, head), config)
    if kept.has_masked_lm and config.tied_decoder:
        named[uer_names.DECODER] = named[uer_names.WORDS]
    text = json.dumps(uer_names.write_config(config, head), indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    torch_save.write_weights(folder / WEIGHTS, named, dtype)
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.save(folder)
