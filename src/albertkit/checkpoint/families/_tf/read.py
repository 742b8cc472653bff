"""Reading shared by the two families that TensorFlow 1 wrote: rules of heads, tensors, report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from albertkit.checkpoint.families._beside import the_only
from albertkit.checkpoint.families._protocol import LoadResult, Overrides
from albertkit.checkpoint.families._tf.config import ResolvedConfig, places
from albertkit.checkpoint.families._tf.names import Names
from albertkit.checkpoint.formats.dtypes import FLOATS
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.tensor_bundle import Bundle
from albertkit.checkpoint.mapping import TRANSPOSED, Rule, dense, expand, import_tensors, norm
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, listed
from albertkit.tasks.head import TaskHead
from albertkit.tasks.kinds import kinds_where


def tf_dense(ours: str, theirs: str) -> list[Rule]:
    """Rules of a linear map as TensorFlow names it: kernel [in, out]."""
    return dense(ours, theirs, "kernel", change=TRANSPOSED)


def tf_norm(ours: str, theirs: str) -> list[Rule]:
    """Rules of a normalisation as TensorFlow 1 names it."""
    return norm(ours, theirs, "gamma", "beta")


# Pooler, pretraining heads, and heads of fine-tuning: google-research/albert run_pretraining.py,
# classifier_utils.py, race_utils.py, squad_utils.py; the same names in albert_zh.
COMMON_RULES = [
    *tf_dense("albert.pooler", "bert/pooler/dense/"),
    *tf_dense("masked_lm.transform", "cls/predictions/transform/dense/"),
    *tf_norm("masked_lm.norm", "cls/predictions/transform/LayerNorm/"),
    Rule("masked_lm.bias", "cls/predictions/output_bias"),
    Rule("sentence_order.weight", "cls/seq_relationship/output_weights"),
    Rule("sentence_order.bias", "cls/seq_relationship/output_bias"),
    Rule("classifier.weight", "output_weights"),
    Rule("classifier.bias", "output_bias"),
    Rule("span.weight", "cls/squad/output_weights"),
    Rule("span.bias", "cls/squad/output_bias"),
    *tf_dense("beam_span.start", "start_logits/dense/"),
    *tf_dense("beam_span.end_transform", "end_logits/dense_0/"),
    *tf_norm("beam_span.end_norm", "end_logits/LayerNorm/"),
    *tf_dense("beam_span.end", "end_logits/dense_1/"),
    *tf_dense("beam_span.answer_transform", "answer_class/dense_0/"),
    Rule("beam_span.answer.weight", "answer_class/dense_1/kernel", TRANSPOSED),
]


@dataclass
class Source(Mapping[str, Array]):
    """Tensors of a checkpoint by their names in the file; read when they are asked for."""

    bundle: Bundle

    def __getitem__(self, name: str) -> Array:
        """float32 for floats, other numbers as they are."""
        if self.bundle.entries[name].dtype in FLOATS:
            return self.bundle.float32(name)
        return self.bundle.raw(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.bundle.entries)

    def __len__(self) -> int:
        return len(self.bundle.entries)


def shape_sizes(
    bundle: Bundle, names: Names, where: Mapping[str, tuple[str, int, int]]
) -> dict[str, tuple[int, str]]:
    """Sizes of a model by the shapes of its tensors, with the tensor that shows each.

    Args:
        bundle, names: the checkpoint.
        where: config key to plain name of a tensor, its axis, and its number of axes.

    Raises:
        CheckpointError: one of these tensors is missing or has another number of axes.
    """
    sizes = {}
    for key, (plain, axis, axes) in where.items():
        name, shape = shape_of(bundle, names, plain, axes)
        sizes[key] = (shape[axis], name)
    return sizes


def shape_of(bundle: Bundle, names: Names, plain: str, *axes: int) -> tuple[str, tuple[int, ...]]:
    """Name in the file and shape of a tensor that every ALBERT has.

    Args:
        bundle, names: the checkpoint.
        plain: its plain name.
        axes: the numbers of axes that it may have.

    Raises:
        CheckpointError: it is missing or has another number of axes, or one of no size.
    """
    name = names.files.get(plain)
    shape = () if name is None else bundle.entries[name].shape
    if name is None or len(shape) not in axes or not 1 <= min(shape) <= max(shape) < 1 << 31:
        raise CheckpointError(
            "A tensor that every ALBERT has is missing or has another shape.",
            expected=f"{plain} with {' or '.join(map(str, axes))} axes",
            found="no such tensor" if name is None else f"shape {shape}",
            fix="check that the checkpoint is complete",
        )
    return name, shape


def read_head(bundle: Bundle, names: Names, overrides: Overrides) -> TaskHead | None:
    """The head of a task, by the names of its tensors.

    Raises:
        ConfigError: one output may be a number or the score of a choice and nothing says which, or
            the user names another head than the file holds.
    """
    kinds: tuple[str, ...] = ()
    count = 2
    if "cls/squad/output_weights" in names.files:
        kinds = ("span",)
    elif "start_logits/dense/kernel" in names.files:
        kinds = ("beam_span",)
    elif "output_weights" in names.files:
        shape = bundle.entries[names.files["output_weights"]].shape
        count = shape[0] if len(shape) == 2 else 0
        kinds = kinds_where(part="classifier", reads="pooled", count=count)
        kinds += kinds_where(part="classifier", reads="tokens")
    kind = overrides.head
    if kind is None:
        if "regression" in kinds:
            raise ConfigError(
                "The head of the task has one output and the file does not say what for.",
                expected="regression (a number for a text) or multiple_choice (a score for each)",
                found="output_weights with one row",
                fix='pass overrides=Overrides(head="regression") or head="multiple_choice"',
                command_fix="add --head regression or --head multiple_choice",
            )
        kind = kinds[0] if kinds else None
    elif kind not in kinds:
        raise ConfigError(
            "The file holds no head of this kind.",
            expected=", ".join(kinds) or "no head named: there are no such tensors",
            found=kind,
            fix="name the head that the checkpoint was trained for, or leave it out",
        )
    return None if kind is None else TaskHead(kind, count)


def assemble(
    bundle: Bundle, names: Names, rules: list[Rule], resolved: ResolvedConfig, head: TaskHead | None
) -> LoadResult:
    """Tensors under our names with the account of all that is in the file.

    Raises:
        CheckpointError: a tensor that the model has no place for.
    """
    config, problems = resolved.config, list(resolved.problems)
    plain = expand(rules, config, head)
    copies, why = _copies(plain, names, config)
    table = {
        ours: replace(rule, theirs=names.files[rule.theirs])
        for ours, rule in plain.items()
        if rule.theirs in names.files
    }
    strange = [
        f"{name} ({bundle.entries[name].dtype})"
        for name in names.files.values()
        if bundle.entries[name].storage is None
    ]
    if strange:
        raise CheckpointError(
            "The file holds tensors that are not numbers.",
            expected="only weights, and what TensorFlow keeps beside them",
            found=listed(strange),
            fix="save the checkpoint without them",
        )
    tensors, report = import_tensors(Source(bundle), table, config, ignore=names.ignored.get)
    for ours, original in copies.items():
        if original in tensors:
            tensors[ours] = tensors[original]
    if copies:
        problems.append(why)
    double = [name for name in report.loaded if bundle.entries[name].dtype == "float64"]
    if double:
        problems.append(f"{len(double)} tensors of float64 become float32: digits are lost")
    tokenizer = _tokenizer_beside(bundle.prefix, problems)
    return LoadResult(
        config=config,
        tensors=tensors,
        report=report,
        head=head,
        provenance=resolved.provenance,
        tokenizer=tokenizer,
        source_tensors={name: (e.dtype, e.shape) for name, e in bundle.entries.items()},
        slots=names.slots,
        problems=problems,
        files=[*bundle.files, *resolved.files, *([] if tokenizer is None else [tokenizer])],
    )


def _copies(
    plain: Mapping[str, Rule], names: Names, config: AlbertConfig
) -> tuple[dict[str, str], str]:
    """Our tensors that get the numbers of another group's, by the name of that, and why."""
    origin = names.matrices
    why = (
        "the matrices are shared by layers whose normalisations are their own, as google's program "
        "makes them under TensorFlow 2: read as a group for each layer, with equal matrices"
    )
    groups = {found[1] for name in names.files if (found := re.search(r"/group_(\d+)/", name))}
    if not origin and config.num_hidden_groups > 1 and groups == {"0"}:
        origin = dict.fromkeys(range(config.num_hidden_groups), 0)
        why = (
            "the file holds group 0 only: every group begins with its numbers, as in google's "
            "get_assignment_map_from_checkpoint"
        )
    if not origin:
        return {}, ""
    back = {rule.theirs: ours for ours, rule in plain.items()}
    copies = {}
    for ours, rule in plain.items():
        group = re.search(r"/group_(\d+)/", rule.theirs)
        if group is None or rule.theirs in names.files or int(group[1]) not in origin:
            continue
        place = f"/group_{origin[int(group[1])]}/"
        original = back.get(rule.theirs.replace(group[0], place))
        if original is not None and original != ours:
            copies[ours] = original
    return copies, why


def _tokenizer_beside(prefix: Path, problems: list[str]) -> Path | None:
    """The tokenizer's file, the first kind of name that is there; doubts go to `problems`."""
    for pattern in ("30k-clean.model", "*.model", "vocab*.txt"):
        there = sorted(path for place in places(prefix) for path in place.glob(pattern))
        if there:
            return the_only(there, problems)
    return None
