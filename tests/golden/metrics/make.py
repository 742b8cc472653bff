"""Scores of scikit-learn, scipy, seqeval and the official programs on random and hostile inputs.

    python make.py OFFICIAL      # versions are in README.md; writes the JSON files beside this one

OFFICIAL: a folder with the functions of the official programs as modules evaluate_v11,
evaluate_v20 and cmrc2018_evaluate.
"""

from __future__ import annotations

import json
import math
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DRAWS = random.Random(20)


def write(name: str, values: Any) -> None:
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    (HERE / name).write_text(text.replace('},{"', '},\n{"') + "\n", encoding="utf-8")


def labels() -> list[dict[str, Any]]:
    """Classes of two to five kinds, some constant, some of one example."""
    from sklearn import metrics

    cases = []
    for size, kinds in [(1, 2), (2, 2), (7, 2), (40, 2), (40, 5), (9, 3), (12, 5), (3, 1)] * 3:
        gold = [DRAWS.randrange(kinds) for _ in range(size)]
        noise = DRAWS.random()
        guess = [DRAWS.randrange(kinds) if DRAWS.random() < noise else x for x in gold]
        case = {"gold": gold, "predicted": guess, "accuracy": metrics.accuracy_score(gold, guess)}
        case["matthews"] = metrics.matthews_corrcoef(gold, guess)
        for average in ("macro", "micro", "weighted", *(["binary"] if kinds <= 2 else [])):
            case[average] = metrics.f1_score(gold, guess, average=average, zero_division=0)
        cases.append(case)
    return cases


def several_labels() -> list[dict[str, Any]]:
    from sklearn import metrics

    cases = []
    for size, kinds in [(1, 2), (6, 4), (30, 3), (4, 4)]:
        gold = (np.array([DRAWS.random() for _ in range(size * kinds)]) < 0.4).astype(int)
        guess = (np.array([DRAWS.random() for _ in range(size * kinds)]) < 0.5).astype(int)
        gold, guess = gold.reshape(size, kinds), guess.reshape(size, kinds)
        case: dict[str, Any] = {"gold": gold.tolist(), "predicted": guess.tolist()}
        for average in ("macro", "micro", "weighted"):
            case[average] = metrics.f1_score(gold, guess, average=average, zero_division=0)
        cases.append(case)
    return cases


def numbers() -> list[dict[str, Any]]:
    """Numbers with and without ties, far from zero, nearly constant, constant."""
    from scipy import stats

    def draw(size: int) -> list[float]:
        return [round(DRAWS.gauss(2.5, 1.5), DRAWS.choice([0, 1, 6])) for _ in range(size)]

    pairs = [(draw(n), draw(n)) for n in (2, 3, 10, 60)]
    pairs += [(x, [y + DRAWS.gauss(0, 0.3) for y in x]) for x in (draw(30), draw(5))]
    pairs += [([1e9 + n for n in range(5)], [3.0, 1.0, 4.0, 1.0, 5.0])]
    pairs += [([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 9.0, 9.0])]
    cases = []
    for gold, guess in pairs:
        case: dict[str, Any] = {"gold": gold, "predicted": guess}
        for name, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            value = float(function(gold, guess).statistic)
            case[name] = None if math.isnan(value) else value
        cases.append(case)
    return cases


def intervals() -> list[dict[str, Any]]:
    from scipy import stats

    cases = []
    for right, total in [(0, 1), (1, 1), (0, 10), (7, 10), (10, 10), (850, 1000), (1, 5000)]:
        for level in (0.9, 0.95):
            found = stats.binomtest(right, total).proportion_ci(level, method="wilson")
            cases.append({"right": right, "total": total, "level": level, "interval": list(found)})
    return cases


