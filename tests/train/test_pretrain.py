"""Runs from recipe to report, their resumption, and what they refuse."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from topics import EveryTokenIsAWord, on_topics

from albertkit import settings as recipes
from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.corpus import Document
from albertkit.data.writing import write_shards
from albertkit.errors import OutputError, RecipeError, ShardError, TrainingError, VocabularyError
from albertkit.files import sha256_of
from albertkit.text.tokenizer import Tokenizer
from albertkit.train import report
from albertkit.train.health import DOES_NOT_LEARN
from albertkit.train.lock import lock_run
from albertkit.train.losses import Loss
from albertkit.train.metrics import Metrics, read_metrics
from albertkit.train.pretrain import PretrainingTask, RunResult, pretrain
from albertkit.train.recipe import PretrainingRecipe
from albertkit.train.run import Run
from albertkit.train.stages import MicroBatch

Make = Callable[..., PretrainingRecipe]


@pytest.fixture(autouse=True)
def _no_drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer to draw than these runs take to train; one test draws them."""
    if "report" not in request.node.name:
        monkeypatch.setattr(report, "curves", lambda *lines: "")


def run(recipe: PretrainingRecipe, *, resume: bool = False) -> tuple[RunResult, str]:
    """Result of a run and what it said."""
    said = io.StringIO()
    result = pretrain(recipe, resume=resume, console=Console(file=said, width=200))
    return result, said.getvalue()


def weights_of(result: RunResult) -> str:
    return sha256_of(result.model / "model.safetensors")


def losses_of(folder: Path) -> list[dict[str, Any]]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in x.items() if k != "tokens_per_second"} for x in lines]


def test_a_run_learns_the_topics_and_leaves_a_folder_that_opens(make_recipe: Make) -> None:
    recipe = make_recipe(
        "stages.0.steps=250", "stages.0.batch_size=16", "stages.0.micro_batch_size=0",
        "stages.0.peak_learning_rate=0.003", "stages.1.tokens=32", "stages.0.warmup_steps=20",
        "run.validate_every=0", "run.save_every=0",
        "model.hidden_dropout_prob=0", "model.initializer_range=0.1",
    )  # fmt: skip
    result, said = run(recipe)
    assert result.finished
    assert result.steps == 256
    assert result.exit_code == 0, said
    assert result.baselines.unigram_entropy == pytest.approx(math.log(40), abs=0.05)
    assert result.validation["mlm_loss"] == pytest.approx(math.log(10), abs=0.3)
    assert "The model learns" in said
    loaded = Checkpoint.load(result.model)
    assert loaded.config.vocab_size == 45
    assert loaded.tokenizer is not None
    again = recipes.load(result.folder / "recipe.toml", PretrainingRecipe)
    assert again.stages == recipe.stages
    assert again.model["vocab_size"] == 45


def test_the_report_needs_no_network_and_has_curves_lines_and_recipe(make_recipe: Make) -> None:
    result, _ = run(make_recipe())
    text = (result.folder / "report.html").read_text()
    assert text.count("<svg") == 4
    links = re.findall(r"""(?:src|href)=["'](?!#)([^"']*)""", text)
    assert all((result.folder / link).is_file() for link in links)
    assert "not learned</td><td>held-out accuracy" in text
    assert "prefers-color-scheme: dark" in text
    assert "<details><summary>The whole recipe" in text
    assert "<script" not in text
    assert "@import" not in text
    assert f"{result.baselines.unigram_entropy:.3f} unigram entropy" in text
    assert "peak_learning_rate = 0.001" in text
    assert "95 % interval" in text


def test_every_step_has_one_line_and_every_validation_too(make_recipe: Make) -> None:
    result, _ = run(make_recipe())
    lines = read_metrics(result.folder / "metrics.jsonl")
    assert [x["step"] for x in lines if x["event"] == "train"] == [5, 10, 15, 18]
    assert [x["stage"] for x in lines if x["event"] == "train"] == [0, 0, 1, 1]
    assert [x["step"] for x in lines if x["event"] == "validation"] == [6, 12, 18]
    assert [x["event"] for x in lines][0] == "baselines"


