"""The interop check itself: what it must not let pass. No other program is needed here."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import environments
import numpy as np
import pytest
import reading
import run
import tf_forward
import torch
import uer_forward
from environments import STAGES, InstallError, Stage

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
LISTED = next(stage for stage in STAGES if stage.name == "paddlenlp")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTEROP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_case(folder: Path, expected: np.ndarray, **facts: object) -> reading.Case:
    folder.mkdir(parents=True)
    case = {"tolerance": 3e-5, "relative": False, **facts}
    (folder / "case.json").write_text(json.dumps(case), encoding="utf-8")
    np.savez(folder / "inputs.npz", attention_mask=np.array([[1, 1, 0]]))
    np.savez(folder / "expected.npz", hidden_00=expected)
    return reading.open_case(folder)


def answer(**found: np.ndarray) -> reading.Answer:
    return reading.Answer(found, {}, [])


def test_differences_count_at_real_positions_and_relative_to_large_values(tmp_path: Path) -> None:
    expected = np.array([[[2.0], [-4.0], [7.0]]], np.float32)
    case = make_case(tmp_path / "case", expected)
    other = expected + np.array([[[0.0], [0.5], [100.0]]], np.float32)
    assert case.differences({"hidden_00": other}) == {"hidden_00": 0.5 / 4}
    assert case.differences({"hidden_00": other[:, :2]}) == {"hidden_00": float("inf")}
    assert case.differences({"hidden_00": other * np.nan}) == {"hidden_00": float("inf")}


def test_small_values_count_as_one_unless_the_case_says_otherwise(tmp_path: Path) -> None:
    expected = np.full((1, 3, 1), 1e-3, np.float32)
    off = {"hidden_00": expected * np.float32(1.5)}
    plain = make_case(tmp_path / "plain", expected)
    assert plain.differences(off)["hidden_00"] == pytest.approx(5e-4)
    probe = make_case(tmp_path / "probe", expected, relative=True)
    assert probe.differences(off)["hidden_00"] == pytest.approx(0.5)


def test_an_output_that_is_not_compared_is_a_problem(tmp_path: Path) -> None:
    case = make_case(tmp_path / "case", np.ones((1, 3, 1), np.float32))
    assert reading.judge(case, answer())["problems"] == ["hidden_00: not compared"]
    found = answer(hidden_00=case.expected["hidden_00"], pooled=np.ones(1))
    assert reading.judge(case, found)["problems"] == ["pooled: nothing to compare with"]
    close = answer(hidden_00=case.expected["hidden_00"] + np.float32(1e-5))
    assert not reading.judge(case, close)["problems"]
    far = answer(hidden_00=case.expected["hidden_00"] + np.float32(1e-4))
    assert len(reading.judge(case, far)["problems"]) == 1


@pytest.mark.parametrize(
    ("printed", "status", "problem"),
    [
        ('{"case": "one", "problems": []}', 0, None),
        ("", 0, "0 cases read of 1"),
        ('{"case": "one", "problems": ["bad"]}', 1, "one: bad"),
        ('{"case": "one", "problems": []}', 3, "ended with 3"),
        ('{"case": "two", "problems": []}', 0, "1 cases read of 1"),
    ],
)
def test_a_reader_that_skips_or_fails_is_found(
    tmp_path: Path, printed: str, status: int, problem: str | None
) -> None:
    make_case(tmp_path / "cases" / "one", np.ones((1, 3, 1), np.float32))
    script = tmp_path / "reader.py"
    script.write_text(f"print({printed!r}); raise SystemExit({status})", encoding="utf-8")
    result = run.Result()
    run.run_reader([run.sys.executable, str(script), str(tmp_path / "cases")], result)
    assert (not result.problems) if problem is None else (problem in result.problems[0])


def test_a_folder_without_cases_is_found(tmp_path: Path) -> None:
    script = tmp_path / "reader.py"
    script.write_text("", encoding="utf-8")
    result = run.Result()
    run.run_reader([run.sys.executable, str(script), str(tmp_path)], result)
    assert "0 cases read of 0" in result.problems[0]


def test_a_stage_joins_its_parts_and_a_failed_install_is_named_once() -> None:
    stage = replace(LISTED, checks=("check_one.py",))
    made: Future[tuple[Path, float | None]] = Future()
    made.set_exception(InstallError("no network"))
    found = [run.run_part(part, made) for part in run.parts(stage, GOLDEN)]
    assert len(found) == 2
    problems = ["install failed: no network", "no cases"]
    assert run.joined(stage, found).problems == problems
    found = [run.Result(cases=2, largest=1e-6, problems=["bad"]), run.Result(cases=1)]
    whole = run.joined(stage, found)
    assert (whole.stage, whole.cases, whole.largest) == (stage.name, 3, 1e-6)
    assert whole.problems == ["bad"]


def test_an_environment_is_made_once_and_a_failed_one_is_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def fake(words: list[str]) -> None:
        ran.append(words)
        if "venv" in words:
            Path(words[-1]).mkdir(parents=True)
        elif len(ran) < 5:
            raise InstallError("no network")

    monkeypatch.setattr(environments, "_run", fake)
    with pytest.raises(InstallError):
        environments.python_of(LISTED)
    assert len(ran) == 1 + environments.TRIES
    assert not list(place.glob("*"))
    python, seconds = environments.python_of(LISTED)
    assert seconds is not None
    assert python.parent.parent == environments.folder_of(LISTED)
    count = len(ran)
    assert environments.python_of(LISTED) == (python, None)
    assert len(ran) == count


def test_another_version_is_another_environment(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environments.folder_of(LISTED)
    assert environments.folder_of(replace(LISTED, whole=False)) != before
    lists = tmp_path / "requirements"
    lists.mkdir()
    text = LISTED.requirements.read_text("utf-8").replace("numpy==1.26.4", "numpy==1.26.3")
    (lists / LISTED.requirements.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(environments, "HERE", tmp_path)
    assert environments.folder_of(LISTED) != before


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.environment])
def test_every_package_has_an_exact_version(stage: Stage) -> None:
    lines = stage.requirements.read_text("utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed
    assert all(len(line.split("==")) == 2 for line in listed)
    assert len({line.lower() for line in listed}) == len(listed)


@pytest.mark.parametrize("name", ["g1_i1_gelu", "g22_l22_rounding", "g2_l4_i2_relu", "e_eq_h_gelu"])
def test_the_forward_pass_by_googles_names_is_googles(name: str) -> None:
    check_tf(GOLDEN / "google_tf" / name)


@pytest.mark.parametrize("name", ["google_fast_g3_swish", "own_preln", "own_postln_e_eq_h"])
def test_the_forward_pass_by_albert_zhs_names_is_albert_zhs(name: str) -> None:
    check_tf(GOLDEN / "brightmart_tf" / name)


def check_tf(folder: Path) -> None:
    config = json.loads((folder / "albert_config.json").read_text("utf-8"))
    with (
        np.load(folder / "weights.npz") as weights,
        np.load(folder / "inputs.npz") as inputs,
        np.load(folder / "outputs.npz") as expected,
    ):
        model = tf_forward.Tf(dict(weights), config)
        found = model.run(inputs["input_ids"], inputs["segment_ids"], inputs["input_mask"])
        last = max(name for name in found if name.startswith("hidden_"))
        for theirs, ours in (("sequence_output", last), ("pooled_output", "pooled")):
            largest = max(1.0, np.abs(expected[theirs]).max())
            assert np.abs(found[ours] - expected[theirs]).max() <= 2e-5 * largest
        words = found["mlm_logits"][
            np.arange(len(inputs["input_ids"]))[:, None], inputs["masked_lm_positions"]
        ].reshape(-1, config["vocab_size"])
        log_probs = np.log(tf_forward.softmax(words))
        assert np.abs(log_probs - expected["masked_lm_log_probs"]).max() <= 1e-4
        order = np.log(tf_forward.softmax(found["sop_logits"]))
        assert np.abs(order - expected["sop_log_probs"]).max() <= 5e-5
    assert set(model.variables) - model.used <= {"global_step"}


@pytest.mark.shared
@pytest.mark.parametrize("name", ["relu_untied", "gelu_fast_tied", "relu_preln_option"])
def test_the_forward_pass_by_uers_names_is_uers(name: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / name
    options = json.loads((folder / "options.json").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    tensors = torch.load(folder / "model.bin", weights_only=True)
    model = uer_forward.Uer(tensors, config, pre=options["layernorm_positioning"] == "pre")
    with (
        np.load(folder / "inputs.npz") as inputs,
        np.load(folder / "outputs.npz") as expected,
    ):
        found = model.run(torch.from_numpy(inputs["src"]), torch.from_numpy(inputs["seg"]))
        real = inputs["seg"] > 0
        names = {"mlm_logits": "mlm_logits", "layer_00": "hidden_01"}
        for theirs, ours in names.items():
            gap = np.abs(found[ours].numpy() - expected[theirs])[real].max()
            assert gap <= 2e-5 * max(1.0, np.abs(expected[theirs]).max())
        assert np.abs(found["sop_logits"].numpy() - expected["sop_logits"]).max() <= 2e-5
    assert model.used == set(tensors)


@pytest.mark.shared
@pytest.mark.parametrize("pooling", ["first", "mean", "max", "last"])
def test_the_classifier_by_uers_names_is_uers(pooling: str, shared: Path) -> None:
    folder = shared / "golden" / "uer" / "relu_untied"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    tensors = torch.load(folder / "classifier.bin", weights_only=True)
    model = uer_forward.Uer(tensors, config, pre=False)
    ours = pooling if pooling == "first" else f"uer_{pooling}"
    with (
        np.load(folder / "inputs.npz") as inputs,
        np.load(folder / "classifier_outputs.npz") as expected,
    ):
        src, seg = (torch.from_numpy(inputs[key]) for key in ("src", "seg"))
        found = model.answers(src, seg, "classification", ours)["logits"].numpy()
        assert np.abs(found - expected[f"logits_{pooling}"]).max() <= 2e-5


def test_the_packages_of_npm_are_part_of_an_environment(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = next(stage for stage in STAGES if stage.name == "javascript")
    assert "@huggingface/transformers==" in environments.versions(stage)
    before = environments.folder_of(stage)
    lists = tmp_path / "requirements"
    shutil.copytree(stage.npm.parent, lists)
    monkeypatch.setattr(environments, "HERE", tmp_path)
    assert environments.folder_of(stage) == before
    (lists / "javascript" / "package-lock.json").write_text("{}")
    assert environments.folder_of(stage) != before
