"""Runs that go on from a model: what they begin with, what they refuse, and their resumption."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from albertkit import make_data
from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.tokenizers import open_tokenizer
from albertkit.config import AlbertConfig
from albertkit.errors import AlbertkitError, RecipeError, TrainingError, VocabularyError
from albertkit.files import sha256_of
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import tensors_of
from albertkit.tasks.head import TaskHead
from albertkit.text.tokenizer import Tokenizer
from albertkit.train import report
from albertkit.train.health import DOES_NOT_LEARN, judge
from albertkit.train.metrics import read_metrics
from albertkit.train.pretrain import RunResult, pretrain
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.start import longer

Make = Callable[..., PretrainingRecipe]
SIZES = (
    "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "vocab_size", "hidden_dropout_prob",
)  # fmt: skip
POSITIONS = "albert.embeddings.position.weight"


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "curves", lambda *lines: "")


def run(recipe: PretrainingRecipe, **options: object) -> tuple[RunResult, str]:
    """Result of a run and what it said."""
    said = io.StringIO()
    result = pretrain(recipe, console=Console(file=said, width=200), **options)
    return result, said.getvalue()


@pytest.fixture(scope="module")
def trained() -> list[RunResult]:
    """Filled by the first test that asks for `base`."""
    return []


@pytest.fixture
def base(
    trained: list[RunResult], make_recipe: Make, tmp_path_factory: pytest.TempPathFactory
) -> RunResult:
    """A run from random numbers, made once; its folder is to be read only."""
    if not trained:
        place = tmp_path_factory.mktemp("base") / "run"
        trained.append(run(make_recipe(f"run.output='{place}'"))[0])
    return trained[0]


@pytest.fixture
def model(base: RunResult, tmp_path: Path) -> Path:
    """A copy of its model."""
    return Path(shutil.copytree(base.model, tmp_path / "model"))


@pytest.fixture
def go_on(make_recipe: Make) -> Make:
    """A recipe like that of `base` that states no sizes."""

    def make(*overrides: str) -> PretrainingRecipe:
        table = recipes.to_table(make_recipe())
        table["model"] = {}
        for override in overrides:
            recipes.apply_override(table, override)
        return recipes.from_table(table, PretrainingRecipe)

    return make


def body_of(model: Path, folder: Path, **head: object) -> Path:
    """The model without pooler and heads, as a checkpoint folder; with a task's head if given."""
    checkpoint = Checkpoint.load(model)
    kept = ("albert.embeddings.", "albert.encoder.")
    tensors = {k: v for k, v in checkpoint.tensors.items() if k.startswith(kept)}
    if head:
        made = TaskHead(**head)  # type: ignore[arg-type]
        width = checkpoint.config.hidden_size
        tensors |= {k: np.zeros(s, np.float32) for k, s in made.shapes(width).items()}
        tensors |= {k: v for k, v in checkpoint.tensors.items() if "pooler" in k}
        Checkpoint(checkpoint.config, tensors, checkpoint.tokenizer, head=made).save(folder)
    else:
        Checkpoint(checkpoint.config, tensors, checkpoint.tokenizer).save(folder)
    return folder


def test_a_run_begins_with_the_numbers_of_its_model(base: RunResult, go_on: Make) -> None:
    result, said = run(go_on(), start_from=base.model)
    assert result.finished
    # The same held-out rows: what the first run ended with is what the second begins with.
    for name in ("mlm_loss", "sop_loss", "mlm_accuracy", "sop_accuracy"):
        assert result.before[name] == pytest.approx(base.validation[name], abs=1e-6)
    assert result.before["step"] == 0
    steps = [x["step"] for x in read_metrics(result.folder / "metrics.jsonl") if "mlm_count" in x]
    assert steps == [0, 6, 12, 18]
    assert f"goes on from: {base.model} (huggingface)\n" in said
    assert f"before the run {result.before['mlm_loss']:.3f}" in said
    assert result.to_json()["before"] == result.before
    saved = recipes.load(result.folder / "recipe.toml", PretrainingRecipe)
    assert saved.start.checkpoint == str(base.model)
    assert saved.model["hidden_size"] == 32
    card = (result.model / "README.md").read_text()
    assert "| goes on from | model (huggingface) |" in card  # folders of this machine stay here
    assert str(base.model) not in card


