"""Named entities: CoNLL-2003, MSRA, Weibo. CoNLL's tags, which are IOB1, become BIO.

Sentences: CoNLL-2003 14,041 / 3,250 / 3,453 (without -DOCSTART- lines), MSRA 50,658 / 4,631 (its
test set, which is called dev.txt in some copies), Weibo 1,350 / 270 / 270.
"""

from __future__ import annotations

from functools import partial

from albertkit.benchmarks._protocol import DataSet
from albertkit.tasks.conll import read_conll
from albertkit.tasks.tag_metrics import bio_labels

TITLE = "named entities"
_TAGS = "token_classification"
_SCORES = ("entity_f1", "precision", "recall")
_KINDS = ("GPE", "LOC", "ORG", "PER")
_WEIBO = tuple(f"{kind}.{how}" for kind in _KINDS for how in ("NAM", "NOM"))

SETS: tuple[DataSet, ...] = (
    DataSet(
        *("conll-2003", "CoNLL-2003", "en", _TAGS, partial(read_conll, bio=True)),
        {
            "train": (("eng.train",), ("train.txt",)),
            "dev": (("eng.testa",), ("valid.txt",), ("dev.txt",)),
            "test": (("eng.testb",), ("test.txt",)),
        },
        *(_SCORES, bio_labels("PER", "ORG", "LOC", "MISC")),
        folders=("conll2003",),
    ),
    DataSet(
        *("msra-ner", "MSRA NER", "zh", _TAGS, read_conll),
        {
            "train": (("train.txt",), ("train.tsv",)),
            "test": (("test.txt",), ("dev.txt",), ("dev.tsv",)),
        },
        *(_SCORES, bio_labels("PER", "ORG", "LOC")),
        folders=("msra_ner",),
    ),
    DataSet(
        # A word is a character with its place in a word behind it.
        *("weibo-ner", "Weibo NER", "zh", _TAGS),
        partial(read_conll, word=lambda word: word[:1]),
        {
            split: ((f"weiboNER_2nd_conll.{split}",), (f"{split}.txt",))
            for split in ("train", "dev", "test")
        },
        *(_SCORES, bio_labels(*_WEIBO)),
        folders=("weibo_ner",),
    ),
)
