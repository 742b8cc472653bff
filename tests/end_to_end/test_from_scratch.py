"""The demo from nothing, shortened: every step is taken, the goal is not waited for."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from albertkit.cli import main
from albertkit.cli.from_scratch import GOAL_NATS, from_scratch
from albertkit.cli.output import free_folder
from albertkit.cli.python_text import documents_of, is_prose
from albertkit.data.folder import DataFolder
from albertkit.data.masked_examples import masked_examples
from albertkit.data.shards import TRAIN, VALIDATION, Shards
from albertkit.infer.predictor import Predictor

FEW_STEPS = ["--set", "stages.0.steps=20", "--set", "stages.0.batch_size=8"]
# Sentences of a made-up Chinese, so that no text of others is needed: characters in short cycles.
CHINESE = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a demo of 20 steps."""
    folder = tmp_path_factory.mktemp("demo") / "en"
    assert (
        main(["demo", "--from-scratch", "--out", str(folder), *FEW_STEPS]) == 1
    )  # 20 steps miss the goal
    return folder


def test_demo_leaves_text_vocabulary_data_model_and_report(english: Path) -> None:
    assert (english / "text.txt").stat().st_size > 200_000
    assert (english / "run" / "report.html").read_text(encoding="utf-8").startswith("<!doctype")
    assert "Example fillings" in (english / "run" / "report.html").read_text(encoding="utf-8")
    card = (english / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "PSF-2.0" in card
    assert "unigram entropy" in card
    found = Predictor(english / "run" / "model").fill_mask("the [MASK] statement", top_k=2)
    assert len(found) == 2


def test_no_paragraph_is_on_both_sides(english: Path) -> None:
    paragraphs = (english / "text.txt").read_text(encoding="utf-8").split("\n")
    shown = [paragraph for paragraph in paragraphs if paragraph]
    assert len(shown) == len(set(shown))
    sides = []
    for name in (TRAIN, VALIDATION):
        shards = Shards(english / "data" / name)
        sentences = {tuple(shards.sentence(n)[0].tolist()) for n in range(shards.num_sentences)}
        sides.append({sentence for sentence in sentences if len(sentence) >= 20})
    assert len(sides[1]) > 100
    assert len(sides[0] & sides[1]) <= 0.03 * len(sides[1])  # stock phrases of the reference


def test_masks_have_the_right_answer_beside_them(english: Path) -> None:
    data = DataFolder.open(english / "data")
    shards, tokenizer = data.validation, data.tokenizer
    questions = masked_examples(data, 10)
    assert len(questions) == 10
    held_out = {
        tokenizer.decode(shards.sentence(n)[0].tolist()) for n in range(shards.num_sentences)
    }
    for question, answer in questions:
        assert question.count("[MASK]") == 1
        assert answer.isalpha()
        assert question.replace("[MASK]", answer) in held_out


def test_demo_in_chinese_needs_a_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["demo", "--from-scratch", "--language", "zh", "--out", str(tmp_path / "zh")]) == 2
    assert "--language zh --input FILE" in capsys.readouterr().err
    monkeypatch.setitem(
        __import__("albertkit.cli.from_scratch", fromlist=["x"]).VOCABULARY, "zh", ("wordpiece", 45)
    )
    size = len(CHINESE)
    documents = [
        "".join(
            "".join(CHINESE[(n * 7 + k * 3 + j * (n % 5 + 1)) % size] for j in range(12)) + "。"
            for k in range(6)
        )
        for n in range(200)
    ]
    text = tmp_path / "zh.txt"
    text.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    command = [
        "demo",
        "--from-scratch",
        "--language",
        "zh",
        "--input",
        str(text),
        "--out",
        str(tmp_path / "zh"),
    ]
    code = main([*command, *FEW_STEPS, "--json"])
    captured = capsys.readouterr()
    assert captured.out, captured.err
    facts = json.loads(captured.out)
    assert code == (0 if facts["goal_reached"] else 1)
    assert facts["nats_below"] == pytest.approx(facts["unigram_entropy"] - facts["mlm_loss"])
    assert facts["goal_reached"] == (facts["nats_below"] >= GOAL_NATS)
    last = json.loads(
        [
            x
            for x in (tmp_path / "zh/run/metrics.jsonl").read_text().splitlines()
            if "validation" in x
        ][-1]
    )
    assert facts["mlm_loss"] == last["mlm_loss"]


def test_documents_are_prose_without_repetition() -> None:
    prose = [f"This is the {n} paragraph, and it is long enough to be kept." for n in "abcdef"]
    topics = {
        "b": "\n\n".join(
            ["Heading\n*******", prose[0], "x = [f(y) for y in (z) if y] == {}  # and code"]
        ),
        "a": "\n\n".join(
            [*prose[:2], ">>> print(1) and many words to make it long enough", *prose[2:]]
        ),
        "c": "This is the a\n   paragraph, and it is long   enough to be kept.",
    }
    assert list(documents_of(topics)) == [prose[:4], prose[4:]]


@pytest.mark.parametrize(
    ("paragraph", "kept"),
    [
        ("If the object is a class instance, the attribute is looked up in its class.", True),
        ("Too short to keep.", False),
        ('stmt ::= "if" expression ":" suite ["else" ":" suite] (and so on for lines)', False),
        (">>> this would be a session of the interpreter, whatever follows the arrows", False),
    ],
)
def test_prose_is_recognised_from_code(paragraph: str, kept: bool) -> None:
    assert is_prose(paragraph) is kept


def test_free_folder_counts_up(tmp_path: Path) -> None:
    make: Callable[[], Path] = lambda: free_folder(tmp_path / "demo")  # noqa: E731
    for name in ("demo", "demo-2", "demo-3"):
        assert make() == tmp_path / name
        make().mkdir()


@pytest.mark.parametrize("end", ["\n", " "], ids=["one sentence a line", "one long line"])
def test_a_small_book_without_blank_lines_is_enough(tmp_path: Path, end: str) -> None:
    chance = random.Random(0)
    words = ["the", "of", "and", "to", "in", "is", "that", "for", "it", "was", "with", "be", "by"]
    sentences = (" ".join(chance.choices(words, k=9)).capitalize() + "." for _ in range(300))
    (tmp_path / "book.txt").write_text(end.join(sentences))
    said = io.StringIO()
    result = from_scratch(
        tmp_path / "out",
        source=tmp_path / "book.txt",
        overrides=["stages.0.steps=2", "stages.0.warmup_steps=1"],
        console=Console(file=said, width=100),
    )
    assert result.run.finished
    assert "read as one document" in said.getvalue()
    assert "spans of sentences are held out" in said.getvalue()
