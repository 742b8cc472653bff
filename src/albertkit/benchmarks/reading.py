"""Reading comprehension in English: SQuAD 1.1 and 2.0, RACE, DREAM.

Counts of the official files: SQuAD 1.1 87,599 / 10,570 questions, SQuAD 2.0 130,319 / 11,873, RACE
87,866 / 4,887 / 4,934 (middle 25,421 / 1,436 / 1,436, high 62,445 / 3,451 / 3,498), DREAM 6,116 /
2,040 / 2,041.
"""

from __future__ import annotations

from albertkit.benchmarks._protocol import DataSet, Settings
from albertkit.tasks.choice_files import dialogues, race
from albertkit.tasks.squad_json import read_squad

TITLE = "reading comprehension in English"
_PAPER = "Lan et al. 2019, table 14"
_README = "google-research/albert README"


def _files(*names: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Alternatives of train, dev and test, each "a.json" or "a.json b.json" for several files."""
    return {
        split: tuple(tuple(way.split()) for way in ways.split("|"))
        for split, ways in zip(("train", "dev", "test"), names, strict=False)
        if ways
    }


_RACE = (
    Settings(
        *(_PAPER, 2e-5, 32, 512),
        steps=12000,
        warmup_steps=1000,
        dropout=0.1,
        classifier_dropout=0.1,
        models="ALBERT-xxlarge, version 1",
    ),
    Settings(
        *(_README, 1e-5, 32, 512),
        steps=12000,
        warmup_steps=1000,
        dropout=0.0,
        classifier_dropout=0.1,
        models="version 2",
    ),
)
_SQUAD1 = Settings(
    *(_PAPER, 5e-5, 48, 384), steps=3649, warmup_steps=365, dropout=0.0, classifier_dropout=0.1
)
_SQUAD2 = Settings(
    *(_PAPER, 3e-5, 48, 512), steps=8144, warmup_steps=814, dropout=0.0, classifier_dropout=0.1
)
_CHOICE = ("en", "multiple_choice")


def _race_files(*levels: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    splits = ("train", "dev", "test")
    return {split: (tuple(f"{split}/{level}/*.txt" for level in levels),) for split in splits}


SETS: tuple[DataSet, ...] = (
    DataSet(
        *("squad-1.1", "SQuAD 1.1", "en", "span", read_squad),
        _files("train-v1.1.json|train-v1.1.rebuilt.json", "dev-v1.1.json"),
        ("f1", "exact_match"),
        settings=(_SQUAD1,),
        folders=("squad1", "squad"),
    ),
    DataSet(
        *("squad-2.0", "SQuAD 2.0", "en", "beam_span", read_squad),
        _files("train-v2.0.json", "dev-v2.0.json|dev-v2.0.rebuilt.json|cs224n-dev-v2.0.json"),
        ("f1", "exact"),
        settings=(_SQUAD2,),
        folders=("squad2", "squad"),
    ),
    DataSet(
        *("race", "RACE", *_CHOICE, race),
        {**_race_files("middle", "high"), "sample": (("race.jsonl",),)},
        ("accuracy",),
        settings=_RACE,
        folders=("race_sample",),
    ),
    DataSet(
        *("race-middle", "RACE (middle)", *_CHOICE, race, _race_files("middle"), ("accuracy",)),
        settings=_RACE,
        folders=("RACE", "race"),
        model_of="race",
    ),
    DataSet(
        *("race-high", "RACE (high)", *_CHOICE, race, _race_files("high"), ("accuracy",)),
        settings=_RACE,
        folders=("RACE", "race"),
        model_of="race",
    ),
    DataSet(
        *("dream", "DREAM", *_CHOICE, dialogues),
        _files("train.json", "dev.json", "test.json"),
        ("accuracy",),
    ),
)
