"""Fine-tune the models that ship on real data sets, beside baselines and beside transformers.

    python bench/finetune/runs.py DATA OUTPUT --peer PYTHON [--sets NAME ...] [--systems NAME ...]

DATA has a folder of official files for each set. PYTHON is that of an environment with torch,
transformers, accelerate and scikit-learn. Every result is a file below OUTPUT; what is there is not
run again, and a run that was stopped goes on. At the end, and with nothing left to run, the table
is printed. Systems:

    ours       the model that ships, fine-tuned with the defaults
    simple     TF-IDF and logistic regression; for tags the most frequent tag of each word; of
               options the one with the words of the text that are rarest
    constant   the most frequent class, the mean, the most frequent place of the right option
    random     as ours, from random weights
    trainer    transformers' Trainer on the weights of `ours`, with the same rows and settings
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from albertkit import Checkpoint, finetune
from albertkit.benchmarks import find_sets
from albertkit.benchmarks._protocol import DataSet, Example
from albertkit.benchmarks._run import DEFAULT_MODELS
from albertkit.benchmarks._scores import is_known, scores
from albertkit.benchmarks._tasks import Trained, predict, trained
from albertkit.files import write_atomic
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.tasks.kinds import KINDS

PEERS = Path(__file__).with_name("peers.py")
DEV_ROWS = 600  # that choose the epoch; all of the split that is scored counts
SYSTEMS = ("constant", "simple", "ours", "random", "trainer")


@dataclass(frozen=True)
class Plan:
    """One data set. rows: most training examples, evenly spread over the file."""

    name: str
    score: str = "dev"  # the split that is scored; the epoch is chosen on dev
    rows: int = 4_000
    epochs: float = 3.0


PLANS = (
    Plan("sst-2", score="test_labelled", rows=6_000),
    Plan("chnsenticorp", score="test", rows=3_000),
    Plan("conll-2003", score="test"),
    Plan("cluener"),
    Plan("mrpc", score="test_labelled"),
    Plan("rte"),
    Plan("cola"),
    Plan("sts-b", score="test_labelled"),
    Plan("afqmc"),
    Plan("ocnli"),
    Plan("sick-entailment", score="test"),
    Plan("sick-relatedness", score="test"),
    Plan("dream", score="test"),
    Plan("c3", score="test"),
    Plan("msra-ner", score="test"),
)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=[plan.name for plan in PLANS])
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    options = parser.parse_args()
    plans = [plan for plan in PLANS if plan.name in options.sets]
    for system in options.systems:
        for plan in plans:
            kept = options.output / plan.name / f"{system}.json"
            if not kept.is_file():
                started = time.process_time() + _children()
                work = Work.of(plan, options.data, options.output)
                result = work.run(system, options.peer)
                result["cpu_seconds"] = round(time.process_time() + _children() - started)
                write_atomic(kept, json.dumps(result, indent=1) + "\n")
            print(plan.name, system, kept.read_text().replace("\n", ""), flush=True)
    print(table(plans, options.output))


def _children() -> float:
    """Processor time of the programs that were started and have ended, in seconds."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Work:
    """One data set with its examples as files below `folder`."""

    plan: Plan
    data_set: DataSet
    how: Trained
    folder: Path
    model: str
    scored: list[Example]

    @classmethod
    def of(cls, plan: Plan, data: Path, output: Path) -> Work:
        """Write the examples of a data set: train, dev, and what is scored."""
        data_set = find_sets(plan.name)[0]
        how, folder = trained(data_set), output / plan.name
        folder.mkdir(parents=True, exist_ok=True)
        known: dict[str, list[Example]] = {}
        for split in {"train", "dev", plan.score} & set(data_set.splits):
            known[split] = [x for x in data_set.examples(data, split) if is_known(x)]
        known["train"] = spread(known["train"], plan.rows)
        if "dev" not in known:
            known["dev"] = known["train"][::20]
            del known["train"][::20]
        files = {
            "train": known["train"],
            "dev": spread(known["dev"], DEV_ROWS),
            "scored": known[plan.score],
        }
        for name, every in files.items():
            rows = map(how.row, every)
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_atomic(folder / f"{name}.jsonl", lines)
        model = DEFAULT_MODELS[data_set.language]
        return cls(plan, data_set, how, folder, model, known[plan.score])

    def run(self, system: str, peer: Path) -> dict[str, Any]:
        """Scores of one system, with how many training examples it saw."""
        if system in ("ours", "random"):
            found = self.fine_tuned(system)
        else:
            found = self.of_peer(system, peer)
        made = scores(self.data_set, self.scored, found)
        lines = (self.folder / "train.jsonl").read_text("utf-8").count("\n")
        return {"scores": made, "train": lines, "scored": len(self.scored)}

    def fine_tuned(self, system: str) -> Mapping[str, Any]:
        """Predictions by id after fine-tuning with the defaults."""
        model = self.model
        if system == "random":
            model = str(self.folder / "random-weights")
            if not Path(model).is_dir():
                random_weights(self.model, Path(model))
        run = self.folder / system
        columns = dict(self.how.options)
        if not (self.folder / "dev.jsonl").read_text("utf-8").count('"pair"'):
            columns.pop("pair_column", None)
        result = finetune(
            KINDS[self.data_set.kind].task,
            train=self.folder / "train.jsonl",
            dev=self.folder / "dev.jsonl",
            model=model,
            out=run,
            resume=run.is_dir(),
            kind=self.data_set.kind,
            epochs=self.plan.epochs,
            set=["run.threads=1"],
            console=Console(stderr=True, highlight=False),
            **columns,
        )
        if not result.finished:
            raise SystemExit(result.exit_code)
        return predict(result.model, self.scored)

    def of_peer(self, system: str, peer: Path) -> Mapping[str, Any]:
        """Predictions by id of a script in another environment."""
        from albertkit import hub

        out = self.folder / f"{system}-predictions.json"
        words = [
            *(str(peer), str(PEERS), system, str(self.folder), "--kind", self.data_set.kind),
            *("--language", self.data_set.language),
            *("--model", str(hub.shipped(self.model)), "--epochs", str(self.plan.epochs)),
            *("--out", str(out)),
        ]
        subprocess.run(words, check=True)
        made = json.loads(out.read_text("utf-8"))
        return dict(zip([x.id for x in self.scored], made, strict=True))


