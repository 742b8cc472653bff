"""Older names of transformers' tensors, and lonePatient's (albert_pytorch), as they are today.

Also what stands before and beside them: a bare body, and copies of tied tensors.

lonePatient's two programs keep google's and brightmart's TensorFlow names, with dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from albertkit.checkpoint.families.huggingface.wrappers import find_prefix, without_prefix
from albertkit.checkpoint.formats.safetensors_file import Weights
from albertkit.checkpoint.hf_names import TIED
from albertkit.errors import CheckpointError

_BERT = r"^bert\."
_BODY = ("embeddings.", "encoder.", "pooler.")
_GROUP = r"encoder\.transformer\.group\.(\d+)\.inner_group\.(\d+)\."
_LAYER = r"albert_layers\.\d+\."
# Pattern, replacement; in this order, each once. The first lines turn google's scopes of
# lonePatient into those of transformers, the next brightmart's.
_LONE = [
    (_GROUP, r"encoder.albert_layer_groups.\1.albert_layers.\2."),
    (r"encoder\.layer_shared\.", "encoder.albert_layer_groups.0.albert_layers.0."),
    (r"embeddings\.word_embeddings_2\.", "encoder.embedding_hidden_mapping_in."),
    (rf"({_LAYER})attention(_1)?\.self\.", r"\1attention."),
    (rf"({_LAYER})attention(_1)?\.output\.", r"\1attention."),
    (rf"({_LAYER})LayerNorm\.", r"\1attention.LayerNorm."),
    (rf"({_LAYER})(LayerNorm_1|output\.LayerNorm)\.", r"\1full_layer_layer_norm."),
    (rf"({_LAYER})ffn(_1)?\.intermediate\.output\.dense\.", r"\1ffn_output."),
    (rf"({_LAYER})ffn(_1)?\.intermediate\.dense\.", r"\1ffn."),
    (rf"({_LAYER})output\.dense\.", r"\1ffn_output."),
    (rf"({_LAYER})intermediate\.dense\.", r"\1ffn."),
    (r"^(albert\.)?pooler\.dense\.", r"\1pooler."),
    (r"^cls\.predictions\.transform\.", "predictions."),
    (r"^cls\.predictions\.", "predictions."),
    (r"^cls\.seq_relationship\.", "sop_classifier.classifier."),
]
_NORM = re.compile(r"(LayerNorm|layer_norm)\.(gamma|beta)$")
_TODAY = {"gamma": "weight", "beta": "bias"}
PROJECT_LAYER = "predictions.project_layer.weight"
DECODER = "predictions.decoder.weight"
BIASES = ("predictions.bias", "predictions.decoder.bias")
PROJECTION = "albert.encoder.embedding_hidden_mapping_in"


@dataclass
class CurrentNames:
    """The tensors of a file under the names that transformers has today.

    names: name in the file of each. ignored: names in the file with reasons. lone: "google" or
    "brightmart" for lonePatient's files.
    """

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    lone: str | None = None

    def leave_out(self, name: str, reason: str) -> None:
        """Ignore a tensor, by its name of today."""
        del self.tensors[name]
        self.ignored[self.names.pop(name)] = reason


def whose(names: Iterable[str]) -> str | None:
    """Whose file this is: "transformers", lonePatient's "google" or "brightmart", or None."""
    known = set(without_prefix(names).values())
    if "bert.embeddings.word_embeddings_2.weight" in known:
        return "brightmart"
    if any(re.search(_GROUP, name) for name in known):
        return "google"
    words = "embeddings.word_embeddings.weight"
    found = known & {words, f"albert.{words}", f"bert.{words}"}
    return "transformers" if found else None


def current_names(read: Weights) -> CurrentNames:
    """Today's names for the tensors of a file."""
    owner = whose(read.tensors)
    result = CurrentNames(lone=owner if owner in ("google", "brightmart") else None)
    own_names = without_prefix(read.tensors)
    prefix = find_prefix(read.tensors)
    if prefix:
        result.problems.append(f"names begin with {prefix}, which was taken off")
    bare = not any(name.startswith(("albert.", "bert.")) for name in own_names.values())
    for name, tensor in read.tensors.items():
        today = _today(own_names[name], lone=result.lone is not None)
        if bare and today.startswith(_BODY):
            today = f"albert.{today}"
        today = (
            name if today in result.tensors else today
        )  # two names of one tensor: the second is left over
        result.tensors[today] = tensor
        result.names[today] = name
    _drop_project_layer(result)
    return result


