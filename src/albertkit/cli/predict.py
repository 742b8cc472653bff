"""Commands that ask a model: fill-mask, order, embed; and info, which asks about one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from albertkit.cli.inputs import read_lines, require_lines
from albertkit.cli.output import print_json, print_table, print_vectors, spell_bytes, write_array

if TYPE_CHECKING:
    from albertkit.infer.predictor import Predictor

Json = Annotated[bool, Parameter(name="--json", negative=())]
Flag = Annotated[bool, Parameter(negative=())]
Texts = Annotated[tuple[str, ...], Parameter(show_default=False)]


def fill_mask(
    model: Path,
    /,
    *texts: str,
    input: Path | None = None,
    top_k: int = 5,
    truncate: Flag = False,
    device: str = "cpu",
    json: Json = False,
) -> None:
    """Fill the [MASK] of texts; several masks of one text are filled together.

    Parameters
    ----------
    model
        Checkpoint folder.
    texts
        Texts with [MASK]; without any, the lines of --input or of standard input.
    input
        File with one text on each line; - is standard input.
    top_k
        How many fillings to show.
    truncate
        Cut texts that are too long at their end.
    device
        cpu, cuda, cuda:1, mps; auto takes cuda when it is there.
    json
        One JSON object a line: text, fillings, and the candidates of each mask alone.
    """
    predictor = _open(model, device)
    for text in texts or require_lines(read_lines(input)):
        found = predictor.fill_mask(text, top_k, truncate=truncate)
        if json:
            print_json(
                {
                    "text": text,
                    "fillings": [asdict(f) for f in found],
                    "masks": [[asdict(c) for c in mask] for mask in found.masks],
                }
            )
        else:
            rows = [(f"{f.probability:.2%}", " ".join(f.tokens), f.text) for f in found]
            print_table(text, ["probability", "pieces", "text"], rows, right=[0])


def order(
    model: Path,
    a: str,
    b: str,
    /,
    *,
    truncate: Flag = False,
    device: str = "cpu",
    json: Json = False,
) -> None:
    """Tell how probable it is that A comes before B in one text.

    Parameters
    ----------
    model
        Checkpoint folder with a sentence-order head.
    a
        Text that may come first.
    b
        Text that may come second.
    truncate
        Cut the longer text until both fit.
    device
        cpu, cuda, cuda:1, mps; auto takes cuda when it is there.
    json
        One JSON object: a, b, probability.
    """
    probability = _open(model, device).order(a, b, truncate=truncate)
    if json:
        print_json({"a": a, "b": b, "probability": probability})
    else:
        rows = [(f"{probability:.1%}", a, b), (f"{1 - probability:.1%}", b, a)]
        print_table("", ["probability", "first", "second"], rows, right=[0])


def embed(
    model: Path,
    /,
    *texts: str,
    input: Path | None = None,
    output: Path | None = None,
    pooling: Literal["mean", "cls", "pooled"] = "mean",
    normalize: Flag = False,
    truncate: Flag = False,
    batch_size: int = 32,
    device: str = "cpu",
    json: Json = False,
) -> None:
    """Turn texts into vectors.

    Parameters
    ----------
    model
        Checkpoint folder.
    texts
        Texts; without any, the lines of --input or of standard input.
    input
        File with one text on each line; - is standard input.
    output
        Write the vectors to this .npy file, float32 (texts, width).
    pooling
        mean of all tokens, cls the vector at [CLS], pooled the same through the pooler.
    normalize
        Make every vector 1 long.
    truncate
        Cut texts that are too long at their end.
    batch_size
        Texts in one run of the network.
    device
        cpu, cuda, cuda:1, mps; auto takes cuda when it is there.
    json
        One JSON object a line: text, vector.
    """
    predictor = _open(model, device)
    asked = list(texts or read_lines(input))
    vectors = predictor.embed(
        asked, pooling, normalize=normalize, truncate=truncate, batch_size=batch_size
    )
    if output is not None:
        write_array(output, vectors)
    if json:
        for text, vector in zip(asked, vectors.tolist(), strict=True):
            print_json({"text": text, "vector": vector})
    elif output is not None:
        print(f"wrote {vectors.shape[0]:,} vectors of width {vectors.shape[1]} to {output}")
    else:
        print_vectors(asked, vectors)


def info(source: str, /, *, json: Json = False) -> None:
    """Show what a model is: config, exact parameters, memory to run and to train.

    Parameters
    ----------
    source
        A named size (albert-base-v2, albert-chinese-tiny, ...), a checkpoint folder, or a config
        file.
    json
        One JSON object with every figure.
    """
    from albertkit.cli.facts import describe

    facts = describe(source)
    if json:
        print_json(facts)
        return
    print_table(f"{facts['name']}: config", ["key", "value"], facts["config"].items())
    counts = [(name, f"{count:,}") for name, count in facts["parameters"].items()]
    print_table("exact parameters", ["counted", "parameters"], counts, right=[1])
    memory = [
        (m["for"], m["batch"], m["tokens"], spell_bytes(m["weights"]), spell_bytes(m["total"]))
        for m in facts["memory"]
    ]
    columns = ["to", "rows", "tokens", "weights", "memory in all"]
    print_table("memory in float32", columns, memory, right=[1, 2, 3, 4])
    for reason in facts["not_for_transformers"]:
        print(f"transformers cannot run it: {reason}")


def _open(folder: Path, device: str) -> Predictor:
    from albertkit.infer.predictor import Predictor

    return Predictor(folder, device)
