"""Model cards: README.md of a checkpoint folder, written by the program from the facts of a run.

The card says what was done and measured, and what the program does not know ("not stated").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from albertkit.config import AlbertConfig
from albertkit.parameters import count_parameters
from albertkit.tasks.head import TaskHead

NOT_STATED = "not stated"
_CURVE_LINES = 12
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card says. Texts are plain; figures are (name, value) pairs in their order."""

    name: str
    config: AlbertConfig
    language: str = NOT_STATED  # en, zh
    license: str = NOT_STATED  # of the weights, as an SPDX name
    data: Sequence[tuple[str, str]] = ()
    data_license: str = NOT_STATED
    recipe: str = ""  # TOML
    figures: Sequence[tuple[str, str, str]] = ()  # figure, model, line to beat
    curve: Sequence[Mapping[str, float]] = field(default_factory=list)  # validations by step
    heads: str = "masked-LM and sentence-order head"
    head: TaskHead | None = None  # of the task it was fine-tuned for, instead of `heads`

    @property
    def not_for_transformers(self) -> list[str]:
        """Why transformers cannot run the model; empty if it can."""
        head = [] if self.head is None else self.head.fits_huggingface
        return self.config.fits_huggingface + head


def model_card(facts: CardFacts) -> str:
    """Text of README.md: a YAML header that the hub reads, then prose and tables for people."""
    sections = [
        _header(facts),
        f"# {facts.name}\n\n{_first_words(facts)}",
        "## Use\n\n" + _use(facts),
        "## Data\n\n" + _data(facts),
        "## Figures\n\n" + _figures(facts),
        "## Recipe\n\n" + (f"```toml\n{facts.recipe.strip()}\n```" if facts.recipe else NOT_STATED),
        "## Limits and bias\n\n" + _limits(facts),
        "## What contaminates\n\n" + _contamination(),
    ]
    return "\n\n".join(sections) + "\n"


def _header(facts: CardFacts) -> str:
    """The hub's keys. JSON strings are YAML strings, so nothing in a name can break the header."""
    known = facts.language != NOT_STATED
    own = bool(facts.not_for_transformers)
    task = "fill-mask" if facts.head is None else facts.head.traits.pipeline
    lines = ["---"]
    lines += ["language:", f"- {json.dumps(facts.language)}"] if known else []
    license = "unknown" if facts.license == NOT_STATED else facts.license
    lines += [f"license: {json.dumps(license, ensure_ascii=False)}"]
    lines += [f"library_name: {'albertkit' if own else 'transformers'}", f"pipeline_tag: {task}"]
    tags = ["albert", "albertkit", task]
    tags += ["sentence-order-prediction"] if facts.head is None else []
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---"])


def _first_words(facts: CardFacts) -> str:
    config = facts.config
    body = count_parameters(config)
    if facts.head is None:
        whole, heads = count_parameters(config, masked_lm=True, sentence_order=True), facts.heads
    else:
        whole, heads = count_parameters(config, head=facts.head), _about_head(facts.head)
    language = {"en": "English ", "zh": "Chinese "}.get(facts.language, "")
    return (
        f"An {language}ALBERT (Lan et al. 2019): {config.num_hidden_layers} layers of width "
        f"{config.hidden_size} that share their parameters in {config.num_hidden_groups} group(s), "
        f"word vectors of width {config.embedding_size}, vocabulary of {config.vocab_size:,} "
        f"pieces, texts to {config.max_position_embeddings} tokens. {body:,} parameters in the "
        f"body, {whole:,} with the {heads}. Written by albertkit."
    )


def _about_head(head: TaskHead) -> str:
    names = f" ({', '.join(head.labels)})" if head.labels else ""
    return f"head of its task: {head.traits.purpose.format(count=head.num_labels)}{names}"


