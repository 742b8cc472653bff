"""The predictor beside transformers, which opens the same folder: the same numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AlbertForPreTraining, BertTokenizer

from albertkit.errors import PredictionError
from albertkit.infer.predictor import Predictor
from albertkit.text.tokenizer import Tokenizer

TEXTS = [
    "the cat sat on the mat .",
    "a dog ran",
    "the dogs and the cats ran on and on , the dog sat .",
]
NUM_PIECES, NUM_LAYERS, WIDTH = 23, 3, 16


@pytest.fixture(scope="module")
def folder(tiny_model: Path) -> Path:
    return tiny_model


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(folder / "model", batch_size=2)


def transformers_outputs(
    folder: Path, *texts: str, pair: str | None = None
) -> dict[str, torch.Tensor]:
    """Logits and hidden states of the real transformers for padded rows."""
    tokenizer = BertTokenizer.from_pretrained(folder / "model")
    model = AlbertForPreTraining.from_pretrained(folder / "model").eval()
    rows = tokenizer(
        list(texts), None if pair is None else [pair], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        output = model(**rows, output_hidden_states=True)
        pooled = model.albert(**rows).pooler_output
    return {**rows, **output, "pooled": pooled}


def test_the_texts_of_a_question_are_encoded_together(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = [predictor.embed(text) for text in TEXTS]
    order = [predictor.sentence_order(text, TEXTS[0]) for text in TEXTS]
    monkeypatch.delattr(Tokenizer, "encode")
    assert np.allclose(predictor.embed(TEXTS), each, atol=1e-6)
    assert np.allclose(predictor.sentence_order(TEXTS, TEXTS[:1] * 3), order, atol=1e-6)
    assert predictor.fill_mask(["a [MASK] ran", "[MASK]"])[1].masks


def test_fill_mask_gives_the_probabilities_of_transformers(
    folder: Path, predictor: Predictor
) -> None:
    text = "the [MASK] sat on the mat ."
    theirs = transformers_outputs(folder, text)["prediction_logits"][0, 2].softmax(-1)
    found = predictor.fill_mask(text, top_k=50)
    assert len(found) == NUM_PIECES - 5  # special pieces are never offered
    for filling in found:
        assert filling.probability == pytest.approx(float(theirs[filling.ids[0]]), abs=2e-6)
    assert [f.probability for f in found] == sorted((f.probability for f in found), reverse=True)
    assert found[0].text == f"the {found[0].tokens[0]} sat on the mat .".replace(" ##", "")


def test_joint_filling_is_the_best_of_all_fillings(folder: Path, predictor: Predictor) -> None:
    """Exhaustive: every pair of tokens by the chain rule, run through transformers."""
    text = "the [MASK] ran on [MASK] ."
    first = transformers_outputs(folder, text)["prediction_logits"][0].log_softmax(-1)
    places = [2, 5]
    order = sorted(places, key=lambda place: -float(first[place, 5:].max()))
    rows = []
    for number in range(5, NUM_PIECES):
        ids = transformers_outputs(folder, text)["input_ids"][0].clone()
        ids[order[0]] = number
        rows.append(ids)
    model = AlbertForPreTraining.from_pretrained(folder / "model").eval()
    with torch.no_grad():
        second = model(torch.stack(rows)).prediction_logits[:, order[1]].log_softmax(-1)
    joint = first[order[0], 5:, None] + second[:, 5:]  # (first mask filled, second)
    best = float(joint.max().exp())
    found = predictor.fill_mask(text, top_k=3)
    assert found[0].probability == pytest.approx(best, rel=1e-4)
    chosen = np.unravel_index(int(joint.argmax()), joint.shape)
    by_place = dict(zip(order, (int(n) + 5 for n in chosen), strict=True))
    assert found[0].ids == tuple(by_place[place] for place in places)
    for mask, place in zip(found.masks, places, strict=True):
        assert mask[0].probability == pytest.approx(float(first[place, 5:].max().exp()), rel=1e-4)


def test_order_is_one_minus_the_swapped_label(folder: Path, predictor: Predictor) -> None:
    theirs = transformers_outputs(folder, TEXTS[0], pair=TEXTS[1])["sop_logits"][0].softmax(-1)
    assert predictor.order(TEXTS[0], TEXTS[1]) == pytest.approx(1 - float(theirs[1]), abs=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooled"])
def test_embed_equals_transformers_on_padded_rows(
    folder: Path, predictor: Predictor, pooling: str
) -> None:
    theirs = transformers_outputs(folder, *TEXTS)
    last, mask = theirs["hidden_states"][-1], theirs["attention_mask"][..., None]
    wanted = {
        "mean": (last * mask).sum(1) / mask.sum(1),
        "cls": last[:, 0],
        "pooled": theirs["pooled"],
    }[pooling]
    found = predictor.embed(TEXTS, pooling)
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-5)
    np.testing.assert_allclose(predictor.embed(TEXTS[2], pooling), found[2], atol=1e-6)
    unit = predictor.embed(TEXTS, pooling, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, rtol=1e-6)


def test_hidden_states_are_those_of_transformers(folder: Path, predictor: Predictor) -> None:
    theirs = torch.cat(transformers_outputs(folder, TEXTS[2])["hidden_states"]).numpy()
    found = predictor.hidden_states(TEXTS[2])
    assert found.layers.shape == (NUM_LAYERS + 1, theirs.shape[1], WIDTH)
    np.testing.assert_allclose(found.layers, theirs, atol=2e-5)
    assert found.pieces[:4] == ("[CLS]", "the", "dog", "##s")
    assert found.offsets[2] == (4, 7)


def test_lists_are_answered_in_their_order_like_single_texts(predictor: Predictor) -> None:
    asked = ["the cat sat on a [MASK] and ran .", "[MASK] ran", "the [MASK] [MASK] on the mat"]
    for text, found in zip(asked, predictor.fill_mask(asked), strict=True):
        alone = predictor.fill_mask(text)
        assert found.text == alone.text == text
        assert [f.ids for f in found] == [f.ids for f in alone]
        np.testing.assert_allclose(
            [f.probability for f in found], [f.probability for f in alone], rtol=1e-4
        )
    seconds = [*TEXTS[1:], TEXTS[0]]  # rising lengths: batches are made in another order
    pairs = predictor.order(TEXTS, seconds)
    single = [predictor.order(a, b) for a, b in zip(TEXTS, seconds, strict=True)]
    np.testing.assert_allclose(pairs, single, rtol=1e-5)


def test_a_mask_is_written_as_the_settings_name_it_or_as_usual(
    folder: Path, predictor: Predictor, tmp_path: Path
) -> None:
    place = tmp_path / "model"
    shutil.copytree(folder / "model", place)
    (place / "tokenizer.json").unlink(missing_ok=True)
    pieces = (place / "vocab.txt").read_text(encoding="utf-8").replace("[MASK]", "<mask>")
    (place / "vocab.txt").write_text(pieces, encoding="utf-8")
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        (place / file).unlink(missing_ok=True)
    (place / "tokenizer_config.json").write_text('{"mask_token": "<mask>"}')
    other = Predictor(place)
    expected = [f.ids for f in predictor.fill_mask("the [MASK] [MASK] on a mat")]
    for text in ("the [MASK] <mask> on a mat", "the <mask> <mask> on a mat"):
        found = other.fill_mask(text)
        assert [f.ids for f in found] == expected
        assert "mask" not in found[0].text.lower()
    with pytest.raises(PredictionError, match="<mask>"):
        other.fill_mask("the cat")
    with pytest.raises(PredictionError, match="no mask"):
        predictor.fill_mask("the <mask> sat")


def test_chinese_masks_leave_no_spaces(predictor: Predictor) -> None:
    best = predictor.fill_mask("[MASK]在跑。", top_k=30)
    assert "狗在跑。" in {filling.text for filling in best}


def test_a_head_that_is_missing_is_an_error(folder: Path) -> None:
    body = Predictor(folder / "body")
    assert body.embed("the cat").shape == (WIDTH,)
    with pytest.raises(PredictionError, match="sentence-order head"):
        body.order("a", "the")
    with pytest.raises(PredictionError, match="masked-LM head"):
        body.fill_mask("the [MASK]")


def test_texts_that_do_not_fit_are_errors_unless_cutting_is_allowed(predictor: Predictor) -> None:
    long = "the cat " * 20
    with pytest.raises(PredictionError, match="at most 32 tokens.*\n.*42 tokens"):
        predictor.embed(["the cat", long])
    np.testing.assert_allclose(
        predictor.embed(long, truncate=True), predictor.embed("the cat " * 15), atol=1e-6
    )
    kept = predictor.fill_mask("a [MASK] ran " + long, truncate=True)
    assert len(kept) == 5
    with pytest.raises(PredictionError, match="mask would be cut off"):
        predictor.fill_mask(long + "[MASK]", truncate=True)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda p: p.fill_mask("the cat"), r"write \[MASK\]"),
        (lambda p: p.fill_mask("the [mask] sat"), r"write \[MASK\]"),
        (lambda p: p.fill_mask(["a [MASK]", "the cat"]), "text number 2"),
        (lambda p: p.fill_mask("a [MASK]", top_k=0), "top_k must be 1 or more"),
        (lambda p: p.embed(""), "text is empty"),
        (lambda p: p.embed(["the", " \n"]), "text number 2 of 2"),
        (lambda p: p.embed([]), "no text"),
        (lambda p: p.embed([3]), "must be a str"),
        (lambda p: p.embed(["a", None]), "NoneType, text number 2 of 2"),
        (lambda p: p.embed(None), "must be a str"),
        (lambda p: p.fill_mask(b"a [MASK]"), "bytes"),
        (lambda p: p.fill_mask({"text": "a [MASK]"}), "dict"),
        (lambda p: p.sentence_order("a", 3), "must be a str"),
        (lambda p: p.sentence_order("a", None), "must be a str"),
        (lambda p: p.hidden_states(["a", "b"]), "must be a str"),
        (lambda p: p.embed("the", "max"), "mean, cls, pooled"),
        (lambda p: p.embed("the", batch_size=0), "batch_size must be 1 or more"),
        (lambda p: p.order(["a"], ["the", "a"]), "1 and 2"),
        (lambda p: p.order("a", ""), "text is empty"),
    ],
)
def test_impossible_questions_are_answered_with_what_to_do(
    predictor: Predictor, question: object, message: str
) -> None:
    with pytest.raises(PredictionError, match=message):
        question(predictor)


def test_an_unknown_device_is_an_error(folder: Path) -> None:
    with pytest.raises(PredictionError, match="device cannot be used"):
        Predictor(folder / "model", "gpu")
