"""A predictor's answers for fine-tuned heads, beside transformers, which opens the same folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.infer.predictor import Predictor
from albertkit.model.albert import Albert
from albertkit.model.loading import build_body, tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead

TEXTS = ["the cat sat on the mat .", "a dog ran", "the dogs and the cats ran on and on ."]


@pytest.fixture(scope="module")
def tuned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random fine-tuned folder for each kind of head."""
    base = Checkpoint.load(tiny_model / "model")
    heads = {
        "classification": TaskHead("classification", 3, ("no", "perhaps", "yes")),
        "multi_label": TaskHead("multi_label", 4),
        "regression": TaskHead("regression", 1),
        "token_classification": TaskHead("token_classification", 3, ("O", "B", "I")),
        "span": TaskHead("span", 2),
    }
    places = {}
    for number, (kind, head) in enumerate(heads.items()):
        torch.manual_seed(number)
        tensors = tensors_of(AlbertForTask(base.config, head))
        places[kind] = tmp_path_factory.mktemp("tuned") / kind
        Checkpoint(base.config, tensors, base.tokenizer, head=head).save(places[kind])
    return places


def logits_of(folder: Path, kind: str, first: str, second: str | None = None) -> torch.Tensor:
    """The real transformers on one text or pair."""
    name = "Token" if kind == "token_classification" else "Sequence"
    model = getattr(transformers, f"AlbertFor{name}Classification").from_pretrained(folder)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model.eval()(**tokenizer(first, second, return_tensors="pt")).logits[0]


def test_a_class_has_the_probability_of_transformers(tuned: dict[str, Path]) -> None:
    folder = tuned["classification"]
    predictor = Predictor(folder, batch_size=2)
    for answer, text in zip(predictor.classify(TEXTS), TEXTS, strict=True):
        theirs = logits_of(folder, "classification", text).softmax(-1)
        wanted = dict(zip(("no", "perhaps", "yes"), theirs.tolist(), strict=True))
        assert answer.label == max(wanted, key=lambda name: wanted[name])
        assert {x.name: x.probability for x in answer.labels} == pytest.approx(wanted, abs=1e-5)
        assert answer.probability == max(x.probability for x in answer.labels)
    alone = predictor.classify(TEXTS[1], TEXTS[0])
    pair = logits_of(folder, "classification", TEXTS[1], TEXTS[0]).softmax(-1)
    assert alone.probability == pytest.approx(float(pair.max()), abs=1e-5)
    [listed] = predictor.classify([TEXTS[1]], [TEXTS[0]])
    assert listed.labels == alone.labels


def test_a_long_text_has_the_mean_of_the_logits_of_its_windows(tuned: dict[str, Path]) -> None:
    """32 tokens are read at once: 60 words have windows of 30 that begin at 0, 15 and 30."""
    folder = tuned["classification"]
    predictor = Predictor(folder)
    words = [("the", "cat", "ran", "on", ".")[n * n % 5] for n in range(60)]
    parts = [" ".join(words[n : n + 30]) for n in (0, 15, 30)]
    theirs = torch.stack([logits_of(folder, "classification", part) for part in parts])
    wanted = theirs.mean(0).softmax(-1)
    found = {x.name: x.probability for x in predictor.classify(" ".join(words)).labels}
    assert found == pytest.approx(
        dict(zip(("no", "perhaps", "yes"), wanted.tolist(), strict=True)), abs=1e-5
    )
    cut = predictor.classify(" ".join(words), truncate=True)
    assert cut.labels == predictor.classify(parts[0]).labels


def test_several_labels_are_questions_of_their_own(tuned: dict[str, Path]) -> None:
    folder = tuned["multi_label"]
    answer = Predictor(folder).classify(TEXTS[0])
    theirs = logits_of(folder, "multi_label", TEXTS[0]).sigmoid()
    wanted = {f"LABEL_{n}": float(p) for n, p in enumerate(theirs)}
    assert {x.name: x.probability for x in answer.labels} == pytest.approx(wanted, abs=1e-5)


def test_regression_gives_the_number(tuned: dict[str, Path]) -> None:
    folder = tuned["regression"]
    answer = Predictor(folder).classify(TEXTS[0], TEXTS[1])
    theirs = float(logits_of(folder, "regression", TEXTS[0], TEXTS[1])[0])
    assert answer.value == pytest.approx(theirs, abs=1e-5)
    assert (answer.label, answer.probability, answer.labels) == (None, None, ())


