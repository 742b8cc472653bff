"""Sentences with a tag for each word: columns as CoNLL has them, or JSON lines with two lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from albertkit.data.example_files import broken, lines_of, skippable
from albertkit.data.tables import BadRows, Table, refuse_pipe
from albertkit.errors import CorpusError
from albertkit.tasks.conll import read_conll
from albertkit.tasks.examples import TagExample
from albertkit.tasks.tag import split_tag
from albertkit.tasks.tag_metrics import OUTSIDE, to_bio

WORDS = ("words", "tokens")
TAGS = ("tags", "ner_tags", "labels", "pos_tags")


def read_tagged(path: str | Path, bad: BadRows) -> Iterator[TagExample]:
    """Sentences of a file; the id is their number from 0, or the line of JSON lines.

    A file of columns has a word and its tag on each line, the first and the last of its columns,
    and blank lines between sentences. JSON lines have words and tags (or tokens and ner_tags).

    Raises:
        CorpusError: it cannot be read, or a line is not of this form.
    """
    path = Path(path)
    refuse_pipe(path)
    first = next((line for _, line in lines_of(path) if line.strip()), "")
    if not first:
        raise CorpusError(
            "The file has no sentences.",
            expected="a word and its tag on each line, or JSON lines with words and tags",
            found="none",
            where=path,
            fix="check that it is the right file",
        )
    if first.lstrip().startswith("{"):
        yield from _json_sentences(path, bad)
    else:
        yield from read_conll(path, bad=bad)


def _json_sentences(path: Path, bad: BadRows) -> Iterator[TagExample]:
    for row in Table(path).rows(bad):
        given = {name: value for name, value in row.cells.items() if value is not None}
        words = next((given[name] for name in WORDS if name in given), None)
        tags = next((given[name] for name in TAGS if name in given), None)
        found = f"keys {', '.join(given)}"
        if isinstance(words, list) and isinstance(tags, list):
            without = None in (*words, *tags)
            if len(words) == len(tags) and not without:
                if words:
                    yield TagExample(str(row.line), tuple(map(str, words)), tuple(map(str, tags)))
                continue
            found = f"{len(words)} words, {len(tags)} tags{', null among them' * without}"
        expected = '{"words": [...], "tags": [...]} with as many tags as words'
        bad.refuse(skippable(broken(path, row.line, found, expected)))


def has_marks(examples: Sequence[TagExample]) -> bool:
    """Whether tags have the marks of a scheme, as B-PER has; parts of speech have none."""
    tags = {tag for example in examples for tag in example.tags or ()} - {OUTSIDE}
    return bool(tags) and all(all(split_tag(tag)) for tag in tags)


def as_bio(examples: Sequence[TagExample]) -> list[TagExample]:
    """The same with tags of BIO, whatever scheme they had (IOB1, BIOES, BMES, BILOU)."""
    return [TagExample(e.id, e.words, None if e.tags is None else to_bio(e.tags)) for e in examples]
