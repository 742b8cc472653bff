"""Text that every Python carries: the prose of its language reference, half a megabyte."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from albertkit.files import write_atomic

TOPICS = f"pydoc_data.topics of Python {platform.python_version()}"
PARAGRAPHS_PER_DOCUMENT = 4  # sentence order needs several sentences, held-out parts many documents
TOPICS_LICENSE = "PSF-2.0"
SHORTEST_PARAGRAPH = 40  # characters; below it stand headings and scraps of grammar
MOST_SIGNS = 0.12  # share of brackets, quotes and operators from where on a paragraph is code


def write_topics(path: Path) -> Path:
    """Write the prose of Python's language reference, one blank line between documents."""
    from pydoc_data.topics import topics

    documents = ["\n".join(paragraphs) for paragraphs in documents_of(topics)]
    write_atomic(path, "\n\n".join(documents) + "\n")
    return path


def documents_of(topics: Mapping[str, str]) -> Iterator[list[str]]:
    """Documents of up to four paragraphs of prose, each paragraph on one line.

    Topics quote one another: a paragraph that occurred before is left out, so that none can
    stand on both sides of the held-out split. Code, grammar and tables are left out too.
    """
    seen: set[str] = set()
    for _, topic in sorted(topics.items()):
        prose = []
        for block in re.split(r"\n\s*\n", topic):
            paragraph = " ".join(block.split())
            if is_prose(paragraph) and paragraph not in seen:
                seen.add(paragraph)
                prose.append(paragraph)
        for begin in range(0, len(prose), PARAGRAPHS_PER_DOCUMENT):
            yield prose[begin : begin + PARAGRAPHS_PER_DOCUMENT]


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph reads like sentences rather than like code or a heading."""
    signs = sum(paragraph.count(sign) for sign in "=()[]{}<>:\"'|_*")
    return (
        len(paragraph) >= SHORTEST_PARAGRAPH
        and ">>>" not in paragraph
        and signs <= MOST_SIGNS * len(paragraph)
    )
