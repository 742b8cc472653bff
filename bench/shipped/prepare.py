"""Clean the pretraining corpora, keep documents back, and cut both parts for training.

    python bench/shipped/prepare.py text CORPORA OUTPUT --language en|zh
    albertkit build-vocab OUTPUT/*.train.txt --format text ... --output VOCAB
    python bench/shipped/prepare.py data OUTPUT VOCAB DATA --language en|zh

CORPORA is the folder of the public corpora (en_wikitext2, en_wikipedia_2015, ...). `text` writes
CORPUS.train.txt and CORPUS.held-out.txt for each: a sentence a line, a blank line between
documents; WikiText's own validation and test articles go to CORPUS.extra.txt and are trained on
nowhere. counts.json says what was found. About one document in a hundred is held out, chosen by a
hash of its text; training documents that share much text with a held-out one are dropped.
`data` makes the data folder that `albertkit pretrain` reads, the held-out files being its
validation part.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import lzma
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from albertkit.data.corpus import read_documents
from albertkit.data.sentences import split_sentences
from albertkit.data.shards import INDEX, TRAIN, VALIDATION
from albertkit.data.text_formats import READERS, is_cjk, is_wrapped, unwrap
from albertkit.data.writing import write_shards
from albertkit.files import atomic_folder
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.words import segmenter_for

HELD_OUT_SHARE = 0.01
LEAST_CHARACTERS = {"en": 200, "zh": 60}  # shorter documents (stubs) are left out
SHINGLE_DOUBLINGS = {"en": 5, "zh": 4}  # shingles of 32 letters, of 16 characters
SHINGLE_SAMPLE = 8  # one shingle in so many is looked at
NEAR_DUPLICATE = 0.2  # share of the shorter document's shingles that are in the other one
PARTS = ("train", "held-out", "extra")

Hashes = npt.NDArray[np.uint64]


class Document(NamedTuple):
    """Name and paragraphs of a document; `part` is set where its corpus decides that itself."""

    name: str
    paragraphs: list[str]
    part: str = ""


@dataclass
class Counts:
    """What became of the documents of one corpus."""

    read: int = 0
    too_short: int = 0
    near_duplicates: int = 0
    near_duplicate_characters: int = 0
    documents: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)


# Reading: one function for each kind of corpus.


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, packed or not."""
    with contextlib.ExitStack() as stack:
        if path.suffix == ".xz":
            file = stack.enter_context(lzma.open(path, "rt", encoding="utf-8"))
        else:
            file = stack.enter_context(path.open(encoding="utf-8"))
        for line in file:
            yield line.rstrip("\n")


def divide(lines: Iterable[str], layout: str, name: str) -> Iterator[Document]:
    """Documents of one stream of lines in a layout that albertkit reads."""
    paragraphs: list[str] = []
    number = 0
    for paragraph in itertools.chain(READERS[layout](lines, name), [None]):
        if paragraph is not None:
            paragraphs.append(paragraph)
        elif paragraphs:
            yield Document(f"{name}#{number}", paragraphs)
            paragraphs = []
            number += 1


def members(path: Path, layout: str) -> Iterator[Document]:
    """Documents of a tar archive, one file each."""
    with tarfile.open(path) as archive:
        for member in archive:
            opened = archive.extractfile(member)
            if opened is None or Path(member.name).name == "_index.md":
                continue
            text = opened.read().decode("utf-8-sig", "replace")
            lines = iter(text.splitlines())
            wrapped = layout == "files" and is_wrapped(text)
            yield from divide(unwrap(lines) if wrapped else lines, layout, member.name)


def wikitext(folder: Path) -> Iterator[Document]:
    """Articles of WikiText-2; those of its validation and test files are `extra`."""
    title = re.compile(r" = [^=].*[^=] = $")
    for name, part in (("train", ""), ("valid", "extra"), ("test", "extra")):
        paragraphs: list[str] = []
        for number, line in enumerate(read_lines(folder / f"{name}.txt.xz")):
            if title.match(line) and paragraphs:
                yield Document(f"{name}#{number}", paragraphs, part)
                paragraphs = []
            if line.strip() and not line.startswith(" ="):
                paragraphs.append(line)
        yield Document(f"{name}#end", paragraphs, part)


def corpora(root: Path, language: str) -> Iterator[tuple[str, Iterator[Document], Cleaner]]:
    """Name, documents and cleaner of every corpus of a language."""
    if language == "en":
        yield "en_wikitext2", wikitext(root / "en_wikitext2"), clean_wikitext
        path = root / "en_wikipedia_2015" / "enwiki_AA.txt.xz"
        yield "en_wikipedia_2015", divide(read_lines(path), "wiki", path.name), clean_wiki
        path = root / "en_novels" / "english_novels.tar.xz"
        yield "en_novels", members(path, "files"), clean_novel
        return
    path = root / "zh_wikipedia" / "zhwiki_AA.txt.xz"
    yield "zh_wikipedia", divide(read_lines(path), "wiki", path.name), clean_wiki
    path = root / "zh_classical_modern" / "modern_target.tar.xz"
    yield "zh_classical_modern", members(path, "files"), clean_plain
    yield "zh_lctt", members(root / "zh_lctt" / "lctt_published.tar.xz", "markdown"), clean_lctt
    yield "zh_laws", members(root / "zh_laws" / "laws.tar.xz", "markdown"), clean_law
    folder = root / "zh_corpus_samples"
    samples = ("CLUECorpusSmall_bert_sampled.txt.xz", "news_zh_1.txt")
    documents = (divide(read_lines(folder / name), "text", name) for name in samples)
    yield "zh_corpus_samples", itertools.chain.from_iterable(documents), clean_plain


