"""Questions about contexts as rows: [CLS] question [SEP] a window of the context [SEP].

Windows, and what is learned from them, are those of squad_utils.py of google-research/albert: a
question is cut at 64 tokens, a window begins `stride` tokens after the last, and one that does not
hold the whole answer has start and end at [CLS].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.tasks.examples import SpanExample
from albertkit.tasks.n_best import most_context
from albertkit.tasks.rows import Ints, Rows, unknown_characters
from albertkit.tasks.windows import MIN_TOKENS
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import Tokenizer

# google's run_squad_*.py: max_seq_length, doc_stride, max_query_length.
MAX_TOKENS, STRIDE, MAX_QUESTION_TOKENS = 384, 128, 64


@dataclass(frozen=True, kw_only=True)
class SpanRows(Rows):
    """R windows over the contexts of N examples; a window is a unit.

    offsets (S, 2): characters of the context that each token has. contexts (R, 2): tokens [first,
    stop) of each row that are of its context. may_begin (S,): whether the token has the most
    context in this window, so that an answer may begin there. answers (R, 3): first and last token
    of the answer and 0; or 0, 0 and 1 where the window does not hold it. cut: questions that are
    too long.
    """

    offsets: Ints
    contexts: Ints
    may_begin: npt.NDArray[np.bool_]
    answers: Ints
    cut: int = 0

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """See `Rows.joined`."""
        return replace(
            super().joined(parts),
            offsets=np.concatenate([part.offsets for part in parts]),
            contexts=np.concatenate([part.contexts for part in parts]),
            may_begin=np.concatenate([part.may_begin for part in parts]),
            answers=np.concatenate([part.answers for part in parts]),
            cut=sum(part.cut for part in parts),
        )

    def allowed(self, row: int) -> npt.NDArray[np.bool_]:
        """(T,) where an answer may stand in a row."""
        places = np.arange(self.batch.lengths[row])
        first, stop = self.contexts[row]
        return np.asarray((places >= first) & (places < stop))

    def describe(self) -> str:
        """How long the rows are, and how many of them hold an answer."""
        without = int(self.answers[:, 2].sum())
        notes = [super().describe()]
        notes += [f"{without:,} rows hold no answer"] if without else []
        notes += [f"{self.cut:,} questions are cut, as they are too long"] if self.cut else []
        return "; ".join(notes)


def encode(
    tokenizer: Tokenizer, examples: Sequence[SpanExample], max_tokens: int, stride: int = 0
) -> SpanRows:
    """Questions as rows of at most `max_tokens` tokens, a new one every `stride` tokens.

    stride: 0 takes 128, or a third of the window if that is less.

    Raises:
        PredictionError: windows of less than 5 tokens, or a stride below 0.
    """
    stride = stride or stride_for(max_tokens)
    different = list({example.context for example in examples})
    texts = dict(zip(different, tokenizer.encode_batch(different), strict=True))
    asked = tokenizer.encode_batch([example.question for example in examples])
    most_asked = question_tokens(max_tokens)
    encodings: list[Encoding] = []
    contexts, sizes, may_begin, answers = [], [], list[Any](), list[Any]()
    for example, question in zip(examples, asked, strict=True):
        text = texts[example.context]
        cuts = cuts_of(question, text, max_tokens, stride)
        made = [window_of(tokenizer, question, text, cut, most_asked) for cut in cuts]
        first = len(made[0].ids) - len(cuts[0]) - 1
        contexts += [(first, first + len(cut)) for cut in cuts]
        answer = tokens_of(example, text)
        for cut, own in zip(cuts, most_context(cuts), strict=True):
            may_begin.append(np.concatenate([np.zeros(first, np.bool_), own, [False]]))
            answers.append(_answer_in(answer, cut, first))
        encodings += made
        sizes.append(len(made))
    characters = sum(len(e.question) + len(e.context) for e in examples)
    wholes = [*asked, *(texts[e.context] for e in examples)]
    count = len(encodings)
    return SpanRows(
        batch=Batch.of(encodings),
        bounds=np.arange(count + 1),
        owners=np.arange(count),
        positions=None,
        sizes=np.array(sizes, dtype=np.int64),
        unknown=min(1.0, unknown_characters(wholes, tokenizer.unk_id) / max(1, characters)),
        offsets=np.array([pair for e in encodings for pair in e.offsets], dtype=np.int64),
        contexts=np.array(contexts, dtype=np.int64),
        may_begin=np.concatenate(may_begin),
        answers=np.array(answers, dtype=np.int64),
        cut=sum(len(question.ids) - 2 > most_asked for question in asked),
    )


def stride_for(max_tokens: int) -> int:
    """Tokens from one window to the next: 128, or a third of a small window."""
    return max(1, min(STRIDE, max_tokens // 3))


def question_tokens(max_tokens: int) -> int:
    """Most tokens of a question that are read: 64, or half of a small window."""
    return min(MAX_QUESTION_TOKENS, (max_tokens - 3) // 2)


def cuts_of(asked: Encoding, text: Encoding, max_tokens: int, stride: int) -> list[range]:
    """Which tokens of a context, its special ones not counted, each window holds; 1 at least."""
    room = max_tokens - min(len(asked.ids) - 2, question_tokens(max_tokens)) - 3
    if max_tokens < MIN_TOKENS or stride < 1:
        raise PredictionError(
            "The context cannot be read in windows of this size.",
            expected=f"max_tokens of {MIN_TOKENS} or more, stride of 1 or more",
            found=f"max_tokens={max_tokens}, stride={stride}",
            fix="leave max_tokens and stride out",
        )
    size = len(text.ids) - 2
    begins = range(0, max(1, size - room + min(stride, room)), min(stride, room))
    return [range(begin, min(begin + room, size)) for begin in begins]


def window_of(
    tokenizer: Tokenizer, asked: Encoding, text: Encoding, cut: range, most_asked: int
) -> Encoding:
    """A question of at most `most_asked` tokens and some tokens of a context."""
    head = asked.ids[: min(len(asked.ids) - 1, 1 + most_asked)]
    part = slice(1 + cut.start, 1 + cut.stop)
    before = len(head) + 1
    return Encoding(
        [*head, tokenizer.sep_id, *text.ids[part], tokenizer.sep_id],
        [0] * before + [1] * (len(cut) + 1),
        [(0, 0)] * before + text.offsets[part] + [(0, 0)],
        [True] * before + text.word_starts[part] + [True],
    )


def characters_of(example: SpanExample) -> tuple[int, int] | None:
    """Characters [begin, end) of the first answer of an example, without spaces around it.

    None: there is none, or it does not stand where it should.
    """
    if not example.answers:
        return None
    begin, text = example.answers[0]
    begin += len(text) - len(text.lstrip())
    text = text.strip()
    stands = bool(text) and begin >= 0 and example.context.startswith(text, begin)
    return (begin, begin + len(text)) if stands else None


def tokens_of(example: SpanExample, text: Encoding) -> tuple[int, int] | None:
    """First and last token of the first answer in an encoded context without its special ones."""
    place = characters_of(example)
    if place is None:
        return None
    offsets = np.array(text.offsets[1:-1], dtype=np.int64).reshape(-1, 2)
    inside = np.flatnonzero((offsets[:, 1] > place[0]) & (offsets[:, 0] < place[1]))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def _answer_in(tokens: tuple[int, int] | None, cut: range, first: int) -> tuple[int, int, int]:
    """The row of `SpanRows.answers` for a window whose context begins at its token `first`."""
    if tokens is None or tokens[0] not in cut or tokens[1] not in cut:
        return 0, 0, 1
    return tokens[0] - cut.start + first, tokens[1] - cut.start + first, 0
