"""Commands that ask a model about texts: fill-mask, embed, classify and so on.

Answers in JSON have the keys of transformers' pipelines, which the answers carry themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from albertkit.cli.inputs import BadLines, answered, groups_of, read_lines
from albertkit.cli.options import File, Flag, Json, ModelOptions, OnBadLine, Texts
from albertkit.cli.output import VectorTable, array_file, output_file, print_json, print_table
from albertkit.errors import PredictionError, TextError

if TYPE_CHECKING:
    from albertkit.infer.answers import Classification, Fillings, Tags

Answer = TypeVar("Answer")
NO_MODEL = ModelOptions()
GROUP = 16  # batches that are read before they are sorted by length and run


def fill_mask(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    input: File = None,
    on_bad_line: OnBadLine = "error",
    top_k: int = 5,
    independent: Flag = False,
    truncate: Flag = False,
    json: Json = False,
) -> None:
    """Fill the [MASK] of texts; several masks of one text are filled together.

    Parameters
    ----------
    texts
        Texts with [MASK]; without any, the lines of --input or of standard input.
    input
        File with one text on each line; - is standard input.
    on_bad_line
        error stops at a text that cannot be used (blank, without mask, too long, not UTF-8);
        skip goes on without it and says so on standard error.
    top_k
        How many fillings to show.
    independent
        Fill each mask by itself, in one run of the network: for texts with many masks.
    truncate
        Cut texts that are too long at their end.
    json
        One JSON object a line: text, fillings, and the candidates of each mask alone.
    """
    predictor = model.predictor(texts)

    def ask(lines: list[str]) -> list[Fillings]:
        return predictor.fill_mask(
            lines, top_k, truncate=truncate, independent=True if independent else None
        )

    for text, found in _answers(texts, input, model, on_bad_line, ask):
        if json:
            print_json(_fillings_json(text, found))
        else:
            rows = [(f"{f.probability:.2%}", " ".join(f.tokens), f.text) for f in found]
            print_table(text, ["score", "tokens", "sequence"], rows, right=[0])


def _fillings_json(text: str, found: Fillings) -> dict[str, Any]:
    """Fillings and candidates under the keys of transformers' pipeline."""
    return {
        "text": text,
        "fillings": [dict(filling) for filling in found],
        "masks": [[dict(candidate) for candidate in mask] for mask in found.masks],
    }


def sentence_order(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    truncate: Flag = False,
    json: Json = False,
) -> None:
    """Show how probable it is that the first of two texts comes before the second.

    Parameters
    ----------
    texts
        The two texts.
    truncate
        Cut the longer text until both fit.
    json
        One JSON object: first, second, score.
    """
    predictor = model.predictor(texts)
    if len(texts) != 2:
        raise PredictionError(
            "sentence-order compares two texts.",
            expected="two texts",
            found=len(texts),
            fix="put each text into quotes",
        )
    first, second = texts
    score = predictor.sentence_order(first, second, truncate=truncate)
    if json:
        print_json({"first": first, "second": second, "score": score})
    else:
        rows = [(f"{score:.1%}", first, second), (f"{1 - score:.1%}", second, first)]
        print_table("", ["score", "first", "second"], rows, right=[0])


def embed(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    input: File = None,
    on_bad_line: OnBadLine = "error",
    output: File = None,
    pooling: Literal["mean", "cls", "pooled"] = "mean",
    normalize: Flag = False,
    truncate: Flag = False,
    json: Json = False,
) -> None:
    """Turn texts into vectors.

    Parameters
    ----------
    texts
        Texts; without any, the lines of --input or of standard input.
    input
        File with one text on each line; - is standard input.
    on_bad_line
        error stops at a text that cannot be used (blank, too long, not UTF-8); skip goes on
        without it, so that it gets no vector, and says so on standard error.
    output
        Write the vectors to this .npy file, float32 (texts, width).
    pooling
        mean of all tokens, cls the vector at [CLS], pooled the same through the pooler.
    normalize
        Make every vector 1 long.
    truncate
        Cut texts that are too long at their end.
    json
        One JSON object a line: text, vector.
    """
    output = output_file(output, input)
    predictor = model.predictor(texts)
    written = width = 0

    def ask(lines: list[str]) -> Any:
        return predictor.embed(lines, pooling, normalize=normalize, truncate=truncate)

    with ExitStack() as stack:
        append = None if output is None else stack.enter_context(array_file(output))
        table = VectorTable()
        for text, vector in _answers(texts, input, model, on_bad_line, ask):
            written, width = written + 1, len(vector)
            if append is not None:
                append(vector[None])
            if json:
                print_json({"text": text, "vector": vector.tolist()})
            elif append is None:
                table.add(text, vector)
    if output is not None and not json:
        print(f"wrote {written:,} vectors of width {width} to {output}")


