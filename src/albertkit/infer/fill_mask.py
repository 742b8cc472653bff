"""Fill several masks of one text together: a beam search over the chain rule.

A masked language model gives, for each mask, a distribution that ignores what the other masks
will hold. Their product is not the probability of a filling: "New [MASK] [MASK]" may want "York
City" or "England town", and the product would happily take "York town". Here a filling has

    p(t1 .. tk) = p(t1 | nothing filled) * p(t2 | t1) * ... * p(tk | t1 .. tk-1)

in one order of the masks, the same for all fillings of a text, so that the probabilities of all
fillings add up to 1. The next mask is always the one of which the model is most certain, given
the best filling so far. Each factor is one run of the model over the beam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

# Rows of ids of one text -> (rows, masks, V) natural logarithms of probabilities at its masks.
Scorer = Callable[[Sequence[Sequence[int]]], Floats]


@dataclass(frozen=True)
class Beam:
    """A partial filling: an id for each mask that is filled, and the logarithm of its probability.

    `ids[n]` is the id of mask n, or -1 while it is open.
    """

    ids: tuple[int, ...]
    score: float


def best_ids(log_probabilities: Floats, count: int, barred: npt.NDArray[np.bool_]) -> list[int]:
    """Ids of the `count` most probable tokens, the best first; barred ids are never among them."""
    scores = np.where(barred, -np.inf, log_probabilities)
    count = min(count, int((~barred).sum()))
    return [int(i) for i in np.argsort(-scores, kind="stable")[:count]]


def search(
    score: Scorer,
    row: Sequence[int],
    places: Sequence[int],
    first: Floats,
    *,
    width: int,
    barred: npt.NDArray[np.bool_],
) -> list[Beam]:
    """Find the most probable fillings of one row, the best first; `width` of them are followed.

    row: ids with the mask id at `places`. first (masks, V): log-probabilities of the row as it is.
    barred (V,): ids that are no words, such as [SEP]; their probability stays unused.
    """
    open_masks = list(range(len(places)))
    beams = [Beam((-1,) * len(places), 0.0)]
    table = first[None]
    while open_masks:
        mask = most_certain(table[0], open_masks, barred)
        open_masks.remove(mask)
        beams = _extend(beams, mask, table[:, mask], width, barred)
        if open_masks:
            table = score([_filled(row, places, beam) for beam in beams])
    return beams


def most_certain(table: Floats, open_masks: Sequence[int], barred: npt.NDArray[np.bool_]) -> int:
    """The open mask whose best token is the most probable; the first of equals."""
    return max(open_masks, key=lambda mask: float(table[mask][~barred].max()))


def _extend(
    beams: Sequence[Beam],
    mask: int,
    log_probabilities: Floats,  # (beams, V) at this mask
    width: int,
    barred: npt.NDArray[np.bool_],
) -> list[Beam]:
    """Every beam with every good token at `mask`; the best `width` of all."""
    extended = [
        Beam((*beam.ids[:mask], token, *beam.ids[mask + 1 :]), beam.score + float(line[token]))
        for beam, line in zip(beams, log_probabilities, strict=True)
        for token in best_ids(line, width, barred)
    ]
    return sorted(extended, key=lambda beam: -beam.score)[:width]


def _filled(row: Sequence[int], places: Sequence[int], beam: Beam) -> list[int]:
    ids = list(row)
    for place, token in zip(places, beam.ids, strict=True):
        if token >= 0:
            ids[place] = token
    return ids


def put_pieces(
    text: str, spans: Sequence[tuple[int, int]], pieces: Sequence[str], kind: str
) -> str:
    """Write pieces over the masks of a text; `spans` are the characters of each mask, in order.

    A piece says itself whether it starts a word, so the spaces before a mask follow the piece.
    kind "sentencepiece": "▁capital" wants one space, "s" none. kind "wordpiece": "##s" wants
    none, any other piece keeps what stands there (Chinese has no spaces).
    """
    written, end = "", 0
    for (begin, stop), piece in zip(spans, pieces, strict=True):
        written += text[end:begin]
        if kind == "sentencepiece" and piece.startswith("▁"):
            joined = not written or written[-1].isspace()
            written += piece[1:] if joined else " " + piece[1:]
        elif kind == "sentencepiece":
            written = written.rstrip() + piece
        elif piece.startswith("##") and len(piece) > 2:
            written = written.rstrip() + piece[2:]
        else:
            written += piece
        end = stop
    return written + text[end:]
