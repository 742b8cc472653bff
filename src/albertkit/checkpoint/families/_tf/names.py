"""Where a TensorFlow checkpoint is, and the plain names of its variables.

The same variable has several names: with `module/` before it after a TF-Hub module was loaded, or
as a path through Python objects when TensorFlow 2 saved it (then the object graph in the file
holds the plain name, too). Optimizers keep slots beside each variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from albertkit.checkpoint.families._tf import layer_norms
from albertkit.checkpoint.formats import protobuf_wire
from albertkit.checkpoint.formats.leveldb_table import is_table
from albertkit.checkpoint.formats.tensor_bundle import (
    Bundle,
    Entry,
    index_file,
    read_bundle,
    read_index,
)
from albertkit.errors import CheckpointError, listed

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
MAX_FIELDS = 300_000  # of an object graph; 24 layers of tensorflow/models with slots have 30,000
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_FILES = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
# adam_* of google-research/albert (AdamW and LAMB), lamb_* of albert_zh, the rest TensorFlow's.
_SLOT = re.compile(
    r"(.+)/((?:adam|lamb)_[mv]|Adam(?:_1)?|Momentum|(?:AdamWeightDecay|LAMB)Optimizer(?:_1)?)"
)
_COUNTERS = re.compile(r"global_step|beta[12]_power(_\d+)?")
_OPTIMIZER = re.compile(r"(^|/)(optimizer|\.OPTIMIZER_SLOT|iterations|global_step|save_counter)/")
# Where a plain name begins inside a longer one, for google's names and for tensorflow/models'.
_GOOGLE_START = re.compile(r"(?:^|/)((?:bert/(?!cls/)|cls/|output_(?:weights|bias)$).*)")
_MODELS_START = re.compile(
    r"(?:^|/)((?:word_embeddings|position_embedding|type_embeddings|embeddings|pooler_transform|"
    r"embedding_projection|transformer|cls/predictions|predictions/transform/logits)/.*)"
)
# tensorflow/models' first converter from google's names replaced "LayerNorm/" in every name.
_OLD_MODELS = {
    "transformer/self_attention_output/": "transformer/self_attention/attention_output/",
    "cls/predictions/transform/self_attention_layer_norm/": "cls/predictions/transform/LayerNorm/",
}


@dataclass
class Names:
    """Names of a checkpoint's variables.

    files: plain name to the name in the file, for everything that may be a weight. ignored: name
    in the file to the reason. slots: kind of slot to its number. matrices: for each group that
    stands for one layer, the group that has its matrices, where only the norms are a layer's own.
    """

    files: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    matrices: dict[int, int] = field(default_factory=dict)

    @property
    def layout(self) -> str | None:
        """Whose layout this is: google, models (tensorflow/models), brightmart; None: no ALBERT."""
        if "bert/embeddings/word_embeddings_2" in self.files:
            return "brightmart"
        if any(re.search(r"/group_\d+/inner_group_\d+/", name) for name in self.files):
            return "google"
        if {"word_embeddings/embeddings", "transformer/output/kernel"} <= set(self.files):
            return "models"
        return None


def find_checkpoint(path: Path, layouts: tuple[str, ...], *, damaged: bool) -> Path | None:
    """The prefix of the one checkpoint of these layouts at a path.

    Args:
        path: a folder, a TF-Hub or SavedModel folder, one of a checkpoint's files, or its prefix.
        layouts: see `Names.layout`.
        damaged: also claim a checkpoint whose index cannot be read.

    Raises:
        CheckpointError: a folder holds several.
    """
    found = []
    for prefix in prefixes(path):
        try:
            layout = names_of(read_index(prefix)[0], prefix).layout
        except CheckpointError:
            layout = None
            if damaged:
                found.append(prefix)
        if layout in layouts:
            found.append(prefix)
    if len(found) > 1:
        found = _latest(path, found)
    if len(found) > 1:
        raise CheckpointError(
            "There are several checkpoints here.",
            expected="one checkpoint",
            found=listed([prefix.name for prefix in found]),
            where=path,
            fix="give the path of one of them, without .index",
        )
    return found[0] if found else None


def prefixes(path: Path) -> list[Path]:
    """Checkpoints that a path may mean."""
    if path.name in ("saved_model.pb", "tfhub_module.pb"):
        path = path.parent
    if path.is_dir():
        there = sorted(path.glob("*.index"))
        if not there and (path / "variables").is_dir():
            there = sorted((path / "variables").glob("*.index"))
        prefixes = [file.with_name(file.name.removesuffix(".index")) for file in there]
    else:
        match = _FILES.fullmatch(path.name) if path.is_file() else None
        prefixes = [path.with_name(match[1]) if match else path]
    return [prefix for prefix in prefixes if _is_checkpoint(prefix)]


def _is_checkpoint(prefix: Path) -> bool:
    """Whether these are TensorFlow's files, damaged or not: a table, or data files beside it."""
    if not prefix.name or not prefix.parent.is_dir():
        return False
    start = prefix.name + ".data-"
    return is_table(index_file(prefix)) or any(
        file.name.startswith(start) and _FILES.fullmatch(file.name)
        for file in prefix.parent.iterdir()
    )


