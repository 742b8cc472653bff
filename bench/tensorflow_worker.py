"""One contestant of tensorflow_speed.py: reads orders, a line of JSON each, and answers them.

python tensorflow_worker.py albertkit|keras-hub|transformers FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], Any]
Arrays = dict[str, Any]


def main() -> None:
    """Answer until there are no more orders."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=("albertkit", "keras-hub", "transformers"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    prepared: dict[str, Run] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "prepare":
            batches = read_batches(options.folder, order["rows"])
            make = training if order["work"] == "train" else inference
            run = make(options.name, options.folder, batches, order["work"], order["way"] == "xla")
            first = run()
            prepared[order["way"]] = run
            print(json.dumps(np.concatenate([np.ravel(x) for x in first]).tolist()), flush=True)
        else:
            wall, cpu = time.perf_counter(), time.process_time()
            prepared[order["way"]]()
            print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


def read_batches(folder: Path, kind: str) -> list[Arrays]:
    """The batches of one kind."""
    paths = sorted(path for path in folder.glob("*.npz") if path.stem[:-2] == kind)
    return [dict(np.load(path)) for path in paths]


def inference(name: str, folder: Path, batches: list[Arrays], work: str, xla: bool) -> Run:
    """The outputs of all batches; vectors of the real tokens alone are compared."""
    import tensorflow as tf

    if name == "albertkit":
        return with_engine(folder, batches, work)
    body, _ = PEERS[name](folder)
    number = 0 if work == "hidden" else 1
    function = tf.function(lambda ids, mask: body(ids, mask, False)[number], **compiled(xla))

    def run() -> list[Any]:
        found = [function(tf.constant(x["ids"]), tf.constant(x["mask"])).numpy() for x in batches]
        if work == "hidden":
            found = [x[batch["mask"] > 0] for x, batch in zip(found, batches, strict=True)]
        return found

    return run


def with_engine(folder: Path, batches: list[Arrays], work: str) -> Run:
    """The same by the engine of `Predictor(engine="tensorflow")`."""
    from albertkit.checkpoint.checkpoint import Checkpoint
    from albertkit.data.batch import Batch
    from albertkit.infer.tensorflow_engine import TensorflowEngine

    engine = TensorflowEngine(Checkpoint.load(folder / "albertkit"))
    packed = [
        Batch(x["ids"][x["mask"] > 0], np.zeros(x["mask"].sum(), np.int64), x["mask"].sum(1))
        for x in batches
    ]
    return lambda: [engine.run(batch, [work])[work] for batch in packed]


def training(name: str, folder: Path, batches: list[Arrays], work: str, xla: bool) -> Run:
    """A step on every batch; gives the losses."""
    import tensorflow as tf

    if name == "albertkit":
        from albertkit.keras import AlbertForSequenceClassification

        model = AlbertForSequenceClassification.from_pretrained(folder / "albertkit")
        weights = model.trainable_weights

        def logits_of(ids: Any, mask: Any) -> Any:
            return model(input_ids=ids, attention_mask=mask, training=True).logits

    else:
        body, weights = PEERS[name](folder)
        if name == "transformers":
            make = tf.Variable
        else:
            from keras import Variable as make
        parts = np.load(folder / "head.npz")
        kernel, bias = make(parts["kernel"]), make(parts["bias"])
        weights = [*weights, kernel, bias]

        def logits_of(ids: Any, mask: Any) -> Any:
            return tf.matmul(
                body(ids, mask, True)[1], tf.convert_to_tensor(kernel)
            ) + tf.convert_to_tensor(bias)

    return steps(name, logits_of, weights, batches, xla)


def steps(name: str, logits_of: Any, weights: list[Any], batches: list[Arrays], xla: bool) -> Run:
    """Keras' AdamW."""
    import tensorflow as tf

    if name == "transformers":
        import tf_keras as keras
    else:
        import keras
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.01)
    optimizer.build(weights)
    variables = weights if name == "transformers" else [x.value for x in weights]

    def step(ids: Any, mask: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = logits_of(ids, mask)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    function = tf.function(step, **compiled(xla, 3))
    names = ("ids", "mask", "labels")
    return lambda: [function(*(tf.constant(x[n]) for n in names)).numpy() for x in batches]


def compiled(xla: bool, arguments: int = 2) -> dict[str, Any]:
    """XLA compiles for each shape of a batch; a graph serves all of them."""
    import tensorflow as tf

    if xla:
        return {"jit_compile": True}
    specs = [tf.TensorSpec([None, None], tf.int32)] * 2 + [tf.TensorSpec([None], tf.int32)]
    return {"input_signature": specs[:arguments]}


def keras_hub(folder: Path) -> tuple[Any, list[Any]]:
    """Its backbone: vectors of tokens and of rows."""
    import tensorflow as tf
    from keras_hub.models import Backbone

    model = Backbone.from_preset(str(folder / "keras-hub"))

    def body(ids: Any, mask: Any, training: bool) -> Any:
        inputs = {"token_ids": ids, "segment_ids": tf.zeros_like(ids), "padding_mask": mask}
        found = model(inputs, training=training)
        return found["sequence_output"], found["pooled_output"]

    return body, model.trainable_weights


def transformers(folder: Path) -> tuple[Any, list[Any]]:
    """TFAlbertModel."""
    from safetensors.numpy import load_file
    from transformers import AlbertConfig, TFAlbertModel
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    place = folder / "transformers"
    model = TFAlbertModel(AlbertConfig.from_pretrained(place))
    # Its from_pretrained cannot read the file with the safetensors of today.
    load_pytorch_state_dict_in_tf2_model(model, load_file(place / "model.safetensors"))

    def body(ids: Any, mask: Any, training: bool) -> Any:
        found = model({"input_ids": ids, "attention_mask": mask}, training=training)
        return found.last_hidden_state, found.pooler_output

    return body, model.trainable_weights


PEERS = {"keras-hub": keras_hub, "transformers": transformers}

if __name__ == "__main__":
    main()
