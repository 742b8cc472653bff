"""SavedModel of TensorFlow: the signatures of TF-Hub's ALBERT, and one for the task."""

from __future__ import annotations

from pathlib import Path

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.infer.calibration import read_texts
from albertkit.infer.engines.tensorflow import TEXT_EXTRA, TEXT_PACKAGE, need_tensorflow
from albertkit.plugins import need_package

TITLE = "SavedModel"
ENGINE = "tensorflow"
PRECISIONS = ("fp32",)
PACKAGES = ("tensorflow", "keras")
CALIBRATED: tuple[str, ...] = ()
FIXES_LENGTH = False
TOKENIZER_PACKAGE = TEXT_PACKAGE
EXAMPLE = '''"""Runs the model of this folder: python example.py"""

from pathlib import Path

import tensorflow as tf
from albertkit import Tokenizer

folder = Path(__file__).resolve().parent
model = tf.saved_model.load(str(folder))
tokenizer = Tokenizer.load(folder)
{inputs}
inputs = {name: tf.constant(array, tf.int32) for name, array in inputs.items()}
for name, output in model.signatures["serving_default"](**inputs).items():
    print(name, output.shape, output.numpy().reshape(-1)[:4])
print("also:", *model.signatures)
'''


def write(
    checkpoint: Checkpoint,
    folder: Path,
    task: str,
    precision: str,
    calibrate: str | Path | None,
    length: int | None,
    tokenize: str | Path | None,
) -> None:
    """See `Exporter.write`."""
    need_tensorflow()
    from albertkit.exporters._signatures import save

    texts = None
    if tokenize is not None:
        need_package(TEXT_PACKAGE, TEXT_EXTRA)
        from albertkit.exporters._text_graph import checked_text_graph

        texts = checked_text_graph(checkpoint, task, read_texts(tokenize))
    save(checkpoint, folder, task, hub=True, texts=texts)
