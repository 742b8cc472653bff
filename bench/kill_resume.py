"""Kill a training run with SIGKILL at random moments and resume it: are the weights the same?

    python bench/kill_resume.py [pretrain|finetune] [--kills 20] [--folder DIR] [--seed 0]

Pretraining on a small corpus, or fine-tuning a model that ships on the reviews of the package. It
runs once without interruption, then starts again and again: each of these runs is killed at a
moment drawn uniformly from the time that the whole run takes (start of Python, writing of states
and the report included), then resumed to the end. Prints how many have the SHA-256 of the
uninterrupted run's model.safetensors and the same losses.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics

import albertkit
from albertkit.data.corpus import Document
from albertkit.data.writing import write_shards
from albertkit.files import sha256_of
from albertkit.text.tokenizer import Tokenizer

RECIPE = """
[model]
vocab_size = "from_data"
embedding_size = 32
hidden_size = 48
num_hidden_layers = 2
num_attention_heads = 4
intermediate_size = 96
max_position_embeddings = 64
hidden_dropout_prob = 0.1

[optim]
name = "lamb"

[[stages]]
tokens = 32
steps = {steps}
batch_size = 16
micro_batch_size = 8
warmup_steps = 5
peak_learning_rate = 0.01

[[stages]]
tokens = 64
steps = {half}
batch_size = 8
warmup_steps = 5
peak_learning_rate = 0.005

[run]
log_every = 3
validate_every = 15
validation_rows = 32
save_every = 4
device = "cpu"
threads = 1
"""


def main(arguments: list[str] | None = None) -> int:
    """Run all kills; the exit code is 0 when every resumed run equals the uninterrupted one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", nargs="?", choices=("pretrain", "finetune"), default="pretrain")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, help="60 of the first stage of two, or 18")
    parser.add_argument("--folder", type=Path, help="keep everything here")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        words = (pretraining if options.task == "pretrain" else fine_tuning)(folder, options.steps)
        began = time.monotonic()
        finish(start([*words, "--out", str(folder / "whole")]))
        seconds = time.monotonic() - began
        expected = outcome(folder / "whole")
        print(f"uninterrupted: {seconds:.1f} s, SHA-256 {expected[0][:16]}", flush=True)
        moments = random.Random(options.seed)
        same = 0
        for number in range(options.kills):
            moment = moments.uniform(0, seconds)
            run = folder / "killed"
            state = kill_at([*words, "--out", str(run)], run, moment)
            again = [words[0], str(run / "recipe.toml"), "--resume"]
            finish(start(again if run.exists() else [*words, "--out", str(run)]))
            equal = outcome(run) == expected
            same += equal
            word = "same" if equal else "DIFFERENT"
            print(f"{number + 1:3} killed after {moment:5.2f} s, {state}: {word}", flush=True)
            shutil.rmtree(run)
    print(f"{same}/{options.kills}")
    return 0 if same == options.kills else 1


def make_data(folder: Path) -> None:
    """Shards of Python's own reference texts, with its most frequent words as vocabulary."""
    documents = [
        Document([line.strip() for line in text.split(".\n") if len(line.split()) > 4], name)
        for name, text in sorted(topics.items())
    ]
    words: dict[str, int] = {}
    for document in documents:
        for word in " ".join(document.sentences).lower().split():
            if word.isascii() and word.isalpha():
                words[word] = words.get(word, 0) + 1
    common = sorted(words, key=lambda word: (-words[word], word))[:800]
    folder.parent.mkdir(parents=True, exist_ok=True)
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *common]) + "\n")
    write_shards(documents, Tokenizer.load(vocabulary), folder, validation_fraction=0.2)


def pretraining(folder: Path, steps: int | None) -> list[str]:
    """Words of a command that pretrains in two stages."""
    make_data(folder / "data")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(steps=steps or 60, half=(steps or 60) // 2))
    return ["pretrain", str(recipe), "--data", str(folder / "data")]


def fine_tuning(folder: Path, steps: int | None) -> list[str]:
    """Words of a command that fine-tunes tiny-en with dropout; what is held out is drawn too."""
    settings = {
        "schedule.steps": steps or 18,
        "schedule.batch_size": 8,
        "model.hidden_dropout": 0.1,
        "run.validate_every": 6,
        "run.save_every": 4,
        "run.log_every": 3,
        "run.threads": 1,
    }
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    reviews = Path(albertkit.__file__).parent / "examples" / "reviews-en.csv"
    return ["finetune", "classify", "--train", str(reviews), "--model", "albertkit/tiny-en", *given]


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """Start `albertkit` with these words as a process of its own."""
    # A warning is no failure here, and the run ends long before it learns: exit code 3.
    return subprocess.Popen(
        [sys.executable, "-m", "albertkit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run; anything but "well" and "does not learn" is a failure of this script."""
    said, _ = process.communicate()
    if process.returncode not in (0, 3):
        raise SystemExit(f"the run failed with {process.returncode}:\n{said.decode()}")


def kill_at(words: list[str], run: Path, moment: float) -> str:
    """Start the run, kill it after `moment` seconds; says how far it had come."""
    process = start(words)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    states = run / "checkpoints"
    if not states.is_dir():
        return "before its folder"
    unfinished = "".join(" while writing" for _ in states.glob(".*"))
    return max((path.name for path in states.glob("step-*")), default="before step 0") + unfinished


def outcome(run: Path) -> tuple[str, list[dict[str, object]]]:
    """Hash of the final weights, and every line of metrics without the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("tokens_per_second", None)
    return sha256_of(run / "model" / "model.safetensors"), lines


if __name__ == "__main__":
    sys.exit(main())
