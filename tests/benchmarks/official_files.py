"""Files in the official formats, written for these tests, with the examples that they hold."""

from __future__ import annotations

import json
from typing import Any

from albertkit.tasks.examples import ChoiceExample, TagExample, TextExample


def lines(*rows: str | dict[str, Any]) -> str:
    return "".join(
        (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n"
        for row in rows
    )


def T(name: str, text: str, pair: str | None = None, label: Any = None) -> TextExample:
    return TextExample(name, text, pair, label)


MNLI_HEAD = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
MNLI_HEAD = (MNLI_HEAD + " sentence1_parse sentence2_parse sentence1 sentence2").replace(" ", "\t")
XNLI_HEAD = "language\tgold_label\tsentence1_binary_parse\tsentence1\tsentence2\tpairID"
NER = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nUK NNP I-NP B-ORG\n. . O O\n\nHi UH O O\n"
IDIOM = {"content": ["甲#idiom000001#，乙#idiom000002#。"], "candidates": ["一心一意", "画蛇添足"]}
WSC = {"target": {"span1_index": 0, "span1_text": "老杨", "span2_index": 3, "span2_text": "他"}}
SQUAD: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "ab cat, cat",
                    "qas": [
                        {
                            "id": "1",
                            "question": "q",
                            "answers": [{"text": "cat", "answer_start": 3}],
                        },
                        {
                            **{"id": "2", "question": "r", "is_impossible": True, "answers": []},
                            "plausible_answers": [{"text": "ab", "answer_start": 0}],
                        },
                        {  # beside its place, and nowhere
                            "id": "3",
                            "question": "s",
                            "answers": [
                                {"text": "cat", "answer_start": 7},
                                {"text": "dog", "answer_start": 4},
                            ],
                        },
                    ],
                }
            ],
        }
    ],
}
CASES: list[tuple[str, str, dict[str, str], list[Any]]] = [
    (
        *("cola", "train", {"train.tsv": 'gj04\t0\t*\tHe "sat.\ngj04\t1\t\tHe sat.\n'}),
        [T("0", 'He "sat.', None, "0"), T("1", "He sat.", None, "1")],
    ),
    ("cola", "test", {"test.tsv": "index\tsentence\n0\tHe sat.\n"}, [T("0", "He sat.")]),
    ("sst-2", "dev", {"dev.tsv": "sentence\tlabel\ngood . \t1\n"}, [T("0", "good . ", None, "1")]),
    (
        "sst-2",
        "test_labelled",
        {"test-labelled.tsv": "label\tcontent\n0\tbad\n"},
        [T("0", "bad", None, "0")],
    ),
    (
        *("mrpc", "train"),
        {"train.tsv": '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta "b\tc\n'},
        [T("0", 'a "b', "c", "1")],
    ),
    (
        *("mrpc", "test"),
        {"test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n5\t7\t8\ta\tb\n"},
        [T("5", "a", "b")],
    ),
    (
        *("sts-b", "train"),
        {
            "train.tsv": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1"
            "\tsentence2\tscore\n3\tg\tf\ty\t1\tn\tn\ta\tb\t4.200\n"
        },
        [T("3", "a", "b", 4.2)],
    ),
    (
        *("sts-b", "dev", {"sts-dev.csv": "g\tf\ty\t0001\t5.000\ta\tb\tsource\n"}),
        [T("0", "a", "b", 5.0)],
    ),
    (
        *("qqp", "train"),
        {
            "train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
            "1\t1\t2\ta?\tb?\t1\n2\t3\n3\t4\t5\tc?\td?\t0\n"
        },
        [T("1", "a?", "b?", "1"), T("3", "c?", "d?", "0")],
    ),
    ("qqp", "test", {"test.tsv": "id\tquestion1\tquestion2\n0\ta?\tb?\n"}, [T("0", "a?", "b?")]),
    (
        *("mnli", "dev_mismatched"),
        {
            "dev_mismatched.tsv": MNLI_HEAD + "\tlabel1\tgold_label\n"
            "0\tp\tq\tg\t-\t-\t-\t-\ta\tb\tneutral\tentailment\n1\tp\tq\tg\t-\t-\t-\t-\tc\td\tneutral\t-\n"
        },
        [T("0", "a", "b", "entailment"), T("1", "c", "d")],
    ),
    (
        *("mnli", "test", {"test_matched.tsv": MNLI_HEAD + "\n0\tp\tq\tg\t-\t-\t-\t-\ta\tb\n"}),
        [T("0", "a", "b")],
    ),
    (
        *("qnli", "dev"),
        {"dev.tsv": "index\tquestion\tsentence\tlabel\n0\tq?\ts\tnot_entailment\n"},
        [T("0", "q?", "s", "not_entailment")],
    ),
    (
        *("rte", "dev", {"dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n"}),
        [T("0", "a", "b", "entailment")],
    ),
    (  # a copy with numbers
        *("rte", "dev", {"dev.tsv": "sentence1\tsentence2\tlabel\tidx\na\tb\t1\t4\nc\td\t-1\t5\n"}),
        [T("4", "a", "b", "not_entailment"), T("5", "c", "d")],
    ),
    (
        *("wnli", "train", {"train.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n"}),
        [T("0", "a", "b", "1")],
    ),
    (
        "ax",
        "test",
        {"diagnostic.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"},
        [T("0", "a", "b")],
    ),
    (
        *("afqmc", "dev"),
        {"dev.json": lines({"sentence1": "甲", "sentence2": "乙", "label": "1"})},
        [T("0", "甲", "乙", "1")],
    ),
    (
        "afqmc",
        "test",
        {"test.json": lines({"id": 4, "sentence1": "甲", "sentence2": "乙"})},
        [T("4", "甲", "乙")],
    ),
    ("afqmc", "test", {"test.txt": "甲\t乙\n"}, [T("0", "甲", "乙")]),
    ("afqmc", "dev", {"dev.txt": "甲\t乙\t0\n"}, [T("0", "甲", "乙", "0")]),
    (
        *("tnews", "train"),
        {
            "train.json": lines(
                {"label": "108", "label_desc": "news_edu", "sentence": "题", "keywords": ""}
            )
        },
        [T("0", "题", None, "108")],
    ),
    (
        *("iflytek", "dev"),
        {"dev.json": lines({"label": "11", "label_des": "薅", "sentence": "应用"})},
        [T("0", "应用", None, "11")],
    ),
    (
        *("cmnli", "train"),
        {"train.json": lines({"sentence1": "甲", "sentence2": "乙", "label": "neutral"})},
        [T("0", "甲", "乙", "neutral")],
    ),
    (
        *("ocnli", "train"),
        {
            "train.50k.json": lines(
                {"sentence1": "甲", "sentence2": "乙", "label": "-", "label0": "neutral", "id": 0},
                {"sentence1": "丙", "sentence2": "丁", "label": "entailment", "id": 1},
            )
        },
        [T("0", "甲", "乙"), T("1", "丙", "丁", "entailment")],
    ),
    (
        *("wsc", "train"),
        {"train.json": lines({**WSC, "idx": 7, "text": "老杨说他来。", "label": "true"})},
        [T("7", "_老杨_说[他]来。", None, "true")],
    ),
    (
        *("csl", "dev"),
        {"dev.json": lines({"id": 1, "abst": "摘要", "keyword": ["甲", "乙丙"], "label": "0"})},
        [T("1", "甲 乙丙", "摘要", "0")],
    ),
    (
        *("chid", "train"),
        {
            "train.json": lines(IDIOM),
            "train_answer.json": json.dumps({"#idiom000001#": 1, "#idiom000002#": 0}),
        },
        [
            ChoiceExample("#idiom000001#", "甲____，乙□□□□。", "", ("一心一意", "画蛇添足"), 1),
            ChoiceExample("#idiom000002#", "甲□□□□，乙____。", "", ("一心一意", "画蛇添足"), 0),
        ],
    ),
    (
        *("fewclue-chid", "train"),
        {
            "train_few_all.json": lines(
                {"id": 3, "candidates": ["甲", "乙"], "content": "丙#idiom#", "answer": 1}
            )
        },
        [ChoiceExample("3", "丙____", "", ("甲", "乙"), 1)],
    ),
    (
        *("c3", "dev"),
        {
            "m-dev.json": json.dumps(
                [[["文"], [{"question": "谁?", "choice": ["甲", "乙"], "answer": "乙"}], "1-2"]]
            ),
            "d-dev.json": json.dumps(
                [[["男：好", "女：不"], [{"question": "", "choice": ["甲"]}], "1-2"]]
            ),
        },
        [
            ChoiceExample("d-dev/1-2-0", "男：好\n女：不", "", ("甲",), None),
            ChoiceExample("m-dev/1-2-0", "文", "谁?", ("甲", "乙"), 1),
        ],
    ),
    (
        *("cluener", "dev"),
        {
            "dev.json": lines(
                {
                    "text": "我在北京大学",
                    "label": {
                        "organization": {"北京大学": [[2, 5]]},
                        "address": {"北京": [[2, 3]]},
                    },
                },
                {"text": "好", "label": {}},
            )
        },
        [
            TagExample(
                "0",
                tuple("我在北京大学"),
                ("O", "O", "B-organization", *["I-organization"] * 3),
            ),
            TagExample("1", ("好",), ("O",)),
        ],
    ),
    (
        "cluener",
        "test",
        {"test.json": lines({"id": 2, "text": "好"})},
        [TagExample("2", ("好",), None)],
    ),
    (
        *("conll-2003", "dev", {"eng.testa": NER}),
        [
            TagExample("0", ("EU", "UK", "."), ("B-ORG", "B-ORG", "O")),
            TagExample("1", ("Hi",), ("O",)),
        ],
    ),
    (
        *("msra-ner", "test", {"dev.txt": "中 B-ORG\n共 I-ORG\n\n好 O\n"}),
        [TagExample("0", ("中", "共"), ("B-ORG", "I-ORG")), TagExample("1", ("好",), ("O",))],
    ),
    (
        *("weibo-ner", "dev", {"weiboNER_2nd_conll.dev": "科0\tB-PER.NOM\n10\tO\n"}),
        [TagExample("0", ("科", "1"), ("B-PER.NOM", "O"))],
    ),
    (
        *("sick-relatedness", "dev"),
        {
            "SICK_trial.txt": "pair_ID\tsentence_A\tsentence_B\trelatedness_score\t"
            "entailment_judgment\n4\ta\tb\t3.6\tCONTRADICTION\n"
        },
        [T("4", "a", "b", 3.6)],
    ),
    (
        *("sick-entailment", "dev"),
        {
            "SICK_trial.txt": "pair_ID\tsentence_A\tsentence_B\trelatedness_score\t"
            "entailment_judgment\n4\ta\tb\t3.6\tCONTRADICTION\n"
        },
        [T("4", "a", "b", "contradiction")],
    ),
    ("sts-b-zh", "dev", {"sts-b-dev.txt": "甲\t乙\t4\n"}, [T("0", "甲", "乙", 4.0)]),
    ("snli-zh", "dev", {"dev.txt": "甲\t乙\tneutral\n"}, [T("0", "甲", "乙", "neutral")]),
    ("lcqmc", "dev", {"dev.txt": "甲\t乙\t1\n"}, [T("0", "甲", "乙", "1")]),
    ("lcqmc", "dev", {"dev.tsv": "text_a\ttext_b\tlabel\n甲\t乙\t1\n"}, [T("0", "甲", "乙", "1")]),
    ("chnsenticorp", "dev", {"dev.tsv": "label\ttext_a\n1\t好\n"}, [T("0", "好", None, "1")]),
    ("thucnews", "dev", {"dev.txt": "题\t8\n"}, [T("0", "题", None, "game")]),
    (
        *("xnli", "dev"),
        {"xnli.dev.tsv": XNLI_HEAD + "\nar\tneutral\t\tx\ty\t1\nzh\tneutral\t\t甲\t乙\t2\n"},
        [T("2", "甲", "乙", "neutral")],
    ),
    (
        *("xnli", "train"),
        {"multinli/multinli.train.zh.tsv": "premise\thypo\tlabel\n甲\t乙\tcontradictory\n"},
        [T("0", "甲", "乙", "contradiction")],
    ),
    (
        *("race-high", "dev"),
        {
            "dev/high/1.txt": json.dumps(
                {
                    "id": "high1.txt",
                    "article": "text",
                    "questions": ["q1", "q _ 2"],
                    "options": [["a", "b", "c", "d"], ["e", "f", "g", "h"]],
                    "answers": ["D", "A"],
                }
            )
        },
        [
            ChoiceExample("high1.txt-0", "text", "q1", ("a", "b", "c", "d"), 3),
            ChoiceExample("high1.txt-1", "text", "q _ 2", ("e", "f", "g", "h"), 0),
        ],
    ),
    (
        *("race", "sample"),
        {
            "race.jsonl": lines(
                {
                    **{"example_id": "m1.txt", "question_id": 2, "article": "text"},
                    **{"question": "q", "options": ["a", "b"], "answer": "B"},
                }
            )
        },
        [ChoiceExample("m1.txt-2", "text", "q", ("a", "b"), 1)],
    ),
]
