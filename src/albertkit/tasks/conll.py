"""Words with their tags in columns, as CoNLL's tasks have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from albertkit.data.example_files import broken, lines_of, skippable
from albertkit.data.tables import BadRows
from albertkit.tasks.examples import TagExample
from albertkit.tasks.tag_metrics import to_bio


def read_conll(
    path: Path,
    *,
    word: Callable[[str], str] = str,
    bio: bool = False,
    bad: BadRows | None = None,
) -> Iterator[TagExample]:
    """Sentences of a file with a word and its tag on each line, first and last of its columns.

    Blank lines part sentences, -DOCSTART- lines are left out. The id is the number of the sentence,
    from 0. word: what becomes of the first column. bio: tags of another scheme (IOB1, BIOES, BMES)
    become BIO; otherwise they stay as they are. bad: whether a sentence with a line that has no tag
    is an error or left out.

    Raises:
        CorpusError: for such a line, with its number; or the file cannot be read.
    """
    may_skip, bad = bad is not None, bad or BadRows()
    words: list[str] = []
    tags: list[str] = []
    wrong: tuple[int, str] | None = None
    count = 0
    for number, line in chain(lines_of(path), [(0, "")]):
        cells = line.split()
        if cells and cells[0].startswith("-DOCSTART-"):
            continue
        if len(cells) > 1:
            words.append(word(cells[0]))
            tags.append(cells[-1])
        elif cells:
            wrong = wrong or (number, line[:40])
        elif words or wrong:
            if wrong is not None:
                error = broken(path, wrong[0], f"the line {wrong[1]!r}", "a word and its tag")
                bad.refuse(skippable(error) if may_skip else error)
            else:
                yield TagExample(str(count), tuple(words), to_bio(tags) if bio else tuple(tags))
            count += 1
            words, tags, wrong = [], [], None
