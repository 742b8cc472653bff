"""`layer_norm_kind: uer`, `final_norm` and an untied decoder give the numbers of UER-py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.config import AlbertConfig
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead

CASES = [
    "gelu_fast_tied",
    "gelu_untied",
    "relu_eps_probe",
    "relu_preln_option",
    "relu_tied",
    "relu_untied",
]
ATTENTION, FEED_FORWARD = "albert.encoder.attention.0.0", "albert.encoder.feed_forward.0.0"
NAMES = {
    "embedding.word.embedding": "albert.embeddings.word",
    "embedding.pos.embedding": "albert.embeddings.position",
    "embedding.seg.embedding": "albert.embeddings.segment",
    "embedding.layer_norm": "albert.embeddings.norm",
    "encoder.linear": "albert.embeddings.projection",
    "encoder.transformer.self_attn.linear_layers.0": f"{ATTENTION}.query",
    "encoder.transformer.self_attn.linear_layers.1": f"{ATTENTION}.key",
    "encoder.transformer.self_attn.linear_layers.2": f"{ATTENTION}.value",
    "encoder.transformer.self_attn.final_linear": f"{ATTENTION}.output",
    "encoder.transformer.layer_norm_1": f"{ATTENTION}.norm",
    "encoder.transformer.feed_forward.linear_1": f"{FEED_FORWARD}.up",
    "encoder.transformer.feed_forward.linear_2": f"{FEED_FORWARD}.down",
    "encoder.transformer.layer_norm_2": f"{FEED_FORWARD}.norm",
    "encoder.layer_norm": "albert.encoder.norm",
    "target.sp.linear_1": "albert.pooler",
    "target.sp.linear_2": "sentence_order",
    "target.mlm.linear_1": "masked_lm.transform",
    "target.mlm.layer_norm": "masked_lm.norm",
    "output_layer_1": "albert.pooler",
    "output_layer_2": "classifier",
}
KINDS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def close(found: torch.Tensor, expected: np.ndarray, *, relative: bool) -> None:
    largest = np.abs(expected).max()
    largest = largest if relative else max(1.0, largest)
    assert found.shape == expected.shape
    assert np.abs(found.detach().numpy() - expected).max() <= 2e-5 * largest


def read_case(folder: Path, weights: str) -> tuple[AlbertConfig, dict[str, torch.Tensor]]:
    """Config and tensors of a case under our names; the decoder stays `target.mlm.linear_2`."""
    values = json.loads((folder / "config.json").read_text())
    order = values.pop("layernorm_positioning", "post")
    theirs = torch.load(folder / weights, weights_only=True)
    words = theirs["embedding.word.embedding.weight"]
    config = AlbertConfig.from_json(values, vocab_size=len(words))
    tensors = {}
    for name, tensor in theirs.items():
        module, kind = name.rsplit(".", 1)
        if module != "target.mlm.linear_2":
            tensors[f"{NAMES[module]}.{KINDS[kind]}"] = tensor
    if "target.mlm.linear_2.bias" in theirs:
        tensors["masked_lm.bias"] = theirs["target.mlm.linear_2.bias"]
        if not torch.equal(theirs["target.mlm.linear_2.weight"], words):
            config = replace(config, tied_decoder=False)
            tensors["masked_lm.decoder.weight"] = theirs["target.mlm.linear_2.weight"]
    return replace(config, norm_order=order, final_norm=order == "pre"), tensors


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_uer_outputs_are_those_of_the_original(case: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / case
    config, tensors = read_case(folder, "model.bin")
    assert config.tied_decoder == json.loads((folder / "options.json").read_text())["tie_weights"]
    model = AlbertForPretraining(config).eval()
    model.load_state_dict(tensors)
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        ids, segments = (torch.from_numpy(inputs[name]) for name in ("src", "seg"))
        expected = dict(outputs)
    output = model(
        ids,
        (segments - 1).clamp(min=0),  # UER counts from 1: the model adds that
        mask=segments > 0,
        target_positions=torch.arange(ids.numel()),
        return_all=True,
    )
    found = {
        "sequence_output": output.encoder.hidden,
        "pooled_output": output.encoder.pooled,
        "sop_logits": output.sop_logits,
        "mlm_logits": output.mlm_logits.view(*ids.shape, -1),
    }
    for number, state in enumerate(output.encoder.hidden_states[1:]):
        found[f"layer_{number:02}"] = state
    real = (segments > 0).numpy()  # at padding UER has a segment of its own, and nobody looks
    for name, tensor in found.items():
        if tensor.shape[:2] == real.shape:
            close(tensor[real], expected[name][real], relative="eps_probe" in case)
        else:
            close(tensor, expected[name], relative="eps_probe" in case)


@pytest.mark.shared
@pytest.mark.parametrize("pooling", ["first", "uer_mean", "uer_max", "uer_last"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_classifier_pools_as_the_original_does(pooling: str, packed: bool, shared: Path) -> None:
    folder = shared / "golden" / "uer" / "relu_untied"
    config, tensors = read_case(folder, "classifier.bin")
    model = AlbertForTask(config, TaskHead("classification", 3, pooling=pooling)).eval()
    model.load_state_dict(tensors)
    with np.load(folder / "inputs.npz") as inputs:
        ids, segments = (torch.from_numpy(inputs[name]) for name in ("src", "seg"))
    with np.load(folder / "classifier_outputs.npz") as outputs:
        expected = outputs["logits_" + pooling.removeprefix("uer_")]
    real = segments > 0
    if packed:
        output = model(ids[real], segments[real] - 1, lengths=real.sum(1))
    else:
        output = model(ids, (segments - 1).clamp(min=0), mask=real)
    close(output.logits, expected, relative=False)
