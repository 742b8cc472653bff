"""Exact match and F1 of Chinese answers, as the official program of CMRC 2018 measures them.

DRCD and the reading sets of CLUE are scored with it too. An answer is cut into Chinese characters
and the words of what stands between them; F1 is of the longest run of parts that two answers share.
Words are cut as NLTK 3.8's `word_tokenize` cuts one sentence, by the Penn Treebank's rules. The
official program also parts sentences inside such a stretch, which needs a trained model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from albertkit.errors import PredictionError

_DROPPED = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CHINESE = re.compile("[\u4e00-\u9fa5]")
_LATIN = re.compile("[A-Za-z]")
# What is parted from its neighbours, in this order. Text is lower case and without _DROPPED.
_WORD_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("([«‘„])", r" \1 "),  # quotes that open
        (r'^"', " `` "),
        (r"""([ (\[{<])("|'')""", r"\1 `` "),
        (r"(?i:'(?!re|ve|ll|[mtsdn])(?=\w\b))", "' "),
        (r"""([^.])\.([\])}>"' »]*+)\s*$""", r"\1 . \2 "),  # the period that ends the text
        (r",([^\d])", r" , \1"),  # 1,234 is one word
        (r",$", " , "),
        (r"\.{2,}|[;@#$%&?!]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[\[\](){}<>]", r" \g<0> "),
        (r"\A|\Z", " "),
        ("»", " » "),
        ("''", " '' "),
        ('"', " '' "),
        (r"([^' ])('[smd]|') ", r"\1 \2 "),
        (r"([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
        (r"\b(can)(not)\b", r" \1 \2 "),
        (r"\b(d)('ye)\b", r" \1 \2 "),
        (r"\b(gim|lem)(me)\b", r" \1 \2 "),
        (r"\b(gon)(na)\b", r" \1 \2 "),
        (r"\b(got)(ta)\b", r" \1 \2 "),
        (r"\b(more)('n)\b", r" \1 \2 "),
        (r"\b(wan)(na)(?=\s)", r" \1 \2 "),
        (r" ('t)(is|was)\b", r" \1 \2 "),
    )
]


def are_chinese(answers: Iterable[str]) -> bool:
    """Whether answers are more Chinese than Latin; a Chinese character is worth four letters."""
    text = "".join(answers)
    return 4 * len(_CHINESE.findall(text)) > len(_LATIN.findall(text))


def segments(text: str) -> list[str]:
    """Chinese characters and the words between them, lower case, without punctuation marks."""
    return list(_segments(text.lower().strip()))


def _segments(text: str) -> Iterator[str]:
    between: list[str] = []
    for character in text:
        if character in _DROPPED:
            continue
        if _CHINESE.match(character):
            yield from _words("".join(between))
            between.clear()
            yield character
        else:
            between.append(character)
    yield from _words("".join(between))


def _words(text: str) -> list[str]:
    for pattern, replacement in _WORD_RULES:
        text = pattern.sub(replacement, text)
    return text.split()


def exact_match(gold: str, predicted: str) -> bool:
    """Whether two answers are the same but for case and punctuation marks."""
    a, b = (
        "".join(x for x in text.lower().strip() if x not in _DROPPED) for text in (gold, predicted)
    )
    return a == b


def segment_f1(gold: str, predicted: str) -> float:
    """F1 of the longest run of `segments` that two answers share, 0 to 1."""
    a, b = segments(gold), segments(predicted)
    same = _longest_run(a, b)
    if same == 0:
        return 0.0
    precision, recall = same / len(b), same / len(a)
    return 2 * precision * recall / (precision + recall)


def _longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest sequence that stands in both without a gap."""
    longest = 0
    above = [0] * (len(b) + 1)
    for x in a:
        row = [0] * (len(b) + 1)
        for n, y in enumerate(b):
            if x == y:
                row[n + 1] = above[n] + 1
                longest = max(longest, row[n + 1])
        above = row
    return longest


def cmrc_scores(
    gold: Mapping[str, Sequence[str]], predicted: Mapping[str, str]
) -> dict[str, float]:
    """F1, EM and their mean AVERAGE (percent), TOTAL questions, and SKIP: those without prediction.

    gold: accepted answers by question id, at least one each. A question without a prediction
    counts as wrong.
    """
    if not gold:
        raise PredictionError(
            "There are no questions to score.",
            expected="at least one question",
            found="none",
            fix="give a file with questions",
        )
    overlap: float = 0
    exact = 0
    answered = [x for x in gold if x in predicted]
    for question in answered:
        overlap += max(segment_f1(x, predicted[question]) for x in gold[question])
        exact += any(exact_match(x, predicted[question]) for x in gold[question])
    f1, em = 100.0 * overlap / len(gold), 100.0 * exact / len(gold)
    return {
        "AVERAGE": (em + f1) * 0.5,
        "F1": f1,
        "EM": em,
        "TOTAL": len(gold),
        "SKIP": len(gold) - len(answered),
    }
