"""Tables of tensor names that are read in both directions, and the strict account of a result.

A rule pairs one tensor of ours with one of a foreign program. {g} and {i} stand for the number of
a block and its inner place (`AlbertConfig.attention_blocks`, `.inner_group_num`). The config says
which tensors exist, so a table expands to plain names: a reading that leaves one over is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from albertkit.checkpoint.formats.memory_map import Array
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, listed
from albertkit.parameters import HEADS, parameter_shapes
from albertkit.tasks.head import TaskHead

Turn = Callable[[Array, AlbertConfig], Array]
_BLOCK = re.compile(r"albert\.encoder\.(attention|feed_forward)\.(\d+)\.(\d+)\.")


@dataclass(frozen=True)
class Transform:
    """How the numbers of a tensor are laid out otherwise by the foreign program.

    Both ways are exact: they move numbers and compute nothing. They give views where they can.
    """

    name: str  # for the account: "as it is", "transposed", ...
    to_ours: Turn
    to_theirs: Turn


SAME = Transform("as it is", lambda x, _: x, lambda x, _: x)
TRANSPOSED = Transform("transposed", lambda x, _: x.T, lambda x, _: x.T)


@dataclass(frozen=True)
class Rule:
    """One tensor: our name, theirs (both may hold {g} and {i}), and how the layout differs."""

    ours: str
    theirs: str
    change: Transform = SAME


def dense(
    ours: str, theirs: str, weight: str = "weight", bias: str = "bias", change: Transform = SAME
) -> list[Rule]:
    """Rules of a linear map: a weight that `change` applies to, and a bias as it is."""
    return [Rule(f"{ours}.weight", theirs + weight, change), Rule(f"{ours}.bias", theirs + bias)]


def norm(ours: str, theirs: str, weight: str = "weight", bias: str = "bias") -> list[Rule]:
    """Rules of a normalisation."""
    return [Rule(f"{ours}.weight", theirs + weight), Rule(f"{ours}.bias", theirs + bias)]


@dataclass
class LoadReport:
    """What became of every tensor of a source, and what the model has no tensors for."""

    loaded: dict[str, tuple[str, str]] = field(default_factory=dict)  # theirs: (ours, how)
    ignored: dict[str, str] = field(default_factory=dict)  # theirs: reason
    missing: list[str] = field(default_factory=list)  # heads that the source does not hold

    def to_json(self) -> dict[str, object]:
        """One JSON object."""
        loaded = [{"source": s, "tensor": o, "change": how} for s, (o, how) in self.loaded.items()]
        return {"loaded": loaded, "ignored": dict(self.ignored), "missing": list(self.missing)}


def expand(
    rules: Sequence[Rule],
    config: AlbertConfig,
    head: TaskHead | None = None,
    *,
    renumber: bool = False,
) -> dict[str, Rule]:
    """The plain rule of each of our tensors that the table knows.

    Args:
        rules: the table.
        config: says which tensors exist.
        head: the head of a task, if there is one.
        renumber: count blocks without gaps instead of by their number in the config.
    """
    table = {rule.ours: rule for rule in rules}
    plain = {}
    blocks = {"attention": config.attention_blocks, "feed_forward": config.feed_forward_blocks}
    places = {kind: {n: place for place, n in enumerate(all_)} for kind, all_ in blocks.items()}
    for name in parameter_shapes(config, head):
        block = _BLOCK.match(name)
        template = _BLOCK.sub(r"albert.encoder.\1.{g}.{i}.", name)
        if template not in table:
            continue
        rule = table[template]
        theirs = rule.theirs
        if block is not None:
            number = int(block[2])
            shown = places[block[1]][number] if renumber else number
            theirs = theirs.replace("{g}", str(shown)).replace("{i}", block[3])
        plain[name] = Rule(name, theirs, rule.change)
    return plain


def import_tensors(
    source: Mapping[str, Array],
    rules: Mapping[str, Rule],
    config: AlbertConfig,
    *,
    ignore: Callable[[str], str | None] = lambda name: None,
) -> tuple[dict[str, Array], LoadReport]:
    """Tensors of a source under our names, with the report.

    Args:
        source: tensors under their names.
        rules: plain rules by our names (`expand`).
        config: the model.
        ignore: reason why a tensor may be left out, or None if it may not.

    Raises:
        CheckpointError: a tensor that no rule uses and that may not be left out. Missing tensors
            and wrong shapes are found by `Checkpoint`.
    """
    by_theirs: dict[str, Rule] = {rule.theirs: rule for rule in rules.values()}
    tensors: dict[str, Array] = {}
    report = LoadReport()
    unknown = []
    for name in source:
        rule = by_theirs.get(name)
        if rule is not None:
            tensor = source[name]
            if rule.change is not SAME and tensor.ndim < 2:
                raise CheckpointError(
                    "A tensor has too few axes.",
                    expected=f"{name} with two axes or more",
                    found=f"shape {tuple(tensor.shape)}",
                    fix="check that the config belongs to the weights",
                )
            tensors[rule.ours] = rule.change.to_ours(tensor, config)
            report.loaded[name] = (rule.ours, rule.change.name)
            continue
        reason = ignore(name)
        if reason is None:
            unknown.append(f"{name} {tuple(source[name].shape)}")
        else:
            report.ignored[name] = reason
    if unknown:
        raise CheckpointError(
            "The file holds tensors that this model has no place for.",
            expected="only tensors of an ALBERT with this config",
            found=listed(unknown),
            fix="check that the config belongs to the weights",
        )
    report.missing = missing_heads(tensors)
    return tensors, report


def missing_heads(tensors: Iterable[str]) -> list[str]:
    """Pretraining heads and pooler that have no tensors."""
    found = list(tensors)
    return [head.rstrip(".") for head in HEADS if not any(name.startswith(head) for name in found)]


def export_tensors(
    tensors: Mapping[str, Array], rules: Mapping[str, Rule], config: AlbertConfig
) -> dict[str, Array]:
    """Our tensors under their names and in their layout; views, nothing is copied.

    Raises:
        CheckpointError: a tensor that the table has no name for.
    """
    nameless = [name for name in tensors if name not in rules]
    if nameless:
        raise CheckpointError(
            "This format has no place for some tensors.",
            expected="tensors that the format can name",
            found=listed(nameless),
            fix="choose another format, or allow the loss",
        )
    return {
        rules[name].theirs: rules[name].change.to_theirs(tensor, config)
        for name, tensor in tensors.items()
    }
