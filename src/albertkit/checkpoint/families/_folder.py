"""Files of a checkpoint folder, as transformers lays it out and as we do where that cannot be.

A model that transformers cannot express has `model_type: albertkit`, its weights in
`albertkit.safetensors` and another prefix before every name: transformers then finds no weights
and refuses, instead of running random ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.checkpoint.early_exit import write_exits
from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._configs import write as write_config
from albertkit.checkpoint.families._head_configs import write_head
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.formats.safetensors_file import write_tensors
from albertkit.checkpoint.hf_names import TIED, huggingface_rules, own_rules
from albertkit.checkpoint.mapping import export_tensors

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

CONFIG_FILE = "config.json"
HUGGINGFACE_WEIGHTS = "model.safetensors"
OWN_WEIGHTS = "albertkit.safetensors"


def write_folder(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write config, weights and tokenizer into an empty folder.

    transformers' layout wherever transformers can run the model, else ours.

    Raises:
        VocabularyError: the tokenizer does not fit the config.
    """
    if checkpoint.tokenizer is not None:
        from albertkit.text.vocabulary import check_fits

        check_fits(checkpoint.tokenizer, checkpoint.config)
    own = bool(checkpoint.fits_huggingface)
    tensors = _own_tensors(checkpoint) if own else _huggingface_tensors(checkpoint)
    write_config_file(checkpoint, folder, dtype)
    write_tensors(folder / (OWN_WEIGHTS if own else HUGGINGFACE_WEIGHTS), tensors, dtype)
    write_exits(folder, checkpoint.exits)
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.save(folder)


def write_config_file(checkpoint: Checkpoint, folder: Path, dtype: str = "float32") -> None:
    """Write config.json: transformers' where it can run the model, else ours."""
    values = _config_json(checkpoint, bool(checkpoint.fits_huggingface), dtype)
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def _own_tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    config = checkpoint.config
    return export_tensors(checkpoint.tensors, own_rules(config, checkpoint.head), config)


def _huggingface_tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    """Tensors as transformers saves them: a bare body without prefix, an untied bias twice."""
    config, head = checkpoint.config, checkpoint.head
    rules = huggingface_rules(config, head, renumber=True)
    tensors = export_tensors(checkpoint.tensors, rules, config)
    if "predictions.decoder.weight" in tensors:  # untied
        tensors["predictions.decoder.bias"] = tensors[TIED["predictions.decoder.bias"]]
    if not (checkpoint.has_masked_lm or checkpoint.has_sentence_order or head):
        return {name.removeprefix("albert."): tensor for name, tensor in tensors.items()}
    return tensors


def _config_json(checkpoint: Checkpoint, own: bool, dtype: str) -> dict[str, Any]:
    """Our config with what transformers wants to know beside it."""
    head = checkpoint.head
    values = {**write_config(checkpoint.config, own=own), **write_head(head, own=own)}
    if own:
        return values
    ids: dict[str, int | None] = dict.fromkeys(_beside.SPECIAL_IDS)
    ids |= _beside.ids_to_write(checkpoint)
    if head is not None:
        return {**values, **ids, "dtype": dtype}
    kind = "AlbertForMaskedLM" if checkpoint.has_masked_lm else "AlbertModel"
    if checkpoint.has_sentence_order:
        kind = "AlbertForPreTraining"
    return {**values, **ids, "architectures": [kind], "dtype": dtype}
