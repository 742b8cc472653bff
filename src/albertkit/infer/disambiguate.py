"""Decide what a checkpoint's files do not say, by how well the model reads a text.

The number of heads, the order of the norms and the activation change no shape, so weights fit
every choice. The right one predicts masked words of ordinary text better than the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, PredictionError
from albertkit.infer.batches import Runner
from albertkit.infer.torch_engine import TorchEngine
from albertkit.tasks.classify import log_softmax
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

_SEED = 20191108
_RATE = 0.15
_ROWS, _COLUMNS, _BATCH = 256, 128, 16
# Values to open a file with whose keys are to be found out; and the depths of released models.
_GUESSES = {
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "hidden_act": "gelu_tanh",
    "norm_order": "post",
}
_DEPTHS = (4, 6, 12, 24)

Values = Mapping[str, Any]


def candidates_for(config: AlbertConfig) -> list[dict[str, Any]]:
    """The choices that configs of released checkpoints get wrong, that of this config first.

    Heads: one for each 64 of the width, or 16 (English xlarge: 16 or 32). Order of the norms: in
    albert_zh's own layout only (its xlarge was published with both). Activation: relu, and GELU
    by either formula. Only keys that are open are named.
    """
    width = config.hidden_size
    heads = [config.num_attention_heads, width // 64]
    heads += [16] if width >= 2048 else []  # the xlarge and xxlarge that broke the paper's rule
    orders = [config.norm_order]
    if config.embedding_order == "project_then_norm":
        orders += ["post", "pre"]
    acts = [config.hidden_act, "gelu_tanh", "gelu_erf", "relu"]
    open_keys: dict[str, list[Any]] = {
        "num_attention_heads": [n for n in heads if n > 0 and width % n == 0],
        "norm_order": orders,
        "hidden_act": acts,
    }
    candidates = {key: list(dict.fromkeys(values)) for key, values in open_keys.items()}
    varied = {key: values for key, values in candidates.items() if len(values) > 1}
    return [
        dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())
    ]


def open_choices(
    open_with: Callable[[dict[str, Any]], Checkpoint], given: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Candidates for everything that neither the files nor the user say, and that files get wrong.

    Where a family asks for keys (ConfigError), the released depths stand for a missing number of
    layers. Keys that the user gave are left alone.

    Raises:
        ConfigError: the files leave something else open.
    """
    asked: dict[str, Any] = {}
    try:
        config = open_with({}).config
    except ConfigError as error:
        asked = {key: value for key, value in _GUESSES.items() if key in error.missing}
        if not asked:
            raise
        config = open_with(asked).config
        if "num_attention_heads" in asked:  # 12 in every tiny, small and base
            heads = 12 if config.hidden_size % 12 == 0 else max(1, config.hidden_size // 64)
            config = replace(config, num_attention_heads=heads)
    depths = _DEPTHS if "num_hidden_layers" in asked else (config.num_hidden_layers,)
    found = []
    for depth, values in itertools.product(depths, candidates_for(config)):
        guessed = {**asked, **values, "num_hidden_layers": depth}
        kept = {key: value for key, value in guessed.items() if key not in given}
        if len(depths) == 1:
            kept.pop("num_hidden_layers", None)
        if kept not in found:
            found.append(kept)
    return found


def detect_choices(
    open_with: Callable[[dict[str, Any]], Checkpoint],
    candidates: Sequence[Values],
    text: Sequence[str],
    *,
    tokenizer: Tokenizer | None = None,
) -> list[tuple[dict[str, Any], float]]:
    """Candidates with their masked-LM loss (nats for each masked token), the smallest first.

    The same tokens are masked for all. A wrong number of heads or order of norms costs much;
    the two formulas of GELU differ by thousandths, so their order here proves nothing.

    Args:
        open_with: gives the checkpoint with some config keys set, such as
            `lambda values: Checkpoint.load(path, overrides=Overrides(values=values))`.
        candidates: values to try.
        text: ordinary text in the language of the model, some dozens of lines; the first 256
            lines are read, each to 128 tokens.
        tokenizer: if the checkpoint has none.

    Raises:
        PredictionError: no candidate, no text, no tokenizer, or no masked-LM head.
    """
    if not candidates:
        raise PredictionError(
            "There is nothing to choose from.",
            expected="at least one candidate",
            fix="pass candidates, each a dict of config keys and values",
        )
    losses = []
    questions: tuple[list[Encoding], list[dict[int, int]]] | None = None
    for values in candidates:
        checkpoint = open_with(dict(values))
        if questions is None:
            questions = masked_rows(tokenizer, checkpoint, text)
        loss = _loss(checkpoint, *questions)
        losses.append((dict(values), math.inf if math.isnan(loss) else loss))
    return sorted(losses, key=lambda pair: pair[1])


def masked_rows(
    tokenizer: Tokenizer | None, checkpoint: Checkpoint, text: Sequence[str]
) -> tuple[list[Encoding], list[dict[int, int]]]:
    """Rows with [MASK] in some places, and for each row the id that belongs to each place.

    Which places depends on the number of tokens of the rows alone.
    """
    tokenizer = tokenizer or checkpoint.tokenizer
    if tokenizer is None:
        raise PredictionError(
            "Text cannot be read without a tokenizer.",
            expected="spiece.model or vocab.txt beside the weights",
            fix="pass tokenizer=Tokenizer.load(path)",
            command_fix="add --tokenizer FILE",
        )
    columns = min(_COLUMNS, checkpoint.config.max_position_embeddings)
    draws = np.random.default_rng(_SEED)
    rows, answers = [], []
    for line in text[:_ROWS]:
        row = tokenizer.encode(line, max_tokens=columns) if line.strip() else None
        count = 0 if row is None else len(row.ids) - 2  # without [CLS] and [SEP]
        if row is None or count < 1:
            continue
        places = 1 + draws.permutation(count)[: max(1, round(_RATE * count))]
        answers.append({int(place): row.ids[place] for place in places})
        ids = [tokenizer.mask_id if n in answers[-1] else i for n, i in enumerate(row.ids)]
        rows.append(Encoding(ids, row.segment_ids, row.offsets, row.word_starts))
    if not rows:
        raise PredictionError(
            "The text to decide by holds no words.",
            expected="some lines of ordinary text",
            found="none with a word",
            fix="give text in the language of the model, some dozens of lines",
        )
    return rows, answers


def _loss(
    checkpoint: Checkpoint, encodings: list[Encoding], answers: list[dict[int, int]]
) -> float:
    """Mean negative log-probability of the masked tokens."""
    engine = TorchEngine(checkpoint)
    if "masked_lm" not in engine.outputs:
        raise CheckpointError(
            "This checkpoint cannot predict masked words.",
            expected="a masked-LM head",
            found="a checkpoint without it",
            fix="pass the open keys as overrides=Overrides(values=...)",
            command_fix="give the open keys yourself with --set",
        )
    runner = Runner(engine, _BATCH, finite=False)  # a wrong choice may overflow
    total, count = 0.0, 0
    for outputs in runner.run(encodings, ("masked_lm",), [list(a) for a in answers]):
        wanted = np.array([word for i in outputs.indices for word in answers[i].values()])
        scores = log_softmax(outputs["masked_lm"])
        total -= float(scores[np.arange(len(wanted)), wanted].sum(dtype=np.float64))
        count += len(wanted)
    return total / count
