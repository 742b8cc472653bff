"""Fine-tune the models that ship on real data sets, beside baselines and beside transformers.

    python bench/finetune/runs.py DATA OUTPUT --peer PYTHON [--sets NAME ...] [--systems NAME ...]

DATA has a folder of official files for each set. PYTHON is that of an environment with torch,
transformers, accelerate and scikit-learn. Every result is a file below OUTPUT; what is there is not
run again, and a run that was stopped goes on. At the end, and with nothing left to run, the table
is printed. Systems:

    ours       the model that ships, fine-tuned with the defaults
    simple     TF-IDF and logistic regression; for tags the most frequent tag of each word; of
               options the one with the words of the text that are rarest; for questions a part of
               the sentence that is most like them (peer_answers.py)
    constant   the most frequent class, the mean, the most frequent place of the right option; the
               first words of the text, as many as answers usually have
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
    """One data set. rows: most training examples, evenly spread over the file.

    learn: the data sets and splits that are trained on, where it is not the set's own train.
    dev: the split that chooses the epoch; "" takes every twentieth text of the training examples.
    """

    name: str
    score: str = "dev"  # the split that is scored
    rows: int = 4_000
    epochs: float = 3.0
    learn: tuple[tuple[str, str], ...] = ()
    dev: str = "dev"

    @property
    def title(self) -> str:
        """The data set, and what is learned instead of its own training set."""
        learned = [f"{find_sets(name)[0].title} {split}" for name, split in self.learn]
        more = f" (trained on {', '.join(learned)})" if learned else ""
        return find_sets(self.name)[0].title + more


# An option or a window is a row of its own for the model, so that sets of reading have fewer rows.
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
    Plan("dream", score="test", rows=1_000),
    Plan("c3", score="test", rows=800),
    Plan("msra-ner", score="test", dev=""),
    Plan("squad-1.1", rows=20_000, epochs=2.0, dev=""),  # 2 epochs as in Lan et al. 2019, table 14
    Plan(
        "cmrc-2018", rows=2_000, learn=(("drcd", "dev"), ("cmrc-2018", "trial")), dev=""
    ),  # its own training set was not to be had
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
        learn = plan.learn or ((plan.name, "train"),)
        train = spread([x for part in learn for x in known(data, *part)], plan.rows)
        scored = known(data, plan.name, plan.score)
        if plan.dev:
            dev = known(data, plan.name, plan.dev)
        else:
            train, dev = held_out(train)
        files = {"train": train, "dev": spread(dev, DEV_ROWS), "scored": scored}
        for name, every in files.items():
            rows = map(how.row, every)
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_atomic(folder / f"{name}.jsonl", lines)
        model = DEFAULT_MODELS[data_set.language]
        return cls(plan, data_set, how, folder, model, scored)

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
            on_bad_row="skip",  # CMRC 2018's trial set has a question without words
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


def known(data: Path, name: str, split: str) -> list[Example]:
    """The examples of a split whose answers are known."""
    return [x for x in find_sets(name)[0].examples(data, split) if is_known(x)]


def held_out(examples: list[Example]) -> tuple[list[Example], list[Example]]:
    """Examples without those of every twentieth text, and these."""
    held = set(list(dict.fromkeys(x.text for x in examples))[::20])
    return [x for x in examples if x.text not in held], [x for x in examples if x.text in held]


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
            counts = f"{some['train']:,}, {some['scored']:,} ({plan.score})"
            lines.append([plan.title, counts, name, *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
