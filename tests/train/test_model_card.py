"""Model cards: the header that the hub reads, and what a reader must find."""

from __future__ import annotations

import pytest
import yaml

from albertkit.config import AlbertConfig
from albertkit.sizes import SIZES
from albertkit.tasks.head import TaskHead
from albertkit.train.model_card import CardFacts, model_card, spark

CURVE = [
    {"step": 100 * n, "mlm_loss": 7.0 - n / 10, "mlm_accuracy": n / 100, "sop_accuracy": 0.5}
    for n in range(1, 31)
]


def header_of(card: str) -> dict[str, object]:
    """The YAML between the first two lines of dashes."""
    _, header, _ = card.split("---\n", 2)
    return yaml.safe_load(header)


def test_header_has_what_the_hub_asks_for() -> None:
    facts = CardFacts(
        name="tiny", config=SIZES["albert-base-v2"], language="en", license="apache-2.0"
    )
    header = header_of(model_card(facts))
    assert header["language"] == ["en"]
    assert header["license"] == "apache-2.0"
    assert header["library_name"] == "transformers"
    assert header["pipeline_tag"] == "fill-mask"
    assert "albert" in header["tags"]


def test_what_nobody_stated_is_called_so() -> None:
    card = model_card(CardFacts(name="x", config=AlbertConfig()))
    header = header_of(card)
    assert header["license"] == "unknown"
    assert "language" not in header
    assert "| licences of the data | not stated |" in card


def test_a_model_that_transformers_cannot_run_says_so() -> None:
    card = model_card(CardFacts(name="x", config=SIZES["brightmart-tiny"], language="zh"))
    assert header_of(card)["library_name"] == "albertkit"
    assert "transformers cannot run this model: embedding_order=project_then_norm" in card
    assert "AlbertForPreTraining" not in card


def test_a_fine_tuned_model_tells_its_task() -> None:
    head = TaskHead("classification", 2, ("bad", "good"))
    card = model_card(CardFacts(name="x", config=SIZES["albert-base-v2"], head=head))
    header = header_of(card)
    assert header["pipeline_tag"] == "text-classification"
    assert not {"fill-mask", "sentence-order-prediction"} & set(header["tags"])
    # 11,683,584 in the body, and 2 (768 + 1) more.
    assert "11,685,122 with the head of its task: one class of 2 for a text (bad, good)" in card
    assert "predictor.classify(" in card
    assert "AlbertForSequenceClassification" in card
    assert "[MASK]" not in card


def test_a_head_that_transformers_lacks_is_not_promised() -> None:
    head = TaskHead("beam_span", 2)
    card = model_card(CardFacts(name="x", config=SIZES["albert-base-v2"], head=head))
    assert header_of(card)["library_name"] == "albertkit"
    assert "transformers cannot run this model: the beam-search head of SQuAD 2" in card
    assert "from_pretrained" not in card


def test_card_tells_exact_parameters_recipe_figures_and_contamination() -> None:
    card = model_card(
        CardFacts(
            name="first",
            config=SIZES["albert-base-v2"],
            language="en",
            data=[("documents", "1,234")],
            data_license="CC BY-SA 4.0",
            recipe="[run]\nseed = 0\n",
            figures=[("masked-LM loss", "4.100", "6.000 unigram entropy")],
            curve=CURVE,
        )
    )
    assert "11,683,584 parameters in the body" in card  # albert-systems.md, section 2.3
    assert "```toml\n[run]\nseed = 0\n```" in card
    assert "| masked-LM loss | 4.100 | 6.000 unigram entropy |" in card
    assert "| licences of the data | CC BY-SA 4.0 |" in card
    # No note about text that nobody said the model has read.
    assert "SQuAD" not in card
    assert "Wikipedia" not in card
    assert "whether any of it does was not checked" in card
    assert "prejudices" in card
    # 12 of the 30 points, the first and the last among them.
    assert "| 100 | 6.900 | 1.0% | 50.0% |" in card
    assert "| 3,000 | 4.000 | 30.0% | 50.0% |" in card
    assert sum(line.endswith("| 50.0% |") for line in card.splitlines()) == 12


def test_a_bar_or_line_end_in_a_fact_breaks_no_table() -> None:
    card = model_card(CardFacts(name="x", config=AlbertConfig(), data=[("file", "a|b\nc")]))
    assert "| file | a\\|b c |" in card


def test_a_license_with_a_colon_breaks_no_header() -> None:
    card = model_card(CardFacts(name="x", config=AlbertConfig(), license="own: see\nLICENSE"))
    assert header_of(card)["license"] == "own: see\nLICENSE"


@pytest.mark.parametrize(
    ("values", "bars"), [([0, 7], "▁█"), ([7, 0, 3.5], "█▁▅"), ([2, 2], "▁▁"), ([5], "▁")]
)
def test_spark_puts_the_largest_value_on_top(values: list[float], bars: str) -> None:
    assert spark(values) == bars
