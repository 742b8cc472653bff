"""From text to the data folder of a run, cut by a vocabulary or by the tokenizer of a model."""

from __future__ import annotations

from pathlib import Path

from albertkit.checkpoint.tokenizers import open_tokenizer
from albertkit.data.corpus import read_documents
from albertkit.data.writing import Progress as SoFar
from albertkit.data.writing import ShardSummary, write_shards
from albertkit.progress import Progress
from albertkit.text.tokenizer import Tokenizer


def make_data(
    *sources: str | Path,
    vocab: str | Path | Tokenizer,
    output: str | Path,
    validation_fraction: float = 0.02,
    format: str = "auto",
    language: str = "auto",
    errors: str = "strict",
    progress: Progress | None = None,
) -> ShardSummary:
    """Tokenize text into a new data folder for `pretrain`, as the command make-data does.

    Args:
        sources: files, folders, patterns, archives; "-" is standard input.
        vocab: vocabulary file or its folder, open tokenizer, or model (path or name), whose
            tokenizer is taken.
        output: folder for the data; must be free.
        validation_fraction: share that is held out, 0 to 0.5.
        format, language, errors: as in `read_documents`.
        progress: called about twice a second with ("reading", bytes so far, bytes or None).

    Raises:
        CorpusError, VocabularyError, OutputError; for a model what `Checkpoint.load` raises.
    """
    tokenizer = open_tokenizer(vocab)
    corpus = read_documents(sources, format=format, language=language, errors=errors)

    def report(so_far: SoFar) -> None:
        if progress is not None:
            progress("reading", so_far.input_bytes, so_far.input_total)

    return write_shards(
        corpus, tokenizer, output, validation_fraction=validation_fraction, progress=report
    )
