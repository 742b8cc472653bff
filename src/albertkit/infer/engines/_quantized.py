"""Packed int8 models for OpenVINO, made by NNCF once and kept in the user's cache."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from typing import Any

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch
from albertkit.errors import OutputError
from albertkit.files import atomic_folder
from albertkit.graph.layouts import packed_inputs
from albertkit.graph.network import pick_of
from albertkit.graph.openvino_graph import packed_model
from albertkit.hub.cache import cache_folder
from albertkit.infer.digest import digest_of
from albertkit.plugins import need_package

_EVERY = 5  # tokens, of which one is a masked position while calibrating
_FILE = "model.xml"


def quantized_model(checkpoint: Checkpoint, want: tuple[str, ...], batches: Sequence[Batch]) -> Any:
    """The packed graph of some outputs in int8; from the cache if it was made before."""
    openvino = need_package("openvino", "openvino")
    folder = cache_folder() / "openvino" / _key(checkpoint, want, batches)
    if (folder / _FILE).is_file():
        with suppress(RuntimeError):  # damaged: it is made again
            return openvino.Core().read_model(folder / _FILE)
    model = quantize_packed(checkpoint, want, batches)
    # A cache that cannot be written costs time only; OpenVINO's own errors are RuntimeErrors.
    writes = suppress(OutputError, OSError, RuntimeError)
    with writes, atomic_folder(folder, replace=True) as temporary:
        openvino.save_model(model, temporary / _FILE, compress_to_fp16=False)
    return model


def quantize_packed(checkpoint: Checkpoint, want: tuple[str, ...], batches: Sequence[Batch]) -> Any:
    """NNCF's post-training quantization of a packed graph, calibrated with some batches."""
    pick = pick_of(checkpoint, want)

    def inputs_of(batch: Batch) -> dict[str, np.ndarray]:
        return packed_inputs(batch, pick, np.arange(1, len(batch.ids), _EVERY))

    return quantize_with_nncf(packed_model(checkpoint, want), batches, inputs_of)


def quantize_with_nncf(model: Any, batches: Sequence[Batch], inputs_of: Any) -> Any:
    """A model of OpenVINO in int8; inputs_of: the inputs of the model for a batch."""
    os.environ.setdefault("NNCF_CI", "1")  # else it reports its use over the network
    nncf = need_package("nncf", "openvino")
    nncf.set_log_level(40)  # errors only
    with redirect_stdout(io.StringIO()):  # its progress bars
        return nncf.quantize(
            model,
            nncf.Dataset(list(batches), inputs_of),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
        )


def _key(checkpoint: Checkpoint, want: tuple[str, ...], batches: Sequence[Batch]) -> str:
    """A hash of everything that decides the quantized model."""
    versions = [
        getattr(need_package(name, "openvino"), "__version__", "") for name in ("openvino", "nncf")
    ]
    return digest_of(checkpoint, want, versions, batches=tuple(batches))
