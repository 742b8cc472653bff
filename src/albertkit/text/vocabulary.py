"""Train a vocabulary on text: SentencePiece unigram (English) or WordPiece (Chinese)."""

from __future__ import annotations

import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import sentencepiece
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers, trainers

from albertkit.config import AlbertConfig
from albertkit.errors import VocabularyError, reason
from albertkit.files import atomic_folder
from albertkit.text import unigram, wordpiece
from albertkit.text.alignment import Preprocessing
from albertkit.text.characters import CharacterTable
from albertkit.text.encoding import refuse_surrogates
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary_files import SENTENCEPIECE_FILE, WORDPIECE_FILE
from albertkit.text.wordpiece import MAX_WORD_CHARACTERS

Kind = Literal["sentencepiece", "wordpiece"]

USER_DEFINED = ["(", ")", '"', "-", ".", "\u2013", "\u00a3", "\u20ac"]
MAX_CHARACTERS = 60_000_000  # of text kept for training; SentencePiece needs some 30 bytes for each
MAX_SENTENCE_BYTES = 4192
NUM_THREADS = 4  # fixed: sums, and so pieces, depend on it
ALPHABET_SHARE = 0.8  # most of a Chinese vocabulary is single characters
MAX_UNUSED_ROWS = 256  # of an embedding table that is larger than its vocabulary
PADDED_TO = 8  # tables are padded to a multiple of this, if at all
MIN_SIZES = {
    "sentencepiece": len(unigram.SPECIAL_PIECES) + len(USER_DEFINED) + 1,
    "wordpiece": len(wordpiece.SPECIAL_PIECES) + 1,
}


def train_vocabulary(
    texts: Iterable[str],
    kind: Kind,
    size: int,
    output: Path | str,
    *,
    lower_case: bool = True,
    max_characters: int = MAX_CHARACTERS,
) -> Path:
    """Train a vocabulary of exactly `size` pieces and write it as a tokenizer folder.

    The same texts give the same vocabulary. Of more than `max_characters` of text, evenly spread
    sentences are used.

    Args:
        texts: sentences or paragraphs.
        kind: "sentencepiece" with the settings of google's 30k-clean model, or "wordpiece".
        size: number of pieces, special ones included.
        output: a new folder; it gets the vocabulary and the files transformers wants.
        lower_case: lower-case and take accents off, as all released vocabularies do.

    Raises:
        VocabularyError: there is no text, or not enough for so many pieces.
        OutputError: the folder exists or cannot be written.
    """
    check_request(kind, size)
    output = Path(output)
    sample = spread(texts, max_characters)
    if not any(text.strip() for text in sample):
        raise VocabularyError(
            "There is no text to train a vocabulary on.",
            found=f"{len(sample)} empty texts",
            fix="give texts with words in them; an iterator can be read only once",
        )
    with atomic_folder(output) as folder, tempfile.TemporaryDirectory() as scratch:
        if kind == "sentencepiece":
            file = Path(scratch) / SENTENCEPIECE_FILE
            file.write_bytes(train_sentencepiece(sample, size, lower_case))
        else:
            file = Path(scratch) / WORDPIECE_FILE
            pieces = train_wordpiece(sample, size, lower_case)
            file.write_text("\n".join(pieces) + "\n", encoding="utf-8", newline="\n")
        Tokenizer.load(file, lower_case=lower_case).save(folder)
    return output


def check_request(kind: str, size: int) -> None:
    """Refuse what no text can give.

    Raises:
        VocabularyError: unknown kind, or too few pieces to hold the special ones.
    """
    if kind not in ("sentencepiece", "wordpiece"):
        raise VocabularyError(
            "kind must be sentencepiece or wordpiece.",
            found=kind,
            fix="give sentencepiece for English, wordpiece for Chinese",
        )
    if size < MIN_SIZES[kind]:
        raise VocabularyError(
            "The vocabulary cannot have this size.",
            expected=f"at least {MIN_SIZES[kind]} pieces: special ones and some characters",
            found=size,
            fix=f"pass size={MIN_SIZES[kind]} or more; thousands are usual",
            command_fix=f"add --size with {MIN_SIZES[kind]} or more; thousands are usual",
        )


def spread(texts: Iterable[str], max_characters: int) -> list[str]:
    """Texts evenly spread over all of them, with at most so many characters.

    Whenever the limit is passed, every second one is let go, and from there on every second one is
    not taken up.
    """
    kept: list[str] = []
    stride, total = 1, 0
    for number, text in enumerate(texts):
        if number % stride:
            continue
        kept.append(text)
        total += len(text)
        while total > max_characters and len(kept) > 1:
            kept = kept[::2]
            stride *= 2
            total = sum(map(len, kept))
    return kept


