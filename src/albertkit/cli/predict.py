"""Commands that ask a model about texts: fill-mask, classify, tag and so on.

Answers in JSON have the keys of transformers' pipelines, which the answers carry themselves.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from albertkit.cli.inputs import (
    BadLines,
    Line,
    answered,
    bar_of_lines,
    groups_of,
    in_parts,
    read_lines,
)
from albertkit.cli.options import (
    Flag,
    Json,
    LineOptions,
    ModelOptions,
    Patience,
    Texts,
    TextsOrLines,
    TopK,
    Truncate,
)
from albertkit.cli.output import print_json, print_line, print_table
from albertkit.errors import PredictionError, TextError

if TYPE_CHECKING:
    from albertkit.infer.answers import Fillings
    from albertkit.infer.predictor import Predictor

Answer = TypeVar("Answer")
NO_MODEL = ModelOptions()
NO_LINES = LineOptions()
WINDOW = 512  # lines that are read before they are sorted by length and run
PART = 32  # of them at first where a bar should move


def fill_mask(
    *texts: TextsOrLines,
    model: ModelOptions = NO_MODEL,
    lines: LineOptions = NO_LINES,
    top_k: TopK = 5,
    independent: Flag = False,
    truncate: Truncate = False,
    json: Json = False,
) -> None:
    """Fill the [MASK] of texts; several masks of one text are filled together.

    Parameters
    ----------
    top_k
        How many fillings to show.
    independent
        Fill each mask by itself, in one run of the network: for texts with many masks.
    json
        One JSON object a line: text, fillings, and the candidates of each mask alone.
    """

    def ask(predictor: Predictor, batch: list[str]) -> list[Fillings]:
        return predictor.fill_mask(
            batch, top_k, truncate=truncate, independent=True if independent else None
        )

    for text, found in _answers(texts, lines, model, ask):
        if json:
            fillings = [dict(filling) for filling in found]
            masks = [[dict(candidate) for candidate in mask] for mask in found.masks]
            print_json({"text": text, "fillings": fillings, "masks": masks})
        else:
            rows = [(f"{f.probability:.2%}", " ".join(f.tokens), f.text) for f in found]
            print_table(text, ["score", "tokens", "sequence"], rows, right=[0])


def sentence_order(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    truncate: Truncate = False,
    json: Json = False,
) -> None:
    """Show how probable it is that the first of two texts comes before the second.

    For a model that ships, a line on standard error says how often it is right.

    Parameters
    ----------
    texts
        The two texts.
    json
        One JSON object: first, second, score.
    """
    from albertkit.hub.measured import order_figures

    predictor, given = model.predictor(texts)
    _need_texts(given, "sentence-order", "two texts", exactly=2)
    first, second = given
    score = predictor.sentence_order(first, second, truncate=truncate)
    measured = None if predictor.folder is None else order_figures(predictor.folder)
    if measured is not None:
        print_line(f"note: {measured}", stderr=True)
    if json:
        print_json({"first": first, "second": second, "score": score})
    else:
        rows = [(f"{score:.1%}", first, second), (f"{1 - score:.1%}", second, first)]
        print_table("", ["score", "first", "second"], rows, right=[0])


def classify(
    *texts: TextsOrLines,
    model: ModelOptions = NO_MODEL,
    lines: LineOptions = NO_LINES,
    pair: str | None = None,
    top_k: TopK | None = None,
    patience: Patience = None,
    truncate: Truncate = False,
    json: Json = False,
) -> None:
    """Ask the head of a fine-tuned model for the class of texts, or for their number.

    Parameters
    ----------
    pair
        Second text of each pair, for models that compare two texts.
    top_k
        How many classes to show; by default all of them.
    json
        One JSON object a line: text, labels (each with label and score); value for a number.
    """

    def ask(predictor: Predictor, batch: list[str]) -> Any:
        pairs = None if pair is None else [pair] * len(batch)
        return predictor.classify(batch, pairs, truncate=truncate)

    for text, found in _answers(texts, lines, model, ask, needs_head=True, patience=patience):
        labels = [dict(label) for label in found.labels[:top_k]]
        if json:
            value = {"labels": labels} if found.value is None else {"value": found.value}
            print_json({"text": text, **value})
        elif found.value is not None:
            print_line(f"{found.value:.4f}  {text}")
        else:
            shown = "  ".join(f"{x['label']} {x['score']:.1%}" for x in labels)
            print_line(f"{shown}  {text}")


def tag(
    *texts: TextsOrLines,
    model: ModelOptions = NO_MODEL,
    lines: LineOptions = NO_LINES,
    truncate: Truncate = False,
    json: Json = False,
) -> None:
    """Find what texts name (people, places, ...), by a head for token classification.

    Parameters
    ----------
    json
        One JSON object a line: text, entities (entity_group, score, word, start, end).
    """

    def ask(predictor: Predictor, batch: list[str]) -> Any:
        return predictor.tag(batch, truncate=truncate)

    for text, found in _answers(texts, lines, model, ask, needs_head=True):
        if json:
            print_json({"text": text, "entities": [dict(span) for span in found]})
        else:
            rows = [(f"{x.probability:.1%}", x.label, x.text, f"{x.start}-{x.end}") for x in found]
            print_table(text, ["score", "entity", "word", "characters"], rows, right=[0])


def answer(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    context: str | None = None,
    top_k: TopK = 5,
    json: Json = False,
) -> None:
    """Find the answer to a question in a text, by a head for reading comprehension.

    Parameters
    ----------
    texts
        The question, and the text that answers it (or --context).
    context
        The text that answers the question, or a file that holds it.
    top_k
        How many answers to show.
    json
        One JSON object: question, answers (score, start, end, answer), no_answer.
    """
    predictor, given = model.predictor(texts, needs_head=True)
    given += _text_of(context)
    _need_texts(given, "answer", "a question and a text, or a question and --context", exactly=2)
    found = predictor.answer(*given, top_k=top_k)
    if json:
        answers = [dict(each) for each in found]
        print_json({"question": given[0], "answers": answers, "no_answer": found.no_answer})
    else:
        rows = [
            (f"{x.probability:.1%}", x.text or "(no answer)", f"{x.start}-{x.end}") for x in found
        ]
        print_table(given[0], ["score", "answer", "characters"], rows, right=[0])


def choose(
    *texts: Texts,
    options: tuple[str, ...] = (),
    model: ModelOptions = NO_MODEL,
    context: str | None = None,
    truncate: Truncate = False,
    json: Json = False,
) -> None:
    """Choose the option that answers a question, by a head for multiple choice.

    Parameters
    ----------
    texts
        The question, and perhaps the text that it is about (or --context). Without --options: a
        text (or --context), and the choices for it.
    options
        One option; given once for each.
    context
        The text that the question is about, or a file that holds it.
    json
        One JSON object: question (or text), label (number of the best choice, from 0), score,
        choices (each with choice and score).
    """
    predictor, given = model.predictor(texts, needs_head=True)
    about = _text_of(context)
    if options:
        given += about
        expected = "a question and perhaps the text that it is about, and two --options or more"
        if len(options) < 2 or not 1 <= len(given) <= 2:
            _refuse_texts(given, "choose", expected)
        text, choices = given[0], list(options)
        found = predictor.choose(text, choices, *given[1:], truncate=truncate)
    else:
        text, *choices = [*about, *given] or [""]
        _need_texts(choices, "choose", "a text (or --context) and two choices or more")
        found = predictor.choose(text, choices, truncate=truncate)
    scores = found.probabilities
    if json:
        listed = [{"choice": c, "score": p} for c, p in zip(choices, scores, strict=True)]
        name = "question" if options else "text"
        print_json({name: text, **dict(found), "choices": listed})
    else:
        best = sorted(zip(scores, choices, strict=True), key=lambda pair: -pair[0])
        rows = [(f"{score:.1%}", choice) for score, choice in best]
        print_table(text, ["score", "choice"], rows, right=[0])


def _text_of(context: str | None) -> list[str]:
    """The text of --context: its value, or the content of the file that it names.

    A value that names no existing file is a text if it has a space or Chinese punctuation in it.
    """
    if context is None:
        return []
    if not os.path.exists(context) and re.search(r"[\s，。！？；：]", context):
        return [context]
    return ["\n".join(read_lines(Path(context)))]


def _need_texts(
    given: Sequence[str], command: str, expected: str, *, exactly: int | None = None
) -> None:
    """Refuse too few texts, and too many where the number is fixed.

    Raises:
        PredictionError: the command takes another number.
    """
    if len(given) != exactly if exactly else len(given) < 2:
        _refuse_texts(given, command, expected)


def _refuse_texts(given: Sequence[str], command: str, expected: str) -> NoReturn:
    raise PredictionError(
        f"{command} takes {expected}.",
        found=f"{len(given)} text{'' if len(given) == 1 else 's'}",
        fix=f"put each text into quotes; see albertkit {command} --help",
    )


def _answers(
    texts: Sequence[str],
    lines: LineOptions,
    model: ModelOptions,
    ask: Callable[[Predictor, list[str]], Sequence[Answer]],
    *,
    needs_head: bool = False,
    patience: int | None = None,
) -> Iterator[tuple[str, Answer]]:
    """Texts of a command with their answers as they come, a few batches at a time."""
    predictor, given = model.predictor(texts, needs_head=needs_head, patience=patience)
    for _, found in answered_groups(predictor, given, lines, model, ask):
        yield from found


def answered_groups(
    predictor: Predictor,
    texts: Sequence[str],
    lines: LineOptions,
    model: ModelOptions,
    ask: Callable[[Predictor, list[str]], Sequence[Answer]],
    *,
    skip: int = 0,
    silent: bool = False,
) -> Iterator[tuple[list[Line], Iterator[tuple[str, Answer]]]]:
    """Texts in groups of a few batches, each group with its answers as they come.

    skip: so many lines are done already. silent: the command prints nothing about an answer.

    Raises:
        TextError: no text could be used.
    """
    bad = BadLines(skip=lines.on_bad_line == "skip")
    window = max(WINDOW, model.batch_size or 1)
    groups = groups_of(texts, lines.input, window, bad, empty=skip > 0, skip=skip)
    noted = skip > 0 or model.model is None
    with bar_of_lines(lines.input, silent=silent) as bar:
        for group in in_parts(groups, bar, PART, skip):
            if not noted:
                _note_unknown(group, predictor)
                noted = True
            yield group, answered(group, lambda batch: ask(predictor, batch), bad)
    if not bad.used and not skip:
        raise TextError(
            "No text could be used.",
            expected="at least one text that the model can take",
            found=f"{bad.skipped} that it cannot",
            fix="see the reasons above",
        )


def _note_unknown(group: Sequence[Line], predictor: Predictor) -> None:
    """Say of the first text of which the model knows less than half that it does not."""
    from albertkit.text.tokenizer import MASK

    tokenizer = predictor.tokenizer
    for line in group:
        ids = tokenizer.ids(line.text.replace(MASK, ""))
        unknown = ids.count(tokenizer.unk_id)
        if unknown and 2 * unknown >= len(ids):
            print(
                f"note: {unknown} of the {len(ids)} tokens of {line.where} are not in the "
                "vocabulary of the model: is the text in its language?",
                file=sys.stderr,
                flush=True,
            )
            return
