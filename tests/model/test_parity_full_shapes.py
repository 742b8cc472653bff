"""At full shapes the model equals transformers, packed and padded."""

from __future__ import annotations

import pytest
import torch
from transformers import AlbertConfig as TheirConfig
from transformers import AlbertForPreTraining

from albertkit.checkpoint.hf_names import huggingface_rules
from albertkit.model.heads import AlbertForPretraining
from albertkit.sizes import size


def pair(name: str) -> tuple[AlbertForPretraining, AlbertForPreTraining]:
    """The same random model, ours and theirs; depth is kept, so rounding can add up."""
    torch.manual_seed(0)
    config = size(name)
    ours = AlbertForPretraining(config).eval()
    theirs = AlbertForPreTraining(TheirConfig(**config.to_json())).eval()
    names = huggingface_rules(config, renumber=True)
    state = {names[key].theirs: tensor for key, tensor in ours.state_dict().items()}
    state["predictions.decoder.weight"] = state["albert.embeddings.word_embeddings.weight"]
    state["predictions.decoder.bias"] = state["predictions.bias"]
    theirs.load_state_dict(state)
    return ours, theirs


@torch.no_grad()
@pytest.mark.parametrize("name", ["albert-chinese-tiny", "albert-base-v2", "albert-large-v2"])
def test_full_shapes_agree_packed_and_padded(name: str) -> None:
    ours, theirs = pair(name)
    for tokens in (1, 7, 128, 512):
        lengths = torch.tensor([tokens, max(1, tokens * 2 // 3)])
        lengths = lengths[1:] if tokens == 512 else lengths  # one row: the tests' time is short
        rows = len(lengths)
        ids = torch.randint(5, ours.config.vocab_size, (rows, tokens))
        types = (torch.arange(tokens) > tokens // 2).long().repeat(rows, 1)
        mask = torch.arange(tokens) < lengths[:, None]
        ends = torch.stack([torch.zeros_like(lengths), lengths - 1])  # (2 places, rows)
        expected = theirs(
            ids, attention_mask=mask.long(), token_type_ids=types, output_hidden_states=True
        )
        padded = ours(
            ids,
            types,
            lengths=lengths,
            target_positions=(ends + tokens * torch.arange(rows)).flatten(),
        )
        starts = lengths.cumsum(0) - lengths
        packed = ours(
            ids[mask],
            types[mask],
            lengths=lengths,
            target_positions=(ends + starts).flatten(),
        )
        logits = expected.prediction_logits[torch.arange(rows).repeat(2), ends.flatten()]
        states = expected.hidden_states[-1]
        for found, wanted in (
            (padded.encoder.hidden, states),
            (packed.encoder.hidden, states[mask]),
            (padded.mlm_logits, logits),
            (packed.mlm_logits, logits),
            (padded.sop_logits, expected.sop_logits),
            (packed.sop_logits, expected.sop_logits),
        ):
            bound = 2e-5 * max(1.0, float(wanted.abs().max()))
            assert float((found - wanted).abs().max()) <= bound, tokens
