"""Tasks as they are learned: one row for each, by the column `task` of tasks.kinds.

What a head's outputs mean when the model is asked is in the files of the tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from albertkit.tasks import choose, classify, tag_words
from albertkit.tasks.head import TaskHead
from albertkit.tasks.rows import Floats, Rows


@dataclass(frozen=True)
class Codec:
    """How examples of a task become a head, rows and targets.

    head_for(examples, kind), targets_of(head, examples, where), encode(tokenizer, examples,
    max_tokens): see `classify` and `tag_words`. constant(head, targets, rows): the answer of who
    has seen the training targets only, as logits for the units of some rows.
    """

    head_for: Callable[[Any, str], TaskHead]
    targets_of: Callable[[TaskHead, Any, object], Any]
    encode: Callable[[Any, Any, int], Rows]
    constant: Callable[[TaskHead, Any, Rows], Floats] = classify.constant_answers


CODECS: dict[str, Codec] = {
    "classify": Codec(classify.head_for, classify.targets_of, classify.encode),
    "tag": Codec(tag_words.head_for, tag_words.targets_of, tag_words.encode),
    "choose": Codec(choose.head_for, choose.targets_of, choose.encode, choose.constant_answers),
}
