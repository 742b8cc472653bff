"""The layouts of raw text: where paragraphs and documents begin and end in a stream of lines.

Each reader turns lines into paragraphs; END stands between documents. The end of a file always
ends a document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator

from albertkit.data.lines import MAX_LINE_CHARACTERS
from albertkit.data.sentences import split_sentences
from albertkit.errors import CorpusError

END = None  # the document is complete
Paragraphs = Iterator[str | None]

_LINES_LOOKED_AT = 50
LANGUAGE_CHARACTERS = 1 << 12

FORMATS = ("text", "lines", "jsonl", "wiki", "markdown", "files")

_SENTENCE_END = tuple(
    ".!?:;\"'\u201d\u2019)]\u3002\uff01\uff1f\uff1b\uff1a\u300d\u300f\uff09\u2026"
)
_MARKDOWN = re.compile(r"^(?:#{1,6} \S|```|~~~)|\]\(https?://", re.MULTILINE)
_CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff]")


def is_cjk(character: str) -> bool:
    """Whether this is a Chinese character or full-width punctuation."""
    return "\u3000" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef"


def language_of(head: str) -> str:
    """ "zh" when at least a fifth of the letters are Chinese characters, else "en"."""
    letters = sum(map(str.isalpha, head))
    return "zh" if letters and len(_CJK.findall(head)) >= letters / 5 else "en"


def format_of(head: str, name: str, one_of_many: bool) -> str:
    """Detect the format from the first characters of the content, its name, and its company."""
    first = head.lstrip()[:1]
    suffix = re.sub(r"\.(gz|xz|bz2|zst)$", "", name.lower()).rpartition(".")[2]
    if suffix in ("jsonl", "ndjson") or (first == "{" and _is_json_line(head)):
        return "jsonl"
    if head.lstrip().startswith("<doc "):
        return "wiki"
    if suffix in ("md", "markdown") or len(_MARKDOWN.findall(head)) >= 3:
        return "markdown"
    if one_of_many or is_wrapped(head):
        return "files"
    lines = head.strip("\n").split("\n")
    filled = [line for line in lines if line.strip()]
    if len(filled) < len(lines):
        return "text"
    # No blank line: long lines of several sentences are documents; others are the sentences of a
    # single document, for a document of one sentence has no pair.
    long = sum(map(len, filled)) >= 150 * len(filled)
    return "lines" if long and _hold_several_sentences(filled) else "text"


def _hold_several_sentences(lines: list[str]) -> bool:
    """Whether most of the first lines hold two sentences or more."""
    first = lines[:_LINES_LOOKED_AT]
    language = language_of("".join(first)[:LANGUAGE_CHARACTERS])
    several = sum(len(split_sentences(line, language)) >= 2 for line in first)
    return several > len(first) / 2


def _is_json_line(head: str) -> bool:
    line, _, rest = head.lstrip().partition("\n")
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return not rest and '"text"' in line  # a first line longer than the head


def is_wrapped(head: str) -> bool:
    """Whether lines were broken at a width: nearly all short, most broken inside a sentence."""
    lines = [line.rstrip() for line in head.split("\n")[:-1]]
    pairs = [(a, b) for a, b in zip(lines, lines[1:], strict=False) if a and b.strip()]
    if len(pairs) < 8 or sum(len(a) > 100 for a, _ in pairs) > 0.02 * len(pairs):
        return False
    inside = sum(len(a) > 30 and not a.endswith(_SENTENCE_END) for a, _ in pairs)
    return inside > 0.4 * len(pairs)


def unwrap(lines: Iterable[str]) -> Iterator[str]:
    """Join the lines of each paragraph; blank lines come through as they are."""
    held: list[str] = []
    size = 0
    for line in lines:
        if line.strip() and size < MAX_LINE_CHARACTERS:
            held.append(line.strip())
            size += len(line)
            continue
        yield join_lines(held)
        yield ""
        held, size = ([line.strip()], len(line)) if line.strip() else ([], 0)
    yield join_lines(held)


def join_lines(lines: list[str]) -> str:
    """Lines of one paragraph as one: a space between words, none inside Chinese or after "-"."""
    joined: list[str] = []
    for line in lines:
        if joined:
            last = joined[-1]
            chinese = is_cjk(last[-1]) and is_cjk(line[0])
            hyphen = last[-1] == "-" and last[-2:-1].isalpha() and line[0].islower()
            if not chinese and not hyphen:
                joined.append(" ")
        joined.append(line)
    return "".join(joined)


def read_text(lines: Iterable[str], name: str) -> Paragraphs:
    """Blank lines between documents; a line is a sentence or a paragraph."""
    for line in lines:
        yield line if line.strip() else END


def read_lines(lines: Iterable[str], name: str) -> Paragraphs:
    """One document per line."""
    for line in lines:
        yield line
        yield END


def read_files(lines: Iterable[str], name: str) -> Paragraphs:
    """The whole file is one document."""
    yield from lines


def read_jsonl(lines: Iterable[str], name: str) -> Paragraphs:
    """One JSON object per line, its text under the key "text"."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
            if not isinstance(text, str):
                raise TypeError(f'"text" is a {type(text).__name__}')
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            size = f" in {len(line):,} characters"
            raise CorpusError(
                "A line is not a JSON object with a text.",
                expected='{"text": "..."}' + f", at most {MAX_LINE_CHARACTERS:,} characters",
                found=f"{type(error).__name__}: {error}{size}",
                where=f"{name}, line {number}",
                fix='correct the line, or pass the right format, as in format="text"',
                command_fix="correct the line, or give the right format, as in --format text",
            ) from error
        yield from text.replace("\r", "\n").split("\n")
        yield END