def _latest(folder: Path, prefixes: list[Path]) -> list[Path]:
    """The one that TensorFlow's file `checkpoint` names, or all of them."""
    try:
        with (folder / "checkpoint").open(encoding="utf-8") as file:
            text = file.read(1 << 16)
    except (OSError, UnicodeDecodeError):
        return prefixes
    named = re.search(r'^model_checkpoint_path: "(?:[^"\n]*/)?([^"/\n]+)"', text, re.MULTILINE)
    return [p for p in prefixes if named and p.name == named[1]] or prefixes


def open_checkpoint(prefix: Path) -> tuple[Bundle, Names]:
    """A checkpoint with all checksums tested, and its names.

    Raises:
        CheckpointError: damaged, or one variable under two names.
    """
    bundle = read_bundle(prefix)
    return bundle, names_of(bundle.entries, prefix)


def names_of(entries: Mapping[str, Entry], prefix: Path) -> Names:
    """Plain names of the variables of an index.

    Raises:
        CheckpointError: one variable under two names, or a damaged object graph.
    """
    names = Names()
    modern = any(name.endswith(_VALUE) for name in entries)
    plain = _plain_names(entries, prefix) if modern else _plain_names_of_tf1(entries)
    for name in entries:
        short = plain.get(name, name)
        if modern:
            reason = _why_ignored_modern(name, names)
        else:
            reason = _why_ignored(name, short, entries, names)
        if reason is not None:
            names.ignored[name] = reason
        elif short in names.files:
            raise CheckpointError(
                "A variable occurs twice.",
                expected="each variable once",
                found=f"{names.files[short]}, {name}",
                where=index_file(prefix),
                fix="save the checkpoint again with each variable once",
            )
        else:
            names.files[short] = name
    names.files, names.matrices = layer_norms.rename(names.files)
    return names


def _why_ignored(name: str, short: str, entries: Mapping[str, Entry], names: Names) -> str | None:
    """Why a variable of TensorFlow 1 is not a weight; None if it may be one."""
    slot = _SLOT.fullmatch(name)
    if slot and slot[1] in entries:
        names.slots[slot[2]] = names.slots.get(slot[2], 0) + 1
        return f"slot {slot[2]} of the optimizer"
    return "counter of training steps" if _COUNTERS.fullmatch(short) else None


def _why_ignored_modern(name: str, names: Names) -> str | None:
    """The same for TensorFlow 2."""
    if name == OBJECT_GRAPH:
        return "names of the objects that were saved"
    slot = re.search(r"/\.OPTIMIZER_SLOT/[^/]+/([^/]+)/", name)
    if slot:
        names.slots[slot[1]] = names.slots.get(slot[1], 0) + 1
        return f"slot {slot[1]} of the optimizer"
    return "state of training" if _OPTIMIZER.search(name) else None


def _plain_names_of_tf1(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Name in the file to the plain name, for a checkpoint that keeps variables by name."""
    plain = {name: name.removeprefix("module/") for name in entries}
    if any("transformer/self_attention/" in name for name in entries):
        for name in entries:
            found = _MODELS_START.search(name)
            if found is not None:
                plain[name] = _current_models_name(found[1])
    return plain


def _plain_names(entries: Mapping[str, Entry], prefix: Path) -> dict[str, str]:
    """Name in the file to the plain name, for a checkpoint that TensorFlow 2 saved."""
    full: dict[str, str] = {}
    if OBJECT_GRAPH in entries:
        content = read_bundle(prefix, check=False).text(OBJECT_GRAPH)
        full = _full_names(memoryview(content))
    candidates = {}
    for name in entries:
        path = name.removesuffix(_VALUE).replace(".S", "/").replace("..", ".")
        candidates[name] = [full.get(name, ""), path]
    models = any(
        "transformer/self_attention/" in one for many in candidates.values() for one in many
    )
    start = _MODELS_START if models else _GOOGLE_START
    plain = {}
    for name, names in candidates.items():
        found = next((match[1] for one in names if (match := start.search(one))), None)
        if found is not None:
            plain[name] = _current_models_name(found) if models else found
    return plain


def _current_models_name(name: str) -> str:
    """The name that tensorflow/models gives a variable today."""
    for old, new in _OLD_MODELS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _full_names(content: memoryview) -> dict[str, str]:
    """Key in the file to the variable's name, from an object graph (TrackableObjectGraph)."""
    names = {}
    fields = protobuf_wire.Limited(MAX_FIELDS)
    for number, node in fields(content):
        if number != 1:
            continue
        for part, attribute in fields(protobuf_wire.message(node)):
            if part == 2:
                values = dict(fields(protobuf_wire.message(attribute)))
                if 2 in values and 3 in values:
                    names[protobuf_wire.text(values[3])] = protobuf_wire.text(values[2])
    return names
