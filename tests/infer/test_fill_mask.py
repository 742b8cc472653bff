"""Joint filling, on toy distributions that can be added up by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from albertkit.infer.fill_mask import Beam, best_ids, put_pieces, search

NOTHING_BARRED = np.zeros(4, dtype=np.bool_)
MASK = 9


def chain(first: np.ndarray, given_first: np.ndarray) -> tuple[np.ndarray, object]:
    """Mask 0 has p(first); mask 1 has p(second | first), or its average while mask 0 is open."""
    open_table = np.log(np.stack([first, first @ given_first]))

    def score(rows: Sequence[Sequence[int]]) -> np.ndarray:
        assert all(row[0] != MASK and row[1] == MASK for row in rows), "mask 0 is filled first"
        return np.log(np.stack([np.stack([first, given_first[row[0]]]) for row in rows]))

    return open_table, score


# "New [MASK] [MASK]": York wants City, England wants town; each alone is the other way round.
FIRST = np.array([0.6, 0.3, 0.05, 0.05])
GIVEN_FIRST = np.array(
    [
        [0.1, 0.2, 0.4, 0.3],
        [0.97, 0.01, 0.01, 0.01],
        [0.25, 0.25, 0.25, 0.25],
        [0.25, 0.25, 0.25, 0.25],
    ]
)


def test_joint_probability_is_the_product_along_the_chain() -> None:
    first, score = chain(FIRST, GIVEN_FIRST)
    beams = search(score, [MASK, MASK], [0, 1], first, width=16, barred=NOTHING_BARRED)
    found = {beam.ids: np.exp(beam.score) for beam in beams}
    for a, b in product(range(4), range(4)):
        assert found[a, b] == pytest.approx(FIRST[a] * GIVEN_FIRST[a, b])
    assert sum(found.values()) == pytest.approx(1.0)


def test_best_filling_may_begin_with_the_second_best_token() -> None:
    # Greedy takes token 0 (0.6) and gets 0.6 * 0.4 = 0.24; 0.3 * 0.97 = 0.291 is better.
    first, score = chain(FIRST, GIVEN_FIRST)
    beams = search(score, [MASK, MASK], [0, 1], first, width=4, barred=NOTHING_BARRED)
    assert beams[0].ids == (1, 0)
    assert np.exp(beams[0].score) == pytest.approx(0.3 * 0.97)
    assert [beam.ids for beam in beams[:3]] == [(1, 0), (0, 2), (0, 3)]


def test_most_certain_mask_is_filled_first() -> None:
    first = np.log(np.array([[0.4, 0.3, 0.2, 0.1], [0.05, 0.05, 0.85, 0.05]]))
    asked = []

    def score(rows: Sequence[Sequence[int]]) -> np.ndarray:
        asked.extend(list(row) for row in rows)
        return np.broadcast_to(first, (len(rows), 2, 4))

    beams = search(score, [7, MASK, MASK], [1, 2], first, width=1, barred=NOTHING_BARRED)
    assert asked == [[7, MASK, 2]]
    assert beams == [Beam((0, 2), pytest.approx(np.log(0.85 * 0.4)))]


def test_barred_tokens_are_never_offered_but_keep_their_probability() -> None:
    barred = np.array([False, True, False, False])
    first, score = chain(FIRST, GIVEN_FIRST)
    beams = search(score, [MASK, MASK], [0, 1], first, width=16, barred=barred)
    assert all(1 not in beam.ids for beam in beams)
    assert np.exp(beams[0].score) == pytest.approx(0.6 * 0.4)
    assert best_ids(np.log(FIRST), 9, barred) == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "pieces", "kind", "filled"),
    [
        ("the [MASK] of", ["▁capital"], "sentencepiece", "the capital of"),
        ("the [MASK] of", ["s"], "sentencepiece", "thes of"),
        ("un[MASK]", ["▁happy"], "sentencepiece", "un happy"),
        ("un[MASK]", ["happy"], "sentencepiece", "unhappy"),
        ("[MASK] is", ["▁he"], "sentencepiece", "he is"),
        ("so [MASK], it", [","], "sentencepiece", "so,, it"),
        ("new [MASK] [MASK].", ["▁york", "▁city"], "sentencepiece", "new york city."),
        ("new [MASK][MASK].", ["▁york", "ers"], "sentencepiece", "new yorkers."),
        ("巴[MASK]是", ["黎"], "wordpiece", "巴黎是"),
        ("play [MASK]", ["##ing"], "wordpiece", "playing"),
        ("to [MASK] it", ["do"], "wordpiece", "to do it"),
        ("a [MASK]", ["##"], "wordpiece", "a ##"),
    ],
)
def test_pieces_are_joined_to_the_text_as_they_say(
    text: str, pieces: list[str], kind: str, filled: str
) -> None:
    spans, at = [], 0
    for _ in pieces:
        begin = text.index("[MASK]", at)
        at = begin + len("[MASK]")
        spans.append((begin, at))
    assert put_pieces(text, spans, pieces, kind) == filled
