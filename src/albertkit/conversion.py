"""From one family's files to another's, through the one checkpoint in memory, with a report.

Nothing is taken on trust: what was written is read again and compared with the source, tensor by
tensor and bit by bit, before it gets its name.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, Opened, open_checkpoint
from albertkit.checkpoint.families._protocol import Family, Loss, Overrides
from albertkit.checkpoint.finite import count_not_finite, not_finite
from albertkit.checkpoint.formats.dtypes import as_float32, narrow
from albertkit.checkpoint.formats.memory_map import Array, chunk_slices, contiguous, drop_pages
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, listed
from albertkit.files import atomic_folder, flush_folder
from albertkit.progress import Progress, growth_of, size_of
from albertkit.tasks.kinds import PARTS

DTYPES = ("float32", "float16", "bfloat16")
MODEL_CARD = "README.md"
MAX_CARD = 1 << 20  # bytes
_COMPARING = 4  # threads; each holds two pieces of a tensor
_IN_CACHE = 1 << 20  # bytes of a piece that the second walk through it still finds in the cache
# Config keys that say how to train on, not what the model computes; some formats lack them.
TRAINING_KEYS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout_prob",
    "initializer_range",
)
# Beginnings of the tensors that go with a part of the model, by the key of its loss.
_PARTS = {
    "masked_lm": ("masked_lm.",),
    "sentence_order": ("sentence_order.",),
    "pooler": ("albert.pooler.",),
    "head": tuple(f"{part}." for part in PARTS),
}
# Keys that name the same groups of layers in several ways; `layer_plan` and shapes compare them.
GROUPING_KEYS = ("group_formula", "num_hidden_groups", "share")


@dataclass
class Conversion:
    """What a conversion did.

    lost: what the target cannot hold. kept: tensors found again bit by bit.
    notes: training settings that the target's config has no place for, and other remarks.
    differences: largest difference of each output, if the forward pass was compared.
    """

    source: Opened
    to: str
    folder: Path
    dtype: str
    kept: list[str] = field(default_factory=list)
    lost: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=dict)
    bytes_written: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """One JSON object with the whole report."""
        result = self.source.result
        return {
            "source": {
                "path": str(self.source.path),
                "family": self.source.family,
                "report": result.report.to_json(),
                "optimizer_slots": result.slots,
                "problems": result.problems,
            },
            "target": {"path": str(self.folder), "family": self.to, "dtype": self.dtype},
            "kept": self.kept,
            "lost": [loss.sentence for loss in self.lost],
            "notes": self.notes,
            "differences": self.differences,
            "bytes_written": self.bytes_written,
            "seconds": round(self.seconds, 3),
        }


def convert(
    source: Path | str | Opened,
    target: Path | str,
    to: str,
    *,
    overrides: Overrides | None = None,
    family: str | None = None,
    tokenizer: Path | str | None = None,
    dtype: str = "float32",
    allow_loss: bool = False,
    check_forward: bool = False,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write a checkpoint of any family as one of another.

    Args:
        source: path of any family or name of a model, or what `open_checkpoint` gave.
        target: folder to make; must be free.
        to: name of the family to write.
        overrides, family, tokenizer, offline: see `open_checkpoint`.
        dtype: float32, float16 or bfloat16; what is compared are the rounded numbers.
        allow_loss: write although the target cannot hold everything.
        check_forward: also run a fixed batch through source and target.
        progress: called with ("writing" or "comparing", bytes so far, bytes).

    Raises:
        CheckpointError: the target cannot be this model, or something would be lost and
            `allow_loss` is not given, or what was written does not read back the same.
        OutputError: the target is taken or cannot be written.
    """
    started = time.perf_counter()
    searched = isinstance(source, Opened)
    if not isinstance(source, Opened):
        # NaN and infinity are looked for when the numbers are compared: a pass over them less.
        read = partial(open_checkpoint, family=family, overrides=overrides, look_for_nan=False)
        source = read(source, tokenizer=tokenizer, offline=offline)
    if to == "albertkit" and not source.checkpoint.fits_huggingface:
        to = "huggingface"  # our folder is transformers' layout wherever that can hold the model
    result = Conversion(source, to, Path(target), dtype)
    writer = _writer(to, dtype)
    checkpoint = _expressed(source.checkpoint, writer, result)
    if result.lost and not allow_loss:
        raise _lossy(result)
    with atomic_folder(Path(target)) as temporary:
        numbers = sum(tensor.size for tensor in checkpoint.tensors.values())
        with growth_of(temporary, numbers * (4 if dtype == "float32" else 2), progress):
            writer.write(checkpoint, temporary, dtype)
        again, counted = _read_again(temporary, checkpoint, result, progress)
        if not searched:
            source.result.problems += not_finite(source.result.tensors, counted)
        if check_forward:
            from albertkit.infer.compare import check_forward as run_both

            result.differences = run_both(source.checkpoint, again.checkpoint)
        _copy_card(source.path, temporary, result)
        result.bytes_written = size_of(temporary)
    result.seconds = time.perf_counter() - started
    return result


