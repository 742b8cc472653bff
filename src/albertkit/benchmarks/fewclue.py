"""FewCLUE: six tasks of CLUE with few examples (Xu et al. 2021), in a folder for each task.

Splits: train and dev (the union of the five folds), test (with labels, `test_public`), and train_0
to train_4, dev_0 to dev_4. Counts of train / dev / test: TNEWS 1,185 / 1,098 / 2,010, EPRSTMT 160 /
160 / 610, BUSTM 160 / 160 / 1,772, WSC 160 / 159 / 976, CHID 202 / 202 / 2,002, CSL 160 / 160 /
2,838.
"""

from __future__ import annotations

from albertkit.benchmarks import clue
from albertkit.benchmarks._protocol import DataSet

TITLE = "FewCLUE (Xu et al. 2021)"
_FILES = {
    "train": (("train_few_all.json",),),
    "dev": (("dev_few_all.json",),),
    "test": (("test_public.json",),),
    **{f"{split}_{n}": ((f"{split}_{n}.json",),) for n in range(5) for split in ("train", "dev")},
}
_CLASS, _ACCURACY, _YES = ("zh", "classification"), ("accuracy",), ("0", "1")
_TNEWS = tuple(str(100 + n) for n in range(17) if n not in (5, 11))
_TEXT, _PAIR = clue.classes("sentence"), clue.classes("sentence1", "sentence2")

SETS: tuple[DataSet, ...] = (
    DataSet(
        *("fewclue-tnews", "FewCLUE TNEWS", *_CLASS, _TEXT, _FILES, _ACCURACY, _TNEWS),
        folders=("tnews",),
    ),
    DataSet(
        *("fewclue-eprstmt", "FewCLUE EPRSTMT", *_CLASS, _TEXT, _FILES, _ACCURACY),
        ("negative", "positive"),
        folders=("eprstmt",),
    ),
    DataSet(
        *("fewclue-bustm", "FewCLUE BUSTM", *_CLASS, _PAIR, _FILES, _ACCURACY, _YES),
        folders=("bustm",),
    ),
    DataSet(
        *("fewclue-wsc", "FewCLUE WSC", *_CLASS, clue.pronouns, _FILES, _ACCURACY),
        ("true", "false"),
        folders=("cluewsc",),
    ),
    DataSet(
        *("fewclue-chid", "FewCLUE CHID", "zh", "multiple_choice", clue.idioms, _FILES, _ACCURACY),
        folders=("chid",),
    ),
    DataSet(
        *("fewclue-csl", "FewCLUE CSL", *_CLASS, clue.keywords, _FILES, _ACCURACY, _YES),
        folders=("csl",),
    ),
)
