"""Lines of text for a command: from files, or from standard input as they come.

Lines come in groups: those that are there already, so that a group is a batch when a file is read,
and a single line when the user types. No more is kept in memory than one group and the rest of the
last block.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TextIO, TypeVar

from albertkit.cli.output import Output, print_line
from albertkit.errors import AlbertkitError, CorpusError, TextError, TokenizationError, quoted
from albertkit.progress import Bar

if TYPE_CHECKING:
    from albertkit.infer.predictor import Predictor

# Ends of the names of files that hold texts, and never a model.
OF_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
OF_TEXTS = (".txt", ".text", ".md", ".gz", ".xz", ".bz2", ".zst")
MAX_LINE_BYTES = 8 * 2**20  # a longer one is not text; memory stays bounded
_BLOCK = 1 << 16  # bytes that are read at once at most
_UNKNOWN_SHARE, _LINES_READ = 0.3, 100  # of a file that the model does not know
_PART_SECONDS = 1.0  # longest time in which a bar should not move

Answer = TypeVar("Answer")


class Line(NamedTuple):
    """A text, the place it came from ("lines.txt, line 3"), and the number of the line."""

    text: str
    where: str
    number: int = 0


class BadLines:
    """What happens to a line that cannot be used: an error, or a note on standard error.

    skip: go on without it. Counts those that are skipped, and those that are used.
    """

    def __init__(self, *, skip: bool = False) -> None:
        self.skip = skip
        self.skipped = 0
        self.used = 0

    def refuse(self, error: AlbertkitError) -> None:
        """Raise the error of a line, or note that the line is skipped."""
        if not self.skip:
            raise error
        self.skipped += 1
        found = error.facts.get("found", "")
        where = error.facts.get("where", "")
        print_line(f"skipped: {where}: {error.what} {found}", stderr=True)


def read_lines(path: Path | None, *, nul: bool = False) -> Iterator[str]:
    """Lines of a text file without their ends; `None` or "-" is standard input.

    A byte order mark at the beginning is not part of the text.

    Raises:
        CorpusError: a file that cannot be read, bytes that are not UTF-8, a line of more than
            8 MiB; and, unless `nul`, a NUL, which marks a binary file.
    """
    for group in read_groups(path, 1024, BadLines(), nul=nul):
        yield from (line.text for line in group)


def read_groups(
    path: Path | None, size: int, bad: BadLines, *, nul: bool = False, skip: int = 0
) -> Iterator[list[Line]]:
    """Lines in groups of at most `size`: those that can be read without waiting for more.

    Args:
        path: a file; `None` or "-" is standard input.
        size: most lines of a group.
        bad: what to do with lines that are not text.
        nul: let NUL characters pass.
        skip: leave out so many lines at the beginning.

    Raises:
        CorpusError: see `read_lines`.
    """
    with ExitStack() as stack:
        if path is None or str(path) == "-":
            file, name = _standard_input(), "standard input"
        else:
            file, name = _text_file(stack, path), str(path)
        number = 0
        for lines in _split(file):
            group = []
            for raw in lines:
                number += 1
                if number <= skip:
                    continue
                where = f"{name}, line {number}"
                try:
                    text = _text(raw, where, first=number == 1, nul=nul)
                    group.append(Line(text, where, number))
                except CorpusError as error:
                    if group and not bad.skip:  # what came before it is answered first
                        yield group
                    bad.refuse(error)
                if len(group) == size:
                    yield group
                    group = []
            if group:
                yield group


def _standard_input() -> BinaryIO:
    stream: TextIO | None = sys.stdin  # None where it was closed before Python began
    if stream is None:
        raise CorpusError(
            "There is no text.",
            expected="a text as an argument, or lines",
            found="standard input is closed",
            fix="give a text in quotes, or --input FILE",
        )
    return stream.buffer


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise CorpusError(
            "Cannot read the input.",
            expected="a text file",
            found=error.strerror,
            where=path,
            fix="give one file with a text on each line"
            if path.is_dir()
            else "check the path and its permissions",
        ) from error


def _text_file(stack: ExitStack, path: Path) -> BinaryIO:
    """A file of text, decompressed; the stack closes it.

    Raises:
        CorpusError: an archive of several files, a table, a PDF and so on; says what to do.
    """
    from albertkit.data.archives import damage_named, decompressed, is_tar
    from albertkit.data.other_kinds import refuse_binary, refuse_markup

    name = str(path)
    opened = stack.enter_context(_open(path))
    stack.enter_context(damage_named(name))
    file = stack.enter_context(decompressed(opened, name))
    head = file.peek(512)
    refuse_binary(head, name)
    refuse_markup(
        head.decode("utf-8", "replace"),
        name,
        ("pass the lines themselves", f"read its lines as they are with --input - < {name}"),
    )
    if is_tar(head):
        raise CorpusError(
            "This is an archive of several files.",
            expected="one text file, which may be packed with gzip, xz, bzip2 or zstd",
            where=name,
            fix="unpack it, and give one of its files",
        )
    return file


def _split(file: BinaryIO) -> Iterator[list[bytes | None]]:
    """Whole lines without "\\n", all that one read gives; None stands for a line too long."""
    read = file.read1 if isinstance(file, io.BufferedReader | io.BytesIO) else file.read
    rest: list[bytes] = []
    length = 0
    while block := read(_BLOCK):
        first, *others = block.split(b"\n")
        if length <= MAX_LINE_BYTES:  # beyond it the rest of the line is dropped
            rest.append(first)
        length += len(first)
        if others:
            begun = b"".join(rest) if length <= MAX_LINE_BYTES else None
            yield [begun, *others[:-1]]
            rest, length = [others[-1]], len(others[-1])
    if length:
        yield [b"".join(rest) if length <= MAX_LINE_BYTES else None]


def _text(raw: bytes | None, where: str, *, first: bool, nul: bool) -> str:
    """Text of a line.

    Raises:
        CorpusError: it is too long, binary, or not UTF-8.
    """
    if raw is None:
        raise CorpusError(
            "A line is too long.",
            expected=f"lines of at most {MAX_LINE_BYTES // 2**20} MiB",
            found="a longer one",
            where=where,
            fix="put each text on a line of its own",
        )
    if not nul and b"\0" in raw:
        raise CorpusError(
            "The input is not text.",
            expected="UTF-8 text",
            found=f"a NUL byte at byte {raw.index(0)} of the line",
            where=where,
            fix="convert a UTF-16 file to UTF-8, or correct the path",
        )
    try:
        text = raw.decode("utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise CorpusError(
            "The input is not UTF-8.",
            expected="UTF-8 text",
            found=f"byte 0x{raw[error.start]:02x} at byte {error.start} of the line",
            where=where,
            fix="convert it, as in: iconv -f GB18030 -t UTF-8 old.txt > new.txt",
        ) from error
    return text.removeprefix("\ufeff" if first else "")


def groups_of(
    texts: Sequence[str],
    path: Path | None,
    size: int,
    bad: BadLines,
    *,
    nul: bool = False,
    empty: bool = False,
    skip: int = 0,
) -> Iterator[list[Line]]:
    """The texts of a command line in groups; without any, lines of --input or standard input.

    Args:
        texts: positionals of the command.
        path: its --input.
        size: most lines of a group.
        bad: what to do with lines that are not text.
        nul: let NUL characters pass.
        empty: an input without lines is fine.
        skip: leave out so many lines at the beginning of the file.

    Raises:
        CorpusError: both are given, or neither holds a text.
    """
    from albertkit.text.tokenizer import MASK

    if texts and path is not None:
        raise CorpusError(
            "Texts were given as arguments and as --input.",
            fix="leave one of the two out",
        )
    if len(texts) > 1 and MASK in texts:
        raise CorpusError(
            "The words of the text are separate arguments.",
            expected="each text in quotes",
            found=" ".join(texts),
            fix=f'put it into quotes: "{" ".join(texts)}"',
        )
    _refuse_name(texts)
    lines = [Line(text, f"text {number}") for number, text in enumerate(texts, 1)]
    groups = (lines[start : start + size] for start in range(0, len(lines), size))
    for group in groups if texts else read_groups(path, size, bad, nul=nul, skip=skip):
        empty = True
        yield group
    if not empty:
        raise CorpusError(
            "There is no text.",
            expected="a text as an argument, or lines",
            found="no line that can be used" if bad.skipped else "an empty input",
            fix="give a text in quotes, or --input FILE",
        )


def _refuse_name(texts: Sequence[str]) -> None:
    """Refuse the name of a file as the only text.

    Raises:
        CorpusError: with what reads the file.
    """
    if len(texts) == 1 and Path(texts[0]).suffix and os.path.isfile(texts[0]):
        name = quoted(texts[0])
        if Path(texts[0]).suffix in OF_TABLES:
            fix = f"albertkit predict {name} --model MODEL reads a table, if MODEL is fine-tuned"
        else:
            fix = f"give --input {name}"
        raise CorpusError(
            "The text is the name of a file.",
            expected="a text; the lines of a file are read by --input",
            found=texts[0],
            fix=fix,
        )


def answered(
    group: Sequence[Line], ask: Callable[[list[str]], Sequence[Answer]], bad: BadLines
) -> Iterator[tuple[str, Answer]]:
    """Texts with their answers, in order; a text that cannot be answered is a bad line.

    A group that fails is halved until the line is found: encoding, where texts fail, is cheap.
    """
    try:
        answers = ask([line.text for line in group])
    except (TextError, TokenizationError) as error:
        if len(group) == 1:
            bad.refuse(error.at(group[0].where))
            return
    else:
        bad.used += len(group)
        yield from zip((line.text for line in group), answers, strict=True)
        return
    half = len(group) // 2
    yield from answered(group[:half], ask, bad)
    yield from answered(group[half:], ask, bad)


def bar_of_lines(path: Path | None, *, silent: bool = False) -> Bar:
    """A bar for the lines of --input, which says nothing where the answers are watched themselves.

    silent: answers are not printed.
    """
    is_file = path is not None and path.is_file()
    bar = Bar("texts", late=True, shown=is_file and (silent or not Output().is_terminal))
    if bar.is_shown:
        with ExitStack() as stack:
            assert path is not None  # is_file
            lines = sum(len(block) for block in _split(_text_file(stack, path)))
        bar.update(0, total=lines)
    return bar


def in_parts(
    groups: Iterator[list[Line]], bar: Bar, size: int, done: int = 0
) -> Iterator[list[Line]]:
    """The groups, and how much is done to the bar; where it moves, in parts of `size` or more.

    Parts grow as long as one is answered in less than a second. done: lines before the groups.
    """
    if not bar.moves:
        size = sys.maxsize  # groups stay whole: texts of like length are found among more
    for group in groups:
        begin = 0
        while begin < len(group):
            part, began = group[begin : begin + size], time.monotonic()
            yield part
            if time.monotonic() - began < _PART_SECONDS / 2:
                size *= 2
            begin += len(part)
            done += len(part)
            bar.update(done)


def note_unknown(predictor: Predictor, data: Path) -> None:
    """Say of a file that the model does not know the characters of its first lines."""
    from albertkit.data.example_files import lines_of
    from albertkit.tasks.rows import unknown_characters

    if not data.is_file():  # a folder; or a pipe, which is read once
        return
    with suppress(CorpusError):  # what is wrong with the file is said by its reader
        lines = [line[:1000] for _, line in islice(lines_of(data), _LINES_READ)]
        tokenizer, count = predictor.tokenizer, sum(map(len, lines))
        unknown = unknown_characters(tokenizer.encode_batch(lines), tokenizer.unk_id)
        share = unknown / max(1, count)
        if share > _UNKNOWN_SHARE:
            print_line(
                f"note: {share:.0%} of the characters of {data} are not in the vocabulary of the "
                "model: is it in its language?",
                stderr=True,
            )
