"""Weights of other models, or quantised ones, recognised by the names of their tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from albertkit.errors import CheckpointError, listed

# The first that matches; BERT's names are those of RoBERTa and ELECTRA, too.
_ENCODERS = {
    "DistilBERT": re.compile(r"(^|\.)transformer\.layer\.\d+\.attention\.q_lin\.weight$"),
    "RoBERTa": re.compile(r"(^|\.)roberta\.encoder\.layer\.\d+\.attention\.self\.query\.weight$"),
    "ELECTRA": re.compile(r"(^|\.)electra\.encoder\.layer\.\d+\.attention\.self\.query\.weight$"),
    "BERT": re.compile(r"(^|\.)encoder\.layer\.\d+\.attention\.self\.query\.weight$"),
    "BERT of TensorFlow": re.compile(r"(^|/)bert/encoder/layer_0/attention/self/query/kernel$"),
}
_BRIGHTMART = "word_embeddings_2"  # a BERT's layers behind an ALBERT's embeddings
# bitsandbytes, GPTQ and AWQ, compressed-tensors, torch's own quantisation.
_QUANTISED = re.compile(
    r"\.(SCB|weight_format|absmax|quant_map|nested_absmax|quant_state\..*|qweight|qzeros|g_idx|"
    r"weight_packed|weight_scale|_packed_params(\..*)?)$"
)
_WHOLE = ("int8", "uint8")
_FLOATS = "float32, float16 or bfloat16"


def other_encoder(names: Iterable[str]) -> CheckpointError | None:
    """The error about weights of another kind of encoder; None if the names are not of one."""
    known = list(names)
    if any(_BRIGHTMART in name for name in known):
        return None
    for kind, pattern in _ENCODERS.items():
        layers = [name for name in known if pattern.search(name)]
        if layers:
            return CheckpointError(
                f"These are the weights of a {kind}, not of an ALBERT.",
                expected="layers that share parameters, as encoder.albert_layer_groups.0",
                found=listed(layers[:1]),
                fix="give the path of an ALBERT",
            )
    return None


def quantised(kinds: Mapping[str, tuple[str, tuple[int, ...]]]) -> CheckpointError | None:
    """The error about weights that were quantised, by names or kinds of numbers; None if not.

    Args:
        kinds: dtype and shape of each tensor.
    """
    found = [
        f"{name} ({kind})"
        for name, (kind, shape) in kinds.items()
        if _QUANTISED.search(name) or (kind in _WHOLE and len(shape) > 1)
    ]
    if not found:
        return None
    return CheckpointError(
        "The weights are quantised.",
        expected=f"weights in {_FLOATS}",
        found=listed(found),
        fix="save the model before it is quantised, or call model.dequantize() and save it again",
    )