def train_sentencepiece(texts: list[str], size: int, lower_case: bool) -> bytes:
    """A SentencePiece unigram model with ALBERT's settings and special pieces.

    Source of the settings: README of google-research/albert, and those kept in 30k-clean.model.

    Raises:
        VocabularyError: the text does not hold so many pieces, or so few.
    """
    prepared = map(Preprocessing(lower_case=lower_case).prepare, texts)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=prepared,
            model_writer=model,
            model_type="unigram",
            vocab_size=size,
            character_coverage=0.99995,
            max_sentence_length=MAX_SENTENCE_BYTES,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            pad_piece="<pad>",
            unk_piece="<unk>",
            control_symbols=["[CLS]", "[SEP]", "[MASK]"],
            # A list: a string would be read as CSV, where the quote swallows what follows.
            user_defined_symbols=USER_DEFINED,
            num_threads=NUM_THREADS,
            minloglevel=2,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise _refused(size, reason(error)) from error
    return model.getvalue()


def _refused(size: int, message: str) -> VocabularyError:
    """SentencePiece's refusal in our words."""
    too_large = re.search(r"value <= (\d+)", message)
    if too_large:
        return too_many_pieces(size, int(too_large[1]))
    too_small = re.search(r"required_chars\. (\d+) vs (\d+)", message)
    least = "" if too_small is None else too_small[2]
    return VocabularyError(
        "The vocabulary cannot have this size.",
        expected=f"at least {least} pieces: special ones and the characters of this text"
        if least
        else "a size that this text allows",
        found=f"size {size}" if least else f"size {size}: {message}",
        fix=f"pass size={least}" if least else "give more text",
        command_fix=f"add --size {least}" if least else None,
    )


def too_many_pieces(size: int, most: int) -> VocabularyError:
    """The error for a vocabulary that is larger than its text allows."""
    return VocabularyError(
        "The text is too short for a vocabulary of this size.",
        expected=f"at most {most} pieces from this text",
        found=f"size {size}",
        fix=f"pass size={most}, or give more text",
        command_fix=f"add --size {most}, or give more text",
    )


def train_wordpiece(texts: list[str], size: int, lower_case: bool) -> list[str]:
    """Pieces of a WordPiece vocabulary: special ones, characters, then merged pieces.

    Raises:
        VocabularyError: the text does not hold so many pieces.
    """
    table = CharacterTable(lower_case)
    words: Counter[str] = Counter()
    for text in texts:
        refuse_surrogates(text)
        words.update(w for w in text.translate(table).split() if len(w) <= MAX_WORD_CHARACTERS)
    pieces = merge_pieces(words, size, int(size * ALPHABET_SHARE))
    if len(pieces) < size:  # characters were left out for merged pieces, of which there are few
        pieces = merge_pieces(words, size, size)
    if len(pieces) < size:
        raise too_many_pieces(size, len(pieces))
    return pieces


def merge_pieces(words: Counter[str], size: int, limit: int) -> list[str]:
    """Special pieces, at most `limit` minus these of single characters, and merged pieces.

    The library numbers characters inside words as it meets them in a hash table, and breaks ties
    between merges by these numbers: another vocabulary every time. Naming all characters in advance
    makes the result depend on the text alone.
    """
    alphabet = frequent_characters(words, limit - len(wordpiece.SPECIAL_PIECES))
    known = {piece.removeprefix("##") for piece in alphabet}
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[*wordpiece.SPECIAL_PIECES, *alphabet],
        show_progress=False,
    )
    rust = RustTokenizer(models.WordPiece(unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    kept = (f"{word} " * count for word, count in words.items() if known.issuperset(word))
    rust.train_from_iterator(kept, trainer)
    numbers: dict[str, int] = rust.get_vocab(with_added_tokens=True)
    return sorted(numbers, key=numbers.__getitem__)


def frequent_characters(words: Counter[str], limit: int) -> list[str]:
    """The most frequent characters, with their ## form if they stand inside words; sorted."""
    counts: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            counts[character] += count
        inside.update(word[1:])
    chosen: list[str] = []
    for character in sorted(counts, key=lambda c: (-counts[c], c)):
        forms = [character, f"##{character}"] if character in inside else [character]
        if len(chosen) + len(forms) > limit:
            break
        chosen += forms
    return sorted(chosen, key=lambda piece: (piece.startswith("##"), piece))


def check_fits(tokenizer: Tokenizer, config: AlbertConfig) -> None:
    """Refuse a vocabulary that does not belong to a config.

    Tables of embeddings may have some more rows than there are pieces: many are padded to a round
    number. A vocabulary far smaller is that of another model.

    Raises:
        VocabularyError: more pieces than rows, or far fewer.
    """
    rows, pieces = config.vocab_size, tokenizer.vocab_size
    # One piece lost of a file shifts all ids behind it: only a table padded to a round size may
    # have rows to spare.
    spare = MAX_UNUSED_ROWS if rows % PADDED_TO == 0 else 0
    if not rows - spare <= pieces <= rows:
        raise VocabularyError(
            "The vocabulary does not fit the model.",
            expected=f"{rows} pieces (vocab_size of the config), or up to {spare} fewer",
            found=f"{pieces} {tokenizer.kind} pieces",
            fix="use the vocabulary that came with the model; English models have a SentencePiece "
            "model of 30,000 pieces, Chinese ones a vocab.txt of 21,128",
        )