def test_each_piece_has_its_label(tuned: dict[str, Path]) -> None:
    folder = tuned["token_classification"]
    answers = Predictor(folder, batch_size=2).label_tokens(TEXTS)
    for answer, text in zip(answers, TEXTS, strict=True):
        theirs = logits_of(folder, "token_classification", text).softmax(-1)[1:-1]
        best, classes = theirs.max(-1)
        assert [x.name for x in answer.labels] == ["OBI"[n] for n in classes]
        found = [x.probability for x in answer.labels]
        np.testing.assert_allclose(found, best.numpy(), atol=1e-5)
        assert len(answer.pieces) == len(answer.offsets) == len(theirs)
    assert answers[2].pieces[:3] == ("the", "dog", "##s")
    assert [TEXTS[2][a:b] for a, b in answers[2].offsets[:3]] == ["the", "dog", "s"]


def test_a_piece_of_a_long_text_has_the_mean_of_the_windows_that_hold_it(
    tuned: dict[str, Path],
) -> None:
    """60 words have windows of 30 that begin at 0, 15 and 30."""
    folder = tuned["token_classification"]
    words = [("the", "cat", "ran", "on", ".")[n * n % 5] for n in range(60)]
    total, count = torch.zeros(60, 3), torch.zeros(60, 1)
    for begin in (0, 15, 30):
        part = " ".join(words[begin : begin + 30])
        total[begin : begin + 30] += logits_of(folder, "token_classification", part)[1:-1]
        count[begin : begin + 30] += 1
    wanted, classes = (total / count).softmax(-1).max(-1)
    found = Predictor(folder, batch_size=2).label_tokens(" ".join(words))
    assert [x.name for x in found.labels] == ["OBI"[n] for n in classes]
    np.testing.assert_allclose([x.probability for x in found.labels], wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "question", "message"),
    [
        ("token_classification", lambda p: p.classify("the"), "ask it with tag"),
        ("classification", lambda p: p.label_tokens("the"), "ask it with classify"),
        ("span", lambda p: p.classify("the"), "ask it with answer"),
        ("classification", lambda p: p.fill_mask("[MASK]"), "masked-LM head"),
        ("classification", lambda p: p.classify(["the"], ["a", "the"]), "1 and 2"),
        ("classification", lambda p: p.classify(""), "text is empty"),
    ],
)
def test_a_question_for_another_head_is_an_error(
    tuned: dict[str, Path], kind: str, question: object, message: str
) -> None:
    with pytest.raises(PredictionError, match=message):
        question(Predictor(tuned[kind]))


def test_a_checkpoint_without_head_says_so(tiny_model: Path) -> None:
    with pytest.raises(PredictionError, match="has no head"):
        Predictor(tiny_model / "model").classify("the cat")


def test_a_model_of_uer_reads_its_own_segment_rows(tiny_model: Path, tmp_path: Path) -> None:
    """Row 0 of its three belongs to padding: the model counts segments 0 and 1 from row 1."""
    base = Checkpoint.load(tiny_model / "model")
    config = replace(base.config, layer_norm_kind="uer", type_vocab_size=3)
    torch.manual_seed(4)
    checkpoint = Checkpoint(config, tensors_of(Albert(config)), base.tokenizer)
    checkpoint.save(tmp_path / "uer")
    row = base.tokenizer.encode("the cat")
    ids = torch.tensor([row.ids])
    body = build_body(checkpoint)
    wanted = body(ids).hidden[0].mean(0)
    found = Predictor(tmp_path / "uer").embed("the cat")
    np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-5)
    np.testing.assert_array_equal(
        body(ids).hidden.detach().numpy(), body(ids, torch.zeros_like(ids)).hidden.detach().numpy()
    )
    table = body.embeddings
    position = torch.zeros(1, dtype=torch.int64)
    for segment in (0, 1):
        found = table(ids[0, :1], torch.tensor([segment]), position)
        row = table.word(ids[0, :1]) + table.position(position) + table.segment.weight[1 + segment]
        torch.testing.assert_close(found, table.project(table.norm(row)))
