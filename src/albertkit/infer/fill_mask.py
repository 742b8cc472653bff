"""Fill the masks of a text: several together, by a beam search over the chain rule.

A masked language model gives, for each mask, a distribution that ignores what the other masks
will hold. Their product is not the probability of a filling: "New [MASK] [MASK]" may want "York
City" or "England town", and the product would happily take "York town". Here a filling has

    p(t1 .. tk) = p(t1 | nothing filled) * p(t2 | t1) * ... * p(tk | t1 .. tk-1)

in one order of the masks, the same for all fillings of a text, so that the probabilities of all
fillings add up to 1. The next mask is always the one of which the model is most certain, given
the best filling so far. Each factor is one run of the model over the beam.

Where that is too slow, or not wanted, each mask is filled by itself in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from albertkit.errors import TextError
from albertkit.infer.answers import Candidate, Filling, Fillings
from albertkit.infer.batches import Runner
from albertkit.infer.texts import shown
from albertkit.tasks.classify import log_softmax
from albertkit.text.encoding import Encoding
from albertkit.text.tokenizer import MASK, Tokenizer

MAX_MASKS_TOGETHER = 64  # each mask costs a run of the network over all that are followed
_MIN_BEAM = 16  # fillings followed at least: a good one may begin with a poor token

Floats = npt.NDArray[np.floating]

# Sequences of ids of one text -> (sequences, masks, V) log-probabilities at its masks.
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
    positions: Sequence[int],
    first: Floats,
    *,
    width: int,
    barred: npt.NDArray[np.bool_],
) -> list[Beam]:
    """Find the most probable fillings of one row, the best first; `width` of them are followed.

    row: ids with the mask id at `positions`. first (masks, V): log-probabilities of it as it is.
    barred (V,): ids that are not words, such as [SEP]; their probability stays unused.
    """
    open_masks = list(range(len(positions)))
    beams = [Beam((-1,) * len(positions), 0.0)]
    table = first[None]
    while open_masks:
        mask = most_certain(table[0], open_masks, barred)
        open_masks.remove(mask)
        beams = _extend(beams, mask, table[:, mask], width, barred)
        if open_masks:
            table = score([_filled(row, positions, beam) for beam in beams])
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


def _filled(row: Sequence[int], positions: Sequence[int], beam: Beam) -> list[int]:
    ids = list(row)
    for position, token in zip(positions, beam.ids, strict=True):
        if token >= 0:
            ids[position] = token
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


def refuse_unmasked(texts: Sequence[str], tokenizer: Tokenizer) -> None:
    """Refuse texts in which no word is missing.

    Raises:
        TextError: names the first one.
    """
    names = " or ".join(dict.fromkeys((MASK, tokenizer.mask_token)))
    for number, text in enumerate(texts):
        if not tokenizer.mask_spans(text):
            raise TextError(
                "The text has no mask.",
                expected=f"{names} where a word is missing",
                found=shown(text, number, texts),
                fix=f"write {MASK}, in capitals and square brackets",
            )


def mask_positions(
    encodings: Sequence[Encoding], texts: Sequence[str], tokenizer: Tokenizer, limit: int
) -> list[list[int]]:
    """Which tokens of each text are masks.

    Raises:
        TextError: one was cut off (`limit`: tokens that the model reads).
    """
    found = []
    for encoding, text in zip(encodings, texts, strict=True):
        positions = [n for n, i in enumerate(encoding.ids) if i == tokenizer.mask_id]
        written = len(tokenizer.mask_spans(text))
        if len(positions) != written:
            raise TextError(
                "The text is so long that a mask would be cut off.",
                expected=f"every mask in the first {limit} tokens",
                found=f"{len(positions)} of {written} masks there",
                fix="shorten the text around the mask",
            )
        found.append(positions)
    return found


def refuse_many(positions: Sequence[Sequence[int]]) -> None:
    """Refuse masks so many that filling them together would take very long.

    Raises:
        TextError: with the two ways to go on.
    """
    most = max(len(masks) for masks in positions)
    if most > MAX_MASKS_TOGETHER:
        raise TextError(
            "The text has so many masks that filling them together would take very long.",
            expected=f"at most {MAX_MASKS_TOGETHER} masks",
            found=most,
            fix="pass independent=True to fill each by itself, or independent=False to wait",
            command_fix="add --independent to fill each by itself",
        )


def score_masks(
    runner: Runner, encodings: Sequence[Encoding], positions: Sequence[Sequence[int]]
) -> list[Floats]:
    """Log-probabilities (masks, V) at the masks of each text."""
    answers: list[Floats] = [np.zeros((0, 0), dtype=np.float32)] * len(encodings)
    for outputs in runner.run(encodings, ("masked_lm",), positions):
        scores = log_softmax(outputs["masked_lm"])
        ends = np.cumsum([len(positions[i]) for i in outputs.indices])[:-1]
        for index, part in zip(outputs.indices, np.split(scores, ends), strict=True):
            answers[index] = part
    return answers


def scorer_of(runner: Runner, encoding: Encoding, positions: list[int]) -> Scorer:
    """What the search of one text asks: sequences of ids to log-probabilities at the masks."""

    def score(sequences: Sequence[Sequence[int]]) -> Floats:
        filled = [
            Encoding(list(ids), encoding.segment_ids, encoding.offsets, encoding.word_starts)
            for ids in sequences
        ]
        return np.stack(score_masks(runner, filled, [positions] * len(filled)))

    return score


@dataclass(frozen=True)
class Filler:
    """Writes fillings of texts: tokenizer and barred ids (V,) of one model."""

    tokenizer: Tokenizer
    barred: npt.NDArray[np.bool_]

    def together(
        self,
        text: str,
        encoding: Encoding,
        positions: Sequence[int],
        first: Floats,
        top_k: int,
        score: Scorer,
    ) -> Fillings:
        """The best fillings by the chain rule; first (masks, V) log-probabilities."""
        width = max(top_k, _MIN_BEAM)
        beams = search(score, encoding.ids, positions, first, width=width, barred=self.barred)
        return self._fillings(text, encoding, positions, first, top_k, beams[:top_k])

    def each_alone(
        self, text: str, encoding: Encoding, positions: Sequence[int], first: Floats, top_k: int
    ) -> Fillings:
        """One filling with the best token of each mask; with one mask the `top_k` best."""
        if len(positions) == 1:
            ids = best_ids(first[0], top_k, self.barred)
            beams = [Beam((i,), float(first[0][i])) for i in ids]
        else:
            best = [best_ids(line, 1, self.barred)[0] for line in first]
            total = sum(float(line[i]) for line, i in zip(first, best, strict=True))
            beams = [Beam(tuple(best), total)]
        return self._fillings(text, encoding, positions, first, top_k, beams)

    def _fillings(
        self,
        text: str,
        encoding: Encoding,
        positions: Sequence[int],
        first: Floats,
        top_k: int,
        beams: Sequence[Beam],
    ) -> Fillings:
        pieces = self.tokenizer.pieces
        spans = [encoding.offsets[position] for position in positions]
        return Fillings(
            text=text,
            best=tuple(self._filling(text, spans, beam) for beam in beams),
            masks=tuple(
                tuple(
                    Candidate(pieces[i], i, float(np.exp(line[i])))
                    for i in best_ids(line, top_k, self.barred)
                )
                for line in first
            ),
        )

    def _filling(self, text: str, spans: list[tuple[int, int]], beam: Beam) -> Filling:
        pieces = tuple(self.tokenizer.pieces[i] for i in beam.ids)
        return Filling(
            text=put_pieces(text, spans, pieces, self.tokenizer.kind),
            tokens=pieces,
            ids=beam.ids,
            probability=float(np.exp(beam.score)),
        )
