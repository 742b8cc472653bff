"""CLUE: Chinese language understanding (Xu et al. 2020), version 1.1, with DRCD and CLUENER2020.

Counts of the official files (train / dev / test): AFQMC 34,334 / 4,316 / 3,861, TNEWS 53,360 /
10,000 / 10,000, IFLYTEK 12,133 / 2,599 / 2,600, CMNLI 391,783 / 12,241 / 13,880, OCNLI 50,437 /
2,950 / 3,000, WSC 1,244 / 304 / 290, CSL 20,000 / 3,000 / 3,000, CMRC 2018 10,142 / 3,219 (trial
1,002), DRCD 26,936 / 3,524 / 3,493, C3 11,869 / 3,816 / 3,892, CLUENER 10,748 / 1,343 / 1,345.
Labels of test files are at the server, but for C3 and DRCD; those of AFQMC, TNEWS, IFLYTEK, CMNLI,
OCNLI, WSC, CSL, CHID and CLUENER hold texts alone. CMNLI's dev count is that of its labelled pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from albertkit.benchmarks._protocol import DataSet, Reader, Settings
from albertkit.benchmarks.similarity import labelled_pairs, plain_pairs
from albertkit.data.example_files import (
    expecting,
    is_json,
    json_document,
    json_lines,
    lines_of,
    made,
)
from albertkit.tasks.choice_files import dialogues
from albertkit.tasks.examples import ChoiceExample, TagExample, TextExample
from albertkit.tasks.squad_json import read_squad
from albertkit.tasks.tag_metrics import OUTSIDE, bio_labels

TITLE = "CLUE (Xu et al. 2020)"
BLANK, OTHER_BLANK = "____", "\u25a1\u25a1\u25a1\u25a1"  # of idioms, which have four characters
NLI = ("contradiction", "entailment", "neutral")
_YES = ("0", "1")
_KINDS = (
    *("address", "book", "company", "game", "government", "movie", "name", "organization"),
    *("position", "scene"),
)
_IDIOM = re.compile(r"#idiom\d*#")


def classes(text: str, pair: str | None = None) -> Reader:
    """Reader of JSON lines with texts and a label, "-" where annotators did not agree.

    Pairs may also be lines of text, text, label, as some copies have them; test files have none.
    """

    def example(number: int, row: Mapping[str, Any]) -> TextExample:
        second = None if pair is None else row[pair]
        if pair is not None and second is None:
            raise TypeError(f"{pair} is null")
        return TextExample(str(row.get("id", number)), row[text], second, label_of(row))

    def read(path: Path) -> Iterator[TextExample]:
        if pair is None or is_json(path):
            return made(path, json_lines(path), example)
        first = next((line for _, line in lines_of(path)), "")
        return labelled_pairs(path) if first.count("\t") > 1 else plain_pairs(path)

    return read


def label_of(row: Mapping[str, Any]) -> str | None:
    """The label of a row of JSON as a name; None where it is not known."""
    label = row.get("label", row.get("gold_label"))
    if isinstance(label, (list, dict)):
        raise TypeError(f"label is a {type(label).__name__}, not a name")
    return None if label in (None, "", "-") else str(label).lower()


def keywords(path: Path) -> Iterator[TextExample]:
    """CSL: whether all keywords belong to an abstract; the first text are the keywords."""

    def example(number: int, row: Mapping[str, Any]) -> TextExample:
        words = " ".join(row["keyword"])
        return TextExample(str(row.get("id", number)), words, row["abst"], label_of(row))

    return made(path, json_lines(path), example)


def pronouns(path: Path) -> Iterator[TextExample]:
    """WSC: whether a pronoun means a noun; marked as CLUE's program does: _noun_, [pronoun]."""

    def example(number: int, row: Mapping[str, Any]) -> TextExample:
        target = row["target"]
        marks = [
            (target["span1_index"], target["span1_text"], "_", "_"),
            (target["span2_index"], target["span2_text"], "[", "]"),
        ]
        text = row["text"]
        for begin, word, left, right in sorted(marks, reverse=True):  # from the end
            if not text.startswith(word, begin):
                raise ValueError(f"{word} is not at character {begin}")
            text = text[:begin] + left + word + right + text[begin + len(word) :]
        name = str(row.get("id", row.get("idx", number)))
        return TextExample(name, text, None, label_of(row))

    return made(path, json_lines(path), example)


