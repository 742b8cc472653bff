"""Published scores of ALBERT by data set: of the known models, and others of the literature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from albertkit.hub.catalog import all_models


@dataclass(frozen=True)
class Published:
    """One published score: of which model, of what ("dev F1/EM"), as printed, and where.

    title: as `DataSet.title`.
    """

    model: str
    title: str
    value: str
    source: str
    of: str = ""


_GOOGLE = "google-research/albert README (dev, single model)"
_LONE = "lonePatient/albert_pytorch README (dev)"
_PATIENCE = "Zhou et al. 2020 (dev)"
_CLUE = "CLUEbenchmark/CLUE README"
_CHINESE_GLUE = "ChineseGLUE README"
_LONE_ZH = "lonePatient/albert_pytorch README"
# (model, source, of what) -> scores
_ROWS: dict[tuple[str, str, str], Mapping[str, str]] = {
    ("ALBERT-xxlarge, 1M steps", _GOOGLE, ""): {
        **{"CoLA": "68.7", "SST-2": "96.8", "MRPC": "90.2", "STS-B": "92.7", "QQP": "92.0"},
        **{"MNLI": "90.4", "QNLI": "95.2", "RTE": "88.1", "SQuAD 1.1": "94.8/89.2"},
        **{"SQuAD 2.0": "89.9/87.2", "RACE": "86.0", "RACE (middle)": "88.2"},
        **{"RACE (high)": "85.1"},
    },
    ("ALBERT-xxlarge, 1.5M steps", _GOOGLE, ""): {
        **{"CoLA": "71.4", "SST-2": "96.9", "MRPC": "90.9", "STS-B": "93.0", "QQP": "92.2"},
        **{"MNLI": "90.8", "QNLI": "95.3", "RTE": "89.2", "SQuAD 1.1": "94.8/89.3"},
        **{"SQuAD 2.0": "90.2/87.4", "RACE": "86.5", "RACE (middle)": "89.0"},
        **{"RACE (high)": "85.5"},
    },
    ("base-v2", _LONE, ""): {"CoLA": "57.56", "SST-2": "92.6", "MNLI": "84.18", "STS-B": "90.91"},
    ("large-v2", _LONE, ""): {"CoLA": "58.51", "SST-2": "95.07", "STS-B": "91.51"},
    ("xlarge-v2", _LONE, ""): {"CoLA": "60.23", "STS-B": "92.21"},
    ("ALBERT-base", _PATIENCE, ""): {
        **{"CoLA": "58.9", "MNLI": "84.6", "MRPC": "89.5", "QNLI": "91.7", "QQP": "89.6"},
        **{"RTE": "78.6", "SST-2": "92.8", "STS-B": "89.5"},
    },
    ("ALBERT-base with early exit", _PATIENCE, ""): {
        **{"CoLA": "61.2", "MNLI": "85.1", "MRPC": "90.0", "QNLI": "91.8", "QQP": "89.6"},
        **{"RTE": "80.1", "SST-2": "93.0", "STS-B": "90.1"},
    },
    ("ALBERT-tiny", _CLUE, "dev F1/EM"): {"CMRC 2018": "73.95/48.31", "DRCD": "81.51/71.61"},
    ("ALBERT-base", _CLUE, "dev F1/EM"): {"CMRC 2018": "85.86/64.76"},
    ("ALBERT-large", _CLUE, "dev F1/EM"): {"CMRC 2018": "87.36/67.31", "DRCD": "93.90/88.88"},
    ("ALBERT-xlarge", _CLUE, "dev F1/EM"): {"CMRC 2018": "88.99/69.08", "DRCD": "94.63/89.68"},
    ("ALBERT-xxlarge", _CLUE, "dev F1/EM"): {"CMRC 2018": "87.47/66.43"},
    ("ALBERT-tiny", _CHINESE_GLUE, "test F1"): {"MSRA NER": "84.77"},
    ("ALBERT-base", _CHINESE_GLUE, "test F1"): {"MSRA NER": "92.47"},
    ("ALBERT-xlarge", _CHINESE_GLUE, "test F1"): {"MSRA NER": "89.51"},
    ("base, PyTorch", _LONE_ZH, "dev/test"): {"LCQMC": "87.4/86.4"},
    ("tiny, PyTorch", _LONE_ZH, "dev/test"): {"LCQMC": "85.1/85.3"},
}


def published(title: str) -> Iterator[Published]:
    """Every published score of a data set: of the known models by their names, then of others."""
    for model in all_models().values():
        for score in model.scores:
            if score.task == title or score.task.startswith(title + " "):
                of = score.task[len(title) :].strip()
                yield Published(model.name, title, score.value, score.source, of)
    for (name, source, of), values in _ROWS.items():
        if title in values:
            yield Published(name, title, values[title], source, of)
