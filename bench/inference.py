"""Texts to vectors: albertkit's engines beside the usual ones, in one run and in turns.

    python bench/inference.py                         # random weights of base's shape
    python bench/inference.py --model albertkit/tiny-en --turns 9

All start from texts and end at pooled vectors, with texts sorted by length and the same number of
threads; "as given" is transformers as people call it, 32 texts as they come. The others tokenize
with the tokenizers library, and pad batches of the size, of 4, 8, 16 and 32, that was the fastest
in a trial of each: it stands behind the name. Where the processor has no instructions for bf16,
leave it out: --without bf16. Needs transformers, sentence-transformers, onnxruntime, openvino and
nncf. Printed are real tokens a second (for a
single text milliseconds), the median of the turns with the smallest and largest, and the mean
cosine with transformers in float32; what cannot run here says why. --processor-time counts that
instead of the clock, for a busy machine; use one thread then. --alone opens each in a process
of its own instead, which answers the texts once: seconds to the first answer, imports included,
and the largest resident set.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import statistics
import subprocess
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
from albertkit.progress import format_bytes

BATCHES = (4, 8, 16, 32)  # texts of a padded batch
Vectors = Callable[[Sequence[str], int], np.ndarray]  # of texts, in batches of so many
# Mean tokens, texts; a single text has just so many.
LENGTHS = {"short": (28, 96), "long": (173, 24), "one-28": (28, 1), "one-128": (128, 1)}


def texts_of(checkpoint: Checkpoint, mean: int, count: int, seed: int = 1) -> list[str]:
    """Texts of about so many tokens, their lengths spread like those of real ones."""
    draw = random.Random(seed)
    sentences = calibration.sample_texts(checkpoint.tokenizer)
    texts = []
    for _ in range(count):
        wanted = mean if count == 1 else min(draw.gammavariate(2.5, mean / 2.5) + 3, 500)
        text = ""
        while len(checkpoint.tokenizer.encode(text or "a").ids) < wanted:
            text = f"{text} {draw.choice(sentences)}".strip()
        ratio = wanted / len(checkpoint.tokenizer.encode(text).ids)
        texts.append(text[: max(4, int(len(text) * ratio))])
    return texts


def by_length(run: Callable[[list[str]], np.ndarray]) -> Vectors:
    """Vectors in the order of the texts, computed in sorted batches."""

    def sorted_run(texts: Sequence[str], size: int) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        found: dict[int, np.ndarray] = {}
        for begin in range(0, len(order), size):
            part = order[begin : begin + size]
            found |= zip(part, run([texts[i] for i in part]), strict=True)
        return np.stack([found[i] for i in range(len(texts))])

    return sorted_run


def of_transformers(
    folder: Path, dtype: torch.dtype, *, compiled: bool = False, as_given: bool = False
) -> Vectors:
    """transformers' model, sdpa; as_given: not sorted, in batches of 32."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AlbertModel.from_pretrained(folder, dtype=dtype).eval()
    if compiled:
        model = torch.compile(model, dynamic=True)

    def run(texts: list[str]) -> np.ndarray:
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs).pooler_output.float().numpy()

    if as_given:
        return lambda texts, size: np.concatenate(
            [run(list(texts[begin : begin + 32])) for begin in range(0, len(texts), 32)]
        )
    return by_length(run)


def of_sentence_transformers(folder: Path) -> Vectors:
    """Vectors of [CLS] by sentence-transformers, which has no pooler of ALBERT's; our tokenizer."""
    from sentence_transformers import SentenceTransformer, models

    words = models.Transformer(str(folder))
    pooling = models.Pooling(words.get_word_embedding_dimension(), "cls")
    model = SentenceTransformer(modules=[words, pooling], device="cpu")
    return lambda texts, size: model.encode(list(texts), batch_size=size, show_progress_bar=False)


