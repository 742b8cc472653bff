"""Entities that were found against those that are there: precision, recall and F1.

An entity counts if its words and its type are right. By default tags are read as conlleval and
seqeval read them, whatever the scheme; `scheme` reads them strictly, as seqeval's mode "strict":
what breaks the scheme is not an entity (an I- without a B- before it in BIO).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from albertkit.errors import PredictionError
from albertkit.tasks.metrics import f1_of_counts
from albertkit.tasks.tag import Entity, group_entities, split_tag

# Marks of each scheme, as those of BIOES: what begins, goes on, ends, and stands alone.
SCHEMES: dict[str, Mapping[str, str]] = {
    "BIO": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "U": "S"},
    "BMES": {"B": "B", "M": "I", "E": "E", "S": "S"},
}
OUTSIDE = "O"
Found = tuple[str, int, int]  # type, first word, last word
_Pair = tuple[str, str]  # mark and type of a tag
_NOTHING: _Pair = (OUTSIDE, OUTSIDE)


@dataclass(frozen=True)
class EntityScores:
    """Entities of one type, or of all: `right` of the `predicted`, and of those in `gold`.

    by_type: the same for each type that occurs, by name.
    """

    right: int
    predicted: int
    gold: int
    by_type: Mapping[str, EntityScores] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        """Share of the predicted entities that are right."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the entities that were found."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """F1 of all entities together (micro): conlleval's FB1 divided by 100."""
        return f1_of_counts(self.right, self.predicted, self.gold)

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 of the types."""
        each = [scores.f1 for scores in self.by_type.values()]
        return sum(each) / len(each) if each else 0.0


def entity_scores(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    scheme: str | None = None,
) -> EntityScores:
    """Scores of predicted tags: a list for each sentence, a tag for each word.

    scheme: one of SCHEMES to read tags strictly.

    Raises:
        PredictionError: sentences of different lengths, an unknown scheme, or a tag outside it.
    """
    shapes = [len(tags) for tags in gold], [len(tags) for tags in predicted]
    if shapes[0] != shapes[1]:
        number = next((n for n, (a, b) in enumerate(zip(*shapes, strict=False)) if a != b), None)
        raise PredictionError(
            "The predicted tags do not fit the sentences.",
            expected="a tag for each word",
            found=f"{len(shapes[0])} and {len(shapes[1])} sentences"
            if number is None
            else f"{shapes[1][number]} tags for {shapes[0][number]} words",
            where=None if number is None else f"sentence {number + 1}",
            fix="predict the same sentences that are scored",
        )
    right: Counter[str] = Counter()
    found: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for one, other in zip(gold, predicted, strict=True):
        a, b = set(entities(one, scheme)), set(entities(other, scheme))
        there.update(kind for kind, _, _ in a)
        found.update(kind for kind, _, _ in b)
        right.update(kind for kind, _, _ in a & b)
    kinds = {k: EntityScores(right[k], found[k], there[k]) for k in sorted(there | found)}
    return EntityScores(right.total(), found.total(), there.total(), kinds)


def entities(tags: Sequence[str], scheme: str | None = None) -> list[Found]:
    """Type, first and last word of each entity of a sentence, in order; see `entity_scores`."""
    if scheme is None:
        if all(tag == OUTSIDE for tag in tags):
            return []
        words = [Entity(tag, n, n, 1.0) for n, tag in enumerate(tags)]
        return [(x.label, x.first, x.last) for x in group_entities(words)]
    return list(_strict(_of_scheme(tags, scheme), scheme))


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities as B-, I- and O, from tags of any scheme."""
    made = [OUTSIDE] * len(tags)
    for kind, first, last in entities(tags):
        end = f"-{kind}" if kind else ""
        made[first : last + 1] = ["B" + end] + ["I" + end] * (last - first)
    return tuple(made)


def bio_labels(*kinds: str) -> tuple[str, ...]:
    """O, then B- and I- of each type of entity."""
    return (OUTSIDE, *(f"{mark}-{kind}" for kind in kinds for mark in "BI"))


def _of_scheme(tags: Sequence[str], scheme: str) -> list[_Pair]:
    """Marks of BIOES with the type of each tag."""
    if scheme not in SCHEMES:
        raise PredictionError(
            f"scheme must be one of {', '.join(SCHEMES)}; got {scheme!r}.",
            fix="leave scheme out",
        )
    marks = SCHEMES[scheme]
    made = []
    for number, tag in enumerate(tags):
        mark, kind = split_tag(tag)
        if tag != OUTSIDE and mark not in marks:
            raise PredictionError(
                f"A tag does not belong to the scheme {scheme}.",
                expected=f"{OUTSIDE}, or a tag that begins with {', '.join(marks)}",
                found=tag,
                where=f"word {number + 1}",
                fix="name the scheme of the tags, or leave scheme out",
            )
        made.append(_NOTHING if tag == OUTSIDE else (marks[mark], kind))
    return made


def _strict(tags: Sequence[_Pair], scheme: str) -> Iterator[Found]:
    """Entities that obey a scheme from their first tag to the one behind their last."""
    begins = _begins_iob1 if scheme == "IOB1" else _begins
    padded = [*tags, _NOTHING]
    position = 0
    while position < len(tags):
        first = position
        position += 1
        before = padded[first - 1] if first else _NOTHING
        if begins(before, padded[first]):
            while _goes_on(padded[position - 1], padded[position]):
                position += 1
            if _ends(padded[position - 1], padded[position], scheme):
                yield padded[first][1], first, position - 1


def _begins(before: _Pair, tag: _Pair) -> bool:
    return tag[0] in "BS"


def _begins_iob1(before: _Pair, tag: _Pair) -> bool:
    """An I- begins unless it goes on; a B- only parts two entities of one type."""
    if tag[0] == "I":
        return before[0] in "OB" or before[1] != tag[1]
    return tag[0] == "B" and before == (before[0], tag[1]) and before[0] != OUTSIDE


def _goes_on(before: _Pair, tag: _Pair) -> bool:
    return before[0] in "BI" and tag[0] in "IE" and before[1] == tag[1]


def _ends(last: _Pair, behind: _Pair, scheme: str) -> bool:
    """Whether an entity may end between these tags."""
    if scheme == "IOB1":  # seqeval's table has no end where B- follows B- of another type
        return not (last[0] == behind[0] == "B" and last[1] != behind[1])
    return scheme == "BIO" or last[0] in "ES"
