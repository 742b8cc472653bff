"""Train a vocabulary on text: SentencePiece unigram (English) or WordPiece (Chinese)."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import sentencepiece
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers, trainers

from albertkit.config import AlbertConfig
from albertkit.errors import VocabularyError
from albertkit.files import atomic_folder
from albertkit.text import unigram, wordpiece
from albertkit.text.tokenizer import (
    SENTENCEPIECE_FILE,
    WORDPIECE_FILE,
    Tokenizer,
    refuse_surrogates,
)
from albertkit.text.wordpiece import CharacterTable

Kind = Literal["sentencepiece", "wordpiece"]

USER_DEFINED = ["(", ")", '"', "-", ".", "\u2013", "\u00a3", "\u20ac"]
MAX_CHARACTERS = 60_000_000  # of text kept for training; SentencePiece needs some 30 bytes for each
MAX_SENTENCE_BYTES = 4192
NUM_THREADS = 4  # fixed: sums, and so pieces, depend on it
ALPHABET_SHARE = 0.8  # most of a Chinese vocabulary is single characters


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
    if kind not in ("sentencepiece", "wordpiece"):
        raise VocabularyError(
            "Unknown kind of vocabulary.", expected="sentencepiece or wordpiece", found=kind
        )
    output = Path(output)
    sample = spread(texts, max_characters)
    if not any(text.strip() for text in sample):
        raise VocabularyError(
            "There is no text to train a vocabulary on.", found=f"{len(sample)} empty texts"
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
    prepared = (unigram.prepare(text, lower_case=lower_case, quotes="keep") for text in texts)
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
        raise _refused(size, str(error)) from error
    return model.getvalue()


def _refused(size: int, message: str) -> VocabularyError:
    """SentencePiece's refusal in our words."""
    too_large = re.search(r"value <= (\d+)", message)
    too_small = re.search(r"required_chars\. (\d+) vs (\d+)", message)
    fix = "give more text"
    if too_large:
        fix = f"ask for at most {too_large[1]} pieces, or give more text"
    elif too_small:
        fix = f"ask for at least {too_small[2]} pieces"
    return VocabularyError(
        "The vocabulary cannot have this size.", expected=f"{size} pieces", found=message, fix=fix
    )


def train_wordpiece(texts: list[str], size: int, lower_case: bool) -> list[str]:
    """Pieces of a WordPiece vocabulary: special ones, characters by frequency, merged pieces.

    Raises:
        VocabularyError: the text does not hold so many pieces.
    """
    table = CharacterTable(lower_case)
    for text in texts:
        refuse_surrogates(text)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=max(1, int(size * ALPHABET_SHARE)),
        special_tokens=list(wordpiece.SPECIAL_PIECES),
        show_progress=False,
    )
    rust = RustTokenizer(models.WordPiece(unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rust.train_from_iterator((text.translate(table) for text in texts), trainer)
    numbers: dict[str, int] = rust.get_vocab(with_added_tokens=True)
    if len(numbers) != size:
        raise VocabularyError(
            "The vocabulary cannot have this size.",
            expected=f"{size} pieces",
            found=f"{len(numbers)} pieces that occur twice or more",
            fix=f"ask for at most {len(numbers)} pieces, or give more text",
        )
    return sorted(numbers, key=numbers.__getitem__)


def check_fits(tokenizer: Tokenizer, config: AlbertConfig) -> None:
    """Refuse a vocabulary that does not belong to a config.

    Raises:
        VocabularyError: the sizes differ.
    """
    if tokenizer.vocab_size != config.vocab_size:
        raise VocabularyError(
            "The vocabulary does not fit the model.",
            expected=f"{config.vocab_size} pieces (vocab_size of the config)",
            found=f"{tokenizer.vocab_size} {tokenizer.kind} pieces",
            fix="use the vocabulary that came with the model; English models have a SentencePiece "
            "model of 30,000 pieces, Chinese ones a vocab.txt of 21,128",
        )