def classify(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    input: File = None,
    on_bad_line: OnBadLine = "error",
    pair: str | None = None,
    top_k: int | None = None,
    truncate: Flag = False,
    json: Json = False,
) -> None:
    """Ask the head of a fine-tuned model for the class of texts, or for their number.

    Parameters
    ----------
    texts
        Texts; without any, the lines of --input or of standard input.
    input
        File with one text on each line; - is standard input.
    on_bad_line
        error stops at a text that cannot be used (blank, too long, not UTF-8); skip goes on
        without it and says so on standard error.
    pair
        Second text of each pair, for models that compare two texts.
    top_k
        How many classes to show; by default all of them.
    truncate
        Cut texts that are too long at their end.
    json
        One JSON object a line: text, labels (each with label and score); value for a number.
    """
    predictor = model.predictor(texts, needs_head=True)

    def ask(lines: list[str]) -> list[Classification]:
        pairs = None if pair is None else [pair] * len(lines)
        return predictor.classify(lines, pairs, truncate=truncate)

    for text, found in _answers(texts, input, model, on_bad_line, ask):
        labels = [dict(label) for label in found.labels[:top_k]]
        if json:
            value = {"labels": labels} if found.value is None else {"value": found.value}
            print_json({"text": text, **value})
        elif found.value is not None:
            print(f"{found.value:.4f}  {text}", flush=True)
        else:
            shown = "  ".join(f"{x['label']} {x['score']:.1%}" for x in labels)
            print(f"{shown}  {text}", flush=True)


def tag(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    input: File = None,
    on_bad_line: OnBadLine = "error",
    truncate: Flag = False,
    json: Json = False,
) -> None:
    """Find what texts name (people, places, ...), by a head for token classification.

    Parameters
    ----------
    texts
        Texts; without any, the lines of --input or of standard input.
    input
        File with one text on each line; - is standard input.
    on_bad_line
        error stops at a text that cannot be used (blank, too long, not UTF-8); skip goes on
        without it and says so on standard error.
    truncate
        Cut texts that are too long at their end.
    json
        One JSON object a line: text, entities (entity_group, score, word, start, end).
    """
    predictor = model.predictor(texts, needs_head=True)

    def ask(lines: list[str]) -> list[Tags]:
        return predictor.tag(lines, truncate=truncate)

    for text, found in _answers(texts, input, model, on_bad_line, ask):
        if json:
            print_json({"text": text, "entities": [dict(span) for span in found]})
        else:
            rows = [(f"{x.probability:.1%}", x.label, x.text, f"{x.start}-{x.end}") for x in found]
            print_table(text, ["score", "entity", "word", "characters"], rows, right=[0])


def answer(
    *texts: Texts,
    model: ModelOptions = NO_MODEL,
    context: Path | None = None,
    top_k: int = 5,
    json: Json = False,
) -> None:
    """Find the answer to a question in a text, by a head for reading comprehension.

    Parameters
    ----------
    texts
        The question, and the text that answers it (or --context).
    context
        File with the text that answers the question.
    top_k
        How many answers to show.
    json
        One JSON object: question, answers (score, start, end, answer), no_answer.
    """
    predictor = model.predictor(texts, needs_head=True)
    given = list(texts) if context is None else [*texts, "\n".join(read_lines(context))]
    if len(given) != 2:
        raise PredictionError(
            "answer takes a question and a text.",
            expected="two texts, or one text and --context FILE",
            found=f"{len(texts)} texts" + ("" if context is None else " and --context"),
            fix="put the question and the text into quotes",
        )
    found = predictor.answer(*given, top_k=top_k)
    if json:
        answers = [dict(each) for each in found]
        print_json({"question": given[0], "answers": answers, "no_answer": found.no_answer})
    else:
        rows = [
            (f"{x.probability:.1%}", x.text or "(no answer)", f"{x.start}-{x.end}") for x in found
        ]
        print_table(given[0], ["score", "answer", "characters"], rows, right=[0])


def _answers(
    texts: Sequence[str],
    input: Path | None,
    model: ModelOptions,
    on_bad_line: OnBadLine,
    ask: Callable[[list[str]], Sequence[Answer]],
) -> Iterator[tuple[str, Answer]]:
    """Texts of a command with their answers as they come, a few batches at a time."""
    bad = BadLines(skip=on_bad_line == "skip")
    nothing = True
    for group in groups_of(texts, input, model.batch_size * GROUP, bad):
        for answer in answered(group, ask, bad):
            nothing = False
            yield answer
    if nothing:
        raise TextError(
            "No text could be used.",
            expected="at least one text that the model can take",
            found=f"{bad.skipped} that it cannot",
            fix="see the reasons above",
        )
