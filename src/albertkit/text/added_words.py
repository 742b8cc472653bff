"""More words in a vocabulary, which leave text without them as it was cut.

- SentencePiece (unigram): a piece with a space mark in front, or without one for Chinese. Its score
  is a little above that of its old pieces together, so that it stands for them where they stood
  and nowhere else, and not below the lowest score, on which the cost of unknown characters depends.
- WordPiece: a line of vocab.txt. The rules set Chinese characters apart before the vocabulary is
  asked; words of them become added tokens, which transformers looks for behind these rules.
So a word is also found where it begins a longer one, such as docker in dockerfile.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentencepiece import sentencepiece_model_pb2

from albertkit.errors import VocabularyError
from albertkit.text.alignment import SPACE
from albertkit.text.characters import is_han
from albertkit.text.ties import UNKNOWN_PENALTY
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.tokenizer_settings import ADDED_FILE
from albertkit.text.unigram import UnigramTokenizer
from albertkit.text.vocabulary_files import SENTENCEPIECE_FILE, TOKENIZER_FILE, WORDPIECE_FILE
from albertkit.text.wordpiece import WordPieceTokenizer

# Nats by which a word is more probable than its old pieces: sums of long texts are rounded.
MARGIN = 0.5


@dataclass(frozen=True)
class AddedWords:
    """A tokenizer with more words.

    old_ids: for each new piece, in the order of their ids, the pieces that it was cut into before.
    known: words that were one piece already.
    """

    tokenizer: Tokenizer
    first_id: int
    old_ids: list[list[int]]
    known: list[str]

    @property
    def pieces(self) -> list[str]:
        """The new pieces."""
        return self.tokenizer.pieces[self.first_id :]


def add_words(tokenizer: Tokenizer, words: Iterable[str]) -> AddedWords:
    """A tokenizer that has these words too, behind its own pieces.

    Raises:
        VocabularyError: a word cannot be a piece, or this tokenizer cannot get any.
    """
    given = list(dict.fromkeys(word.strip() for word in words if word.strip()))
    if len(tokenizer.pieces) > tokenizer.num_trained:
        raise _cannot_grow("one whose words are all in the vocabulary itself", "added tokens")
    if isinstance(tokenizer, UnigramTokenizer) and tokenizer.is_unigram:
        return _to_unigram(tokenizer, given)
    if isinstance(tokenizer, WordPieceTokenizer):
        return _to_wordpiece(tokenizer, given)
    raise _cannot_grow("a SentencePiece unigram model or a vocab.txt", "another one")


def _to_unigram(tokenizer: UnigramTokenizer, words: Sequence[str]) -> AddedWords:
    pieces, known = {}, []
    numbers = {piece: number for number, piece in enumerate(tokenizer.pieces)}
    for word in words:
        piece = tokenizer.normalized(word)
        if is_han(ord(piece[1:2] or SPACE)):
            piece = piece[1:]
        if SPACE in piece[1:] or piece in ("", SPACE) or piece[-1] == ",":
            raise _no_piece(word)
        if piece in numbers:
            known.append(word)
        else:
            old = tokenizer.ids(word)
            # The mark in front of a Chinese word is not a piece.
            alone = tokenizer.pieces[old[0]] == SPACE and not piece.startswith(SPACE)
            pieces[piece] = old[1:] if alone else old
    model = sentencepiece_model_pb2.ModelProto.FromString(tokenizer.vocabulary_bytes())
    scores = _Scores(model)
    found = {piece: scores.add(piece) for piece in sorted(pieces, key=len)}
    for piece in pieces:
        model.pieces.add(piece=piece, score=found[piece])
    model.trainer_spec.vocab_size = len(model.pieces)
    grown = _reopened(tokenizer, {SENTENCEPIECE_FILE: model.SerializeToString()})
    return _checked(tokenizer, grown, pieces, known)


class _Scores:
    """Log probabilities of pieces, and of the best cut of a text into them."""

    def __init__(self, model: sentencepiece_model_pb2.ModelProto) -> None:
        kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
        usual = [p.score for p in model.pieces if p.type == kinds.NORMAL]
        self.lowest = min(usual, default=0.0)
        self._scores = {
            p.piece: p.score if p.type == kinds.NORMAL else 0.0
            for p in model.pieces
            if p.type in (kinds.NORMAL, kinds.USER_DEFINED)
        }

    def add(self, piece: str) -> float:
        """Take up a piece; its score."""
        score = min(0.0, max(self.best(piece) + MARGIN, self.lowest))
        self._scores[piece] = score
        return score

    def best(self, text: str) -> float:
        """Score of the most probable cut."""
        best = [0.0]
        for end in range(1, len(text) + 1):
            unknown = best[end - 1] + self.lowest - UNKNOWN_PENALTY
            cuts = [
                best[begin] + self._scores[text[begin:end]]
                for begin in range(end)
                if text[begin:end] in self._scores
            ]
            best.append(max([unknown, *cuts]))
        return best[-1]


def _to_wordpiece(tokenizer: WordPieceTokenizer, words: Sequence[str]) -> AddedWords:
    lines: dict[str, list[int]] = {}
    chinese: dict[str, list[int]] = {}
    known = []
    for word in words:
        parts = tokenizer.words(word)
        text = "".join(parts)
        if len(tokenizer.ids(word)) == 1 and tokenizer.ids(word) != [tokenizer.unk_id]:
            known.append(word)
        elif len(parts) == 1:
            lines[text] = tokenizer.ids(word)
        elif len(parts) == len(text) > 1 and all(is_han(ord(c)) for c in text):
            chinese[text] = tokenizer.ids(word)
        else:
            raise _no_piece(word)
    content = tokenizer.vocabulary_bytes()
    content += b"" if content.endswith(b"\n") or not lines else b"\n"
    content += "".join(f"{line}\n" for line in lines).encode()
    grown = _reopened(tokenizer, {WORDPIECE_FILE: content}, list(chinese))
    return _checked(tokenizer, grown, {**lines, **chinese}, known)


def _reopened(
    tokenizer: Tokenizer, files: dict[str, bytes], added: Sequence[str] = ()
) -> Tokenizer:
    """The tokenizer with another vocabulary and with added tokens, all settings as they were."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer.save(folder)
        (folder / TOKENIZER_FILE).unlink(missing_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        if added:
            first = Tokenizer.load(folder).vocab_size
            tokens = {text: number for number, text in enumerate(added, first)}
            (folder / ADDED_FILE).write_text(json.dumps(tokens), encoding="utf-8")
        return Tokenizer.load(folder)


def _checked(
    old: Tokenizer, grown: Tokenizer, old_ids: dict[str, list[int]], known: list[str]
) -> AddedWords:
    """What was made, if every new piece stands for itself."""
    first = old.vocab_size
    for number, piece in enumerate(old_ids, first):
        text = piece.removeprefix(SPACE)
        if [x for x in grown.ids(text) if grown.pieces[x] != SPACE] != [number]:
            raise _no_piece(text)
    return AddedWords(grown, first, list(old_ids.values()), known)


def _no_piece(word: str) -> VocabularyError:
    return VocabularyError(
        "This cannot be a piece of the vocabulary.",
        expected="one word: letters and digits, or Chinese characters",
        found=repr(word),
        fix="take it out of the list, or give its parts",
    )


def _cannot_grow(expected: str, found: str) -> VocabularyError:
    return VocabularyError(
        "No words can be added to this tokenizer.",
        expected=expected,
        found=found,
        fix="add all words at once to the model as it was before",
    )
