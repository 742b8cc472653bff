"""What is held out of a file: a share of each class, equal texts on one side."""

from __future__ import annotations

from collections import Counter

from albertkit.tasks.examples import SpanExample, TextExample
from albertkit.tasks.splits import hold_out


def test_a_share_of_each_class_is_held_out() -> None:
    labels = ["common"] * 200 + ["rare"] * 20 + ["single"]
    examples = [TextExample(str(n), f"text {n}", None, x) for n, x in enumerate(labels)]
    train, dev = hold_out(examples, 0.1, 3, by_class=True)
    assert Counter(e.label for e in dev) == {"common": 20, "rare": 2}
    assert Counter(e.label for e in train) == {"common": 180, "rare": 18, "single": 1}
    assert hold_out(examples, 0.1, 3, by_class=True) == (train, dev)
    assert hold_out(examples, 0.1, 4, by_class=True) != (train, dev)
    assert [int(e.id) for e in train] == sorted(int(e.id) for e in train)


def test_equal_texts_are_on_one_side_whatever_their_labels() -> None:
    examples = [TextExample(str(n), f"text {n % 30}", None, str(n % 4)) for n in range(120)]
    train, dev = hold_out(examples, 0.2, 0, by_class=True)
    assert dev
    assert not {e.text for e in train} & {e.text for e in dev}
    assert len(train) + len(dev) == 120


def questions(articles: int, each: int) -> list[SpanExample]:
    """Each article has contexts of two questions."""
    return [
        SpanExample(f"{a}-{n}", f"text {a} {n // 2}", f"what {n}?", ((0, "text"),), article=f"a{a}")
        for a in range(articles)
        for n in range(each)
    ]


def test_whole_articles_are_held_out_or_contexts_where_articles_are_few() -> None:
    train, dev = hold_out(questions(20, 6), 0.1, 0, by_class=False)
    assert len({e.article for e in dev}) == 2
    assert not {e.article for e in train} & {e.article for e in dev}
    train, dev = hold_out(questions(2, 40), 0.1, 0, by_class=False)
    assert len({e.context for e in dev}) == 4
    assert not {e.context for e in train} & {e.context for e in dev}
