"""TensorFlow opens the checkpoints that albertkit wrote; run with a Python that has TensorFlow.

    python tests/interop/tensorflow_reads.py FOLDER

Each case is a folder in FOLDER with a checkpoint and `expected.npz`, the tensors by the names they
must have, as albertkit meant them. Writes one JSON line for each case; ends with 1 if one differs.
Besides `load_checkpoint`, the classic saver restores every variable into a graph, as google's
programs do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def problems(folder: Path) -> list[str]:
    """What differs in one case."""
    prefix = str(next(folder.glob("*.index"))).removesuffix(".index")
    with np.load(folder / "expected.npz") as file:
        expected = {name: file[name] for name in file}
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    found = []
    if set(shapes) != set(expected):
        found.append(f"names: {sorted(set(shapes) ^ set(expected))[:5]}")
    for name in sorted(set(shapes) & set(expected)):
        found += difference(name, reader.get_tensor(name), expected[name])
    if found:
        return found
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {
            name: v1.get_variable(name, value.shape, tf.as_dtype(reader.get_tensor(name).dtype))
            for name, value in expected.items()
        }
        v1.train.Saver(variables).restore(session, prefix)
        for name, value in session.run(variables).items():
            found += difference(name, value, expected[name])
    return found


def difference(name: str, found: np.ndarray, expected: np.ndarray) -> list[str]:
    """Nothing, if shape and every bit are the same; half precisions are compared as float32."""
    if found.dtype != expected.dtype:
        found = found.astype(expected.dtype)
    same = found.shape == expected.shape and found.tobytes() == expected.tobytes()
    return [] if same else [f"{name}: {found.dtype} {found.shape} differs"]


def main(folder: Path) -> int:
    """Check every case; 0 if all are the same."""
    cases = sorted(path.parent for path in folder.glob("*/expected.npz"))
    failed = not cases
    for case in cases:
        found = problems(case)
        failed = failed or bool(found)
        print(json.dumps({"case": case.name, "problems": found, "tensorflow": tf.__version__}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
