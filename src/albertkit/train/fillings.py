"""What a model in training guesses for words of held-out text: examples for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from albertkit.data.batch import Batch
from albertkit.data.masked_examples import MaskedSentence
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.loop import autocast
from albertkit.train.validation import evaluating

GUESSES = 5


@dataclass(frozen=True)
class Filling:
    """A held-out sentence with one [MASK], the word that stands there, the model's best guesses."""

    text: str
    word: str
    guesses: tuple[tuple[str, float], ...]  # with scores, the best first


def fill(
    model: nn.Module,
    examples: Sequence[MaskedSentence],
    tokenizer: Tokenizer,
    precision: str,
    max_tokens: int,
) -> list[Filling]:
    """Guesses of an `AlbertForPretraining`, without dropout; longer sentences are left out."""
    encoded = tokenizer.encode_batch([example.text for example in examples], allow_mask=True)
    fitting = [n for n, encoding in enumerate(encoded) if len(encoding.ids) <= max_tokens]
    if not fitting:
        return []
    batch = Batch.of([encoded[n] for n in fitting])
    places = np.flatnonzero(batch.ids == tokenizer.mask_id)
    device = next(model.parameters()).device
    with evaluating(model), autocast(model, precision):
        logits = model(
            torch.from_numpy(batch.ids).to(device),
            torch.from_numpy(batch.segment_ids).to(device),
            lengths=torch.from_numpy(batch.lengths),
            target_positions=torch.from_numpy(places).to(device),
        ).mlm_logits
        # A table that is padded to a round size has rows behind the last piece.
        scores, ids = logits.float().softmax(-1)[:, : tokenizer.vocab_size].topk(GUESSES)
    return [
        Filling(*examples[n], tuple(zip(_words(tokenizer, best), of_each, strict=True)))
        for n, best, of_each in zip(fitting, ids.tolist(), scores.tolist(), strict=True)
    ]


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Pieces for people; the mark of a space alone, and special pieces, as they are written."""
    return [tokenizer.decode(each).strip() or tokenizer.pieces[each] for each in ids]