def _today(name: str, *, lone: bool) -> str:
    if not lone and name.startswith(tuple(f"bert.{part}" for part in _BODY)):
        name = re.sub(_BERT, "albert.", name)  # of a class with self.bert = AlbertModel(...)
    if lone:
        name = re.sub(_BERT, "albert.", name)
        for pattern, replacement in _LONE:
            name = re.sub(pattern, replacement, name, count=1)
    return _NORM.sub(lambda found: f"{found[1]}.{_TODAY[found[2]]}", name)


def _drop_project_layer(result: CurrentNames) -> None:
    """lonePatient's masked-LM head has a matrix that its converter never filled (defect #46).

    The original goes back through the projection of the embeddings, which the file holds as well.
    """
    if result.lone != "brightmart" or PROJECT_LAYER not in result.tensors:
        return
    matrix = result.tensors.pop(PROJECT_LAYER)
    name = result.names.pop(PROJECT_LAYER)
    projection = result.tensors.get(f"{PROJECTION}.weight")
    if projection is not None and np.array_equal(matrix, projection.T):
        result.ignored[name] = "the projection of the embeddings, transposed"
        return
    result.ignored[name] = "never filled by the converter that wrote the file"
    result.problems.append(
        f"{name} is not the projection of the embeddings: lonePatient's converter leaves it at "
        "random (defect 46), and its own masked-LM numbers with it; the original's are given"
    )


def add_biases(result: CurrentNames) -> None:
    """transformers 2.2 added two biases to the masked-LM logits; one is left that is their sum."""
    first, second = (result.tensors.get(name) for name in BIASES)
    if first is None or second is None or first.shape != second.shape:
        return
    if np.array_equal(first, second):
        return
    result.tensors[BIASES[0]] = first + second
    del result.tensors[BIASES[1]]
    name = result.names.pop(BIASES[1])
    result.ignored[name] = f"added to {result.names[BIASES[0]]}, as transformers 2.2 did"
    result.problems.append(
        "the masked-LM head has two different biases: both were added, as transformers 2.2 did; "
        "later versions of transformers use one of them and give other numbers"
    )


def choose_decoder(result: CurrentNames, values: Mapping[str, object]) -> None:
    """Leave the decoder out if the user says that it is tied."""
    if values.get("tied_decoder") is True and DECODER in result.tensors:
        result.leave_out(DECODER, "tied_decoder=true was chosen")


def settle_ties(result: CurrentNames, *, tied: bool) -> None:
    """Of two tied tensors keep one, under its own name; transformers may save either.

    tied: whether the masked-LM decoder is the word table.

    Raises:
        CheckpointError: a copy that is not equal to the tensor it is tied to.
    """
    for copy, original in TIED.items():
        if copy not in result.tensors or (copy == DECODER and not tied):
            continue
        if original in result.tensors and tied:
            if not np.array_equal(result.tensors[original], result.tensors[copy], equal_nan=True):
                raise CheckpointError(
                    "The masked-LM decoder is not the word table, though the config ties them.",
                    expected=f"{copy} equal to the tensor it is tied to",
                    found="other numbers",
                    fix='pass overrides=Overrides(values={"tied_decoder": False}) to keep the '
                    "decoder, True to keep the table",
                    command_fix="add --set tied_decoder=false to keep the decoder, or "
                    "tied_decoder=true to keep the table",
                )
            result.leave_out(copy, f"a copy of {result.names[original]}")
            continue
        if original in result.tensors:  # untied, transformers adds the decoder's bias
            result.leave_out(original, f"{result.names[copy]} is what transformers adds")
        result.tensors[original] = result.tensors.pop(copy)
        result.names[original] = result.names.pop(copy)