@pytest.mark.parametrize("kept", [0, 4, 8])
def test_a_resumed_run_has_the_losses_and_weights_of_one_that_was_never_stopped(
    make_recipe: Make, tmp_path: Path, kept: int
) -> None:
    whole, _ = run(make_recipe("run.keep=9"))
    folder = tmp_path / "again"
    shutil.copytree(whole.folder, folder)
    for state in (folder / "checkpoints").iterdir():
        if int(state.name.removeprefix("step-")) > kept:
            shutil.rmtree(state)
    # What a kill leaves behind: half a state, half a line.
    (folder / "checkpoints" / ".step-00000012.writing-0123").mkdir()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "tra')
    resumed, said = run(make_recipe("run.keep=9", f"run.output='{folder}'"), resume=True)
    assert f"resumed at step {kept}" in said
    assert weights_of(resumed) == weights_of(whole)
    assert losses_of(folder) == losses_of(whole.folder)
    assert not list((folder / "checkpoints").glob(".*"))


def test_a_run_that_is_complete_is_resumed_to_the_same_result(make_recipe: Make) -> None:
    first, _ = run(make_recipe())
    before = weights_of(first)
    again, said = run(make_recipe(), resume=True)
    assert "complete already" in said
    assert (weights_of(again), again.validation) == (before, first.validation)
    assert again.exit_code == first.exit_code


def test_a_kill_between_the_last_state_and_its_model_loses_nothing(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = run(make_recipe(f"run.output='{tmp_path / 'whole'}'"))

    def killed_in_the_end(self: Run, step: int) -> None:
        if step == self.task.steps:
            self.export = _die
        save(self, step)

    save = Run.save
    monkeypatch.setattr(Run, "save", killed_in_the_end)
    with pytest.raises(KeyboardInterrupt):
        run(make_recipe())
    monkeypatch.undo()
    resumed, said = run(make_recipe(), resume=True)
    assert "complete already" in said
    assert weights_of(resumed) == weights_of(whole)


def _die() -> None:
    raise KeyboardInterrupt


def test_the_size_of_the_micro_batches_does_not_change_the_result(
    make_recipe: Make, tmp_path: Path
) -> None:
    results = []
    for size in (8, 3):
        output = f"run.output='{tmp_path / str(size)}'"
        recipe = make_recipe(
            output, f"stages.0.micro_batch_size={size}", "model.hidden_dropout_prob=0"
        )
        results.append(run(recipe)[0].validation)
    assert results[0] == pytest.approx(results[1], rel=1e-4)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_a_state_and_a_resume_goes_on_from_it(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, code: int
) -> None:
    loss, calls = PretrainingTask.loss, []

    def interrupted(self: PretrainingTask, model: torch.nn.Module, micro_batch: MicroBatch) -> Loss:
        calls.append(1)
        if len(calls) == 5:  # in the third step of two micro batches
            os.kill(os.getpid(), number)
        return loss(self, model, micro_batch)

    monkeypatch.setattr(PretrainingTask, "loss", interrupted)
    handler = signal.getsignal(number)
    stopped, said = run(make_recipe())
    assert signal.getsignal(number) is handler
    assert (stopped.finished, stopped.steps, stopped.exit_code) == (False, 3, code)
    assert f"to go on: albertkit pretrain {stopped.folder}/recipe.toml --resume" in said
    monkeypatch.undo()
    resumed, said = run(make_recipe(), resume=True)
    assert "resumed at step 3" in said
    whole, _ = run(make_recipe(f"run.output='{tmp_path / 'whole'}'"))
    assert weights_of(resumed) == weights_of(whole)


def test_a_nan_stops_the_run_names_the_step_and_leaves_the_last_good_state(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = PretrainingTask.loss, []

    def poisoned(self: PretrainingTask, model: torch.nn.Module, micro_batch: MicroBatch) -> Loss:
        calls.append(1)
        if len(calls) == 12:  # in step 6
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))
        return loss(self, model, micro_batch)

    monkeypatch.setattr(PretrainingTask, "loss", poisoned)
    recipe = make_recipe()
    with pytest.raises(TrainingError, match="step 6") as caught:
        run(recipe)
    assert "step-00000004" in str(caught.value)
    monkeypatch.undo()
    assert run(recipe, resume=True)[0].finished


