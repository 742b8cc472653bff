"""Write documents as shards: tokenize, divide into training and held-out, count and hash.

Documents stream through; memory does not grow with their number. The output folder appears whole
at the end, or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from albertkit.data.corpus import Corpus, Document
from albertkit.data.held_out import Counts, divide, too_few_documents
from albertkit.data.shards import (
    DOCUMENTS,
    FORMAT,
    FORMAT_VERSION,
    INDEX,
    SENTENCES,
    TOKENIZER,
    TOKENS,
    TRAIN,
    VALIDATION,
    Shards,
    token_type,
)
from albertkit.errors import CorpusError
from albertkit.files import atomic_folder

if TYPE_CHECKING:
    from albertkit.text.tokenizer import Tokenizer

_BATCH_CHARACTERS = 1 << 19


class Segmenter(Protocol):
    """Encodes sentences into ids and marks of word starts: `text.words.WordSegmenter` does."""

    @property
    def name(self) -> str:
        """What divides the text into words."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever ids or marks would."""

    def encode(
        self, texts: list[str]
    ) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]]:
        """Ids and word starts of each text."""


@dataclass(frozen=True)
class Progress:
    """How far the writing is. `input_bytes` of `input_total` (None: unknown) as they are on disk.

    `text_bytes` counts what they unpack to.
    """

    input_bytes: int
    input_total: int | None
    text_bytes: int
    documents: int
    tokens: int
    seconds: float

    @property
    def megabytes_per_second(self) -> float:
        """Unpacked text per second."""
        return self.text_bytes / 1e6 / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class ShardSummary:
    """What was written: counts of all documents, and the index of each split by its name.

    `held_out_by`: "documents"; or "spans of sentences" where documents are too few, each part
    counting as a document then; or "" when nothing was held out.
    """

    folder: Path
    documents: int
    sentences: int
    tokens: int
    skipped_documents: int
    seconds: float
    splits: dict[str, dict[str, Any]]
    corpus: dict[str, Any]
    held_out_by: str = ""

    def notes(self) -> list[str]:
        """What people should know beside the counts: a line each."""
        lines = []
        if self.skipped_documents:
            lines.append(f"{self.skipped_documents:,} documents without a token left out")
        if self.held_out_by == "spans of sentences":
            lines.append(
                "too few documents to hold some of them out: spans of sentences are held out"
            )
        if all(_counts(index).with_pairs == 0 for index in self.splits.values()):
            lines.append(
                "no document has two sentences: pretraining will be masked-LM alone, without "
                "sentence order"
            )
        return lines


