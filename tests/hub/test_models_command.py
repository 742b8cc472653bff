"""The commands `download` and `models`: what they print for people and machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from server import Site

import albertkit
from albertkit.cli import main
from albertkit.errors import DownloadError
from albertkit.hub.catalog import all_models


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Standard output of one command, or its errors if it fails."""
    assert main([str(x) for x in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_names_every_model_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run(capsys, "models").splitlines()
    assert max(map(len, lines)) <= columns
    for model in all_models().values():
        row = next(line.split() for line in lines if line.startswith(model.name + " "))
        assert row[1] == f"{model.parameters:,}"
    assert any(line.startswith("None of these 50 names could be downloaded live") for line in lines)
    assert any(line.endswith("albertkit/tiny-en, albertkit/tiny-zh") for line in lines)
    assert any(line.split()[-3:] == ["MLM", "SOP", "Apache-2.0*"] for line in lines)


def test_one_model_is_shown_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = run(capsys, "models", "albert_base_zh_additional_36k_steps")
    assert "https://storage.googleapis.com/albert_zh/albert_base_zh_additional_36k_steps.zip" in out
    words = " ".join(out.split())
    for part in (
        "not tried live",
        "licence not stated",
        "pooler, masked LM, sentence order",
        "11,492,234 parameters, 46.0 MB as float32",
        "10,877,440 body",
        "no bias in the projection",
        "LCQMC dev/test 87.8/86.3 brightmart/albert_zh README",
    ):
        assert part in words


@pytest.mark.parametrize("name", list(all_models()))
def test_every_model_can_be_shown_in_both_forms(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = run(capsys, "models", name)
    assert out.startswith(name + "\n")
    value = json.loads(run(capsys, "models", name, "--json"))
    assert value["name"] == name
    assert value["addresses"] or "no known address" in out
    assert value["tried_live"] is False


def test_the_list_for_machines_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    values = [json.loads(line) for line in run(capsys, "models", "--json").splitlines()]
    assert [x["name"] for x in values] == list(all_models())
    base = next(x for x in values if x["name"] == "albert-base-v2")
    assert base["heads_in_file"] == ["pooler", "masked LM"]
    assert base["parameters"]["body"] == 11_683_584
    assert base["config"]["num_attention_heads"] == 12
    assert {"task": "MNLI", "value": "84.6"}.items() <= base["scores"][3].items()


def test_an_unknown_name_is_a_mistake_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    err = run(capsys, "models", "albert-base-v3", code=2)
    assert "perhaps you mean albert-base-v" in err


def test_download_prints_the_folder(
    capsys: pytest.CaptureFixture[str], site: Site, tmp_path: Path
) -> None:
    site.repositories["albert/albert-base-v2"] = {"config.json": b"{}", "model.safetensors": b"x"}
    folder = Path(run(capsys, "download", "albert-base-v2").strip())
    assert (folder / "model.safetensors").read_bytes() == b"x"
    assert run(capsys, "download", "albert-base-v2", "--offline").strip() == str(folder)
    mine = tmp_path / "mine"
    assert run(capsys, "download", "albert-base-v2", "--to", mine).strip() == str(mine)
    assert sorted(x.name for x in mine.iterdir()) == ["config.json", "model.safetensors"]


def test_download_offline_of_nothing_is_a_mistake_of_one_message(
    capsys: pytest.CaptureFixture[str], site: Site
) -> None:
    err = run(capsys, "download", "albert-large-v2", "--offline", code=2)
    assert err.startswith("error: The model is not in the cache")
    assert site.asked == []


def repository(site: Site, golden: Path) -> str:
    """Name of a model of transformers on the hub, with a vocabulary."""
    case = golden / "huggingface" / "gelu_new" / "pretraining"
    files = {path.name: path.read_bytes() for path in case.iterdir()}
    size = json.loads(files["config.json"])["vocab_size"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x4E00, 0x4E00 + size))]
    files["vocab.txt"] = "\n".join(pieces[:size]).encode()
    site.repositories["owner/model"] = files
    return "owner/model"


def test_every_way_in_says_what_it_downloads_and_keeps_off_the_network_if_told(
    capsys: pytest.CaptureFixture[str], site: Site, golden: Path, tmp_path: Path
) -> None:
    name = repository(site, golden)
    text = "\u4e00[MASK]"
    refused = [
        lambda: albertkit.Predictor(name, offline=True),
        lambda: albertkit.Checkpoint.load(name, offline=True),
        lambda: albertkit.load_model(name, offline=True),
        lambda: albertkit.download(name, offline=True),
        lambda: albertkit.convert(name, tmp_path / "no", "huggingface", offline=True),
    ]
    for way in refused:
        with pytest.raises(DownloadError, match="not in the cache"):
            way()
    err = run(capsys, "fill-mask", text, "--model", name, "--offline", code=2)
    assert "not in the cache" in err
    assert site.asked == []

    assert main(["fill-mask", text, "--model", name]) == 0
    assert f"downloading {name} (" in capsys.readouterr().err
    folder = albertkit.download(name)
    assert albertkit.download(name, tmp_path / "mine") == tmp_path / "mine"
    assert sorted(x.name for x in folder.iterdir()) == sorted(
        x.name for x in (tmp_path / "mine").iterdir()
    )
    assert capsys.readouterr().err == ""  # all of it was there
    site.asked.clear()
    assert len(albertkit.Predictor(name, offline=True)(text)) == 5
    assert run(capsys, "fill-mask", text, "--model", name, "--offline")
    assert site.asked == []
