"""GLUE: eight tasks of English sentences, WNLI, and the diagnostics AX (Wang et al. 2018).

Files as in the official archives (`CoLA/train.tsv` ...), tab-separated without quotes. Counts of
train / dev / test: CoLA 8,551 / 1,043 / 1,063, SST-2 67,349 / 872 / 1,821, MRPC 3,668 / 408 /
1,725, STS-B 5,749 / 1,500 / 1,379, QQP 363,846 / 40,430 / 390,965, MNLI 392,702 / 9,815 + 9,832 /
9,796 + 9,847, QNLI 104,743 / 5,463 / 5,463, RTE 2,490 / 277 / 3,000, WNLI 635 / 71 / 146, AX 1,104.
Test labels are at the server; MRPC, STS-B and SST-2 have them in other files (test_labelled).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from albertkit.benchmarks._protocol import DataSet, Example, Reader, Settings
from albertkit.data.example_files import broken, expecting, lines_of, made, table
from albertkit.errors import PredictionError, shown
from albertkit.tasks.examples import TextExample

TITLE = "GLUE (Wang et al. 2018)"
_PAPER = "Lan et al. 2019, table 14"
NLI = ("contradiction", "entailment", "neutral")
ENTAILMENT = ("entailment", "not_entailment")
_IDS = ("index", "idx", "id")
_UNKNOWN = ("", "-", "-1")  # test files of some copies, and pairs without an agreed label


def _classes(
    text: str, pair: str | None, label: str, names: Mapping[str, str] | None = None
) -> Reader:
    """Reader of a table with a header; names: of labels that a copy of the data writes otherwise.

    Without the column of labels (a test file) they are not known.
    """

    def read(path: Path) -> Iterator[TextExample]:
        def example(number: int, row: Mapping[str, str]) -> TextExample:
            value = row.get(label, "")
            return TextExample(
                next((row[name] for name in _IDS if name in row), str(number)),
                row[text],
                None if pair is None else row[pair],
                None if value in _UNKNOWN else (names or {}).get(value, value),
            )

        return made(path, table(path), example)

    return read


def _cola(path: Path) -> Iterator[Example]:
    """CoLA: source, label, the author's mark, sentence, without a header; test files have one."""
    first = next((line for _, line in lines_of(path)), "")
    if first.startswith("index\t"):
        return _classes("sentence", None, "label")(path)
    rows = table(path, ("source", "label", "mark", "sentence"))
    return made(
        path,
        rows,
        lambda number, row: TextExample(str(number), row["sentence"], None, row["label"]),
    )


def _sst2(path: Path) -> Iterator[Example]:
    """SST-2; the labelled test set that circulates names its columns label and content."""
    first = next((line for _, line in lines_of(path)), "")
    column = "content" if first.split("\t")[-1] == "content" else "sentence"
    return _classes(column, None, "label")(path)


def _stsb(path: Path) -> Iterator[TextExample]:
    """STS-B as in GLUE, with a header, or as in the original sts-*.csv, without one."""
    first = next((line for _, line in lines_of(path)), "")
    glue = first.startswith("index\t")
    original = ("genre", "file", "year", "number", "score", "sentence1", "sentence2")
    rows = table(path, None if glue else original)

    def example(number: int, row: Mapping[str, str]) -> TextExample:
        score = row.get("score")
        return TextExample(
            row.get("index", str(number)),
            row["sentence1"],
            row["sentence2"],
            None if score is None else float(score),
        )

    return made(path, rows, example)


def _qqp(path: Path) -> Iterator[TextExample]:
    """QQP; a few rows of the official train.tsv have no questions and are left out, as in BERT."""
    header: list[str] = []
    for number, line in lines_of(path):
        cells = line.split("\t")
        if not header:
            header = cells
            if "question1" not in header:
                raise broken(path, number, line[:60], "the columns question1 and question2")
        elif len(cells) == len(header):
            row = dict(zip(header, cells, strict=True))
            with expecting(path, number):
                label = row.get("is_duplicate")
                example = TextExample(row["id"], row["question1"], row["question2"], label)
            yield example


def _diagnostics(path: Path) -> Iterator[Example]:
    """AX as the server gives it, without labels, or with them as the paper published it."""
    first = next((line for _, line in lines_of(path)), "")
    if "Premise" in first.split("\t"):
        return _classes("Premise", "Hypothesis", "Label")(path)
    return _PAIR(path)


def _three(name: str) -> tuple[tuple[str, ...], ...]:
    return ((f"{name}.tsv",),)


_FILES = {split: _three(split) for split in ("train", "dev", "test")}
_ORIGINAL = {
    split: ((f"{split}.tsv",), (f"sts-{split}.csv",)) for split in ("train", "dev", "test")
}  # of STS-B
_MNLI = {
    "train": _three("train"),
    "dev": _three("dev_matched"),
    "dev_mismatched": _three("dev_mismatched"),
    "test": _three("test_matched"),
    "test_mismatched": _three("test_mismatched"),
}