def _use(facts: CardFacts) -> str:
    sentence = (
        "巴黎是[MASK]国的首都。" if facts.language == "zh" else "Paris is the [MASK] of France."
    )
    if facts.head is None:
        lines = [
            "from albertkit import Predictor",
            "",
            'predictor = Predictor("path/to/this/folder")',
            f'print(predictor.fill_mask("{sentence}"))',
        ]
    elif facts.head.traits.task in ("classify", "tag"):
        ask = facts.head.traits.task
        sentence = "这部电影很好看。" if facts.language == "zh" else "I liked this film."
        lines = [
            "from albertkit import Predictor",
            "",
            'predictor = Predictor("path/to/this/folder")',
            f'print(predictor.{ask}("{sentence}"))',
        ]
    elif facts.head.traits.task == "span":
        asked = "巴黎是哪国的首都？", "巴黎是法国的首都。"
        if facts.language != "zh":
            asked = "What is Paris?", "Paris is the capital of France."
        lines = [
            "from albertkit import Predictor",
            "",
            'predictor = Predictor("path/to/this/folder")',
            f'print(predictor.answer("{asked[0]}", "{asked[1]}"))',
        ]
    else:
        lines = [
            "from albertkit import Checkpoint",
            "from albertkit.model.loading import build_task",
            "",
            'model = build_task(Checkpoint.load("path/to/this/folder"))',
        ]
    ours = "\n".join(["```python", *lines, "```"])
    reasons = facts.not_for_transformers
    if reasons:
        return f"{ours}\n\ntransformers cannot run this model: {'; '.join(reasons)}."
    name = "AlbertForPreTraining" if facts.head is None else facts.head.traits.transformers
    return (
        f"{ours}\n\nThe folder opens in transformers too: "
        f'`{name}.from_pretrained("path/to/this/folder")`.'
    )


def _data(facts: CardFacts) -> str:
    rows = [*facts.data, ("licences of the data", facts.data_license)]
    return _table(["", ""], rows)


def _figures(facts: CardFacts) -> str:
    if not facts.figures:
        return "No held-out figures were recorded."
    parts = [
        "On documents held out from training; intervals are 95 %.",
        _table(["figure", "this model", "line to beat"], facts.figures),
    ]
    if len(facts.curve) > 1:
        losses = [point["mlm_loss"] for point in facts.curve]
        parts.append(
            f"Held-out masked-LM loss from step {facts.curve[0]['step']:,.0f} to "
            f"{facts.curve[-1]['step']:,.0f}: `{spark(losses)}`"
        )
        rows = [
            (
                f"{p['step']:,.0f}",
                f"{p['mlm_loss']:.3f}",
                f"{p['mlm_accuracy']:.1%}",
                f"{p['sop_accuracy']:.1%}" if "sop_accuracy" in p else "not trained",
            )
            for p in _thinned(facts.curve)
        ]
        columns = ["step", "masked-LM loss", "masked-LM accuracy", "sentence-order accuracy"]
        parts.append(_table(columns, rows))
    return "\n\n".join(parts)


def _limits(facts: CardFacts) -> str:
    return "\n".join(
        f"- {line}"
        for line in [
            "The model completes text as its training text would; it knows no facts and no truth."
            if facts.head is None
            else "It answers for texts like those it was fine-tuned on; on others its answers and "
            "probabilities mean little.",
            "It repeats the associations of its training text, prejudices about people included. "
            "Measure them for your use before you decide anything about people with it.",
            f"Texts longer than {facts.config.max_position_embeddings} tokens do not fit; quality "
            "beyond the row length of the last training stage was not measured.",
            "Vectors taken from it without fine-tuning are poor measures of meaning.",
            "Figures come from held-out documents of the same source; other text will be worse.",
        ]
    )


def _contamination() -> str:
    return (
        "Nothing was removed from the data because it occurs in a benchmark, and whether any of it "
        "does was not checked: look at the sources above before you trust a score."
    )


def spark(values: Sequence[float]) -> str:
    """A curve in one line of text: the smallest value is the lowest bar, the largest the top."""
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in values)


def _thinned(points: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """At most 12 points, evenly spread, the first and the last among them."""
    if len(points) <= _CURVE_LINES:
        return list(points)
    last = len(points) - 1
    return [points[round(n * last / (_CURVE_LINES - 1))] for n in range(_CURVE_LINES)]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar or a line end in a cell cannot break it."""
    lines = [columns, ["---"] * len(columns), *rows]
    clean = ([" ".join(str(x).split()).replace("|", "\\|") for x in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in clean)