def spread(examples: list[Example], count: int) -> list[Example]:
    """So many of them, evenly spread over all."""
    at = np.linspace(0, len(examples) - 1, min(count, len(examples)))
    return [examples[i] for i in at.astype(int)]


def random_weights(name: str, folder: Path) -> None:
    """A model of the same shape and vocabulary with the weights of an initialisation."""
    import torch

    shipped = Checkpoint.load(name)
    torch.manual_seed(0)
    model = AlbertForPretraining(shipped.config)
    Checkpoint(shipped.config, tensors_of(model), shipped.tokenizer).save(folder)


def table(plans: Sequence[Plan], output: Path) -> str:
    """Markdown: a row for each score, a column for each system; "-" was not run."""
    head = ["data set", "rows: train, scored", "score", *SYSTEMS]
    lines = [head, ["---"] * len(head)]
    for plan in plans:
        found = {
            system: json.loads(path.read_text())
            for system in SYSTEMS
            if (path := output / plan.name / f"{system}.json").is_file()
        }
        if not found:
            continue
        some = next(iter(found.values()))
        for name in some["scores"]:
            cells = [
                f"{100 * found[s]['scores'][name]:.1f}" if s in found else "-" for s in SYSTEMS
            ]
            title = find_sets(plan.name)[0].title
            counts = f"{some['train']:,}, {some['scored']:,} ({plan.score})"
            lines.append([title, counts, name, *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