def of_onnxruntime(folder: Path, threads: int, precision: str = "fp32") -> Vectors:
    """A padded ONNX file, as Optimum would run it; int8 by onnxruntime's own tool."""
    from albertkit.graph.onnx_graph import padded_model

    runtime = need_package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    model = padded_model(Checkpoint.load(folder), "feature-extraction").SerializeToString()
    if precision == "int8":
        from onnxruntime.quantization import quantize_dynamic

        file = folder.parent / "int8.onnx"
        file.with_suffix(".fp32").write_bytes(model)
        quantize_dynamic(file.with_suffix(".fp32"), file)
        model = file.read_bytes()
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def run(texts: list[str]) -> np.ndarray:
        inputs = tokenizer(texts, padding=True, return_tensors="np", return_token_type_ids=True)
        return session.run(["pooler_output"], dict(inputs))[0]

    return by_length(run)


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

    return by_length(run)


def of_albertkit(folder: Path, threads: int, engine: str, precision: str) -> Vectors:
    """Our predictor, which packs as many texts as it likes."""
    predictor = Predictor(folder, engine=engine, precision=precision, threads=threads)
    return lambda texts, size: predictor.embed(list(texts), pooling="pooled")


def contestants(folder: Path, threads: int) -> dict[str, Callable[[], Vectors]]:
    """Who takes part, each made when it is asked for."""
    return {
        "transformers fp32": lambda: of_transformers(folder, torch.float32),
        "transformers fp32, as given": lambda: of_transformers(
            folder, torch.float32, as_given=True
        ),
        "transformers fp32, compiled": lambda: of_transformers(
            folder, torch.float32, compiled=True
        ),
        "transformers bf16": lambda: of_transformers(folder, torch.bfloat16),
        "transformers bf16, compiled": lambda: of_transformers(
            folder, torch.bfloat16, compiled=True
        ),
        "sentence-transformers fp32": lambda: of_sentence_transformers(folder),
        "onnxruntime fp32, padded": lambda: of_onnxruntime(folder, threads),
        "onnxruntime int8, padded": lambda: of_onnxruntime(folder, threads, "int8"),
        "OpenVINO fp32, padded": lambda: of_openvino(folder, threads, "fp32"),
        "OpenVINO bf16, padded": lambda: of_openvino(folder, threads, "bf16"),
        "OpenVINO int8, padded": lambda: of_openvino(folder, threads, "int8"),
        "albertkit torch fp32": lambda: of_albertkit(folder, threads, "torch", "fp32"),
        "albertkit torch bf16": lambda: of_albertkit(folder, threads, "torch", "bf16"),
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
        # The table has as many rows as the tokenizer has pieces: a row is looked up, not computed.
        config = AlbertConfig(vocab_size=checkpoint.config.vocab_size)
        tensors = tensors_of(AlbertForPretraining(config))
        checkpoint = Checkpoint(config, tensors, checkpoint.tokenizer)
    checkpoint.save(place / "model")
    return place / "model"


def pads(name: str, texts: Sequence[str]) -> bool:
    """Whether it pads batches, of a size that is to be chosen."""
    return len(texts) > 1 and not name.startswith("albertkit") and not name.endswith("as given")


def best_sizes(
    running: dict[str, Vectors], texts: list[str], clock: Callable[[], float]
) -> dict[str, int]:
    """The fastest size of a batch for each: the better of two runs of each size.

    The first run of a size may compile for it. Ours has no such size.
    """
    sizes = [size for size in BATCHES if size <= max(len(texts), BATCHES[0])]
    found = {}
    for name, run in running.items():
        times = {}
        for size in sizes if pads(name, texts) else sizes[:1]:
            for _ in range(2):
                started = clock()
                run(texts, size)
                times[size] = min(times.get(size, float("inf")), clock() - started)
        found[name] = min(times, key=lambda size: times[size])
    return found


def measure(
    running: dict[str, Vectors],
    sizes: dict[str, int],
    texts: list[str],
    turns: int,
    clock: Callable[[], float],
) -> dict[str, list[float]]:
    """Seconds of each, turn by turn, in another order each time."""
    times: dict[str, list[float]] = {name: [] for name in running}
    draw = random.Random(0)
    for _ in range(turns):
        for name in draw.sample(list(running), len(running)):
            started = clock()
            running[name](texts, sizes[name])
            times[name].append(clock() - started)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="base")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lengths", nargs="*", default=list(LENGTHS))
    parser.add_argument("--count", type=int, help="texts, if not those of a length")
    parser.add_argument("--without", nargs="*", default=[], help="words of names left out")
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--alone", action="store_true", help="seconds and memory of each")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    if options.one is not None:
        answer_once(options)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = folder_of(options.model, Path(place))
        makers = contestants(folder, options.threads)
        named = [name for name in makers if not any(word in name for word in options.without)]
        if options.alone:
            show_alone(named, folder, options)
            return
        running = {}
        for name in named:
            try:
                running[name] = makers[name]()
            except AlbertkitError as error:
                print(f"{name}: {error.what}", file=sys.stderr)
        for kind in options.lengths:
            show(options.model, kind, running, given(folder, kind, options), folder, options)


