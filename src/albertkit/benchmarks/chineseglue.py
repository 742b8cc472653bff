"""ChineseGLUE, which CLUE grew from: LCQMC, XNLI, ChnSentiCorp, and headlines of THUCNews.

Counts (train / dev / test): LCQMC 238,766 / 8,802 / 12,500, XNLI 392,702 / 2,490 / 5,010,
ChnSentiCorp 9,600 / 1,200 / 1,200, THUCNews headlines 180,000 / 10,000 / 10,000. MSRA NER is in
`tagging`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from albertkit.benchmarks._protocol import DataSet, Settings
from albertkit.benchmarks.clue import NLI, files
from albertkit.data.example_files import lines_of, made, table
from albertkit.tasks.examples import TextExample

TITLE = "ChineseGLUE"
_TOPICS = (  # in the order of their numbers
    *("finance", "realty", "stocks", "education", "science", "society", "politics", "sports"),
    *("game", "entertainment"),
)


def _has_header(path: Path, *columns: str) -> bool:
    first = next((line for _, line in lines_of(path)), "")
    return set(columns) & set(first.split("\t")) != set()


def matches(path: Path) -> Iterator[TextExample]:
    """LCQMC: question, question, 0 or 1, with or without the header text_a, text_b, label."""
    header = _has_header(path, "text_a", "label")
    rows = table(path, None if header else ("text_a", "text_b", "label"))
    return made(
        path,
        rows,
        lambda number, row: TextExample(str(number), row["text_a"], row["text_b"], row["label"]),
    )


def _sentiment(path: Path) -> Iterator[TextExample]:
    """ChnSentiCorp: label, review, with a header; test files of some copies begin with qid."""
    return made(
        path,
        table(path),
        lambda number, row: TextExample(
            str(row.get("qid", number)), row["text_a"], None, row.get("label")
        ),
    )


def _inference(path: Path) -> Iterator[TextExample]:
    """XNLI: the Chinese rows of xnli.dev.tsv and xnli.test.tsv, or multinli.train.zh.tsv."""
    if _has_header(path, "premise"):
        rows = table(path)
        names = ("premise", "hypo", "label")
    else:
        rows = ((line, row) for line, row in table(path) if row.get("language") == "zh")
        names = ("sentence1", "sentence2", "gold_label")

    def example(number: int, row: Mapping[str, str]) -> TextExample:
        first, second, label = (row[name] for name in names)
        label = label.replace("contradictory", "contradiction")  # in the translated train set
        return TextExample(row.get("pairID", str(number)), first, second, label)

    return made(path, rows, example)


def _headlines(path: Path) -> Iterator[TextExample]:
    """THUCNews: headline, number of its topic."""
    return made(
        path,
        table(path, ("text", "label")),
        lambda number, row: TextExample(str(number), row["text"], None, _TOPICS[int(row["label"])]),
    )


_CLASS, _ACCURACY, _YES = ("zh", "classification"), ("accuracy",), ("0", "1")
_LCQMC = Settings("brightmart/albert_zh README", 1e-4, 64, 128, epochs=5, models="all sizes")

SETS: tuple[DataSet, ...] = (
    DataSet(
        *("lcqmc", "LCQMC", *_CLASS, matches),
        files(train="train.txt|train.tsv", dev="dev.txt|dev.tsv", test="test.txt|test.tsv"),
        *(_ACCURACY, _YES, (_LCQMC,)),
    ),
    DataSet(
        *("xnli", "XNLI", *_CLASS, _inference),
        files(
            train="multinli/multinli.train.zh.tsv|multinli.train.zh.tsv",
            dev="xnli.dev.tsv",
            test="xnli.test.tsv",
        ),
        *(_ACCURACY, NLI),
    ),
    DataSet(
        *("chnsenticorp", "ChnSentiCorp", *_CLASS, _sentiment, files("{}.tsv"), _ACCURACY, _YES),
    ),
    DataSet(
        *("thucnews", "THUCNews headlines", *_CLASS, _headlines, files("{}.txt"), _ACCURACY),
        *(_TOPICS, ()),
        folders=("thucnews_titles",),
    ),
)