def test_a_resumed_run_needs_the_model_no_more(model: Path, go_on: Make, tmp_path: Path) -> None:
    whole, _ = run(go_on("run.keep=9"), start_from=model)
    shutil.rmtree(model)
    weights = sha256_of(whole.model / "model.safetensors")
    lines = (whole.folder / "metrics.jsonl").read_text()
    for kept in (0, 8):
        folder = tmp_path / f"again-{kept}"
        shutil.copytree(whole.folder, folder)
        for state in (folder / "checkpoints").iterdir():
            if int(state.name.removeprefix("step-")) > kept:
                shutil.rmtree(state)
        # The command again with --resume, and the recipe of the folder, are the same.
        given = {"start_from": model} if kept else {}
        recipe = go_on("run.keep=9") if kept else folder / "recipe.toml"
        resumed, said = run(recipe, out=folder, resume=True, **given)  # type: ignore[arg-type]
        assert f"resumed at step {kept}" in said
        assert sha256_of(resumed.model / "model.safetensors") == weights
        assert resumed.before == whole.before
        assert _without_speed(folder / "metrics.jsonl") == [
            {k: v for k, v in json.loads(x).items() if k != "tokens_per_second"}
            for x in lines.splitlines()
        ]


def _without_speed(path: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in x.items() if k != "tokens_per_second"} for x in read_metrics(path)]


