"""What inspect tells, on a checkpoint that google's own program wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albertkit.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Standard output of one command."""
    assert main([str(x) for x in arguments]) == code
    return capsys.readouterr().out


def test_facts_are_those_of_the_files(capsys: pytest.CaptureFixture[str], golden: Path) -> None:
    place = golden / "google_tf" / "g1_i1_gelu"
    facts = json.loads(run(capsys, "inspect", place, "--json"))
    assert facts["family"] == "google_tf"
    assert facts["optimizer_slots"] == {"adam_m": 32, "adam_v": 32}
    assert len(facts["tensors"]) == 32 + 64 + 1  # variables, two slots each, the step
    # Section 2.3 of the inventory, by hand for V 120, E 16, H 24, I 40, P 32, T 2:
    # embeddings 2496, projection 408, layer 4472, pooler 600, masked-LM head 552 + 0, order 50.
    embeddings = 120 * 16 + 32 * 16 + 2 * 16 + 2 * 16
    layer = 4 * (24 * 24 + 24) + 2 * 24 + (24 * 40 + 40) + (40 * 24 + 24) + 2 * 24
    heads = (24 * 24 + 24) + (24 * 16 + 16 + 2 * 16 + 120) + (2 * 24 + 2)
    assert facts["parameters"] == embeddings + (16 * 24 + 24) + layer + heads
    assert facts["provenance"]["num_attention_heads"] == "albert_config.json"
    assert facts["config"]["hidden_act"] == "gelu_tanh"
    ignored = [t for t in facts["tensors"] if "ignored" in t]
    assert len(ignored) == 65
    assert facts["missing"] == []


def test_tables_for_people(capsys: pytest.CaptureFixture[str], golden: Path) -> None:
    out = run(capsys, "inspect", golden / "google_tf" / "g1_i1_gelu", "--tensors")
    assert "32 adam_m, 32 adam_v" in out
    assert "albert_config.json" in out
    assert "sentence_order" in out


def test_what_no_program_wrote_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "model.bin").write_bytes(b"not a checkpoint at all")
    assert main(["inspect", str(tmp_path)]) == 2
    assert "not a checkpoint" in capsys.readouterr().err


def test_the_tokenizer_is_named_by_its_file(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    model = tiny_model / "model"
    assert "23 pieces, vocab.txt" in run(capsys, "inspect", model)
    other = tmp_path / "other-vocab.txt"
    other.write_bytes((tiny_model / "vocab.txt").read_bytes())
    assert "23 pieces, other-vocab.txt" in run(capsys, "inspect", model, "--tokenizer", other)
