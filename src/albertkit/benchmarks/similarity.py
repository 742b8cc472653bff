"""How alike two sentences are, and whether one follows from the other, beside GLUE and CLUE.

SICK (4,500 / 500 / 4,927 pairs; Marelli et al. 2014), the Chinese translation of STS-B (5,231 /
1,458 / 1,361) and of SNLI (dev 9,314, test 9,176).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from albertkit.benchmarks._protocol import DataSet
from albertkit.data.example_files import made, table
from albertkit.tasks.examples import TextExample

TITLE = "similarity and inference"
_THREE = ("contradiction", "entailment", "neutral")


def _relatedness(path: Path) -> Iterator[TextExample]:
    """SICK with the score from 1 to 5."""
    return made(
        path,
        table(path),
        lambda number, row: TextExample(
            row["pair_ID"], row["sentence_A"], row["sentence_B"], float(row["relatedness_score"])
        ),
    )


def _entailment(path: Path) -> Iterator[TextExample]:
    """SICK with the class."""
    return made(
        path,
        table(path),
        lambda number, row: TextExample(
            *(row["pair_ID"], row["sentence_A"], row["sentence_B"]),
            row["entailment_judgment"].lower(),
        ),
    )


def scored_pairs(path: Path) -> Iterator[TextExample]:
    """Lines of sentence, sentence, number."""
    return made(
        path,
        table(path, ("a", "b", "score")),
        lambda number, row: TextExample(str(number), row["a"], row["b"], float(row["score"])),
    )


def labelled_pairs(path: Path) -> Iterator[TextExample]:
    """Lines of sentence, sentence, class."""
    return made(
        path,
        table(path, ("a", "b", "label")),
        lambda number, row: TextExample(str(number), row["a"], row["b"], row["label"]),
    )


def plain_pairs(path: Path) -> Iterator[TextExample]:
    """Lines of sentence, sentence, as in test files whose labels are at a server."""
    return made(
        path,
        table(path, ("a", "b")),
        lambda number, row: TextExample(str(number), row["a"], row["b"]),
    )


_SICK = {
    "train": (("SICK_train.txt",),),
    "dev": (("SICK_trial.txt",),),
    "test": (("SICK_test_annotated.txt",),),
}
_CLASS = "classification"

SETS: tuple[DataSet, ...] = (
    DataSet(
        *("sick-relatedness", "SICK relatedness", "en", "regression", _relatedness, _SICK),
        *(("pearson", "spearman"), ()),
        folders=("sick", "SICK"),
    ),
    DataSet(
        *("sick-entailment", "SICK entailment", "en", _CLASS, _entailment, _SICK),
        *(("accuracy",), _THREE),
        folders=("sick", "SICK"),
    ),
    DataSet(
        *("sts-b-zh", "Chinese STS-B", "zh", "regression", scored_pairs),
        {split: ((f"sts-b-{split}.txt",),) for split in ("train", "dev", "test")},
        *(("spearman", "pearson"), ()),
        folders=("stsb_zh",),
    ),
    DataSet(
        *("snli-zh", "Chinese SNLI", "zh", _CLASS, labelled_pairs),
        {split: ((f"{split}.txt",),) for split in ("train", "dev", "test")},
        *(("accuracy",), _THREE),
        folders=("chinese_snli",),
    ),
)
