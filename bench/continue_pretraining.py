"""Go on pretraining a shipped model on one domain, with and without replay of general text.

    python bench/shipped/prepare.py text CORPORA TEXT --language zh      # once for each language
    python bench/continue_pretraining.py TEXT SCRATCH --model albertkit/tiny-zh --domain zh_laws
        [--domain zh_lctt] [--steps 150] [--share 0.3] [--rate 1e-4] --figures FILE

TEXT holds NAME.train.txt and NAME.held-out.txt of several corpora, as prepare.py writes them. The
domain is one corpus; general text is all the others. Losses are those of masked words on held-out
documents, which the shipped models have never seen either, before the first step and at the end.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

from rich.console import Console

from albertkit import pretrain
from albertkit import settings as recipes
from albertkit.checkpoint.tokenizers import open_tokenizer
from albertkit.data.corpus import Document, read_documents
from albertkit.data.shards import INDEX, TRAIN, VALIDATION
from albertkit.data.writing import write_shards
from albertkit.files import atomic_folder
from albertkit.text.tokenizer import Tokenizer
from albertkit.train.recipe import PretrainingRecipe

DOCUMENTS = {"train": 1500, "held-out": 60}  # of each corpus, evenly spread
SENTENCES = 400  # of each document, from its beginning


def main() -> None:
    """Measure every domain, without replay and with it; write the figures after each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--domain", action="append", required=True)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--share", type=float, default=0.3, help="of replayed rows; 0: none alone")
    parser.add_argument("--rate", type=float, action="append", help="peak rate; many: a race")
    parser.add_argument("--rows", type=int, default=256, help="held-out rows of each text")
    parser.add_argument("--figures", type=Path, required=True)
    options = parser.parse_args()
    tokenizer = open_tokenizer(options.model)
    names = sorted(path.name.split(".")[0] for path in options.text.glob("*.train.txt"))
    figures: dict[str, Any] = {"model": options.model, "runs": []}
    for domain in options.domain:
        own, general = options.scratch / domain, options.scratch / f"{domain}-general"
        make(options.text, [domain], tokenizer, own)
        make(options.text, [name for name in names if name != domain], tokenizer, general)
        rates = options.rate or [
            recipes.load("continue", PretrainingRecipe).stages[0].peak_learning_rate
        ]
        for rate, share in product(rates, sorted({0.0, options.share})):
            found = measure(options, own, general, share, rate)
            figures["runs"].append({"domain": domain, **found})
            text = json.dumps(figures, indent=1, ensure_ascii=False)
            options.figures.write_text(text + "\n", encoding="utf-8")
            print(figures["runs"][-1], flush=True)


def make(text: Path, corpora: list[str], tokenizer: Tokenizer, output: Path) -> None:
    """A data folder of some corpora, their held-out files as its validation part."""
    if output.exists():
        return
    with atomic_folder(output) as folder:
        for split, part in ((VALIDATION, "held-out"), (TRAIN, "train")):
            found = (
                document
                for name in corpora
                for document in spread(text / f"{name}.{part}.txt", DOCUMENTS[part])
            )
            write_shards(found, tokenizer, folder / "made")
            (folder / "made" / TRAIN).rename(folder / split)
            index = json.loads((folder / split / INDEX).read_text(encoding="utf-8"))
            index["split"] = split
            (folder / split / INDEX).write_text(json.dumps(index, indent=2) + "\n")
            if split == TRAIN:
                (folder / "made" / "tokenizer").rename(folder / "tokenizer")
                (folder / "made").rmdir()
            else:
                (folder / "made").rename(folder / "held-out")
        for path in sorted((folder / "held-out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (folder / "held-out").rmdir()


def spread(path: Path, count: int) -> Iterator[Document]:
    """At most so many documents of a file, evenly spread, their beginnings only."""
    total = path.read_text(encoding="utf-8").count("\n\n")
    every = max(1, total // count)
    for document in islice(read_documents([path], format="text"), 0, None, every):
        yield Document(document.sentences[:SENTENCES], document.source)


def measure(
    options: argparse.Namespace, own: Path, general: Path, share: float, rate: float
) -> dict[str, Any]:
    """One run: losses before and after on the domain and on general text."""
    began = time.monotonic()
    run = options.scratch / f"run-{own.name}-{share}-{rate}"
    result = pretrain(
        start_from=options.model,
        data=own,
        out=run,
        replay=general,
        replay_share=share,
        set={
            "stages.0.steps": options.steps,
            "stages.0.warmup_steps": options.steps // 10,
            "stages.0.peak_learning_rate": rate,
            "run.validate_every": 0,
            "run.save_every": 0,
            "run.validation_rows": options.rows,
            "run.threads": 1,
        },
        console=Console(width=160),
    )
    keys = ("mlm_loss", "mlm_accuracy", "sop_accuracy", "replay_mlm_loss", "replay_mlm_accuracy")
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    trained = [json.loads(line) for line in lines if '"event": "train"' in line]
    return {
        "replay_share": share,
        "peak_learning_rate": rate,
        "steps": result.steps,
        "tokens": trained[-1]["tokens"],
        "seconds": round(time.monotonic() - began),
        "unigram_entropy": result.baselines.unigram_entropy,
        "before": {key: result.before[key] for key in keys if key in result.before},
        "after": {key: result.validation[key] for key in keys if key in result.validation},
        "masked_tokens": [result.before["mlm_count"], result.before["replay_mlm_count"]],
    }


if __name__ == "__main__":
    main()