# Cleaning: a paragraph in, a paragraph out; "" drops it.

Cleaner = Callable[[str], str]
_EMPTY_BRACKETS = re.compile("\\s*[(\uff08][\\s,;:\uff0c\uff1b\uff1a\u3001]*[)\uff09]")
_SPACE_BEFORE = re.compile(r" ([,.;:!?%)\]]|'s\b|n't\b|'(?:re|ve|ll|d|m)\b)")
_SPACE_AFTER = re.compile(r"([(\[$£€#]) ")
_QUOTED = re.compile(r'" ([^"]*?) "')
_SINGLE_QUOTED = re.compile(r"(?<=\s)' ([^']*?) '(?=\s|$)")
_LCTT_NOTES = re.compile(
    "^(?:via|from|\u539f\u6587)\\s*[:\uff1a]|(?:\u8bd1\u8005|\u6821\u5bf9|\u4f5c\u8005|\u9009\u9898)"
    "\\s*[:\uff1a]|\u672c\u6587\u7531.{0,40}(?:\u7f16\u8bd1|\u7ffb\u8bd1|\u8350\u8a89\u63a8\u51fa)|"
    "^\u9898\u56fe|^\\[.{1,40}\\]"
)


def clean_plain(text: str) -> str:
    """Nothing but single spaces."""
    return " ".join(text.split())


def clean_wiki(text: str) -> str:
    """No headings, no brackets that lost what was in them, no remains of templates."""
    text = _EMPTY_BRACKETS.sub("", clean_plain(text))
    heading = len(text) < 60 and text.endswith(".") and (text.count(" ") < 5 or is_cjk(text[0]))
    return "" if heading or "{{" in text or "__" in text or text.startswith("|") else text


def clean_wikitext(text: str) -> str:
    """WikiText's tokens as text again."""
    text = re.sub(r" @([-.,])@ ", r"\1", clean_plain(text))
    text = _SPACE_AFTER.sub(r"\1", _SPACE_BEFORE.sub(r"\1", text))
    text = _SINGLE_QUOTED.sub(r"'\1'", _QUOTED.sub(r'"\1"', text))
    return re.sub(r"(?<=\w) ' (?=s\b)", "'", text)


def clean_novel(text: str) -> str:
    """No headings of chapters; the marks of italics fall away."""
    text = clean_plain(text).replace("_", "")
    return "" if text == text.upper() or re.match(r"(?i)chapter [\divxlc]+", text) else text


def clean_law(text: str) -> str:
    """No comments of the source's own."""
    return "" if "<!--" in text else clean_plain(text)


def clean_lctt(text: str) -> str:
    """Chinese prose only: no code, no lists of names, no notes on who translated."""
    text = clean_plain(text)
    chinese, letters = sum(map(is_cjk, text)), sum(map(str.isalpha, text))
    return "" if _LCTT_NOTES.search(text) or chinese < 0.3 * max(1, letters) else text


def sentences_of(document: Document, clean: Cleaner, language: str) -> list[str]:
    """Clean sentences of a document; those that WikiText has cut words out of are dropped."""
    found = []
    for paragraph in document.paragraphs:
        for sentence in split_sentences(clean(paragraph), language):
            if "<unk>" not in sentence and any(map(str.isalpha, sentence)):
                found.append(sentence)
    return found


# Dividing: by a hash of the text, near-duplicates across the parts removed.


def part_of(sentences: list[str]) -> str:
    """Held out or for training, by nothing but the document's text."""
    digest = hashlib.blake2b("\n".join(sentences).encode(), digest_size=8).digest()
    return "held-out" if int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**64 else "train"


