"""The command that adds words to a model: add-words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from albertkit.cli.options import File, Json, Sources
from albertkit.cli.output import print_json, print_line
from albertkit.errors import VocabularyError, quoted
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Opened
    from albertkit.text.added_words import AddedWords
    from albertkit.text.tokenizer import Tokenizer

_SHOWN = 8  # words that are shown with their old pieces


def add_words(
    model: str,
    out: Path,
    /,
    *sources: Sources,
    words: File = None,
    learn: int | None = None,
    format: Literal["auto", "text", "lines", "jsonl", "wiki", "markdown", "files"] = "auto",
    language: Literal["auto", "en", "zh"] = "auto",
    json: Json = False,
) -> None:
    """Add words to a model's vocabulary; text without them is cut as before.

    Parameters
    ----------
    model
        Path or name of a model.
    out
        Folder for the model with more words; must be free.
    sources
        With --learn: files, folders, patterns, archives to learn words from.
    words
        File with one word on each line; - is standard input.
    learn
        Take so many words from the text: those that would save most tokens.
    format
        Layout of the text: blank lines between documents (text), one document a line (lines), ...
    language
        Language of the sentence splitter.
    json
        One JSON object: folder, and each word with its old pieces.
    """
    from albertkit.checkpoint.checkpoint import open_checkpoint
    from albertkit.checkpoint.words import with_words
    from albertkit.files import require_free
    from albertkit.text import added_words

    require_free(out)
    opened = open_checkpoint(model)
    tokenizer = opened.require_tokenizer()
    wanted = _words(tokenizer, words, learn, sources, format, language)
    added = added_words.add_words(tokenizer, wanted)
    card = _card(opened, added.pieces)
    with_words(opened.checkpoint, added).save(out, card)
    old = [[tokenizer.pieces[each] for each in ids] for ids in added.old_ids]
    if json:
        made = dict(zip(added.pieces, old, strict=True))
        print_json({"folder": str(out), "added": made, "known": added.known})
        return
    _print(added, old, out)


def _print(added: AddedWords, old: list[list[str]], out: Path) -> None:
    """Some words with their old pieces, and the way on."""
    for piece, pieces in list(zip(added.pieces, old, strict=True))[:_SHOWN]:
        print_line(f"{piece}: was {' '.join(pieces)}")
    more = len(added.pieces) - _SHOWN
    if more > 0:
        print_line(f"... and {more:,} more")
    if added.known:
        print_line(f"one piece already: {len(added.known):,} words")
    print_line(
        f"wrote {out}: {len(added.pieces):,} words more, {added.tokenizer.vocab_size:,} pieces"
    )
    print(f"next: albertkit make-data TEXT --vocab {quoted(out)} --output data")
    print(f"      albertkit pretrain --from {quoted(out)} --data data --out run")


def _words(
    tokenizer: Tokenizer,
    words: Path | None,
    learn: int | None,
    sources: tuple[str, ...],
    format: str,
    language: str,
) -> list[str]:
    """The words of a list, or those worth most in a text."""
    from albertkit.cli.inputs import read_lines
    from albertkit.data.corpus import read_documents
    from albertkit.data.vocabulary_from_text import sentences_of
    from albertkit.text.learn_words import learn_words

    if (words is None) == (learn is None) or (learn is not None) != bool(sources):
        raise VocabularyError(
            "No words to add were named.",
            expected="a list of words, or a number and a text to learn them from",
            found="neither, both, or one without the other",
            fix="--words FILE, or --learn 200 TEXT",
        )
    if words is not None:
        return list(read_lines(words))
    documents = read_documents(sources, format=format, language=language)
    with Bar("reading", format=format_bytes) as bar:
        return learn_words(sentences_of(documents, bar.report), tokenizer, learn or 0)


def _card(opened: Opened, pieces: list[str]) -> str | None:
    """The model's card with a section about the words; None if it has none."""
    card = (opened.path if opened.path.is_dir() else opened.path.parent) / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace").rstrip()
    shown = ", ".join(piece.replace("\u2581", "") for piece in pieces[:50])
    about = (
        f"{len(pieces):,} words were added to the vocabulary, {shown}{', ...' * (len(pieces) > 50)}"
        ". The row of each began as the mean of those of its old pieces, its output bias as the "
        "smallest of theirs; no training has followed. Figures above are those before."
    )
    return f"{text}\n\n## Added words\n\n{about}\n"
