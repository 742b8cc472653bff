"""What stands before the names of an ALBERT in a state dict of the user's program.

DataParallel puts "module." there, torch.compile "_orig_mod.", the user's own class the name of its
attribute: `self.model = AlbertForMaskedLM(...)`.
"""

from __future__ import annotations

from collections.abc import Iterable

_WORDS = "embeddings.word_embeddings.weight"
_LAYERS = ("encoder.albert_layer_groups.", "encoder.transformer.group.", "encoder.layer_shared.")
_BODIES = ("albert.", "bert.")


def find_prefix(names: Iterable[str]) -> str:
    """What stands before the ALBERT's own names, such as "module."; nothing if they are bare.

    The encoder has to be an ALBERT's: another model's names are left alone.
    """
    known = list(names)
    stems = {name[: -len(_WORDS)] for name in known if name.endswith(_WORDS)}
    bodies = [
        stem
        for stem in sorted(stems, key=len)
        if any(name.startswith(stem + layers) for layers in _LAYERS for name in known)
    ]
    if len(bodies) != 1:
        return ""
    return _before(bodies[0])


def _before(stem: str) -> str:
    """The part of a body's name that is not transformers' or lonePatient's: of "model.albert."."""
    for body in _BODIES:
        if stem == body or stem.endswith("." + body):
            return stem.removesuffix(body)
    return stem


def without_prefix(names: Iterable[str]) -> dict[str, str]:
    """The ALBERT's own name of each tensor; names without the prefix stay as they are."""
    known = list(names)
    prefix = find_prefix(known)
    taken = {name.removeprefix(prefix) for name in known if name.startswith(prefix)}
    return {
        name: name.removeprefix(prefix) if name.startswith(prefix) or name not in taken else name
        for name in known
    }
