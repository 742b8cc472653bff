"""Anything that fits the socket answers; what is not finite is never an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.errors import PredictionError, TextError
from albertkit.infer.predictor import Predictor
from albertkit.model.loading import tensors_of
from albertkit.model.task_heads import AlbertForTask
from albertkit.tasks.head import TaskHead
from albertkit.text.tokenizer import Tokenizer


class Counting:
    """An engine in numpy: the vector of a token is its id, and the next id is the likeliest."""

    outputs = frozenset({"hidden", "masked_lm"})

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config, self.head, self.runs = checkpoint.config, None, 0

    def run(
        self, batch: Batch, want: Collection[str], positions: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        self.runs += 1
        found = {"hidden": np.repeat(batch.ids[:, None], self.config.hidden_size, 1)}
        if positions is not None:
            after = batch.ids[positions - 1] + 1
            found["masked_lm"] = 9.0 * np.eye(self.config.vocab_size)[after]
        return {name: found[name].astype(np.float32) for name in want}


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> Checkpoint:
    return Checkpoint.load(tiny_model / "model")


def test_a_predictor_takes_any_engine(base: Checkpoint, tiny_model: Path) -> None:
    predictor = Predictor(Counting(base), tokenizer=tiny_model / "vocab.txt")
    found = predictor.fill_mask("the [MASK]")
    assert found[0].ids == (base.tokenizer.ids("the")[0] + 1,)
    ids = [base.tokenizer.cls_id, *base.tokenizer.ids("a dog"), base.tokenizer.sep_id]
    np.testing.assert_allclose(predictor.embed("a dog"), np.mean(ids))
    with pytest.raises(PredictionError):
        predictor.sentence_order("a", "the")
    with pytest.raises(PredictionError):
        Predictor(Counting(base))  # no tokenizer


def test_each_mask_by_itself_takes_one_run(base: Checkpoint, tiny_model: Path) -> None:
    engine = Counting(base)
    predictor = Predictor(engine, tokenizer=Tokenizer.load(tiny_model / "vocab.txt"))
    text = "the [MASK] dog [MASK] [MASK]"
    alone = predictor.fill_mask(text, independent=True)
    assert engine.runs == 1
    assert len(alone) == 1
    assert alone[0].ids == tuple(mask[0].id for mask in alone.masks)
    assert predictor.fill_mask(text).masks == alone.masks
    many = "the " + "[MASK]" * 65
    engine.config = replace(base.config, max_position_embeddings=128)
    long = Predictor(engine, tokenizer=predictor.tokenizer)
    with pytest.raises(TextError) as refused:
        long.fill_mask(many)
    assert refused.value.facts["found"] == "65"
    engine.runs = 0
    assert len(long.fill_mask(many, independent=True).masks) == 65
    assert engine.runs == 1


def test_what_is_not_finite_is_no_answer(base: Checkpoint) -> None:
    class Broken(Counting):
        def run(self, *question: object) -> dict[str, np.ndarray]:
            found = super().run(*question)
            for array in found.values():
                array[-1, -1] = np.nan
            return found

    predictor = Predictor(Broken(base), tokenizer=base.tokenizer)
    for ask in (predictor.embed, lambda text: predictor.fill_mask(text + " [MASK]")):
        with pytest.raises(PredictionError, match="finite"):
            ask("the cat")


def saved(base: Checkpoint, head: TaskHead, folder: Path, **changes: int) -> Path:
    config = replace(base.config, **changes)
    torch.manual_seed(11)
    Checkpoint(config, tensors_of(AlbertForTask(config, head)), base.tokenizer, head=head).save(
        folder
    )
    return folder


def test_an_answer_is_the_best_span_of_transformers(base: Checkpoint, tmp_path: Path) -> None:
    folder = saved(base, TaskHead("span", 2), tmp_path / "span")
    question, context = "the cat", "a dog ran on the mat , and the cat sat ."
    predictor = Predictor(folder)
    found = predictor.answer(question, context, max_answer_tokens=4)
    model = transformers.AlbertForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    rows = tokenizer(question, context, return_tensors="pt")
    with torch.no_grad():
        output = model(**rows)
    allowed = rows["token_type_ids"][0] == 1
    allowed[-1] = False
    places = allowed.nonzero().flatten().tolist()
    allowed[0] = True  # no answer has its share
    start, end = (
        x[0].masked_fill(~allowed, -1e30).softmax(-1)
        for x in (output.start_logits, output.end_logits)
    )
    pairs = {(a, b): float(start[a] * end[b]) for a in places for b in places if a <= b < a + 4}
    assert found[0].probability == pytest.approx(max(pairs.values()), rel=1e-4)
    assert found["answer"] == context[found["start"] : found["end"]] == found.text
    assert found["score"] == found[0].probability
    assert predictor(question, context, max_answer_tokens=4) == found
    with_none = predictor.answer(question, context, unanswerable=True)
    assert with_none.no_answer == pytest.approx(float(start[0] * end[0]), rel=1e-4)


def test_a_long_context_is_read_in_windows(base: Checkpoint, tmp_path: Path) -> None:
    predictor = Predictor(saved(base, TaskHead("span", 2), tmp_path / "span"))
    context = "a dog ran on the mat , and the cat sat . " * 12  # the model reads 32 tokens
    found = predictor.answer("the cat", context, stride=8, top_k=9)
    assert len(found) == 9
    assert all(context[x.start : x.end] == x.text and x.text for x in found)
    [listed] = predictor.answer(["the cat"], [context], stride=8, top_k=9)
    assert listed.best == found.best


def test_the_head_of_squad_2_may_find_no_answer(base: Checkpoint, tmp_path: Path) -> None:
    predictor = Predictor(saved(base, TaskHead("beam_span", 2), tmp_path / "beam"))
    found = predictor.answer("the cat", "a dog ran on the mat , and the cat sat .")
    assert found.no_answer is not None
    assert (found.text == "") == (found.no_answer > 0.5)
    assert sum(x.text == "" for x in found) == 1


def test_tags_are_words_with_their_characters(base: Checkpoint, tmp_path: Path) -> None:
    head = TaskHead("token_classification", 3, ("O", "B-X", "I-X"))
    predictor = Predictor(saved(base, head, tmp_path / "tags"))
    text = "the dogs and the cats ran on and on ."
    found = predictor.tag(text)
    for one in found:
        assert text[one["start"] : one["end"]] == one["word"]
        assert (one["entity_group"], one["score"]) == (one.label, one.probability)
        assert one.end == len(text) or not text[one.end].isalpha()  # whole words
    assert predictor(text) == found
    assert "<table>" in found._repr_html_() or not len(found)


def test_a_choice_has_the_probabilities_of_transformers(base: Checkpoint, tmp_path: Path) -> None:
    folder = saved(base, TaskHead("multiple_choice", 1), tmp_path / "choice")
    texts = ["a dog ran", "the cat sat", "on the mat ."]
    found = Predictor(folder, batch_size=2).choose("the cat", texts)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    rows = tokenizer(["the cat"] * 3, texts, padding=True, return_tensors="pt")
    model = transformers.AlbertForMultipleChoice.from_pretrained(folder).eval()
    with torch.no_grad():
        theirs = model(**{name: x[None] for name, x in rows.items()}).logits[0].softmax(-1)
    np.testing.assert_allclose(found.probabilities, theirs.numpy(), atol=1e-5)
    assert found.number == int(theirs.argmax())


def test_answers_have_the_keys_of_pipelines(tiny_model: Path) -> None:
    predictor = Predictor(tiny_model / "model")
    text = "the [MASK] sat on the mat ."
    found = predictor(text, top_k=3)
    theirs = transformers.pipeline("fill-mask", model=str(tiny_model / "model"), top_k=23)(text)
    wanted = {x["token"]: x for x in theirs}
    assert set(wanted[found[0]["token"]]) == set(found[0].keys())
    for one in found:
        assert one["score"] == pytest.approx(wanted[one["token"]]["score"], abs=1e-5)
        assert one["token_str"] == wanted[one["token"]]["token_str"]
        assert dict(one)["sequence"] == one.text
    assert "<td>" in found._repr_html_()
    with pytest.raises(KeyError):
        found[0]["word"]


def test_filling_a_mask_imports_no_compiler(tiny_model: Path) -> None:
    """Initial values on the meta device imported it: 1.5 seconds of the first answer."""
    script = (
        "import json, sys; from albertkit import Predictor\n"
        "Predictor(sys.argv[1]).fill_mask('the [MASK]')\n"
        "print(json.dumps([m for m in ('torch._dynamo', 'torch._inductor') if m in sys.modules]))"
    )
    asked = [sys.executable, "-c", script, str(tiny_model / "model")]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_an_unknown_engine_or_precision_is_named_with_those_there_are(tiny_model: Path) -> None:
    with pytest.raises(PredictionError, match=r"engine must be one of auto, .*torch") as refused:
        Predictor(tiny_model / "model", engine="fast")
    assert refused.value.facts["found"] == "fast"
    with pytest.raises(PredictionError, match="precision of the engine torch") as refused:
        Predictor(tiny_model / "model", engine="torch", precision="int3")
    assert refused.value.facts["found"] == "int3"


def test_an_engine_from_outside_is_one_file(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "loud.py").write_text(
        "from albertkit.infer.engines.torch import make, open_exported\n"
        'TITLE, PRECISIONS = "loud", ("fp32",)\n',
        encoding="utf-8",
    )
    code = (
        "from albertkit import Predictor\n"
        f"print(Predictor({str(tiny_model / 'model')!r}, engine='loud').fill_mask('a [MASK]')[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "ALBERTKIT_PLUGINS": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
