"""Names and shapes of an ALBERT's tensors: ours, transformers', and the strict account of both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, listed
from albertkit.parameters import HEADS, parameter_shapes
from albertkit.tasks.head import TaskHead

OWN_PREFIX = "albertkit."

# Ours, theirs. {g} and {i} stand for the numbers of a block and of its inner place. Each line
# covers the tensors below it (.weight, .bias). Read from left to right to save, back to load.
HUGGINGFACE_NAMES = [
    ("albert.embeddings.word", "albert.embeddings.word_embeddings"),
    ("albert.embeddings.position", "albert.embeddings.position_embeddings"),
    ("albert.embeddings.segment", "albert.embeddings.token_type_embeddings"),
    ("albert.embeddings.norm", "albert.embeddings.LayerNorm"),
    ("albert.embeddings.projection", "albert.encoder.embedding_hidden_mapping_in"),
    ("albert.encoder.attention.{g}.{i}.query", "{layer}.attention.query"),
    ("albert.encoder.attention.{g}.{i}.key", "{layer}.attention.key"),
    ("albert.encoder.attention.{g}.{i}.value", "{layer}.attention.value"),
    ("albert.encoder.attention.{g}.{i}.output", "{layer}.attention.dense"),
    ("albert.encoder.attention.{g}.{i}.norm", "{layer}.attention.LayerNorm"),
    ("albert.encoder.feed_forward.{g}.{i}.up", "{layer}.ffn"),
    ("albert.encoder.feed_forward.{g}.{i}.down", "{layer}.ffn_output"),
    ("albert.encoder.feed_forward.{g}.{i}.norm", "{layer}.full_layer_layer_norm"),
    ("albert.encoder.norm", "albert.encoder.norm"),  # never in a folder that transformers reads
    ("albert.pooler", "albert.pooler"),
    ("masked_lm.transform", "predictions.dense"),
    ("masked_lm.norm", "predictions.LayerNorm"),
    ("masked_lm.decoder", "predictions.decoder"),
    ("masked_lm", "predictions"),
    ("sentence_order", "sop_classifier.classifier"),
    ("classifier", "classifier"),
    ("span", "qa_outputs"),
]
HUGGINGFACE_LAYER = "albert.encoder.albert_layer_groups.{g}.albert_layers.{i}"
# Copies that some files hold beside the tensor they are tied to (theirs, ours).
TIED = {
    "predictions.decoder.weight": "albert.embeddings.word.weight",
    "predictions.decoder.bias": "masked_lm.bias",
}
_MOST_POSITIONS = 1 << 20  # of a row of numbers that is compared


def own_names(config: AlbertConfig, head: TaskHead | None = None) -> dict[str, str]:
    """Our name of each tensor, to the name in a folder that transformers must refuse."""
    return {name: OWN_PREFIX + name for name in parameter_shapes(config, head)}


def huggingface_names(
    config: AlbertConfig, head: TaskHead | None = None, *, renumber: bool
) -> dict[str, str]:
    """Our name of each tensor, to transformers'; a beam-search head has none.

    With `renumber` blocks are counted without gaps, as `AlbertConfig.to_json` writes them; without
    it a block has the number of the config, as in a folder that transformers wrote.
    """
    table = dict(HUGGINGFACE_NAMES)
    names = {}
    for name in parameter_shapes(config, head):
        module, kind = name.rsplit(".", 1)
        if module.startswith("beam_span."):
            continue
        block = re.fullmatch(
            r"albert\.encoder\.(attention|feed_forward)\.(\d+)\.(\d+)\.\w+", module
        )
        if block is None:
            names[name] = f"{table[module]}.{kind}"
            continue
        number, inner = int(block[2]), block[3]
        if renumber:
            parts = {
                "attention": config.attention_blocks,
                "feed_forward": config.feed_forward_blocks,
            }
            number = parts[block[1]].index(number)
        template = re.sub(r"\.\d+\.\d+\.", ".{g}.{i}.", module)
        layer = HUGGINGFACE_LAYER.format(g=number, i=inner)
        names[name] = f"{table[template].format(layer=layer)}.{kind}"
    return names


@dataclass
class Renamed:
    """Tensors under our names, and what became of every name of the source."""

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)  # theirs: ours
    ignored: dict[str, str] = field(default_factory=dict)  # theirs: reason


def rename(
    tensors: Mapping[str, np.ndarray],
    config: AlbertConfig,
    head: TaskHead | None = None,
    *,
    own: bool,
) -> Renamed:
    """Tensors of a file under our names, and those left out with the reason.

    Raises:
        CheckpointError: a name that no rule knows, or a decoder that is not tied.
    """
    names = own_names(config, head) if own else huggingface_names(config, head, renumber=False)
    back = {theirs: ours for ours, theirs in names.items()}
    bare = not own and not any(name.startswith("albert.") for name in tensors)
    renamed = Renamed()
    left: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        prefix = "albert." if bare and f"albert.{name}" in back else ""
        if prefix + name in back:
            renamed.used[name] = back[prefix + name]
        else:
            left[name] = tensor
    for theirs, ours in {} if own else TIED.items():
        names_of = [name for name, used in renamed.used.items() if used == ours]
        # Of two tied names the file keeps this one; untied, transformers adds the decoder's bias.
        if theirs in left and (not names_of or not config.tied_decoder):
            del left[theirs]
            for name in names_of:
                del renamed.used[name]
                renamed.ignored[name] = f"{theirs} is what transformers adds"
            renamed.used[theirs] = ours
    renamed.tensors = {ours: tensors[theirs] for theirs, ours in renamed.used.items()}
    unknown = []
    unused = frozenset(range(config.num_hidden_groups)) - frozenset(config.attention_blocks)
    for name, tensor in left.items():
        reason = None if own else _why_ignored(name, tensor, renamed.tensors, unused)
        if reason is None:
            unknown.append(f"{name} {tuple(tensor.shape)}")
        else:
            renamed.ignored[name] = reason
    if unknown:
        raise CheckpointError(
            "The file holds tensors that this model has no place for.",
            expected="only tensors of an ALBERT with its pretraining heads",
            found=listed(unknown),
            fix="check that config.json, with its `architectures`, belongs to the weights",
        )
    return renamed


def _why_ignored(
    name: str, tensor: np.ndarray, renamed: Mapping[str, np.ndarray], unused: frozenset[int]
) -> str | None:
    """Why a tensor of transformers may be left out; None if it may not.

    unused: groups that no layer uses.
    """
    if name.endswith("embeddings.position_ids") and counts_up(tensor):
        return "the numbers 0, 1, 2, ..."
    group = re.search(r"encoder\.albert_layer_groups\.(\d{1,9})\.", name)
    if group:
        return "no layer uses this group" if int(group[1]) in unused else None
    twin = renamed.get(TIED.get(name, ""))
    if twin is None:
        return None
    if not np.array_equal(twin, tensor, equal_nan=True):
        raise CheckpointError(
            "The masked-LM decoder is not the word table, though the config ties them.",
            expected=f"{name} equal to the tensor it is tied to",
            found="other numbers",
            fix="choose: --set tied_decoder=false keeps the decoder, tied_decoder=true the table",
        )
    return f"a copy of {TIED[name]}"


def counts_up(tensor: np.ndarray) -> bool:
    """Whether a tensor holds the numbers 0, 1, 2, ..., perhaps rounded to bfloat16."""
    if tensor.size > _MOST_POSITIONS:
        return False
    numbers = np.arange(tensor.size)
    exact = tensor.dtype.kind in "iu"
    with np.errstate(invalid="ignore"):
        distance = np.abs(tensor.reshape(-1) - numbers)
        return bool(np.all(distance <= (0 if exact else numbers / 256)))


def check_accounts(
    config: AlbertConfig, tensors: Mapping[str, np.ndarray], head: TaskHead | None = None
) -> None:
    """Refuse tensors that are missing, left over, of another shape or not float32.

    Pooler and pretraining heads are there whole or not at all; the task's head must be there.
    """
    shapes = parameter_shapes(config, head)
    heads = [head for head in HEADS if any(name.startswith(head) for name in tensors)]
    pooled = "sentence_order." in heads or (head is not None and head.needs_pooler)
    if pooled and "albert.pooler." not in heads:
        heads.append("albert.pooler.")
    needed = [n for n in shapes if not n.startswith(HEADS) or n.startswith(tuple(heads))]
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = {
        "missing": [f"{name} {shapes[name]}" for name in needed if name not in found],
        "left over": [f"{name} {found[name]}" for name in found if name not in shapes],
        "of another shape": [
            f"{name} is {found[name]}, not {shapes[name]}"
            for name in needed
            if name in found and found[name] != shapes[name]
        ],
        "not float32": [name for name, tensor in tensors.items() if tensor.dtype != np.float32],
    }
    bad = [f"{kind}: {listed(names)}" for kind, names in problems.items() if names]
    if bad:
        raise CheckpointError(
            "The tensors do not fit the config.",
            expected=f"the {len(needed)} tensors of this config",
            found="; ".join(bad),
            fix="use the config that belongs to the weights",
        )