_DOC = re.compile(r'<doc [^>]*?title="([^"]*)"')


def read_wiki(lines: Iterable[str], name: str) -> Paragraphs:
    """WikiExtractor's text: <doc ...>, title, blank line, one paragraph per line, </doc>.

    The title line is dropped: it is not a sentence, and it would give every first segment away.
    """
    title: str | None = None
    for line in lines:
        if line.startswith("<doc "):
            found = _DOC.match(line)
            title = found[1] if found else None
            yield END
        elif line.startswith("</doc>"):
            yield END
        elif title is not None and line.strip():
            if line.strip() != title.strip():
                yield line
            title = None
        else:
            yield line


_CODE_SPAN = re.compile(r"(`+)(.+?)\1")
_IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_LINK = re.compile(r"\[([^\[\]]*)\](?:\([^)]*\)|\s?\[[^\]]*\])")
_REFERENCE = re.compile(r"\s*\[[^\]]+\]:\s*\S+")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<https?://[^>]*>")
_EMPHASIS = re.compile(r"(\*{1,3}|(?<!\w)_{1,3})(?=\S)(.+?)(?<=\S)\1")
_PREFIX = re.compile(r"\s*(?:>\s?)*\s*(?:#{1,6}\s*|[-*+]\s+|\d{1,3}[.)]\s+)?")
_RULE = re.compile(r"\s*(?:[-=*_]\s*){3,}$|\s*\|?\s*:?-{2,}")


def read_markdown(lines: Iterable[str], name: str) -> Paragraphs:
    """Prose of a Markdown file (one document): no code, tables, pictures or link targets."""
    held: list[str] = []
    fence = ""
    front_matter = False
    for number, line in enumerate(lines):
        stripped = line.strip()
        if number == 0 and stripped == "---":
            front_matter = True
        elif front_matter:
            front_matter = stripped not in ("---", "...")
        elif fence:
            fence = "" if stripped.startswith(fence) else fence
        elif stripped.startswith(("```", "~~~")):
            fence = stripped[:3]
        elif not held and line.startswith(("    ", "\t")):
            continue  # indented code
        elif not stripped or _RULE.match(line) or stripped.startswith("|"):
            yield _joined(held)
            held = []
        elif not _REFERENCE.match(line):
            starts_block = stripped[0] in "#>-*+" or stripped[0].isdigit()
            if held and (starts_block or sum(map(len, held)) > MAX_LINE_CHARACTERS):
                yield _joined(held)
                held = []
            prose = _prose(line)
            if prose:
                held.append(prose)
            if stripped[0] == "#":
                yield _joined(held)
                held = []
    yield _joined(held)


def _joined(lines: list[str]) -> str:
    """A paragraph; a link may have been broken over its lines."""
    text = join_lines(lines)
    return _LINK.sub(r"\1", text) if "[" in text else text


def _prose(line: str) -> str:
    """A line of Markdown without its marks."""
    line = _PREFIX.sub("", line, count=1)
    if line.endswith("#"):
        line = line.rstrip("#")
    if "[" in line:
        line = _LINK.sub(r"\1", _LINK.sub(r"\1", _IMAGE.sub("", line)))
    if "`" in line:
        line = _CODE_SPAN.sub(r"\2", line)
    if "<" in line:
        line = _TAG.sub("", line)
    if "*" in line or "_" in line:
        line = _EMPHASIS.sub(r"\2", line)
    return line.strip()


READERS: dict[str, Callable[[Iterable[str], str], Paragraphs]] = {
    "text": read_text,
    "lines": read_lines,
    "jsonl": read_jsonl,
    "wiki": read_wiki,
    "markdown": read_markdown,
    "files": read_files,
}
