"""Threads and precisions of engines that are not asked for, and those that are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from albertkit.infer.engines import _cpus
from albertkit.infer.predictor import Predictor


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of cgroups, for a process with 8 CPUs."""
    (tmp_path / "cpu").mkdir()
    monkeypatch.setattr(_cpus, "_CGROUP", tmp_path)
    monkeypatch.setattr(_cpus, "_of_affinity", lambda: 8)
    return tmp_path


def test_threads_are_those_of_the_container(container: Path) -> None:
    assert _cpus.threads_or_cpus(None) == 8
    for text, count in (("150000 100000", 2), ("max 100000", 8), ("50000 100000", 1)):
        (container / "cpu.max").write_text(text + "\n")
        assert _cpus.threads_or_cpus(None) == count
    assert _cpus.threads_or_cpus(3) == 3


def test_threads_are_those_of_a_container_of_version_1_of_cgroups(container: Path) -> None:
    (container / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for text, count in (("250000", 3), ("-1", 8)):
        (container / "cpu" / "cpu.cfs_quota_us").write_text(text + "\n")
        assert _cpus.threads_or_cpus(None) == count


@pytest.mark.usefixtures("_threads")
def test_torch_takes_no_more_threads_than_the_container_has(
    container: Path, tiny_model: Path
) -> None:
    """It counts the processors of the machine, and would take 64 where two may run."""
    torch.set_num_threads(5)
    Predictor(tiny_model / "model")
    assert torch.get_num_threads() == 5
    (container / "cpu.max").write_text("200000 100000\n")
    Predictor(tiny_model / "model")
    assert torch.get_num_threads() == 2
    Predictor(tiny_model / "model", threads=3)
    assert torch.get_num_threads() == 3


def test_torch_computes_in_bf16_where_it_is_asked_to(tiny_model: Path) -> None:
    """Its 8 bits of a mantissa leave cosines of 0.999; the batch may change 2e-2."""
    texts = ["the cat sat on the mat .", "a dog ran", "the dogs and the cats ran on and on ."]
    whole = Predictor(tiny_model / "model")
    half = Predictor(tiny_model / "model", precision="bf16")
    for pooling in ("mean", "cls", "pooled"):
        expected = whole.embed(texts, pooling, normalize=True)
        found = half.embed(texts, pooling, normalize=True)
        assert found.dtype == np.float32
        assert 0.999 < (found * expected).sum(1).min() < 0.9999999
        alone = np.stack([half.embed(text, pooling, normalize=True) for text in texts])
        np.testing.assert_allclose(found, alone, atol=2e-2)
    text = "the [MASK] sat on the mat ."
    best = whole.fill_mask(text)[0]
    near = {x.ids: x.probability for x in half.fill_mask(text, top_k=18)}
    assert near[best.ids] == pytest.approx(best.probability, abs=2e-2)
    np.testing.assert_allclose(
        half.sentence_order("the cat", "a dog"), whole.sentence_order("the cat", "a dog"), atol=2e-2
    )