def write_shards(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    output: str | Path,
    *,
    validation_fraction: float = 0.0,
    replace: bool = False,
    segmenter: Segmenter | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ShardSummary:
    """Tokenize documents into a new data folder (see shards.py for what is in it).

    `validation_fraction` in [0, 0.5]: share of documents that is held out, chosen by a hash of
    their text, so that copies of a document are never on both sides; spans of sentences where
    documents are too few (held_out.py). `progress` is called about twice a second, and at the
    end. Raises CorpusError and OutputError.
    """
    if not 0 <= validation_fraction <= 0.5:
        raise CorpusError(
            "validation_fraction must be a number from 0 to 0.5.",
            found=validation_fraction,
            fix="pass validation_fraction=0.02",
            command_fix="give --held-out 0.02",
        )
    output = Path(output)
    segmenter = segmenter or _segmenter_of(tokenizer)
    with atomic_folder(output, replace=replace) as folder:
        work = _Writing(documents, tokenizer, segmenter, validation_fraction, progress)
        summary = work.write(folder, output)
        (folder / TOKENIZER).mkdir()
        tokenizer.save(folder / TOKENIZER)
    return summary


def _segmenter_of(tokenizer: Tokenizer) -> Segmenter:
    from albertkit.text.words import segmenter_for

    segmenter: Segmenter = segmenter_for(tokenizer)
    return segmenter


class _Writing:
    """One run of `write_shards`."""

    def __init__(
        self,
        documents: Iterable[Document],
        tokenizer: Tokenizer,
        segmenter: Segmenter,
        validation_fraction: float,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.documents = documents
        self.tokenizer = tokenizer
        self.segmenter = segmenter
        self.validation_fraction = validation_fraction
        self.progress = progress
        self.started = self.reported = time.monotonic()
        self.num_documents = self.skipped = self.text_bytes = self.num_tokens = 0

    def write(self, folder: Path, output: Path) -> ShardSummary:
        """Fill the folder; the index of each split is written last."""
        names = [TRAIN, VALIDATION] if self.validation_fraction else [TRAIN]
        with _writers(folder, names, self.tokenizer.vocab_size) as splits:
            for batch in _batches(self.documents):
                self._write_batch(batch, splits)
                self._report()
        if not self.num_tokens:
            raise CorpusError(
                "The text gives no tokens.",
                expected="at least one sentence with a token",
                found=f"{self.num_documents} documents, all of them empty after tokenizing",
                fix="check the text and the vocabulary: tokenizer.encode(text).ids",
                command_fix="check the text and the vocabulary with albertkit tokenize",
            )
        held_out_by = "documents" if self.validation_fraction else ""
        corpus = asdict(self.documents.report) if isinstance(self.documents, Corpus) else {}
        facts = {
            "tokenizer": _describe(self.tokenizer),
            "segmenter": {"name": self.segmenter.name, "fingerprint": self.segmenter.fingerprint},
            "validation_fraction": self.validation_fraction,
            "corpus": corpus,
        }
        if self.validation_fraction and too_few_documents(
            splits[TRAIN].counts, splits[VALIDATION].counts, self.validation_fraction
        ):
            splits, held_out_by = self._by_spans(folder, splits, facts), "spans of sentences"
        facts["held_out_by"] = held_out_by
        indexes = {name: split.finish({"split": name, **facts}) for name, split in splits.items()}
        self._report(last=True)
        return ShardSummary(
            folder=output,
            documents=sum(index["num_documents"] for index in indexes.values()),
            sentences=sum(index["num_sentences"] for index in indexes.values()),
            tokens=self.num_tokens,
            skipped_documents=self.skipped,
            seconds=time.monotonic() - self.started,
            splits=indexes,
            corpus=corpus,
            held_out_by=held_out_by,
        )

    def _by_spans(
        self, folder: Path, written: dict[str, SplitWriter], facts: dict[str, Any]
    ) -> dict[str, SplitWriter]:
        """Divide again what was written, by spans of sentences; the files are replaced."""
        whole = folder / "whole"
        whole.mkdir()
        for name, split in written.items():
            split.finish({"split": name, **facts})
            split.folder.rename(whole / name)
        shards = [Shards(whole / name) for name, split in written.items() if split.num_documents]
        with _writers(folder, list(written), self.tokenizer.vocab_size) as splits:
            for name, spans in divide(shards, self.validation_fraction):
                numbers = range(spans[0].begin, spans[-1].end)
                splits[name].add([spans[0].shards.sentence(number) for number in numbers])
        del shards  # their memory maps, before the files go
        shutil.rmtree(whole)
        return splits

    def _write_batch(self, batch: list[Document], splits: dict[str, SplitWriter]) -> None:
        texts = [sentence for document in batch for sentence in document.sentences]
        encoded = iter(self.segmenter.encode(texts))
        for document in batch:
            pairs = [next(encoded) for _ in document.sentences]
            pairs = [(ids, starts) for ids, starts in pairs if len(ids)]
            self.num_documents += 1
            if not pairs:
                self.skipped += 1
                continue
            held_out = self.validation_fraction > _fraction_of(document)
            self.num_tokens += splits[VALIDATION if held_out else TRAIN].add(pairs)
            self.text_bytes += sum(len(s) for s in document.sentences)

    def _report(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self.progress is None or (now - self.reported < 0.5 and not last):
            return
        self.reported = now
        corpus = self.documents if isinstance(self.documents, Corpus) else None
        self.progress(
            Progress(
                input_bytes=corpus.bytes.done if corpus else 0,
                input_total=corpus.bytes.total if corpus else None,
                text_bytes=corpus.report.text_bytes if corpus else self.text_bytes,
                documents=self.num_documents,
                tokens=self.num_tokens,
                seconds=now - self.started,
            )
        )


def _counts(index: dict[str, Any]) -> Counts:
    documents = index["num_documents"]
    return Counts(documents, documents - index["single_sentence_documents"])


@contextlib.contextmanager
def _writers(folder: Path, names: list[str], vocab_size: int) -> Iterator[dict[str, SplitWriter]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(SplitWriter(folder / name, vocab_size)) for name in names}


class SplitWriter:
    """Writes the files of one split; a context manager that closes them."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.dtype, self.start_bit = token_type(vocab_size)
        self.num_documents = self.num_sentences = self.num_tokens = self.num_words = 0
        self.single_sentence_documents = 0
        self._stack = contextlib.ExitStack()
        names = (TOKENS, SENTENCES, DOCUMENTS)
        self._files = {
            name: self._stack.enter_context((folder / name).open("wb", 1 << 20)) for name in names
        }
        self._hashes = {name: hashlib.sha256() for name in names}
        self._sizes = dict.fromkeys(names, 0)
        for name in (SENTENCES, DOCUMENTS):
            self._append(name, np.zeros(1, dtype="<i8"))

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def counts(self) -> Counts:
        """Documents so far, and those with two sentences or more."""
        return Counts(self.num_documents, self.num_documents - self.single_sentence_documents)

    def add(
        self, sentences: Sequence[tuple[npt.NDArray[np.integer], npt.NDArray[np.bool_]]]
    ) -> int:
        """Append one document: ids and word starts of its sentences; returns its tokens."""
        ids = np.concatenate([ids for ids, _ in sentences]).astype(self.dtype)
        starts = np.concatenate([starts for _, starts in sentences])
        ends = np.cumsum([len(ids) for ids, _ in sentences]) + self.num_tokens
        ids[starts] |= self.dtype.type(self.start_bit)
        self.num_documents += 1
        self.num_sentences += len(sentences)
        self.num_tokens += len(ids)
        self.num_words += int(np.count_nonzero(starts))
        self.single_sentence_documents += len(sentences) == 1
        self._append(TOKENS, ids)
        self._append(SENTENCES, ends.astype("<i8"))
        self._append(DOCUMENTS, np.array([self.num_sentences], dtype="<i8"))
        return len(ids)

    def finish(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Close the files and write the index that makes them valid; returns the index."""
        self._stack.close()
        index = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "dtype": str(self.dtype.name),
            "num_documents": self.num_documents,
            "num_sentences": self.num_sentences,
            "num_tokens": self.num_tokens,
            "num_words": self.num_words,
            "single_sentence_documents": self.single_sentence_documents,
            "files": {
                name: {"bytes": self._sizes[name], "sha256": self._hashes[name].hexdigest()}
                for name in self._files
            },
            **facts,
        }
        text = json.dumps(index, indent=2, ensure_ascii=False) + "\n"
        (self.folder / INDEX).write_text(text, encoding="utf-8")
        return index

    def _append(self, name: str, values: npt.NDArray[Any]) -> None:
        data = values.tobytes()
        self._files[name].write(data)
        self._hashes[name].update(data)
        self._sizes[name] += len(data)


def _describe(tokenizer: Tokenizer) -> dict[str, Any]:
    names = ["fingerprint", "kind", "lower_case", "vocab_size"]
    names += ["pad_id", "unk_id", "cls_id", "sep_id", "mask_id"]
    return {name: getattr(tokenizer, name) for name in names}


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in groups of about half a million characters: the tokenizer likes company."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += sum(map(len, document.sentences))
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _fraction_of(document: Document) -> float:
    """A number in [0, 1) that depends on nothing but the document's text."""
    digest = hashlib.blake2b("\n".join(document.sentences).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
