"""What the files do not say is decided by masked-LM loss.

The text is made from the model: at the places that will be masked stand the words that the model
with the right choice predicts there. So the right choice must have the smallest loss.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, PredictionError
from albertkit.infer.disambiguate import candidates_for, detect_choices, masked_rows
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build, tensors_of
from albertkit.sizes import size
from albertkit.text.tokenizer import Tokenizer

WORDS = [chr(0x4E00 + n) for n in range(40)]  # every character is one piece
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RIGHT = {"num_attention_heads": 4, "norm_order": "post", "hidden_act": "gelu_tanh"}
CONFIG = AlbertConfig(
    vocab_size=45,
    embedding_size=16,
    hidden_size=32,
    num_hidden_layers=3,
    intermediate_size=64,
    max_position_embeddings=40,
    initializer_range=0.4,
    **RIGHT,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    place = tmp_path_factory.mktemp("words") / "vocab.txt"
    place.write_text("\n".join([*SPECIAL, *WORDS]) + "\n", encoding="utf-8")
    torch.manual_seed(5)
    return Checkpoint(CONFIG, tensors_of(AlbertForPretraining(CONFIG)), Tokenizer.load(place))


@pytest.fixture(scope="module")
def text(checkpoint: Checkpoint) -> list[str]:
    """Lines whose masked words are those that the right model predicts."""
    draws = np.random.default_rng(0)
    lines = ["".join(draws.choice(WORDS, size=20 + n)) for n in range(16)]
    rows, answers = masked_rows(None, checkpoint, lines)
    model = build(checkpoint)
    predicted = []
    for row, places in zip(rows, answers, strict=True):
        logits = model(
            torch.tensor([row.ids]), target_positions=torch.tensor(list(places))
        ).mlm_logits
        best = logits[:, len(SPECIAL) :].argmax(-1).tolist()
        ids = list(row.ids)
        for place, word in zip(places, best, strict=True):
            ids[place] = word + len(SPECIAL)
        predicted.append("".join(WORDS[i - len(SPECIAL)] for i in ids[1:-1]))
    return predicted


def opener(checkpoint: Checkpoint) -> Any:
    return lambda values: replace(checkpoint, config=replace(checkpoint.config, **values))


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("num_attention_heads", [2, 4, 8]),
        ("norm_order", ["pre", "post"]),
        ("hidden_act", ["relu", "gelu_tanh", "tanh"]),
    ],
)
def test_the_right_choice_has_the_smallest_loss(
    key: str, values: list[Any], checkpoint: Checkpoint, text: list[str]
) -> None:
    found = detect_choices(opener(checkpoint), [{key: value} for value in values], text)
    assert found[0][0] == {key: RIGHT[key]}
    assert [loss for _, loss in found] == sorted(loss for _, loss in found)
    assert found[1][1] > found[0][1] + 0.05
    again = detect_choices(opener(checkpoint), [{key: value} for value in values], text)
    assert again == found


def test_all_choices_together_are_found(checkpoint: Checkpoint, text: list[str]) -> None:
    candidates = [
        {"num_attention_heads": heads, "norm_order": order, "hidden_act": act}
        for heads in (2, 4)
        for order in ("pre", "post")
        for act in ("relu", "gelu_tanh")
    ]
    assert detect_choices(opener(checkpoint), candidates, text)[0][0] == RIGHT


def test_the_loss_is_the_mean_over_masked_words(checkpoint: Checkpoint) -> None:
    """A model that gives every word the same probability loses ln V for each."""
    tensors = {n: x * 0 if n.startswith("masked_lm.") else x for n, x in checkpoint.tensors.items()}
    flat = replace(checkpoint, tensors=tensors)
    found = detect_choices(lambda _: flat, [{}], ["".join(WORDS[:9]), "".join(WORDS)])
    assert found == [({}, pytest.approx(np.log(45), rel=1e-6))]


def test_broken_choices_come_last(checkpoint: Checkpoint, text: list[str]) -> None:
    broken = {n: x * np.float32(np.nan) for n, x in checkpoint.tensors.items()}
    whole = {True: replace(checkpoint, tensors=broken), False: checkpoint}
    found = detect_choices(
        lambda v: whole[v["broken"]], [{"broken": True}, {"broken": False}], text
    )
    assert [values["broken"] for values, _ in found] == [False, True]
    assert found[1][1] == np.inf


def test_candidates_name_only_what_configs_get_wrong() -> None:
    english = candidates_for(size("albert-xlarge-v2"))
    assert english[0] == {"num_attention_heads": 16, "hidden_act": "gelu_tanh"}
    assert {c["num_attention_heads"] for c in english} == {16, 32}
    assert all("norm_order" not in c for c in english)
    chinese = candidates_for(size("brightmart-xlarge"))
    assert {c["norm_order"] for c in chinese} == {"post", "pre"}
    assert {c["hidden_act"] for c in chinese} == {"relu", "gelu_tanh", "gelu_erf"}
    assert chinese[0] == {
        "num_attention_heads": 32,
        "norm_order": "post",
        "hidden_act": "gelu_tanh",
    }
    base = candidates_for(size("albert-base-v2"))
    assert base == [{"hidden_act": act} for act in ("gelu_tanh", "gelu_erf", "relu")]
    for config in (size("albert-base-v2"), size("albert-chinese-tiny")):
        for values in candidates_for(config):
            replace(config, **values)  # each is an ALBERT


@pytest.mark.parametrize("lines", [[], ["", " "]])
def test_without_text_nothing_is_decided(lines: list[str], checkpoint: Checkpoint) -> None:
    with pytest.raises(PredictionError, match="no words"):
        detect_choices(opener(checkpoint), [{}], lines)


def test_what_is_missing_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="nothing to choose"):
        detect_choices(opener(checkpoint), [], ["x"])
    with pytest.raises(PredictionError, match="tokenizer"):
        detect_choices(lambda _: replace(checkpoint, tokenizer=None), [{}], ["x"])
    body = {n: x for n, x in checkpoint.tensors.items() if n.startswith("albert.")}
    with pytest.raises(CheckpointError, match="masked-LM head"):
        detect_choices(lambda _: replace(checkpoint, tensors=body), [{}], [WORDS[0]])
