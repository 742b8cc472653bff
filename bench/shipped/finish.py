"""Export what on_gpu.py trained as the model that ships, and measure it.

    python bench/shipped/finish.py TRAINED DATA OUTPUT --name albertkit/tiny-en --sentences FILE
        --figures FILE [--also DATA ...] [--rows 2000]

OUTPUT becomes a folder of half-precision weights, tokenizer and config; its card is written by
card.py from the figures. Everything is measured on the exported folder, on held-out documents:
masked-LM loss and accuracy and sentence order at 128 and 512 tokens beside the lines to beat, the
sentences of FILE (one mask a sentence, a tab, acceptable words), and the time of 32 tokens.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.data.folder import DataFolder
from albertkit.infer.predictor import Predictor
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build
from albertkit.train.prepare import PreparedRun
from albertkit.train.pretrain import PretrainingTask
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.validation import validate, wilson_interval

Floats = npt.NDArray[np.floating]


def main() -> None:
    """Export, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trained", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--sentences", type=Path, required=True)
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more data to measure on")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--figures", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    stated = {"data.path": options.data, "run.output": options.output, "run.device": "cpu"}
    prepared = PreparedRun.resolve(recipes.load("tiny-en", PretrainingRecipe, [], stated))
    export(options.trained, prepared, options.output)
    model = build(Checkpoint.load(options.output))
    figures: dict[str, Any] = {"name": options.name, "held_out": {}}
    for tokens, rows in ((128, options.rows), (512, options.rows // 4)):
        figures["held_out"][str(tokens)] = measure(model, prepared, tokens, rows)
    for folder in options.also:
        other = replace(prepared, data=DataFolder.open(folder))
        name = f"128, {folder.name}"
        figures["held_out"][name] = measure(model, other, 128, options.rows // 2)
    figures["sentences"] = fill_sentences(options.output, options.sentences)
    figures["milliseconds_32_tokens"] = milliseconds(model)
    last = json.loads((options.trained / "curve.jsonl").read_text().splitlines()[-1])
    figures |= {f"{name}_trained": last[name] for name in ("step", "tokens", "seconds")}
    figures["megabytes"] = {
        path.name: round(path.stat().st_size / 1e6, 3) for path in sorted(options.output.iterdir())
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    options.figures.write_text(text + "\n", encoding="utf-8")
    print(text)


def export(trained: Path, prepared: PreparedRun, output: Path) -> None:
    """Write the trained weights in half precision, with config and tokenizer."""
    config = AlbertConfig(**json.loads((trained / "run.json").read_text())["config"])
    tensors = balanced(load_file(trained / "weights.safetensors"))
    checkpoint = Checkpoint(config=config, tensors=tensors, tokenizer=prepared.data.tokenizer)
    checkpoint.save(output, "", replace=True, dtype="float16")


def balanced(tensors: dict[str, Floats]) -> dict[str, Floats]:
    """The same function with weights of the usual size, for whoever trains on.

    What enters the layer may have any scale, as each use of it is normalised or multiplied by a
    matrix first; so may the values that attention mixes. Training made one small and the matrices
    behind it large, or the reverse; AdamW moves all by the same length, so that at the usual rates
    a fine-tuned model does not leave the start. Here the layer's output has scales of mean 1, and
    the value and output matrices are equally large.
    """
    attention, last = "albert.encoder.attention.0.0", "albert.encoder.feed_forward.0.0.norm"
    projection, out = "albert.embeddings.projection", f"{attention}.output"
    wide = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    scale = 1 / np.abs(wide[f"{last}.weight"]).mean()
    for name in (last, projection, out):
        wide[f"{name}.weight"] *= scale
        wide[f"{name}.bias"] *= scale
    for name in (f"{attention}.query", f"{attention}.key", f"{attention}.value"):
        wide[f"{name}.weight"] /= scale
    for name in ("albert.pooler", "masked_lm.transform"):
        wide[f"{name}.weight"] /= scale
    sizes = [np.abs(wide[f"{name}.weight"]).mean() for name in (f"{attention}.value", out)]
    share = (sizes[1] / sizes[0]) ** 0.5
    wide[f"{attention}.value.weight"] *= share
    wide[f"{attention}.value.bias"] *= share
    wide[f"{out}.weight"] /= share
    return {name: tensor.astype(np.float32) for name, tensor in wide.items()}


def measure(
    model: AlbertForPretraining, prepared: PreparedRun, tokens: int, rows: int
) -> dict[str, Any]:
    """Losses and accuracies on held-out rows of this length, 15 % masked, and lines to beat."""
    recipe = prepared.recipe
    stage = replace(
        recipe.stages[-1],
        tokens=tokens,
        masked_probability=0.15,
        max_predictions=20 * tokens // 128,
        batch_size=16,
    )
    run = replace(recipe.run, validation_rows=rows)
    prepared = replace(prepared, recipe=replace(recipe, stages=[stage], run=run))
    held_out = prepared.validation_set()
    baselines = prepared.measure_baselines(held_out)
    task = PretrainingTask(prepared, prepared.stages(), held_out, baselines)
    totals = validate(model, task, held_out, "fp32")
    means = totals.means()
    right, count = totals.sums["sop_accuracy"], totals.counts["sop_accuracy"]
    targets = totals.counts["mlm_accuracy"]
    return {
        "rows": held_out.num_rows,
        "masked_tokens": targets,
        "mlm_loss": means["mlm_loss"],
        "unigram_entropy": baselines.unigram_entropy,
        "below_unigram_entropy": baselines.unigram_entropy - means["mlm_loss"],
        "mlm_accuracy": means["mlm_accuracy"],
        "mlm_accuracy_interval": wilson_interval(totals.sums["mlm_accuracy"], targets),
        "unigram_accuracy": baselines.unigram_accuracy,
        "order_accuracy": means["sop_accuracy"],
        "order_interval": wilson_interval(right, count),
        "order_bag_of_words": baselines.order_accuracy,
    }


def fill_sentences(model: Path, sentences: Path) -> dict[str, Any]:
    """How often an acceptable word is among the five best, with all guesses."""
    lines = [line.split("\t") for line in sentences.read_text(encoding="utf-8").splitlines()]
    answers = Predictor(model).fill_mask([text for text, _ in lines], top_k=5)
    table: list[dict[str, Any]] = []
    for (text, accepted), fillings in zip(lines, answers, strict=True):
        guesses = [filling.tokens[0].lstrip("\u2581") for filling in fillings]
        hit = bool(set(guesses) & set(accepted.split()))
        table.append({"sentence": text, "accepted": accepted, "guesses": guesses, "hit": hit})
    return {"hits": sum(row["hit"] for row in table), "of": len(table), "table": table}


def milliseconds(model: AlbertForPretraining) -> float:
    """Median processor time of one text of 32 tokens, one thread, fp32."""
    ids, lengths = torch.arange(10, 42), torch.tensor([32])
    times = []
    with torch.inference_mode():
        for _ in range(60):
            began = time.process_time()
            model(ids, lengths=lengths, target_positions=torch.tensor([5]))
            times.append(time.process_time() - began)
    return round(median(times[10:]) * 1e3, 2)


if __name__ == "__main__":
    main()
