"""Exact match and F1 of answers as the official programs of SQuAD 1.1 and 2.0 measure them.

Gold answers are texts by question id, in the order of the data; scores are percent, in the keys and
to the last digit of evaluate-v1.1.py and evaluate-v2.0.py. The two differ: an answer of nothing but
articles and punctuation has F1 0 in 1.1 and 1 in 2.0.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from albertkit.errors import PredictionError, listed

Answers = Mapping[str, Sequence[str]]
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case without ASCII punctuation and articles, words parted by one space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(gold: str, predicted: str) -> bool:
    """Whether two answers are the same after `normalized`."""
    return normalized(gold) == normalized(predicted)


def word_f1(gold: str, predicted: str, *, empty_agree: bool = True) -> float:
    """F1 of the words that two answers share, 0 to 1.

    empty_agree: two answers without any word have 1 (SQuAD 2.0), else 0 (SQuAD 1.1).
    """
    a, b = normalized(gold).split(), normalized(predicted).split()
    if not a or not b:
        return float(empty_agree and a == b)
    same = sum((Counter(a) & Counter(b)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(b), same / len(a)
    return 2 * precision * recall / (precision + recall)


def squad1_scores(gold: Answers, predicted: Mapping[str, str]) -> dict[str, float]:
    """`exact_match` and `f1` over all questions; one without a prediction counts as wrong."""
    _need_questions(gold)
    exact = total = 0.0
    for question, answers in gold.items():
        if question in predicted:
            guess = predicted[question]
            exact += max(exact_match(x, guess) for x in answers)
            total += max(word_f1(x, guess, empty_agree=False) for x in answers)
    return {"exact_match": 100.0 * exact / len(gold), "f1": 100.0 * total / len(gold)}


def squad2_scores(
    gold: Answers,
    predicted: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    *,
    threshold: float = 1.0,
) -> dict[str, float]:
    """Scores of questions that may have no answer: their gold answers and prediction are empty.

    no_answer: how sure the model is that there is none, by question (any scale; 0 if left out);
    above `threshold` the prediction counts as "". With it come the best thresholds, found on these
    questions.

    Returns: exact, f1, total; the same with HasAns_ and NoAns_ for the questions that have an
    answer and those that have none; best_exact, best_exact_thresh, best_f1, best_f1_thresh.

    Raises:
        PredictionError: a question has no prediction.
    """
    _need_questions(gold)
    missing = [x for x in gold if x not in predicted or (no_answer and x not in no_answer)]
    if missing:
        raise PredictionError(
            "Questions have no prediction.",
            expected=f"a prediction for each of {len(gold):,} questions",
            found=f"none for {listed(missing)}",
            fix="predict the same questions that are scored",
        )
    exact, overlap = raw_scores(gold, predicted)
    sure = no_answer or dict.fromkeys(gold, 0.0)
    scores: dict[str, float] = {}
    groups = {
        "": list(gold),
        "HasAns_": [x for x in gold if gold[x]],
        "NoAns_": [x for x in gold if not gold[x]],
    }
    for prefix, questions in groups.items():
        if questions:
            for name, raw in (("exact", exact), ("f1", overlap)):
                kept = (float(not gold[x]) if sure[x] > threshold else raw[x] for x in questions)
                scores[prefix + name] = 100.0 * sum(kept) / len(questions)
            scores[f"{prefix}total"] = len(questions)
    if no_answer:
        for name, raw in (("exact", exact), ("f1", overlap)):
            best, at = best_threshold(gold, predicted, raw, no_answer)
            scores[f"best_{name}"], scores[f"best_{name}_thresh"] = best, at
    return scores


def raw_scores(
    gold: Answers, predicted: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Exact match and F1 of each question by SQuAD 2.0's rules, 0 to 1."""
    exact, overlap = {}, {}
    for question, answers in gold.items():
        real = [x for x in answers if normalized(x)] or [""]
        exact[question] = float(max(exact_match(x, predicted[question]) for x in real))
        overlap[question] = max(word_f1(x, predicted[question]) for x in real)
    return exact, overlap


def best_threshold(
    gold: Answers,
    predicted: Mapping[str, str],
    scores: Mapping[str, float],
    no_answer: Mapping[str, float],
) -> tuple[float, float]:
    """The best score (percent) that any threshold on `no_answer` reaches, and that threshold.

    predicted: the best answers, never replaced by "". A question whose `no_answer` is above the
    threshold counts as answered by "". scores: of each prediction, 0 to 1. With a threshold below
    every value all questions have no answer; that is 0.0, as the official program says.
    """
    current: float = sum(not answers for answers in gold.values())
    best, at = current, 0.0
    for question in sorted(no_answer, key=lambda x: no_answer[x]):
        if question in scores:
            if gold[question]:
                current += scores[question]
            elif predicted[question]:
                current -= 1
            if current > best:
                best, at = current, no_answer[question]
    return 100.0 * best / len(scores), at


def precision_recall_area(
    scores: Mapping[str, float],
    no_answer: Mapping[str, float],
    has_answer: Callable[[str], bool],
) -> float:
    """Area under precision and recall (percent) as ever more questions are answered.

    The official pr_exact_ap and pr_f1_ap with the scores of exact match and F1, and pr_oracle_ap
    with 1 for each question that has an answer.
    """
    order = sorted(no_answer, key=lambda x: no_answer[x])
    positives = float(sum(map(has_answer, no_answer)))
    found = area = last = 0.0
    for number, question in enumerate(order):
        if has_answer(question):
            found += scores[question]
        at_end = number == len(order) - 1
        if at_end or no_answer[question] != no_answer[order[number + 1]]:
            recall = found / positives
            area += found / float(number + 1) * (recall - last)
            last = recall
    return 100.0 * area


def _need_questions(gold: Answers) -> None:
    if not gold:
        raise PredictionError(
            "There are no questions to score.",
            expected="at least one question",
            found="none",
            fix="give a file with questions",
        )
