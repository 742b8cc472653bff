"""What answers to questions are measured beside. See peers.py, which calls these.

A row has question, context, and answers {"text": [...], "answer_start": [...]}. Parts of a text are
its words, of a Chinese one its characters and the words between them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]
MAX_TOKENS, OVERLAP = 384, 128  # as transformers' run_qa.py
N_BEST, MAX_ANSWER_TOKENS = 20, 30
_PART = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+(?:['’.,-][^\W\u4e00-\u9fff]+)*")
_SENTENCE = re.compile(r".+?(?:[.!?](?=\s)|[。！？；]|\n|$)", re.S)


def first_words(train: Rows, scored: Rows) -> list[str]:
    """The first parts of each context, as many as the median answer has."""
    count = _usual_count(train)
    made = []
    for row in scored:
        places = _parts(row["context"])
        made.append(row["context"][places[0][0] : places[:count][-1][1]] if places else "")
    return made


def by_likeness(train: Rows, scored: Rows, options: argparse.Namespace) -> list[str]:
    """A part of the sentence that is most like the question by TF-IDF.

    Of its runs of as many parts as the median answer has, the one with the rarest parts counts;
    what is in the question too counts as nothing.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    count = _usual_count(train)
    vectorizer = TfidfVectorizer(tokenizer=_texts, token_pattern=None, sublinear_tf=True)
    vectorizer.fit(dict.fromkeys(row["context"] for row in train))
    known, rareness = vectorizer.vocabulary_, vectorizer.idf_

    def worth(part: str, asked: set[str]) -> float:
        part = part.lower()
        if part in asked:
            return 0.0
        return float(rareness[known[part]] if part in known else rareness.max())

    made = []
    for row in scored:
        sentences = [x for x in _SENTENCE.findall(row["context"]) if _parts(x)]
        if not sentences:
            made.append("")
            continue
        alike = vectorizer.transform(sentences) @ vectorizer.transform([row["question"]]).T
        sentence = sentences[int(alike.toarray().argmax())]
        asked, places = {x.lower() for x in _texts(row["question"])}, _parts(sentence)
        worths = [worth(sentence[begin:end], asked) for begin, end in places]
        width = min(count, len(places))
        sums = np.convolve(worths, np.ones(width), "valid")
        first = int(sums.argmax())
        made.append(sentence[places[first][0] : places[first + width - 1][1]])
    return made


def answer_by_trainer(
    options: argparse.Namespace,
    train: Rows,
    dev: Rows,
    scored: Rows,
    trained: Callable[..., Any],
) -> list[str]:
    """AlbertForQuestionAnswering, rows and answers as in transformers' run_qa.py.

    trained: `peers.trained`. The epoch is chosen by the windows of which both places are right.
    """
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, DataCollatorWithPadding

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForQuestionAnswering.from_pretrained(options.model, dtype="float32")
    windows = [_windows(tokenizer, rows) for rows in (train, dev, scored)]

    def figure(found: Any) -> dict[str, float]:
        (start, end), (first, last) = found
        return {"figure": float(((start.argmax(-1) == first) & (end.argmax(-1) == last)).mean())}

    rows = [[window["inputs"] for window in part] for part in windows]
    start, end = trained(options, model, DataCollatorWithPadding(tokenizer), rows, figure)[:2]
    best = [(-np.inf, "")] * len(scored)
    for window, *logits in zip(windows[2], start, end, strict=True):
        row = window["row"]
        for score, begin, stop in _best_spans(*logits, window["offsets"]):
            if score > best[row][0]:
                best[row] = (score, scored[row]["context"][begin:stop])
    return [text for _, text in best]


def _windows(tokenizer: Any, rows: Rows) -> list[dict[str, Any]]:
    """The windows of each context with the places of the first answer, at [CLS] where it is not."""
    made = []
    for number, row in enumerate(rows):
        encoded = tokenizer(
            row["question"].strip(),
            row["context"],
            truncation="only_second",
            max_length=MAX_TOKENS,
            stride=OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        begin = row["answers"]["answer_start"][0]
        end = begin + len(row["answers"]["text"][0])
        for n, ids in enumerate(encoded["input_ids"]):
            places = [
                place if sequence == 1 else None
                for place, sequence in zip(
                    encoded["offset_mapping"][n], encoded.sequence_ids(n), strict=True
                )
            ]
            held = [i for i, p in enumerate(places) if p and p[1] > begin and p[0] < end]
            inside = held and places[held[0]][0] <= begin and places[held[-1]][1] >= end
            inputs = {
                "input_ids": ids,
                "token_type_ids": encoded["token_type_ids"][n],
                "attention_mask": encoded["attention_mask"][n],
                "start_positions": held[0] if inside else 0,
                "end_positions": held[-1] if inside else 0,
            }
            made.append({"row": number, "offsets": places, "inputs": inputs})
    return made


def _best_spans(start: Any, end: Any, places: list[Any]) -> Iterator[tuple[float, int, int]]:
    """(score, first character, last + 1) of the spans of the best starts and ends of a window."""
    count = len(places)  # rows are padded
    for first in np.argsort(-start[:count])[:N_BEST].tolist():
        for last in np.argsort(-end[:count])[:N_BEST].tolist():
            if places[first] and places[last] and first <= last < first + MAX_ANSWER_TOKENS:
                yield float(start[first] + end[last]), places[first][0], places[last][1]


def _usual_count(train: Rows) -> int:
    """Parts of the median answer."""
    return max(1, int(np.median([len(_parts(row["answers"]["text"][0])) for row in train])))


def _parts(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in _PART.finditer(text)]


def _texts(text: str) -> Iterable[str]:
    return _PART.findall(text)