def test_a_run_with_rate_zero_is_warned_that_the_weights_did_not_move(make_recipe: Make) -> None:
    result, said = run(
        make_recipe("stages.0.peak_learning_rate=0.0", "stages.1.peak_learning_rate=0")
    )
    assert result.exit_code == DOES_NOT_LEARN
    assert result.verdict is not None
    assert not result.verdict.learns
    assert "does not learn" in said
    assert "learning rate" in result.verdict.cause


def test_a_damaged_state_is_refused_and_the_one_before_it_is_named(make_recipe: Make) -> None:
    result, _ = run(make_recipe("run.keep=3"))
    newest = result.folder / "checkpoints" / "step-00000018" / "tensors.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-1] ^= 1
    newest.write_bytes(damaged)
    with pytest.raises(TrainingError, match="damaged") as caught:
        run(make_recipe(), resume=True)
    assert "step-00000016" in caught.value.facts["to do"]
    shutil.rmtree(newest.parent)
    assert run(make_recipe(), resume=True)[0].steps == 18


def test_only_the_newest_states_are_kept(make_recipe: Make) -> None:
    result, _ = run(make_recipe("run.keep=2"))
    names = sorted(path.name for path in (result.folder / "checkpoints").iterdir())
    assert names == ["step-00000016", "step-00000018"]


def test_a_used_folder_is_refused_and_left_as_it_was(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError):
        run(make_recipe())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    with pytest.raises(TrainingError, match="no run to resume"):
        run(make_recipe(), resume=True)


def test_another_recipe_or_other_data_cannot_be_resumed_with(make_recipe: Make) -> None:
    run(make_recipe())
    with pytest.raises(TrainingError, match="another recipe"):
        run(make_recipe("stages.0.peak_learning_rate=0.5"), resume=True)
    assert run(make_recipe("run.keep=7", "run.log_every=1"), resume=True)[0].finished


def test_a_vocabulary_that_is_not_the_models_is_refused_before_anything_is_written(
    make_recipe: Make, tmp_path: Path
) -> None:
    with pytest.raises(VocabularyError, match="45 pieces") as caught:
        run(make_recipe("model.vocab_size=30000"))
    assert "30,000" in caught.value.facts["expected"]
    assert not (tmp_path / "run").exists()


def test_rows_longer_than_the_positions_are_refused(make_recipe: Make) -> None:
    with pytest.raises(RecipeError, match=r"stages\.1\.tokens up to 64"):
        run(make_recipe("stages.1.tokens=65"))


def test_data_without_held_out_documents_are_refused(
    make_recipe: Make, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "validation")
    with pytest.raises(ShardError, match="validation_fraction"):
        run(make_recipe(f"data.path='{tmp_path / 'data'}'"))


def test_cuda_without_a_gpu_is_an_error_not_a_slow_run(make_recipe: Make) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TrainingError, match="CUDA"):
        run(make_recipe("run.device=cuda"))


def test_metrics_that_were_shortened_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"event": "train"}\n')
    with pytest.raises(TrainingError, match="shortened"):
        Metrics(tmp_path / "metrics.jsonl", size=100)


def test_bf16_trains_and_keeps_its_weights_in_float32(make_recipe: Make) -> None:
    result, _ = run(make_recipe("run.precision=bf16"))
    tensors = Checkpoint.load(result.model).tensors
    assert {str(t.dtype) for t in tensors.values()} == {"float32"}
    state = json.loads((result.folder / "checkpoints" / "step-00000018" / "state.json").read_text())
    assert state["step"] == 18


def test_a_run_in_whose_folder_another_process_trains_is_not_resumed(make_recipe: Make) -> None:
    first, _ = run(make_recipe("run.keep=9"))
    before = (first.folder / "metrics.jsonl").read_bytes()
    with lock_run(first.folder), pytest.raises(TrainingError) as caught:
        run(make_recipe("run.keep=9"), resume=True)
    assert caught.value.facts["found"] == f"process {os.getpid()}"
    assert (first.folder / "metrics.jsonl").read_bytes() == before
    assert run(make_recipe("run.keep=9"), resume=True)[0].finished


