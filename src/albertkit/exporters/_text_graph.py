"""A tokenizer as part of a TensorFlow graph: texts to ids, by the rules of `text/`.

What our tokenizers do to a text before it is cut looks at one character at a time, with one
exception (a capital sigma), so two tables of characters and a few regular expressions do it. The
pieces are found by tensorflow-text, whose SentencePiece and longest match are those of the
originals.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.errors import PredictionError
from albertkit.graph.tasks import is_multiple_choice
from albertkit.text.alignment import WITHOUT_ACCENTS
from albertkit.text.characters import HAN, isolate
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.unigram import UnigramTokenizer
from albertkit.text.wordpiece import MAX_WORD_CHARACTERS, WordPieceTokenizer

Tensor = Any
Step = Callable[[Tensor], Tensor]  # texts or words to texts or words
KEPT = "\xff"  # of a table, for characters that it does not change: no text has this byte
UNKNOWN = "\x01"  # in no vocabulary: control characters have been removed before


# Numbers before commas, white space of all kinds, accents and letters that fall apart, capitals
# whose small letter depends on the place, repetitions, what looks like a special piece, words that
# are too long, characters that are dropped.
HARD = (
    "In 1999, 10, 2,5 and 1,000, they won 3-0,",
    "7,",
    "A.B, 3.5, x9,y",
    "\u0661\u0662, \u4e09,",
    " a \t b\u00a0c\u3000d\u2028e\x1cf\x85g ",
    "",
    "   ",
    "a \u00a8 b",
    "\u200b\ufeff\u00adx\u0000y\ufffd",
    "Caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u1ec7",
    "e\u0301\u0323 \u0301x",
    "\ufb01t \u00bd \u338f \u2460 \uff21",
    "\ud55c\uad6d\uc5b4",
    "\u0130stanbul STRASSE \u1e9e",
    "\u039f\u0394\u039f\u03a3 \u03a3\u03a3 \u03a3, \u0391\u03a3'\u0391 \u0391\u03a3\u0301.",
    "\U0001d6ba\u03a3 \U0001f600\u200d",
    "66666 6 777777 lolololol ------",
    "``a'' 'b' \"c\" \u201cd\u201d",
    "[MASK] [cls]<unk><0xE4> \u2581x",
    "x" * 200,
    "x" * 201 + " y",
    "unaffable, don't!?",
    "\u6211\u7231Python3.5\uff0c\u771f\u7684\u3002\u9f98\U00020000\uf900",
)


def checked_text_graph(checkpoint: Checkpoint, task: str, texts: list[str]) -> TextGraph:
    """The tokenizer of a model as a graph that gives its ids for these texts and the hard ones.

    Raises:
        PredictionError: it would not, or the task is about more than one text.
    """
    tokenizer = checkpoint.tokenizer
    if is_multiple_choice(task) or task == "question-answering":
        raise _refused("a task of one text", f"{task}, which is about several texts")
    graph = text_graph(tokenizer)
    assert tokenizer is not None
    texts = [*HARD, *texts]
    run = tf.function(graph, input_signature=[tf.TensorSpec([None], tf.string)])
    found = run(tf.constant([text.encode() for text in texts])).to_list()
    for text, ours, theirs in zip(texts, tokenizer.ids_batch(texts), found, strict=True):
        if ours != theirs:
            raise _refused(f"{ours} for {text!r}", theirs)
    return graph


def text_graph(tokenizer: Tokenizer | None) -> TextGraph:
    """A tokenizer as a graph, which is not compared with it yet.

    Raises:
        PredictionError: there is none, or none of this kind.
    """
    if not isinstance(tokenizer, UnigramTokenizer | WordPieceTokenizer):
        what = "a model without a tokenizer" if tokenizer is None else "a tokenizer.json alone"
        raise _refused("a model with spiece.model or vocab.txt", what)
    if tokenizer.added:
        raise _refused("a vocabulary without added tokens", f"{len(tokenizer.added)} of them")
    try:
        return TextGraph(tokenizer)
    except (RuntimeError, ValueError) as error:
        raise _refused("a vocabulary that tensorflow-text takes", error) from error


def _refused(expected: str, found: object) -> PredictionError:
    return PredictionError(
        "The tokenizer cannot be part of the graph, so nothing was written.",
        expected=expected,
        found=found,
        fix="leave tokenize out; Tokenizer.load(folder)(texts, padding=True, return_tensors='np') "
        "gives what the other signatures take",
        command_fix="leave --tokenize out, and give the other signatures ids of albertkit's "
        "Tokenizer, as example.py does",
    )


class TextGraph(tf.Module):  # type: ignore[misc]  # TensorFlow has no types here
    """Texts (B,) to ids, ragged (B, T), without special tokens.

    The tables and models that the graph needs belong to this module: a SavedModel holds what its
    root holds.
    """

    def __init__(self, tokenizer: UnigramTokenizer | WordPieceTokenizer) -> None:
        super().__init__()
        self.resources: list[Any] = []
        if isinstance(tokenizer, UnigramTokenizer):
            self._steps, self._cut = _english(tokenizer, self.resources)
        else:
            self._steps, self._cut = _chinese(tokenizer, self.resources)

    def __call__(self, texts: Tensor) -> Tensor:
        for step in self._steps:
            texts = step(texts)
        return tf.cast(self._cut(texts), tf.int32)


def _english(tokenizer: UnigramTokenizer, resources: list[Any]) -> tuple[list[Step], Step]:
    """See `Preprocessing.prepare` and `UnigramTokenizer`."""
    white = _set(c for c in _characters() if c.isspace())
    steps = [_replace(f"[{white}]+", " "), tf.strings.strip]
    if tokenizer.quotes == "rewrite":
        steps.append(_replace("``|''", '"'))
    if not tokenizer.keep_accents:
        steps.append(_table(lambda c: c if c.isascii() else WITHOUT_ACCENTS[ord(c)], resources))
    if tokenizer.lower_case:
        steps += [_final_sigma(), _table(str.lower, resources)]
    model = tensorflow_text.SentencepieceTokenizer(tokenizer.vocabulary_bytes())
    resources.append(model)
    cut = {number: [each for each, _ in parts] for number, parts in tokenizer.cut_pieces.items()}
    parts = tf.ragged.constant([cut.get(i, [i]) for i in range(tokenizer.num_trained)], tf.int32)

    def pieces(texts: Tensor) -> Tensor:
        return tf.gather(parts, model.tokenize(texts)).merge_dims(1, 2)

    return steps, pieces


def _chinese(tokenizer: WordPieceTokenizer, resources: list[Any]) -> tuple[list[Step], Step]:
    """See `WordPieceTokenizer.words` and `match`."""
    rules = tokenizer.character_table()

    def last(character: str) -> str:
        return "".join(" " if c.isspace() else c for c in rules.replacement(character))

    steps = [_table(lambda c: isolate(c, split_han=False), resources)]
    if tokenizer.split_han:
        rules.split_han = False  # by this expression: the table would have a line for each
        steps.append(_replace(f"([{HAN}])", r" \1 "))
    if tokenizer.lower_case:
        steps.append(_final_sigma())
    steps += [_table(last, resources), tf.strings.split]
    model = tensorflow_text.FastWordpieceTokenizer(
        tokenizer.pieces[: tokenizer.num_trained],
        max_bytes_per_word=sys.maxsize >> 32,
        unknown_token=tokenizer.pieces[tokenizer.unk_id],
        no_pretokenization=True,
    )
    resources.append(model)

    def pieces(words: Tensor) -> Tensor:
        long = tf.strings.length(words.flat_values, "UTF8_CHAR") > MAX_WORD_CHARACTERS
        words = words.with_flat_values(tf.where(long, UNKNOWN, words.flat_values))
        return model.tokenize(words).merge_dims(1, 2)

    return steps, pieces


def _characters() -> Iterator[str]:
    """Every character of Unicode."""
    return (chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000)


def _replace(pattern: str, by: str) -> Step:
    return lambda texts: tf.strings.regex_replace(texts, pattern, by)


def _table(rule: Callable[[str], str], resources: list[Any]) -> Step:
    """Each character by what a rule makes of it."""
    changed = {c: became for c in _characters() if (became := rule(c)) != c}
    values = tf.lookup.KeyValueTensorInitializer(list(changed), list(changed.values()))
    table = tf.lookup.StaticHashTable(values, KEPT.encode("latin-1"))
    resources.append(table)

    def replace(texts: Tensor) -> Tensor:
        characters = tf.strings.unicode_split(texts, "UTF-8")
        flat = characters.flat_values
        became = table.lookup(flat)
        flat = tf.where(became == KEPT.encode("latin-1"), flat, became)
        return tf.strings.reduce_join(characters.with_flat_values(flat), axis=-1)

    return replace


def _final_sigma() -> Step:
    """Python's `str.lower` of a capital sigma: another letter at the end of a word.

    That is behind a letter with case and not before one, whatever marks stand between.
    """
    at_end = [c for c in _characters() if f"a\u03a3{c}".lower()[1] == "\u03c2"]
    cased = _set(c for c in _characters() if f"a\u03a3{c}".lower()[1] == "\u03c3")
    marks = _set(c for c in at_end if f"a\u03a3{c}a".lower()[1] == "\u03c3")
    pattern = f"([{cased}][{marks}]*)\u03a3([{marks}]*(?:[^{cased}{marks}]|\\z))"
    return _replace(pattern, "\\1\u03c2\\2")


def _set(characters: Iterable[str]) -> str:
    """What stands between the brackets of a regular expression: ranges of these, in order."""
    numbers = np.array([ord(c) for c in characters])
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return "".join(rf"\x{{{run[0]:x}}}-\x{{{run[-1]:x}}}" for run in runs)