def test_a_run_killed_before_its_first_step_has_all_it_needs(
    model: Path, go_on: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, _ = run(go_on(), start_from=model, out=tmp_path / "whole")

    def killed(*given: object, tensorboard: bool) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("albertkit.train.pretrain.open_metrics", killed)
        with pytest.raises(KeyboardInterrupt):
            run(go_on(), start_from=model)
    shutil.rmtree(model)
    resumed, _ = run(go_on(), start_from=model, resume=True)
    assert sha256_of(resumed.model / "model.safetensors") == sha256_of(
        whole.model / "model.safetensors"
    )
    kinds = [x["event"] for x in read_metrics(resumed.folder / "metrics.jsonl")]
    assert kinds[:2] == ["baselines", "validation"]
    for state in (resumed.folder / "checkpoints").iterdir():
        shutil.rmtree(state)
    with pytest.raises(TrainingError, match="states of this run are gone"):
        run(go_on(), start_from=model, resume=True)


def test_a_head_that_is_missing_is_made_new_and_said_so(
    base: RunResult, go_on: Make, tmp_path: Path
) -> None:
    body = body_of(base.model, tmp_path / "body")
    result, said = run(go_on(), start_from=body)
    new = "made new: pooler, masked-LM head, sentence-order head"
    assert new in said
    assert new in (result.model / "README.md").read_text()
    assert json.loads((result.folder / "start.json").read_text())["new"] == new[10:].split(", ")
    assert Checkpoint.load(result.model).has_sentence_order
    # A head of random numbers is at the entropy of a blind guess, ln 45, or above.
    assert result.before["mlm_loss"] > math.log(45) - 0.1


def test_masked_lm_alone_makes_no_head_that_is_not_trained(
    base: RunResult, go_on: Make, tmp_path: Path
) -> None:
    body = body_of(base.model, tmp_path / "body")
    result, _ = run(go_on("run.sentence_order=off", "run.keep=9"), start_from=body)
    made = Checkpoint.load(result.model)
    assert (made.has_masked_lm, made.has_sentence_order, made.has_pooler) == (True, False, False)
    assert list(result.to_json()["lessons"]) == ["masked_lm"]
    weights = sha256_of(result.model / "model.safetensors")
    shutil.rmtree(result.folder / "checkpoints" / "step-00000018")
    run(go_on("run.sentence_order=off", "run.keep=9"), start_from=body, resume=True)
    assert sha256_of(result.model / "model.safetensors") == weights


def test_the_head_of_a_task_is_left_out_and_said_so(
    base: RunResult, go_on: Make, tmp_path: Path
) -> None:
    tuned = body_of(base.model, tmp_path / "tuned", kind="classification", num_labels=2)
    result, said = run(go_on(), start_from=tuned)
    assert "left out: head of its task (classification)" in said
    assert "made new: masked-LM head, sentence-order head" in said
    assert Checkpoint.load(result.model).head is None


def test_a_recipe_of_another_size_is_refused_and_both_are_named(
    base: RunResult, go_on: Make, make_recipe: Make, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        run(go_on("model.hidden_size=64"), start_from=base.model)
    assert "model.hidden_size = 32" in caught.value.facts["expected"]
    assert "model.hidden_size = 64" in caught.value.facts["found"]
    with pytest.raises(RecipeError) as caught:
        run(go_on("model.size=albert-base-v2"), start_from=base.model)
    assert "albert-base-v2" in caught.value.facts["found"]
    with pytest.raises(RecipeError) as caught:
        run(go_on(), start_from=base.model, max_positions=32)
    assert "64 positions or more" in caught.value.facts["to do"]
    assert not (tmp_path / "run").exists()
    # The same sizes may be stated, and dropout is the run's own affair.
    assert run(make_recipe("model.hidden_dropout_prob=0.0"), start_from=base.model)[0].finished


def test_data_cut_with_another_tokenizer_are_refused(
    base: RunResult, go_on: Make, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("w1 w2 w3.\nw4 w5 w6.\n\n" * 60)
    pieces = Tokenizer.load(base.model).pieces
    (tmp_path / "vocab.txt").write_text("\n".join([*pieces[:-1], "x"]) + "\n")
    make_data(tmp_path / "text.txt", vocab=tmp_path / "vocab.txt", output=tmp_path / "other")
    with pytest.raises(VocabularyError) as caught:
        run(go_on(), start_from=base.model, data=tmp_path / "other")
    theirs = Tokenizer.load(tmp_path / "vocab.txt").fingerprint
    assert theirs[:16] in caught.value.facts["found"]
    assert Tokenizer.load(base.model).fingerprint[:16] in caught.value.facts["expected"]
    assert f"make-data TEXT --vocab {base.model}" in caught.value.for_command_line()
    with pytest.raises(VocabularyError):
        run(go_on(), start_from=base.model, replay=tmp_path / "other")
    # What the message tells to do is enough.
    make_data(tmp_path / "text.txt", vocab=base.model, output=tmp_path / "own")
    assert run(go_on(), start_from=base.model, data=tmp_path / "own")[0].finished


def test_new_positions_begin_as_copies_of_trained_ones(base: RunResult, go_on: Make) -> None:
    recipe = go_on("stages.1.tokens=100", "stages.0.peak_learning_rate=0",
                   "stages.1.peak_learning_rate=0")  # fmt: skip
    with pytest.raises(RecipeError) as caught:
        run(recipe, start_from=base.model)
    assert "--max-positions 100" in caught.value.for_command_line()
    result, said = run(recipe, start_from=base.model, max_positions=150)
    assert "positions 64 to 149 begin as copies of trained ones" in said
    before = Checkpoint.load(base.model).tensors[POSITIONS]
    made = Checkpoint.load(result.model)
    assert made.config.max_position_embeddings == 150
    after = made.tensors[POSITIONS]
    assert np.array_equal(after[:64], before)
    # Row 0 stands for [CLS] alone and is not repeated: 63 rows come again and again.
    assert np.array_equal(after[64:127], before[1:64])
    assert np.array_equal(after[127:], before[1:24])


def test_a_table_of_one_row_is_repeated() -> None:
    assert longer(np.ones((1, 2), np.float32), 4).tolist() == [[1, 1]] * 4


def test_rows_of_another_text_are_replayed_and_measured(
    base: RunResult, go_on: Make, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "general"
    text = "\n\n".join("w1 w12 w23 w34 w5.\nw6 w17 w28 w39 w1." for _ in range(99))
    (tmp_path / "text.txt").write_text(text)
    make_data(tmp_path / "text.txt", vocab=base.model, output=other, validation_fraction=0.2)
    given = {"start_from": base.model, "replay": other, "replay_share": 0.25}
    whole, said = run(go_on("run.keep=9"), **given)
    assert f"replay: {other}: 25% of the rows" in said
    assert whole.before["replay_mlm_loss"] != whole.before["mlm_loss"]
    after = whole.validation["replay_mlm_loss"]
    assert f"replayed text: held-out loss {after:.3f}" in said
    weights = sha256_of(whole.model / "model.safetensors")
    for state in sorted((whole.folder / "checkpoints").iterdir())[2:]:
        shutil.rmtree(state)
    run(go_on("run.keep=9"), resume=True, **given)
    assert sha256_of(whole.model / "model.safetensors") == weights
    with pytest.raises(TrainingError, match="other data"):
        run(go_on("run.keep=9"), start_from=base.model, resume=True)
    # A share of 0 trains as if there was no replay.
    measured, _ = run(go_on(), **{**given, "replay_share": 0.0}, out=tmp_path / "measured")
    plain, _ = run(go_on(), start_from=base.model, out=tmp_path / "plain")
    assert measured.validation["mlm_loss"] == plain.validation["mlm_loss"]
    assert "replay_mlm_loss" in measured.validation


def test_a_run_that_makes_its_model_worse_says_so(base: RunResult, go_on: Make) -> None:
    result, said = run(
        go_on("stages.0.peak_learning_rate=0.3", "stages.0.warmup_steps=0"), start_from=base.model
    )
    assert (result.exit_code, result.to_json()["verdict"]) == (DOES_NOT_LEARN, "gets worse")
    assert "worse than before the run" in said


def test_the_verdict_counts_what_the_run_began_with() -> None:
    # Unigram entropy 6, vocabulary of 8,000.
    assert judge(4.0, 6.0, 8000, before=4.5).kind == "learns"
    assert judge(4.5, 6.0, 8000, before=4.0).kind == "gets worse"
    assert judge(5.99, 6.0, 8000, before=9.0).kind == "frequencies only"
    assert "about as good" in judge(4.0, 6.0, 8000, before=4.01).sentence
    advice = judge(5.99, 6.0, 8000, num_layers=6).fix
    assert "6 layers share" in advice
    assert "initializer_range" in advice


def test_a_run_with_neither_recipe_nor_model_is_asked_to_name_one(data: Path) -> None:
    with pytest.raises(RecipeError, match="No recipe and no model") as caught:
        pretrain(data=data, out="never")
    assert "--from albertkit/tiny-en" in caught.value.for_command_line()


def test_the_recipe_continue_with_a_model_alone_is_enough(
    base: RunResult, data: Path, tmp_path: Path
) -> None:
    recipe = recipes.load("continue", PretrainingRecipe)
    assert recipe.model == {}
    with pytest.raises(RecipeError, match="names no model"):
        pretrain(recipe, data=data, out="never")
    changes = {"stages.0.steps": 2, "stages.0.tokens": 32, "run.validation_rows": 8}
    said = Console(file=io.StringIO())
    place = tmp_path / "on"
    result = pretrain(data=data, start_from=base.model, out=place, set=changes, console=said)
    assert result.steps == 2


def test_a_table_padded_to_a_round_size_goes_on_with_the_fewer_pieces(
    base: RunResult, go_on: Make, tmp_path: Path
) -> None:
    checkpoint = Checkpoint.load(base.model)
    config = AlbertConfig(**{**{k: getattr(checkpoint.config, k) for k in SIZES}, "vocab_size": 48})
    model = AlbertForPretraining(config)
    Checkpoint(config, tensors_of(model), checkpoint.tokenizer).save(tmp_path / "padded")
    result, _ = run(go_on(), start_from=tmp_path / "padded")
    assert Checkpoint.load(result.model).config.vocab_size == 48
    assert run(go_on(), start_from=tmp_path / "padded", resume=True)[0].finished


def test_a_tokenizer_goes_by_vocabulary_folder_or_model(base: RunResult, data: Path) -> None:
    wanted = Tokenizer.load(data / "tokenizer").fingerprint
    assert open_tokenizer(data / "tokenizer").fingerprint == wanted
    assert open_tokenizer(data / "tokenizer" / "vocab.txt").fingerprint == wanted
    assert open_tokenizer(str(base.model)).fingerprint == wanted
    assert open_tokenizer("albertkit/tiny-zh").vocab_size == 8000
    opened = Tokenizer.load(data / "tokenizer")
    assert open_tokenizer(opened) is opened
    with pytest.raises(VocabularyError, match="not found"):
        open_tokenizer("no-such-model")


def test_a_model_without_tokenizer_cuts_no_text(base: RunResult, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(base.model)
    Checkpoint(checkpoint.config, checkpoint.tensors).save(tmp_path / "bare")
    with pytest.raises(AlbertkitError, match="no tokenizer"):
        open_tokenizer(tmp_path / "bare")
