"""Commands that prepare: build-vocab, tokenize, make-data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from albertkit.cli.inputs import BadLines, answered, bar_of_lines, groups_of, in_parts
from albertkit.cli.options import Flag, Json, LineOptions, Sources, TextsOrLines
from albertkit.cli.output import print_json, print_line, print_table
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from albertkit.data.corpus import Corpus
    from albertkit.data.writing import Progress, ShardSummary

NO_LINES = LineOptions()
Case = Annotated[bool | None, Parameter(name="--lower-case", negative="--cased")]
Format = Literal["auto", "text", "lines", "jsonl", "wiki", "markdown", "files"]
Language = Literal["auto", "en", "zh"]
Errors = Literal["strict", "replace"]


def build_vocab(
    *sources: Sources,
    output: Path,
    kind: Literal["sentencepiece", "wordpiece"] = "sentencepiece",
    size: int = 30000,
    lower_case: Annotated[bool, Parameter(name="--lower-case", negative="--cased")] = True,
    format: Format = "auto",
    language: Language = "auto",
    errors: Errors = "strict",
    json: Json = False,
) -> None:
    """Train a vocabulary on text.

    Parameters
    ----------
    sources
        Files, folders, patterns, archives; - is standard input.
    output
        Folder for the vocabulary; must be free.
    kind
        sentencepiece (ALBERT's English unigram model) or wordpiece (the Chinese models).
    size
        Number of pieces, special pieces included.
    lower_case
        Whether text is lower-cased first.
    format
        Layout of the text: blank lines between documents (text), one document a line (lines), ...
    language
        Language of the sentence splitter.
    errors
        strict stops at bytes that are not UTF-8, replace puts U+FFFD there.
    json
        One JSON object: path, kind, size.
    """
    with Bar("reading", format=format_bytes) as bar:
        from albertkit.data.vocabulary_from_text import sentences_of
        from albertkit.text.tokenizer import Tokenizer
        from albertkit.text.vocabulary import train_vocabulary

        corpus = _corpus(sources, format, language, errors)
        texts = sentences_of(corpus, bar.report)
        path = train_vocabulary(texts, kind, size, output, lower_case=lower_case)
    made = Tokenizer.load(path)
    if json:
        print_json({"path": str(path), "kind": made.kind, "size": made.vocab_size})
    else:
        _print_notes(corpus.report.notes())
        print_line(f"wrote {made.vocab_size:,} {made.kind} pieces to {path}")


def tokenize(
    *texts: TextsOrLines,
    vocab: str,
    lines: LineOptions = NO_LINES,
    special: Flag = False,
    quotes: Literal["keep", "rewrite"] | None = None,
    lower_case: Case = None,
    json: Json = False,
) -> None:
    """Tokenize texts, or lines as they come.

    Parameters
    ----------
    vocab
        Vocabulary file (*.model of SentencePiece, vocab.txt of WordPiece), a folder with one, or a
        model (path or name), whose tokenizer is taken.
    special
        Put [CLS] and [SEP] around each text.
    quotes
        SentencePiece: rewrite `` and '' to ", as google's reader did, or keep them. By default
        what the folder says, and for a bare file keep.
    lower_case
        Lower-case text, or keep capitals. By default what the files beside the vocabulary say, as
        they say whether accents are kept (keep_accents, strip_accents).
    json
        One JSON object a line: ids, pieces, offsets (characters of the text).
    """
    from albertkit.checkpoint.tokenizers import open_tokenizer
    from albertkit.text.tokenizer import Tokenizer

    if lower_case is None and quotes is None:
        tokenizer = open_tokenizer(vocab)
    else:
        tokenizer = Tokenizer.load(vocab, lower_case=lower_case, quotes=quotes)
    bad = BadLines(skip=lines.on_bad_line == "skip")

    def ask(batch: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        if not special:
            return tokenizer.align_batch(batch)
        return [(e.ids, e.offsets) for e in tokenizer.encode_batch(batch)]

    pieces = tokenizer.pieces
    # NUL passes: the original tokenizers have a rule for it
    groups = groups_of(texts, lines.input, 1024, bad, nul=True, empty=True)
    with bar_of_lines(lines.input) as bar:
        for group in in_parts(groups, bar, 1024):
            for _, (ids, offsets) in answered(group, ask, bad):
                if json:
                    print_json({"ids": ids, "pieces": [pieces[i] for i in ids], "offsets": offsets})
                else:
                    print_line(" ".join(pieces[i] for i in ids))


def make_data(
    *sources: Sources,
    vocab: str,
    output: Path,
    held_out: Annotated[float, Parameter(name=["--validation-fraction", "--held-out"])] = 0.02,
    format: Format = "auto",
    language: Language = "auto",
    errors: Errors = "strict",
    json: Json = False,
) -> None:
    """Tokenize text into the data folder that pretrain reads.

    Parameters
    ----------
    sources
        Files, folders, patterns, archives; - is standard input.
    vocab
        Vocabulary file, a folder with one, or a model (path or name), whose tokenizer is taken.
    output
        Folder for the data; must be free.
    held_out
        Share that is kept back from training, 0 to 0.5: whole documents, or spans of sentences
        where documents are too few.
    format
        Layout of the text: blank lines between documents (text), one document a line (lines), ...
    language
        Language of the sentence splitter.
    errors
        strict stops at bytes that are not UTF-8, replace puts U+FFFD there.
    json
        One JSON object: counts, and what was found in the text.
    """
    with Bar("reading", format=format_bytes) as bar:
        from albertkit.checkpoint.tokenizers import open_tokenizer
        from albertkit.data.writing import write_shards

        tokenizer = open_tokenizer(vocab)
        corpus = _corpus(sources, format, language, errors)
        made = write_shards(
            corpus, tokenizer, output, validation_fraction=held_out, progress=partial(_show, bar)
        )
    if json:
        print_json(
            {
                "folder": str(made.folder),
                "documents": made.documents,
                "sentences": made.sentences,
                "tokens": made.tokens,
                "skipped_documents": made.skipped_documents,
                "held_out_by": made.held_out_by,
                "splits": {name: index["num_documents"] for name, index in made.splits.items()},
                "corpus": made.corpus,
            }
        )
        return
    _print_parts(made)
    _print_notes([*corpus.report.notes(), *made.notes()])
    print_line(f"wrote {made.folder} from {format_bytes(made.corpus['text_bytes'])} of text")


def _show(bar: Bar, so_far: Progress) -> None:
    """How far the writing is: the speed is that of the text, unpacked."""
    facts = (f"{so_far.megabytes_per_second:.1f} MB/s", f"{so_far.tokens:,} tokens")
    bar.update(so_far.input_bytes, facts, so_far.input_total)


def _print_parts(made: ShardSummary) -> None:
    """A table of what is trained on and what is held out."""
    rows = [
        (name, *(f"{index[key]:,}" for key in ("num_documents", "num_sentences", "num_tokens")))
        for name, index in made.splits.items()
    ]
    print_table("", ["part", "documents", "sentences", "tokens"], rows, right=[1, 2, 3])


def _print_notes(notes: list[str]) -> None:
    """What was read otherwise than it stands in the text."""
    for note in notes:
        print_line(f"note: {note}")


def _corpus(sources: tuple[str, ...], format: str, language: str, errors: str) -> Corpus:
    from albertkit.data.corpus import read_documents

    return read_documents(sources, format=format, language=language, errors=errors)