def shingles(sentences: list[str], doublings: int) -> Hashes:
    """A sample of the hashes of all runs of 2 ** doublings letters or digits, sorted, no doubles.

    Runs are sampled by their hash, so that equal runs are taken in every document.
    """
    text = "".join(filter(str.isalnum, "".join(sentences).lower()))
    values = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    factor = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        values = (values + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
        for doubling in range(doublings):
            width = 1 << doubling
            if len(values) <= width:
                break
            values = values[:-width] * np.uint64(factor) + values[width:]
            values ^= values >> np.uint64(29)
            factor = factor * factor % 2**64 | 1
        values = values * np.uint64(0x94D049BB133111EB)
        values ^= values >> np.uint64(31)
    return np.unique(values[values % np.uint64(SHINGLE_SAMPLE) == 0])


class NearDuplicates:
    """Finds documents that share much text with a held-out one."""

    def __init__(self, held_out: list[Hashes]) -> None:
        self._sizes = np.array([len(hashes) for hashes in held_out], dtype=np.int64)
        hashes = np.concatenate([*held_out, np.zeros(0, dtype=np.uint64)])
        owners = np.repeat(np.arange(len(held_out)), self._sizes)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order]

    def has(self, hashes: Hashes) -> bool:
        """Whether a document with these shingles shares too much with any held-out one."""
        begin = np.searchsorted(self._hashes, hashes, "left")
        counts = np.searchsorted(self._hashes, hashes, "right") - begin
        begin, counts = begin[counts > 0], counts[counts > 0]
        if not len(begin):
            return False
        inner = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        shared = np.bincount(self._owners[np.repeat(begin, counts) + inner])
        least = np.minimum(self._sizes[: len(shared)], len(hashes))
        return bool((shared >= np.maximum(2, NEAR_DUPLICATE * least)).any())


def write_text(root: Path, output: Path, language: str) -> None:
    """Write training and held-out text of all corpora, and counts.json."""
    doublings = SHINGLE_DOUBLINGS[language]
    counts: dict[str, Counts] = {}
    kept: list[tuple[str, str, list[str]]] = []  # corpus, part, sentences
    for corpus, documents, clean in corpora(root, language):
        counts[corpus] = count = Counts()
        for document in documents:
            sentences = sentences_of(document, clean, language)
            count.read += 1
            if sum(map(len, sentences)) < LEAST_CHARACTERS[language]:
                count.too_short += 1
                continue
            kept.append((corpus, document.part or part_of(sentences), sentences))
        _hold_out_one(corpus, kept)
    apart = NearDuplicates([shingles(s, doublings) for _, part, s in kept if part != "train"])
    with atomic_folder(output) as folder:
        for corpus, count in counts.items():
            files = {part: (folder / f"{corpus}.{part}.txt").open("w") for part in PARTS}
            for _, part, sentences in (entry for entry in kept if entry[0] == corpus):
                size = sum(map(len, sentences))
                if part == "train" and apart.has(shingles(sentences, doublings)):
                    count.near_duplicates += 1
                    count.near_duplicate_characters += size
                    continue
                files[part].write("\n".join(sentences) + "\n\n")
                count.documents[part] += 1
                count.sentences[part] += len(sentences)
                count.characters[part] += size
            for part, file in files.items():
                file.close()
                if not count.documents[part]:
                    Path(file.name).unlink()
        table = {corpus: vars(count) for corpus, count in counts.items()}
        text = json.dumps({"held_out_share": HELD_OUT_SHARE, "corpora": table}, indent=1)
        (folder / "counts.json").write_text(text + "\n", encoding="utf-8")
        print(text)


def _hold_out_one(corpus: str, kept: list[tuple[str, str, list[str]]]) -> None:
    """A corpus of few documents may have none below the share: then its last one is held out."""
    own = [number for number, entry in enumerate(kept) if entry[0] == corpus]
    if own and not any(kept[number][1] == "held-out" for number in own):
        kept[own[-1]] = (corpus, "held-out", kept[own[-1]][2])


def make_data(text: Path, vocabulary: Path, output: Path, language: str, words: str | None) -> None:
    """Tokenize both parts into one data folder, the held-out files as its validation part."""
    tokenizer = Tokenizer.load(vocabulary)
    segmenter = segmenter_for(tokenizer, words)
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        for split, part in ((TRAIN, "train"), (VALIDATION, "held-out")):
            sources = sorted(text.glob(f"*.{part}.txt"))
            documents = read_documents(sources, format="text", language=language)
            made = write_shards(documents, tokenizer, Path(scratch) / split, segmenter=segmenter)
            print(f"{split}: {made.documents:,} documents, {made.tokens:,} tokens", flush=True)
        held_out = Path(scratch) / VALIDATION / TRAIN
        index: dict[str, Any] = json.loads((held_out / INDEX).read_text(encoding="utf-8"))
        index["split"] = VALIDATION
        (held_out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        held_out.rename(Path(scratch) / TRAIN / VALIDATION)
        (Path(scratch) / TRAIN).rename(output)


def main() -> None:
    """One of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("text", help="corpora to clean training and held-out text")
    step.add_argument("corpora", type=Path)
    step.add_argument("output", type=Path)
    step.add_argument("--language", choices=["en", "zh"], required=True)
    step = steps.add_parser("data", help="clean text to the data folder of a pretraining run")
    step.add_argument("text", type=Path)
    step.add_argument("vocabulary", type=Path)
    step.add_argument("output", type=Path)
    step.add_argument("--language", choices=["en", "zh"], required=True)
    step.add_argument("--words", choices=["pieces", "jieba", "none"], help="none: no whole words")
    options = parser.parse_args()
    if options.step == "text":
        write_text(options.corpora, options.output, options.language)
    else:
        folders = (options.text, options.vocabulary, options.output)
        make_data(*folders, options.language, options.words)


if __name__ == "__main__":
    main()