def _lossy(result: Conversion) -> CheckpointError:
    """The error about what the target cannot hold."""
    return CheckpointError(
        f"{result.to} cannot hold all of this checkpoint.",
        expected="nothing lost",
        found="; ".join(map(str, result.lost)),
        where=result.source.path,
        fix="choose another family (albertkit holds everything), or pass allow_loss=True",
        command_fix="choose another family (albertkit holds everything), or add --allow-loss",
    )


def _copy_card(source: Path, folder: Path, result: Conversion) -> None:
    """Take the model card along: it has the licence, and what the model was trained on."""
    card = (source if source.is_dir() else source.parent) / MODEL_CARD
    if not card.is_file() or (folder / MODEL_CARD).exists():
        return
    if card.stat().st_size > MAX_CARD:
        result.notes.append(f"{MODEL_CARD} was not copied: it is larger than a model card")
        return
    shutil.copyfile(card, folder / MODEL_CARD)
    result.notes.append(f"{MODEL_CARD} beside the weights was copied as it is")


def _writer(to: str, dtype: str) -> Family:
    """The family to write, if it can be written in this form."""
    if dtype not in DTYPES:
        raise CheckpointError(
            f"dtype must be one of {', '.join(DTYPES)}.",
            found=dtype,
            fix="give one of these, or leave it out for float32",
        )
    writer = families.named(to)
    if not writer.WRITES:
        raise CheckpointError(
            f"Checkpoints of the family {to} are read but not written.",
            expected=", ".join(n for n, f in families.all_families().items() if f.WRITES),
            found=to,
            fix="give one of the families above",
        )
    return writer


def _read_again(
    folder: Path, checkpoint: Checkpoint, result: Conversion, progress: Progress | None
) -> tuple[Opened, dict[int, int]]:
    """What was written, once it is known to be the same; the disk takes the files meanwhile.

    The second value is that of `compare`.
    """
    with ThreadPoolExecutor(1) as disk:
        flushed = disk.submit(flush_folder, folder)
        again = _reopened(folder, checkpoint, result)
        counted = compare(checkpoint, again.checkpoint, result.dtype, result, progress)
        flushed.result()
    return again, counted


def _reopened(folder: Path, checkpoint: Checkpoint, result: Conversion) -> Opened:
    """What was written. Some formats do not say what a head is for; here it is known."""
    # Numbers that are the same bit by bit are not searched for NaN a second time.
    read = partial(open_checkpoint, folder, family=result.to, look_for_nan=False)
    head = checkpoint.head
    if head is not None:
        try:
            return read(overrides=Overrides(head=head.kind))
        except ConfigError:
            if not result.lost:  # else it may be the head that is gone
                raise
    return read()


def _expressed(checkpoint: Checkpoint, writer: Family, result: Conversion) -> Checkpoint:
    """The checkpoint as the target can hold it; what that loses or changes goes to `result`.

    Raises:
        CheckpointError: the target cannot be this model, nor the nearest one.
    """
    express = getattr(writer, "express", None)
    if express is not None:
        checkpoint, notes = express(checkpoint)
        result.notes += notes
    if checkpoint.exits and result.to not in ("huggingface", "albertkit"):
        result.lost.append(Loss(("early_exit",), "the classifiers for early exit are lost"))
    try:
        result.lost += writer.losses(checkpoint)
        return checkpoint
    except CheckpointError:
        near = _nearest(checkpoint)
        if near is None:
            raise
        checkpoint, loss = near
        result.lost.append(loss)
        result.lost += writer.losses(checkpoint)
        return checkpoint


def _nearest(checkpoint: Checkpoint) -> tuple[Checkpoint, Loss] | None:
    """A model near to one that only its own family can be, with the measured difference."""
    for family in families.all_families().values():
        hook = getattr(family, "nearest", None)
        near: tuple[Checkpoint, Loss] | None = None if hook is None else hook(checkpoint)
        if near is not None:
            from albertkit.infer.compare import check_forward as run_both

            differences = run_both(checkpoint, near[0])
            shown = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
            sentence = f"{near[1]}; largest differences on a fixed batch: {shown}"
            return near[0], replace(near[1], sentence=sentence)
    return None