def idioms(path: Path) -> Iterator[ChoiceExample]:
    """CHID: which idiom stands in a gap; one question for each gap, marked ____ in its text.

    Other gaps of the text are four squares. The answers stand beside: train_answer.json.
    """
    beside = path.with_name(path.name.replace(".json", "_answer.json", 1))
    answers: Mapping[str, int] = json_document(beside) if beside.is_file() else {}
    for line, row in json_lines(path):
        with expecting(path, line):
            contents = row["content"]
            for content in [contents] if isinstance(contents, str) else contents:
                for gap in _IDIOM.findall(content):
                    here, _, behind = content.partition(gap)
                    text = OTHER_BLANK.join(_IDIOM.split(here)) + BLANK
                    text += OTHER_BLANK.join(_IDIOM.split(behind))
                    # FewCLUE has one gap in each row, with the row's number and answer.
                    one = gap == "#idiom#"
                    answer = row.get("answer") if one else answers.get(gap)
                    name = str(row["id"]) if one else gap
                    yield ChoiceExample(name, text, "", tuple(row["candidates"]), answer)


def entity_spans(path: Path) -> Iterator[TagExample]:
    """CLUENER: {type: {entity: [[first, last], ...]}} as tags of characters.

    Of entities that overlap (one in all of train and dev) the longer one counts.
    """

    def example(number: int, row: Mapping[str, Any]) -> TagExample:
        words = tuple(row["text"])
        tags = [OUTSIDE] * len(words)
        places = range(len(words))
        spans = [
            (last - first + 1, first, kind)
            for kind, entities in row.get("label", {}).items()
            for found in entities.values()
            for first, last in found
        ]
        for size, first, kind in sorted(spans, key=lambda x: (-x[0], x[1])):
            if size < 1 or first not in places or first + size - 1 not in places:
                raise ValueError(f"{kind} at character {first}, {size} long, of {len(words)}")
            if tags[first : first + size] == [OUTSIDE] * size:
                tags[first : first + size] = [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
        known = tuple(tags) if "label" in row else None
        return TagExample(str(row.get("id", number)), words, known)

    return made(path, json_lines(path), example)


def files(pattern: str = "{}.json", **others: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Ways of train, dev and test by one pattern; others: a split with its ways, parted by "|"."""
    found = {split: ((pattern.format(split),),) for split in ("train", "dev", "test")}
    given = {
        split: tuple(tuple(way.split()) for way in ways.split("|"))
        for split, ways in others.items()
    }
    return {**found, **given}


def _tiny(max_tokens: int, batch: int, rate: float, epochs: int) -> tuple[Settings, ...]:
    source = "brightmart/albert_zh run_classifier_clue.sh"
    return (Settings(source, rate, batch, max_tokens, epochs=epochs, models="tiny"),)


_PAIRED = files(train="train.json|train.txt", dev="dev.json|dev.txt", test="test.json|test.txt")
_CLUE = "CLUEbenchmark/CLUE README"
_ZH = "brightmart/albert_zh README"
_CMRC = (
    Settings(_CLUE, 3e-5, 32, 512, epochs=2, warmup_share=0.1, models="base to xxlarge"),
    Settings(_CLUE, 2e-4, 32, 512, epochs=3, models="tiny"),
    Settings(_ZH, 2e-5, 32, 512, epochs=3, warmup_share=0.05, models="large"),
    Settings(_ZH, 2e-5, 32, 512, epochs=3, warmup_share=0.1, models="xlarge"),
)
_C3 = (
    Settings(_CLUE, 2e-5, 24, 512, epochs=8, models="base to xxlarge"),
    Settings(_CLUE, 5e-5, 32, 512, epochs=8, models="tiny"),
)
_TNEWS = tuple(str(100 + n) for n in range(17) if n not in (5, 11))
_CLASS, _ACCURACY = ("zh", "classification"), ("accuracy",)
_READ = ("zh", "span", read_squad)
_ANSWERS = ("F1", "EM")
_PAIR = classes("sentence1", "sentence2")

SETS: tuple[DataSet, ...] = (
    DataSet(
        *("afqmc", "AFQMC", *_CLASS, _PAIR, _PAIRED, _ACCURACY, _YES, _tiny(128, 16, 2e-5, 3)),
        ("afqmc_public",),
    ),
    DataSet(
        *("tnews", "TNEWS", *_CLASS, classes("sentence"), files(), _ACCURACY, _TNEWS),
        *(_tiny(128, 16, 2e-5, 3), ("tnews_public",)),
    ),
    DataSet(
        *("iflytek", "IFLYTEK", *_CLASS, classes("sentence"), files(), _ACCURACY),
        *(tuple(map(str, range(119))), _tiny(128, 32, 2e-5, 3), ("iflytek_public",)),
    ),
    DataSet(
        *("cmnli", "CMNLI", *_CLASS, _PAIR, _PAIRED, _ACCURACY, NLI, _tiny(128, 64, 3e-5, 2)),
        ("cmnli_public",),
    ),
    DataSet(
        *("ocnli", "OCNLI", *_CLASS, _PAIR),
        files(train="train.50k.json|train.30k.json|train.10k.json|train.json"),
        *(_ACCURACY, NLI),
        folders=("ocnli_public",),
    ),
    DataSet(
        *("wsc", "WSC", *_CLASS, pronouns, files(), _ACCURACY, ("true", "false")),
        *(_tiny(128, 16, 1e-5, 10), ("cluewsc2020_public", "cluewsc2020")),
    ),
    DataSet(
        *("csl", "CSL", *_CLASS, keywords, files(), _ACCURACY, _YES),
        *(_tiny(128, 16, 1e-5, 5), ("csl_public",)),
    ),
    DataSet(
        *("cmrc-2018", "CMRC 2018", *_READ),
        files(
            train="cmrc2018_train.json|train.json",
            dev="cmrc2018_dev.json|dev.json",
            test="cmrc2018_test_2k.json|test.json",
            trial="cmrc2018_trial.json|trial.json",
        ),
        *(_ANSWERS, (), _CMRC, ("cmrc2018", "cmrc2018_public")),
    ),
    DataSet(
        *("drcd", "DRCD", *_READ),
        files(
            train="DRCD_training.json|train.json",
            dev="DRCD_dev.json|dev.json",
            test="DRCD_test.json|test.json",
        ),
        *(_ANSWERS, ()),
        folders=("drcd_public",),
    ),
    DataSet(
        *("chid", "CHID", "zh", "multiple_choice", idioms, files(), _ACCURACY, ()),
        (Settings(_CLUE, 2e-5, 24, 64, epochs=3),),
        ("chid_public",),
    ),
    DataSet(
        *("c3", "C3", "zh", "multiple_choice", dialogues),
        files(
            train="c3-m-train.json c3-d-train.json|m-train.json d-train.json",
            dev="c3-m-dev.json c3-d-dev.json|m-dev.json d-dev.json",
            test="c3-m-test.json c3-d-test.json|m-test.json d-test.json|test1.1.json",
        ),
        *(_ACCURACY, (), _C3, ("c3_public",)),
    ),
    DataSet(
        *("cluener", "CLUENER", "zh", "token_classification", entity_spans, files()),
        *(("entity_f1", "macro_f1", "precision", "recall"), bio_labels(*_KINDS)),
        folders=("cluener_public",),
    ),
)