def given(folder: Path, kind: str, options: argparse.Namespace) -> list[str]:
    """The texts of a kind."""
    mean, count = LENGTHS[kind]
    return texts_of(Checkpoint.load(folder), mean, min(count, options.count or count))


def answer_once(options: argparse.Namespace) -> None:
    """In a process of its own: open one, answer, and print the bytes of the resident set."""
    name, folder = options.one
    place = Path(folder)
    contestants(place, options.threads)[name]()(given(place, options.lengths[0], options), 8)
    # Not what getrusage says: that counts the memory of the process before.
    status = Path("/proc/self/status").read_text()
    print("peak", 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]))


def of_children() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show_alone(names: list[str], folder: Path, options: argparse.Namespace) -> None:
    """Seconds from nothing to the answers, and memory, the median of the turns."""
    kind = options.lengths[0]
    print(
        f"\n{options.model}, {kind}, each in its own process, {options.turns} turns"
        f"{', processor time' if options.processor_time else ''}\n"
    )
    print("| | s | smallest to largest | resident |\n|---|---:|---:|---:|")
    for name in names:
        words = [sys.executable, __file__, "--one", name, str(folder), "--lengths", kind]
        words += ["--threads", str(options.threads), "--count", str(options.count or 32)]
        seconds, peaks = [], []
        clock = of_children if options.processor_time else time.perf_counter
        for _ in range(options.turns):
            started = clock()
            done = subprocess.run(words, capture_output=True, text=True)
            seconds.append(clock() - started)
            peaks += [int(x) for x in re.findall(r"^peak (\d+)", done.stdout, re.MULTILINE)]
        if peaks:
            print(
                f"| {name} | {statistics.median(seconds):.1f} | {min(seconds):.1f} to "
                f"{max(seconds):.1f} | {format_bytes(int(statistics.median(peaks)))} |",
                flush=True,
            )


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
    clock = time.process_time if options.processor_time else time.perf_counter
    sizes = best_sizes(running, texts, clock)
    vectors = {name: run(texts, sizes[name]) for name, run in running.items()}
    times = measure(running, sizes, texts, options.turns, clock)
    first = vectors["transformers fp32"]
    print(
        f"\n{model}, {kind}: {len(texts)} texts, mean {tokens / len(texts):.0f} tokens, "
        f"{options.threads} threads, {options.turns} turns"
        f"{', processor time' if options.processor_time else ''}\n"
    )
    unit = "ms" if len(texts) == 1 else "tokens/s"
    print(f"| | {unit} | smallest to largest | cosine |\n|---|---:|---:|---:|")
    for name, seconds in times.items():
        rates = sorted(1000 * x if len(texts) == 1 else tokens / x for x in seconds)
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(vectors[name], axis=1)
        cosine = float(((first * vectors[name]).sum(1) / norms).mean())
        batches = f", batches of {sizes[name]}" if pads(name, texts) else ""
        print(
            f"| {name}{batches} | {statistics.median(rates):,.0f} "
            f"| {rates[0]:,.0f} to {rates[-1]:,.0f} | {cosine:.5f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