def compare(
    before: Checkpoint,
    after: Checkpoint,
    dtype: str,
    result: Conversion,
    progress: Progress | None = None,
) -> dict[int, int]:
    """Hold what was written against what was to be written. progress: see `convert`.

    Returns:
        How many numbers of each tensor of `before` are NaN or infinite, by the id() of the tensor:
        it may have another name in the source.

    Raises:
        CheckpointError: another function, or a tensor that is not the same bit by bit.
    """
    given_up = {key for loss in result.lost for key in loss.keys}
    if not after.has_masked_lm:
        given_up.add("head_layer_norm_eps")
    result.notes += _compare_configs(before.config, after.config, given_up)
    old, new = without_gaps(before), without_gaps(after)
    counted = {}
    left_out = tuple(part for key in given_up for part in _PARTS.get(key, ()))
    wrong = [name for name in old if name not in new and not name.startswith(left_out)]
    wrong += [name for name in new if name not in old]
    kept = [name for name in old if name in new]
    done, total = 0, sum(old[name].nbytes for name in kept)
    for name in kept:
        if progress is not None:
            progress("comparing", done, total)
        done += old[name].nbytes
        equal, counted[id(old[name])] = same(old[name], new[name], dtype)
        if equal:
            result.kept.append(name)
        else:
            wrong.append(name)
    if wrong:
        raise CheckpointError(
            "What was written does not read back the same: a mistake of albertkit.",
            expected="every tensor bit by bit",
            found=listed(wrong),
            fix="please report it; nothing was left behind",
        )
    return counted


def _compare_configs(before: AlbertConfig, after: AlbertConfig, given_up: set[str]) -> list[str]:
    """Notes on training settings that changed.

    given_up: keys that an allowed loss names, or that belong to a part that is not there.

    Raises:
        CheckpointError: a key that decides the function changed.
    """
    old, new = asdict(before), asdict(after)
    changed = {key for key in old if old[key] != new[key]} - set(GROUPING_KEYS)
    function = sorted(changed - set(TRAINING_KEYS) - given_up)
    if before.layer_plan != after.layer_plan:
        function.append("layer_plan")
    if function:
        raise CheckpointError(
            "What was written is another model: a mistake of albertkit.",
            expected="; ".join(f"{key}={old.get(key)}" for key in function),
            found="; ".join(f"{key}={new.get(key)}" for key in function),
            fix="please report it; nothing was left behind",
        )
    return [
        f"{key} {old[key]} reads back as {new[key]}: the target has no place for it"
        for key in TRAINING_KEYS
        if key in changed
    ]


def without_gaps(checkpoint: Checkpoint) -> Mapping[str, Array]:
    """Tensors by name, the blocks numbered 0, 1, 2, ... where no layer uses some numbers."""
    config = checkpoint.config
    blocks = {
        "attention": config.attention_blocks,
        "feed_forward": config.feed_forward_blocks,
    }
    named = {}
    for name, tensor in checkpoint.tensors.items():
        parts = name.split(".")
        if parts[:2] == ["albert", "encoder"] and parts[2] in blocks:
            parts[3] = str(blocks[parts[2]].index(int(parts[3])))
        named[".".join(parts)] = tensor
    return named


def same(old: Array, new: Array, dtype: str) -> tuple[bool, int]:
    """Whether two tensors have the same shape and bits, once `old` is of this dtype.

    The second value: how many numbers of `old` are NaN or infinite.
    """
    if old.shape != new.shape:
        return False, 0
    if old.ndim == 2 and not old.flags.c_contiguous and not new.flags.c_contiguous:
        old, new = old.T, new.T  # both are stored transposed: compare them as they are stored
    if old.ndim == 0:
        return _compare_numbers(old, new, dtype)
    if old.flags.c_contiguous and new.flags.c_contiguous:
        # As fast as memory gives them: more threads would only push each other out of the cache.
        slices = chunk_slices(old, _IN_CACHE)
        compared = [_compare_numbers(old[x], new[x], dtype) for x in slices]
    else:  # one of them is transposed on the way, which is work
        with ThreadPoolExecutor(_COMPARING) as pool:
            compared = list(
                pool.map(lambda x: _compare_numbers(old[x], new[x], dtype), chunk_slices(old))
            )
    drop_pages(old)
    drop_pages(new)
    return all(equal for equal, _ in compared), sum(count for _, count in compared)


def _compare_numbers(old: Array, new: Array, dtype: str) -> tuple[bool, int]:
    numbers = contiguous(old, old.dtype)
    bits = stored(numbers, dtype).view(np.uint32)
    equal = np.array_equal(bits, contiguous(new, new.dtype).view(np.uint32))
    return equal, count_not_finite(numbers)


def stored(tensor: Array, dtype: str) -> Array:
    """float32 numbers with the precision of `dtype`, again as float32."""
    return tensor if dtype == "float32" else as_float32(narrow(tensor, dtype), dtype)
