"""The models inside the package: found by name, without a network, small enough to travel."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch

from albertkit import Predictor
from albertkit.cli import main
from albertkit.config import AlbertConfig
from albertkit.files import sha256_of
from albertkit.hub import SHIPPED, resolve, shipped_models
from albertkit.hub.measured import FIGURES, OrderFigures, order_figures
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of

BENCH = Path(__file__).resolve().parents[2] / "bench" / "shipped"

MAX_WEIGHTS_BYTES = 6_500_000
MAX_FOLDER_BYTES = 7_500_000


def test_there_is_one_for_each_language() -> None:
    assert shipped_models() == ["tiny-en", "tiny-zh"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("albertkit/tiny-en", "He was born in the [MASK] of London.", {"city", "town"}),
        ("albertkit/tiny-zh", "公司[MASK]当依法纳税。", {"应"}),
    ],
)
def test_it_fills_a_mask_offline(name: str, text: str, words: set[str]) -> None:
    predictor = Predictor(resolve(name, offline=True))
    guesses = {x.token.removeprefix("\u2581") for x in predictor.fill_mask(text, 5).masks[0]}
    assert guesses & words


@pytest.mark.parametrize("folder", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_it_is_small(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_size <= MAX_WEIGHTS_BYTES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MAX_FOLDER_BYTES


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "albertkit" / "tiny-en").mkdir(parents=True)
    assert resolve("albertkit/tiny-en") == Path("albertkit/tiny-en")


def test_it_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "albertkit/tiny-zh", "--json"]) == 0
    assert '"vocab_size": 8000' in capsys.readouterr().out


@pytest.mark.parametrize("folder", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_its_card_and_figures_are_those_of_its_weights(folder: Path) -> None:
    """After new weights and figures: python bench/shipped/bias.py (or card.py) writes both."""
    made = runpy.run_path(str(BENCH / "card.py"))
    assert (folder / "README.md").read_text() == made["card"](folder.name[-2:], folder)
    figures = json.loads((folder / FIGURES).read_text())
    assert figures["weights_sha256"] == sha256_of(folder / "model.safetensors")
    assert figures["held_out"] == made["read"](f"figures-{folder.name[-2:]}")["held_out"]
    page = (BENCH.parents[1] / "docs" / "results.md").read_text()
    assert made["bias_table"](made["read"](f"bias-{folder.name[-2:]}")) in page


@pytest.mark.parametrize(
    ("figures", "learned", "words"),
    [
        (
            OrderFigures(0.51, 0.49, 0.53, 0.4),
            False,
            "51.0% of held-out pairs, chance is 50%: order",
        ),
        (OrderFigures(0.56, 0.54, 0.58, 0.57), False, "order is not learned"),
        (OrderFigures(0.61, 0.6, 0.62, 0.57), True, "chance is 50%, a bag of words 57.0%"),
    ],
)
def test_order_is_learned_above_chance_and_a_bag_of_words(
    figures: OrderFigures, learned: bool, words: str
) -> None:
    assert figures.learned is learned
    assert words in str(figures)


def test_a_judgement_of_order_says_how_often_it_is_right(
    capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    assert main(["sentence-order", "a", "b", "--model", "albertkit/tiny-en"]) == 0
    assert capsys.readouterr().err == f"note: {order_figures(SHIPPED / 'tiny-en')}\n"
    assert order_figures(tiny_model / "model") is None


def test_balanced_weights_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """bench/shipped/finish.py: other scales inside, equal logits."""
    monkeypatch.syspath_prepend(BENCH)
    balanced = runpy.run_path(str(BENCH / "finish.py"))["balanced"]
    config = AlbertConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=24,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = AlbertForPretraining(config).eval()
    with torch.no_grad():
        model.albert.encoder.get_submodule("feed_forward.0.0").norm.weight *= 0.3
    other = AlbertForPretraining(config).eval()
    tensors = balanced(tensors_of(model))
    other.load_state_dict({name: torch.from_numpy(x) for name, x in tensors.items()})
    ids = torch.randint(50, (2, 9))
    with torch.no_grad():
        before, after = model(ids), other(ids)
    assert tensors["albert.encoder.feed_forward.0.0.norm.weight"].mean() == pytest.approx(1.0)
    torch.testing.assert_close(after.mlm_logits, before.mlm_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.sop_logits, before.sop_logits, atol=1e-4, rtol=1e-4)
