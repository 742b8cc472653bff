"""Tokenizers on one core: MB of UTF-8 text a second, beside transformers' own.

    python bench/tokenizer_speed.py --english ../shared/data/en_wikipedia_2015/enwiki_AA.txt.xz \
        --chinese ../shared/data/zh_wikipedia/zhwiki_AA.txt.xz \
        --english-vocabulary ../shared/vocab/en/30k-clean.model \
        --chinese-vocabulary ../shared/vocab/zh/vocab.txt

Every round runs each contestant once, in turn, on the same lines; the table has the median, lowest
and highest of all rounds, of processor time. transformers opens the files that albertkit saved.
"""

from __future__ import annotations

import argparse
import lzma
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from albertkit.text.tokenizer import Tokenizer
from albertkit.text.words import segmenter_for

Contestants = dict[str, Callable[[list[str]], object]]
REQUIRED = {
    "sentencepiece": "3.0 for ids, 3.0 with offsets",
    "wordpiece": "1.5 for ids, 3.0 with offsets",
}
BESIDE = {
    "albertkit ids and offsets": "tokenizers ids and offsets (no Python around)",
    "albertkit offsets, word starts, specials": "transformers ids and offsets",
}


def read_lines(path: Path, megabytes: float) -> list[str]:
    """The beginning of a text file, plain or .xz, as lines with something on them."""
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
        text = file.read(int(megabytes * 1e6)).decode("utf-8", errors="ignore")
    return [line for line in text.split("\n") if line.strip()]


def contestants(tokenizer: Tokenizer, folder: Path) -> Contestants:
    """What is measured, by name."""
    tokenizer.save(folder)
    segmenter = segmenter_for(tokenizer)
    found: Contestants = {
        "albertkit ids": tokenizer.ids_batch,
        "albertkit ids and word starts": segmenter.encode,
        "albertkit ids and offsets": tokenizer.align_batch,
        "albertkit offsets, word starts, specials": tokenizer.encode_batch,
    }
    try:
        from transformers import AutoTokenizer
    except ImportError:
        return found
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs.model_max_length = 10**9  # no warning about long lines
    found["transformers ids"] = lambda texts: theirs(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    found["transformers ids and offsets"] = lambda texts: theirs(texts, return_offsets_mapping=True)
    rust = theirs.backend_tokenizer
    found["tokenizers ids (no Python around)"] = lambda texts: rust.encode_batch_fast(
        texts, add_special_tokens=False
    )
    found["tokenizers ids and offsets (no Python around)"] = lambda texts: [
        (row.ids, row.offsets) for row in rust.encode_batch(texts, add_special_tokens=False)
    ]
    return found


def measure(lines: list[str], found: Contestants, rounds: int) -> dict[str, list[float]]:
    """MB/s of every round, by contestant."""
    megabytes = sum(len(line.encode()) for line in lines) / 1e6
    speeds: dict[str, list[float]] = {name: [] for name in found}
    for run in found.values():  # fill the caches: vocabularies of words, dictionaries
        run(lines[:200])
    for _ in range(rounds):
        for name, run in found.items():
            began = time.process_time()
            run(lines)
            speeds[name].append(megabytes / (time.process_time() - began))
    return speeds


def agreement(tokenizer: Tokenizer, found: Contestants, lines: list[str]) -> str:
    """Share of lines for which transformers gives our ids: else the speeds mean nothing."""
    if "transformers ids" not in found:
        return "transformers is not installed"
    theirs = found["transformers ids"](lines)["input_ids"]  # type: ignore[index]
    ours = tokenizer.ids_batch(lines)
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return f"{same / len(lines):.2%} of them with equal ids"


def report(title: str, speeds: dict[str, list[float]], required: str) -> None:
    """Print one table, and how many times as fast we are in the rounds."""
    print(f"\n{title} (required: {required})")
    print(f"  {'':45}{'median':>8}{'lowest':>8}{'highest':>8}  MB/s per core")
    for name, each in speeds.items():
        print(f"  {name:45}{statistics.median(each):8.2f}{min(each):8.2f}{max(each):8.2f}")
    for ours, theirs in BESIDE.items():
        if theirs in speeds:
            ratios = [a / b for a, b in zip(speeds[ours], speeds[theirs], strict=True)]
            shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"  {ours}: {shown} times {theirs}")


def main() -> None:
    """Measure what the command line names."""
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    for language in ("english", "chinese"):
        parser.add_argument(f"--{language}", type=Path, help="text file, plain or .xz")
        parser.add_argument(f"--{language}-vocabulary", type=Path, help="vocabulary or folder")
    parser.add_argument("--megabytes", type=float, default=4.0, help="of each text")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for language in ("english", "chinese"):
        path = getattr(options, language)
        vocabulary = getattr(options, f"{language}_vocabulary")
        if path is None or vocabulary is None:
            continue
        tokenizer = Tokenizer.load(vocabulary)
        lines = read_lines(path, options.megabytes)
        with tempfile.TemporaryDirectory() as folder:
            found = contestants(tokenizer, Path(folder))
            same = agreement(tokenizer, found, lines[:5000])
            speeds = measure(lines, found, options.rounds)
        report(
            f"{language}: {path.name}, {len(lines):,} lines, {same}",
            speeds,
            REQUIRED[tokenizer.kind],
        )


if __name__ == "__main__":
    main()
