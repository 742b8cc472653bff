"""Texts to vectors: albertkit's engines beside the usual ones, in one run and in turns.

    python bench/inference.py                         # random weights of base's shape
    python bench/inference.py --model albertkit/tiny-en --turns 9

All start from texts and end at pooled vectors, with batches of 32 texts sorted by length and the
same number of threads; the others tokenize with the tokenizers library. Needs transformers,
onnxruntime, openvino and nncf. Printed are real tokens a second (median of the turns, smallest and
largest) and the mean cosine with transformers in float32; what cannot run here says why.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from albertkit import AlbertConfig, Checkpoint, Predictor
from albertkit.errors import AlbertkitError
from albertkit.infer import calibration
from albertkit.infer.engines._quantized import quantize_with_nncf
from albertkit.infer.graph_engines import padded_inputs
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.plugins import need_package

BATCH = 32
Vectors = Callable[[Sequence[str]], np.ndarray]
LENGTHS = {"short": (28, 96), "long": (173, 24)}  # mean tokens, texts


def texts_of(checkpoint: Checkpoint, mean: int, count: int, seed: int = 1) -> list[str]:
    """Texts of about so many tokens, their lengths spread like those of real ones."""
    draw = random.Random(seed)
    sentences = calibration.sample_texts(checkpoint.tokenizer)
    texts = []
    for _ in range(count):
        wanted = min(draw.gammavariate(2.5, mean / 2.5) + 3, 500)
        text = ""
        while len(checkpoint.tokenizer.encode(text or "a").ids) < wanted:
            text = f"{text} {draw.choice(sentences)}".strip()
        ratio = wanted / len(checkpoint.tokenizer.encode(text).ids)
        texts.append(text[: max(4, int(len(text) * ratio))])
    return texts


def by_length(texts: Sequence[str], run: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Vectors in the order of the texts, computed in sorted batches."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    found: dict[int, np.ndarray] = {}
    for begin in range(0, len(order), BATCH):
        part = order[begin : begin + BATCH]
        found |= zip(part, run([texts[i] for i in part]), strict=True)
    return np.stack([found[i] for i in range(len(texts))])


def of_transformers(folder: Path, dtype: torch.dtype) -> Vectors:
    """transformers' model, sdpa."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AlbertModel.from_pretrained(folder, dtype=dtype).eval()

    def run(texts: list[str]) -> np.ndarray:
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs).pooler_output.float().numpy()

    return lambda texts: by_length(texts, run)


def of_onnxruntime(folder: Path, threads: int) -> Vectors:
    """A padded ONNX file, as Optimum would run it."""
    from albertkit.graph.onnx_graph import padded_model

    runtime = need_package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    model = padded_model(Checkpoint.load(folder), "feature-extraction").SerializeToString()
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def run(texts: list[str]) -> np.ndarray:
        inputs = tokenizer(texts, padding=True, return_tensors="np", return_token_type_ids=True)
        return session.run(["pooler_output"], dict(inputs))[0]

    return lambda texts: by_length(texts, run)