def test_a_signal_while_a_step_is_logged_saves_the_state_of_that_step(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = PretrainingTask.step_facts

    def interrupted(self: PretrainingTask, step: int, means: Any) -> dict[str, Any]:
        if step == 5:  # no state is due here
            os.kill(os.getpid(), signal.SIGTERM)
        return facts(self, step, means)

    monkeypatch.setattr(PretrainingTask, "step_facts", interrupted)
    stopped, _ = run(make_recipe())
    assert (stopped.steps, stopped.exit_code) == (5, 143)
    assert (stopped.folder / "checkpoints" / "step-00000005").is_dir()
    monkeypatch.undo()
    assert "resumed at step 5" in run(make_recipe(), resume=True)[1]


def test_a_recipe_goes_by_its_file_with_settings_as_a_dict_or_as_lines(
    make_recipe: Make, data: Path, tmp_path: Path
) -> None:
    recipes.save(make_recipe(), tmp_path / "mine.toml")
    said = Console(file=io.StringIO())
    by_dict = pretrain(
        tmp_path / "mine.toml",
        data=data,
        out=tmp_path / "by_dict",
        set={"stages.0.steps": 2, "stages.1.steps": 1},
        console=said,
    )
    by_lines = pretrain(
        str(tmp_path / "mine.toml"),
        data=str(data),
        out=str(tmp_path / "by_lines"),
        set=["stages.0.steps=2", "stages.1.steps=1"],
        console=said,
    )
    assert (by_dict.steps, by_dict.folder) == (3, tmp_path / "by_dict")
    assert weights_of(by_dict) == weights_of(by_lines)
    with pytest.raises(RecipeError):
        pretrain("no-such-recipe", data=data, out=tmp_path / "never")
    with pytest.raises(RecipeError) as caught:
        pretrain(make_recipe(), set="stages.0.steps=2")
    assert "{" in caught.value.facts["expected"]


@pytest.fixture
def single_sentences(data: Path, tmp_path: Path) -> Path:
    """A data folder of documents of one sentence each."""
    tokenizer = Tokenizer.load(data / "tokenizer")
    documents = [Document(x.sentences[:1], x.source) for x in on_topics(5, 200)]
    write_shards(
        documents,
        tokenizer,
        tmp_path / "single",
        validation_fraction=0.2,
        segmenter=EveryTokenIsAWord(tokenizer),
    )
    return tmp_path / "single"


def test_data_without_pairs_train_masked_lm_alone_and_the_run_says_so(
    make_recipe: Make, single_sentences: Path, tmp_path: Path
) -> None:
    given = (f"data.path='{single_sentences}'", "run.keep=9")
    result, said = run(make_recipe(*given))
    assert result.finished
    assert "masked-LM alone" in said
    assert set(result.validation) == {"step", "mlm_loss", "mlm_accuracy", "mlm_count"}
    assert result.baselines.order_accuracy is None
    card = (result.model / "README.md").read_text()
    assert "sentence-order head that was not trained" in card
    assert "sentence-order" not in (result.folder / "report.html").read_text()
    assert (
        recipes.load(result.folder / "recipe.toml", PretrainingRecipe).run.sentence_order == "off"
    )
    for state in sorted((result.folder / "checkpoints").iterdir())[2:]:
        shutil.rmtree(state)
    before, lines = weights_of(result), losses_of(result.folder)
    resumed, _ = run(make_recipe(*given), resume=True)
    assert (weights_of(resumed), losses_of(result.folder)) == (before, lines)


def test_sentence_order_can_be_left_out_or_asked_for(
    make_recipe: Make, single_sentences: Path, tmp_path: Path
) -> None:
    with pytest.raises(ShardError):
        run(make_recipe("run.sentence_order=on", f"data.path='{single_sentences}'"))
    assert not (tmp_path / "run").exists()
    result, said = run(make_recipe("run.sentence_order=off"))
    assert "sop_loss" not in result.validation
    assert "lack documents" not in said
    with pytest.raises(TrainingError):  # another objective is another run
        run(make_recipe("run.sentence_order=on"), resume=True)