def _paper(
    rate: float, batch: int, dropout: float, steps: int, warmup: int, start: str | None = None
) -> tuple[Settings, ...]:
    return (
        Settings(
            _PAPER,
            rate,
            batch,
            512,
            steps=steps,
            warmup_steps=warmup,
            dropout=dropout,
            classifier_dropout=0.1,
            start_from=start,
            models="ALBERT-xxlarge",
        ),
    )


_CLASS = ("en", "classification")
_ACCURACY = ("accuracy",)
_PAIR = _classes("sentence1", "sentence2", "label")
_RTE = _classes("sentence1", "sentence2", "label", dict(zip("01", ENTAILMENT, strict=True)))
_YES = ("0", "1")
SETS: tuple[DataSet, ...] = (
    DataSet(
        *("cola", "CoLA", *_CLASS, _cola, _FILES, ("matthews", "accuracy"), _YES),
        _paper(1e-5, 16, 0, 5336, 320),
    ),
    DataSet(
        *("sst-2", "SST-2", *_CLASS, _sst2),
        {**_FILES, "test_labelled": (("test-labelled.tsv",),)},
        *(_ACCURACY, _YES, _paper(1e-5, 32, 0, 20935, 1256), ("sst2",)),
    ),
    DataSet(
        *("mrpc", "MRPC", *_CLASS, _classes("#1 String", "#2 String", "Quality")),
        {**_FILES, "test_labelled": (("msr_paraphrase_test.txt",),)},
        *(("f1", "accuracy"), _YES, _paper(2e-5, 32, 0, 800, 200, "mnli")),
    ),
    DataSet(
        *("sts-b", "STS-B", "en", "regression", _stsb),
        {**_ORIGINAL, "test_labelled": (("sts-test.csv",),)},
        *(("spearman", "pearson"), (), _paper(2e-5, 16, 0, 3598, 214, "mnli"), ("stsb",)),
    ),
    DataSet(
        *("qqp", "QQP", *_CLASS, _qqp, _FILES, ("accuracy", "f1"), _YES),
        _paper(5e-5, 128, 0.1, 14000, 1000),
    ),
    DataSet(
        *("mnli", "MNLI", *_CLASS, _classes("sentence1", "sentence2", "gold_label"), _MNLI),
        *(_ACCURACY, NLI, _paper(3e-5, 128, 0, 10000, 1000)),
        beside={"dev": "dev_mismatched", "test": "test_mismatched"},
    ),
    DataSet(
        *("qnli", "QNLI", *_CLASS, _classes("question", "sentence", "label"), _FILES),
        *(_ACCURACY, ENTAILMENT, _paper(1e-5, 32, 0, 33112, 1986)),
    ),
    DataSet(
        *("rte", "RTE", *_CLASS, _RTE, _FILES, _ACCURACY, ENTAILMENT),
        _paper(3e-5, 32, 0.1, 800, 200, "mnli"),
    ),
    DataSet(
        *("wnli", "WNLI", *_CLASS, _PAIR, _FILES, _ACCURACY, _YES),
        _paper(2e-5, 16, 0.1, 2000, 250),
    ),
    # Diagnostics: no training data; a model of MNLI answers them.
    DataSet(
        *("ax", "AX", *_CLASS, _diagnostics),
        {"test": (("diagnostic-full.tsv",), ("diagnostic.tsv",), ("AX.tsv",))},
        *(("matthews",), NLI),
        model_of="mnli",
    ),
)

# Names of the files that the server takes; those of MNLI by their split.
_SERVER = {
    "cola": "CoLA",
    "sst-2": "SST-2",
    "mrpc": "MRPC",
    "sts-b": "STS-B",
    "qqp": "QQP",
    "mnli": "MNLI-m",
    "qnli": "QNLI",
    "rte": "RTE",
    "wnli": "WNLI",
    "ax": "AX",
}


def server_file(
    data_set: DataSet,
    examples: Sequence[Example],
    predictions: Mapping[str, str | float],
    split: str,
) -> tuple[str, str]:
    """Name and content of the file that gluebenchmark.com takes for a test set.

    examples: of the test set, all of them, in order. predictions: a label, or STS-B's score (cut to
    0 to 5), by id.

    Raises:
        PredictionError: an example has no prediction, or one that is not a label of the set.
    """
    name = "MNLI-mm" if split == "test_mismatched" else _SERVER[data_set.name]
    lines = ["index\tprediction"]
    for example in examples:
        found = predictions.get(example.id)
        if data_set.kind == "regression" and isinstance(found, (int, float)):
            text = f"{min(max(found, 0.0), 5.0):.3f}"
        elif found in data_set.labels:
            text = str(found)
        else:
            raise PredictionError(
                f"The server takes no such prediction of {data_set.title}.",
                expected=", ".join(data_set.labels) or "a number",
                found=shown(found),
                where=f"example {example.id}",
                fix="predict every example of the test set",
            )
        lines.append(f"{example.id}\t{text}")
    return f"{name}.tsv", "\n".join(lines) + "\n"
