"""A name for a model by its content, for what is kept in the user's cache about it."""

from __future__ import annotations

import hashlib

import numpy as np

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch


def digest_of(checkpoint: Checkpoint, *facts: object, batches: tuple[Batch, ...] = ()) -> str:
    """32 hexadecimal digits of everything that decides what is kept.

    facts: by their repr. batches: by their tokens.
    """
    digest = hashlib.sha256(repr((checkpoint.config, checkpoint.head, *facts)).encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    for batch in batches:
        digest.update(batch.ids.tobytes())
        digest.update(batch.lengths.tobytes())
    return digest.hexdigest()[:32]