def tags() -> list[dict[str, Any]]:
    """Tags of each scheme, well formed and at random."""
    from seqeval import metrics, scheme

    schemes = {"BIO": "BI", "IOB1": "BI", "BIOES": "BIES", "BILOU": "BILU"}
    names = {"BIO": "IOB2", "IOB1": "IOB1", "BIOES": "IOBES", "BILOU": "BILOU"}
    cases = []
    for name, marks in schemes.items():
        for _ in range(25):
            sizes = [DRAWS.randint(1, 9) for _ in range(DRAWS.randint(1, 4))]
            outside = DRAWS.choice([0.1, 0.5])

            def draw(size: int, marks: str = marks, outside: float = outside) -> list[str]:
                return [
                    "O"
                    if DRAWS.random() < outside
                    else DRAWS.choice(marks)
                    + "-"
                    + DRAWS.choice(["PER", "LOC", "a-b"][: size // 2 + 1])
                    for _ in range(size)
                ]

            gold = [draw(n) for n in sizes]
            guess = [
                [DRAWS.choice([a, b]) for a, b in zip(x, draw(len(x)), strict=True)] for x in gold
            ]
            case: dict[str, Any] = {"scheme": name, "gold": gold, "predicted": guess}
            if name != "BILOU":  # which seqeval's default reading does not know
                case["default"] = report(metrics, gold, guess)
            strict = {"mode": "strict", "scheme": getattr(scheme, names[name])}
            case["strict"] = report(metrics, gold, guess, **strict)
            cases.append(case)
    return cases


def report(metrics: Any, gold: Any, guess: Any, **how: Any) -> dict[str, Any]:
    try:
        found = metrics.classification_report(gold, guess, output_dict=True, zero_division=0, **how)
    except ValueError:  # neither side has an entity
        return {}
    kept = {k: v for k, v in found.items() if k != "weighted avg"}
    if len(kept) == 2:
        return {}  # nor here: averages of nothing
    return {
        kind: [float(x[key]) for key in ("precision", "recall", "f1-score", "support")]
        for kind, x in kept.items()
    }


WORDS = ["a", "the", "an", "cat", "Cat", "sat", "mat", "3.5", "U.S.", "don't", "\u00e9t\u00e9", "-"]
WORDS += ["The", "a.", "\u201cthe\u201d", "\u2013", "mat,", "\t", "\u3000"]
CHINESE = list("\u5317\u4eac\u5e022008\u5e748\u6708\uff0c\u3002\u300a\u300b- .,'\"()ab\u3007\u2026")
CHINESE += ["iPhone", " 12", "can't ", "U.S.", "\u9fa6", "$3,000", "''", "\uff08\u6ce8\uff09"]


def text_of(words: list[str], most: int, join: str) -> str:
    return join.join(DRAWS.choice(words) for _ in range(DRAWS.randint(0, most)))


def questions(words: list[str], most: int, join: str, empty: float) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for n in range(DRAWS.randint(1, 14)):
        answers = [text_of(words, most, join) for _ in range(DRAWS.randint(1, 3))]
        made[f"q{n}"] = [] if DRAWS.random() < empty else answers
    return made


def predictions(
    gold: dict[str, list[str]], words: list[str], most: int, join: str
) -> dict[str, str]:
    return {
        key: DRAWS.choice([*answers, text_of(words, most, join), ""])
        for key, answers in gold.items()
    }


def data_of(gold: dict[str, list[str]]) -> list[dict[str, Any]]:
    qas = [
        {"id": key, "question": "", "answers": [{"text": x} for x in answers]}
        for key, answers in gold.items()
    ]
    return [{"paragraphs": [{"context": "", "qas": qas}]}]


def answers(official: str) -> dict[str, list[dict[str, Any]]]:
    sys.path.insert(0, official)
    import cmrc2018_evaluate  # type: ignore[import-not-found]
    import evaluate_v11  # type: ignore[import-not-found]
    import evaluate_v20  # type: ignore[import-not-found]

    made: dict[str, list[dict[str, Any]]] = {"squad1": [], "squad2": [], "cmrc": []}
    for number in range(30):
        gold = questions(WORDS, 4, " ", 0)
        guess = predictions(gold, WORDS, 4, " ")
        if number % 3 == 0:
            guess.pop("q0")
        found = evaluate_v11.evaluate(data_of(gold), guess)
        made["squad1"].append({"gold": gold, "predicted": guess, "scores": found})

        gold = questions(WORDS, 4, " ", 0.4)
        guess = predictions(gold, WORDS, 4, " ")
        sure = {key: round(DRAWS.uniform(-3, 3), DRAWS.choice([0, 3])) for key in guess}
        threshold = DRAWS.choice([1.0, 0.0, -1.5])
        none = None if number % 5 == 0 else sure
        found = evaluate_v20.evaluate(data_of(gold), guess, none, threshold)
        case = {"gold": gold, "predicted": guess, "no_answer": none, "threshold": threshold}
        made["squad2"].append({**case, "scores": found})

        gold = questions(CHINESE, 9, "", 0)
        guess = predictions(gold, CHINESE, 9, "")
        if number % 3 == 0:
            guess.pop("q0")
        f1, em, total, skip = cmrc2018_evaluate.evaluate({"data": data_of(gold)}, guess)
        scores = {"F1": f1, "EM": em, "AVERAGE": (em + f1) * 0.5, "TOTAL": total, "SKIP": skip}
        made["cmrc"].append({"gold": gold, "predicted": guess, "scores": scores})
    return made


def words() -> list[dict[str, Any]]:
    from nltk.tokenize import NLTKWordTokenizer

    parts = list("abst09 .,'\"()[]<>;@#$%&?!|\u00ab\u00bb\u2018\u201e\u2014\u00e9\u3000")
    parts += [" cannot", "can't ", "n't ", " 'tis", " 'twas", "gonna", "wanna ", " lemme", "gimme"]
    parts += ["gotta", "d'ye", "more'n", "'ll ", "'re ", "'s", "...", "\n", "\t", "''", "3,000"]
    cut = NLTKWordTokenizer().tokenize
    texts = ["".join(DRAWS.choices(parts, k=DRAWS.randint(1, 8))) for _ in range(150)]
    return [{"text": text, "words": cut(text)} for text in texts]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write("labels.json", labels())
    write("several_labels.json", several_labels())
    write("numbers.json", numbers())
    write("intervals.json", intervals())
    write("tags.json", tags())
    write("answers.json", answers(sys.argv[1]))
    write("words.json", words())