def of_openvino(folder: Path, threads: int, precision: str) -> Vectors:
    """A padded graph in OpenVINO, as Optimum Intel would run it; int8 by NNCF."""
    from albertkit.graph.openvino_graph import padded_model

    openvino = need_package("openvino", "openvino")
    checkpoint = Checkpoint.load(folder)
    model = padded_model(checkpoint, "feature-extraction")
    if precision == "int8":
        batches = calibration.calibration_batches(checkpoint.tokenizer, None, 512)
        model = quantize_with_nncf(model, batches, lambda batch: padded_inputs(batch, False)[0])
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    hints["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
    compiled = openvino.Core().compile_model(model, "CPU", hints)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def run(texts: list[str]) -> np.ndarray:
        inputs = tokenizer(texts, padding=True, return_tensors="np", return_token_type_ids=True)
        return np.array(compiled(dict(inputs))["pooler_output"])

    return lambda texts: by_length(texts, run)


def of_albertkit(folder: Path, threads: int, engine: str, precision: str) -> Vectors:
    """Our predictor."""
    predictor = Predictor(
        folder, batch_size=BATCH, engine=engine, precision=precision, threads=threads
    )
    return lambda texts: predictor.embed(list(texts), pooling="pooled")


def contestants(folder: Path, threads: int) -> dict[str, Callable[[], Vectors]]:
    """Who takes part, each made when it is asked for."""
    return {
        "transformers fp32": lambda: of_transformers(folder, torch.float32),
        "transformers bf16": lambda: of_transformers(folder, torch.bfloat16),
        "onnxruntime fp32, padded": lambda: of_onnxruntime(folder, threads),
        "OpenVINO fp32, padded": lambda: of_openvino(folder, threads, "fp32"),
        "OpenVINO int8, padded": lambda: of_openvino(folder, threads, "int8"),
        "albertkit torch": lambda: of_albertkit(folder, threads, "torch", "fp32"),
        "albertkit onnxruntime fp32": lambda: of_albertkit(folder, threads, "onnxruntime", "fp32"),
        "albertkit onnxruntime int8": lambda: of_albertkit(folder, threads, "onnxruntime", "int8"),
        "albertkit openvino fp32": lambda: of_albertkit(folder, threads, "openvino", "fp32"),
        "albertkit openvino int8": lambda: of_albertkit(folder, threads, "openvino", "int8"),
        "albertkit openvino bf16": lambda: of_albertkit(folder, threads, "openvino", "bf16"),
    }


def folder_of(model: str, place: Path) -> Path:
    """The model as a folder; base: random weights of its shape with tiny-en's tokenizer."""
    checkpoint = Checkpoint.load("albertkit/tiny-en" if model == "base" else model)
    if model == "base":
        torch.manual_seed(1)
        config = AlbertConfig()
        tensors = tensors_of(AlbertForPretraining(config))
        checkpoint = Checkpoint(config, tensors, checkpoint.tokenizer)
    checkpoint.save(place / "model")
    return place / "model"


def measure(running: dict[str, Vectors], texts: list[str], turns: int) -> dict[str, list[float]]:
    """Seconds of each, turn by turn, in another order each time; the first turn is not counted."""
    times: dict[str, list[float]] = {name: [] for name in running}
    draw = random.Random(0)
    for turn in range(turns + 1):
        for name in draw.sample(list(running), len(running)):
            started = time.perf_counter()
            running[name](texts)
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="base")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lengths", nargs="*", default=list(LENGTHS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as place:
        folder = folder_of(options.model, Path(place))
        running = {}
        for name, make in contestants(folder, options.threads).items():
            try:
                running[name] = make()
            except AlbertkitError as error:
                print(f"{name}: {error.what}", file=sys.stderr)
        for kind in options.lengths:
            texts = texts_of(Checkpoint.load(folder), *LENGTHS[kind])
            show(options.model, kind, running, texts, folder, options)


def show(
    model: str,
    kind: str,
    running: dict[str, Vectors],
    texts: list[str],
    folder: Path,
    options: argparse.Namespace,
) -> None:
    """One table."""
    tokenizer = Checkpoint.load(folder).tokenizer
    tokens = sum(len(tokenizer.encode(text).ids) for text in texts)
    vectors = {name: run(texts) for name, run in running.items()}
    times = measure(running, texts, options.turns)
    first = vectors["transformers fp32"]
    print(
        f"\n{model}, {kind}: {len(texts)} texts, mean {tokens / len(texts):.0f} tokens, "
        f"{options.threads} threads, {options.turns} turns\n"
    )
    print("| | tokens/s | smallest to largest | cosine |\n|---|---:|---:|---:|")
    for name, seconds in times.items():
        rates = sorted(tokens / each for each in seconds)
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(vectors[name], axis=1)
        cosine = float(((first * vectors[name]).sum(1) / norms).mean())
        print(
            f"| {name} | {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} "
            f"| {cosine:.5f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
