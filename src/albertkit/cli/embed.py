"""The command embed: vectors of texts, shown, or in a file that is gone on with after a stop."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from albertkit.cli.inputs import BadLines, read_groups
from albertkit.cli.options import (
    File,
    Flag,
    Json,
    LineOptions,
    ModelOptions,
    TextsOrLines,
    Truncate,
)
from albertkit.cli.output import output_file, print_json, print_line
from albertkit.cli.predict import NO_LINES, NO_MODEL, WINDOW, answered_groups
from albertkit.errors import CorpusError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from albertkit.infer.predictor import Predictor

    Floats = npt.NDArray[np.float32]


def embed(
    *texts: TextsOrLines,
    model: ModelOptions = NO_MODEL,
    lines: LineOptions = NO_LINES,
    output: File = None,
    pooling: Literal["mean", "cls", "pooled"] = "mean",
    normalize: Flag = False,
    truncate: Truncate = False,
    json: Json = False,
) -> None:
    """Turn texts into vectors.

    A run from --input to --output that was stopped goes on where it was if the same command is
    given again.

    Parameters
    ----------
    output
        Write the vectors to this .npy file, float32 (texts, width).
    pooling
        mean of all tokens, cls the vector at [CLS], pooled the same through the pooler.
    normalize
        Make every vector 1 long.
    json
        One JSON object a line: text, vector.
    """
    output = output_file(output, lines.input)
    predictor, given = model.predictor(texts)

    def ask(predictor: Predictor, batch: list[str]) -> Any:
        return predictor.embed(batch, pooling, normalize=normalize, truncate=truncate)

    if output is None:
        table = VectorTable()
        for _, found in answered_groups(predictor, given, lines, model, ask):
            for text, vector in found:
                if json:
                    _print_vector(text, vector)
                else:
                    table.add(text, vector)
        return
    from albertkit.infer.growing import growing_file

    decides = {"pooling": pooling, "normalize": normalize, "truncate": truncate}
    made_of = None if given or json else _made_of(predictor, lines.input, model, decides)
    with growing_file(output, made_of) as growing:
        array = VectorFile(growing.file, growing.rows)
        groups = answered_groups(
            predictor, given, lines, model, ask, skip=growing.taken, silent=not json
        )
        for group, found in groups:
            before = array.rows
            for text, vector in found:
                array.append(vector[None])
                if json:
                    _print_vector(text, vector)
            growing.commit(array.rows - before, group[-1].number - growing.taken)
        array.finish()
    if not json:
        print_line(f"wrote {array.rows:,} vectors of width {array.width} to {output}")


def _print_vector(text: str, vector: Floats) -> None:
    print_json({"text": text, "vector": vector.tolist()})


def _made_of(
    predictor: Predictor, input: Path | None, model: ModelOptions, decides: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What decides the vectors of a file; None where the input cannot be read again."""
    if input is None or not input.is_file():
        return None
    if model.model is None:  # the first texts choose, also where the run goes on behind them
        try:
            first = next(read_groups(input, WINDOW, BadLines()), [])
        except CorpusError:
            return None
        predictor.choose_model_for([line.text for line in first])
    return {
        "input": str(input),
        "input_bytes": input.stat().st_size,
        "model": str(predictor.folder),
        **predictor.engine_options,
        **decides,
    }


class VectorTable:
    """Lines for people, one for each text as it comes: cosine to the first text's vector, length.

    Prints the head with the first vector.
    """

    def __init__(self) -> None:
        self._first: Floats | None = None

    def add(self, text: str, vector: Floats) -> None:
        """Print the line of one text and its vector (H,)."""
        import numpy as np

        if self._first is None:
            self._first = vector
            print_line(f"cosine to first  length  {f'first 3 of {len(vector)}':22}  text")
        length = float(np.linalg.norm(vector))
        first = float(np.linalg.norm(self._first))
        cosine = float(vector @ self._first) / max(length * first, 1e-12)
        numbers = " ".join(f"{x:+.2f}" for x in vector[:3])
        print_line(f"{cosine:15.3f}  {length:6.2f}  {numbers:22}  {text}")


class VectorFile:
    """A .npy file that grows row by row, float32.

    The number of rows goes into the header at the end, into the room that numpy leaves for it.
    file: empty, or with so many `rows` of one that was not finished.
    """

    def __init__(self, file: BinaryIO, rows: int = 0) -> None:
        import numpy as np

        self._file, self.rows, self.width = file, rows, 0
        if rows:
            file.seek(0)
            np.lib.format.read_magic(file)
            self.width = np.lib.format.read_array_header_1_0(file)[0][1]
            file.seek(0, io.SEEK_END)

    def append(self, vectors: Floats) -> None:
        """Write vectors (N, H)."""
        import numpy as np

        if not self.rows:
            self.width = vectors.shape[1]
            self._write_header()
        self.rows += len(vectors)
        self._file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())

    def finish(self) -> None:
        """Write the number of rows."""
        self._file.seek(0)
        self._write_header()
        self._file.seek(0, io.SEEK_END)

    def _write_header(self) -> None:
        import numpy as np

        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_1_0(self._file, header)
