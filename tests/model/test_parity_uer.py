"""`layer_norm_kind: uer` gives the numbers of UER-py on its own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.config import read_config
from albertkit.model.heads import AlbertForPretraining

CASES = ["gelu_fast_tied", "gelu_untied", "relu_eps_probe", "relu_tied", "relu_untied"]
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
    "target.sp.linear_1": "albert.pooler",
    "target.sp.linear_2": "sentence_order",
    "target.mlm.linear_1": "masked_lm.transform",
    "target.mlm.layer_norm": "masked_lm.norm",
}
KINDS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def close(found: torch.Tensor, expected: np.ndarray, *, relative: bool) -> None:
    largest = np.abs(expected).max()
    largest = largest if relative else max(1.0, largest)
    assert found.shape == expected.shape
    assert np.abs(found.detach().numpy() - expected).max() <= 2e-5 * largest


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_uer_outputs_are_those_of_the_original(case: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / case
    theirs = torch.load(folder / "model.bin", weights_only=True)
    words = theirs["embedding.word.embedding.weight"]
    config = read_config(folder / "config.json", vocab_size=len(words))
    state = {"masked_lm.bias": theirs.pop("target.mlm.linear_2.bias")}
    decoder = theirs.pop("target.mlm.linear_2.weight")
    for name, tensor in theirs.items():
        module, kind = name.rsplit(".", 1)
        state[f"{NAMES[module]}.{KINDS[kind]}"] = tensor
    model = AlbertForPretraining(config).eval()
    model.load_state_dict(state)
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        ids, segments = (torch.from_numpy(inputs[name]) for name in ("src", "seg"))
        expected = dict(outputs)
    output = model(
        ids,
        segments,
        mask=segments > 0,
        target_positions=torch.arange(ids.numel()),
        return_all=True,
    )
    found = {
        "sequence_output": output.encoder.tokens,
        "pooled_output": output.encoder.pooled,
        "sop_logits": output.order_logits,
    }
    for number, state in enumerate(output.encoder.hidden_states[1:]):
        found[f"layer_{number:02}"] = state
    if torch.equal(decoder, words):
        found["mlm_logits"] = output.mlm_logits.view(*ids.shape, -1)
    assert ("mlm_logits" in found) == case.endswith("_tied")
    for name, tensor in found.items():
        close(tensor, expected[name], relative="eps_probe" in case)
