"""Models of the hub, fetched by its own library from a server that plays it."""

from __future__ import annotations

import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
from server import Site

from albertkit.errors import DownloadError
from albertkit.hub.repository import choose, fetch_repository

ALBERT = {
    "config.json": b'{"model_type": "albert"}',
    "spiece.model": b"pieces",
    "tokenizer.json": b"{}",
    "README.md": b"card",
    "model.safetensors": b"tensors" * 1000,
    "pytorch_model.bin": b"pickle",
    "tf_model.h5": b"keras",
    "flax_model.msgpack": b"flax",
    "rust_model.ot": b"rust",
    "with-prefix-tf_model.h5": b"keras",
    ".gitattributes": b"",
    "training_args.bin": b"pickle",
    "onnx/model.onnx": b"onnx",
}
SAFE = {"config.json", "spiece.model", "tokenizer.json", "README.md", "model.safetensors"}


def without(*names: str) -> dict[str, bytes]:
    return {name: x for name, x in ALBERT.items() if name not in names}


def test_safetensors_and_what_belongs_to_them_are_taken_and_nothing_else(site: Site) -> None:
    site.repositories["owner/model"] = ALBERT
    folder = fetch_repository("owner/model")
    assert {x.name for x in folder.iterdir()} == SAFE
    assert (folder / "model.safetensors").read_bytes() == ALBERT["model.safetensors"]
    assert set(site.files_asked()) == SAFE


def test_the_pickle_is_taken_only_where_there_is_nothing_better(site: Site) -> None:
    site.repositories["owner/model"] = without("model.safetensors")
    folder = fetch_repository("owner/model")
    assert {x.name for x in folder.iterdir()} == SAFE - {"model.safetensors"} | {
        "pytorch_model.bin"
    }


SHARDS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["config.json", "flax_model.msgpack"], []),
        (
            ["config.json", "tf_model.h5", "flax_model.msgpack"],
            ["config.json", "tf_model.h5"],
        ),
        (["model.safetensors.index.json", "config.json"], []),
        (
            ["model.safetensors.index.json", *SHARDS, "pytorch_model.bin"],
            sorted(["model.safetensors.index.json", *SHARDS]),
        ),
        (["sub/model.safetensors", "pytorch_model.bin"], ["pytorch_model.bin"]),
        (["tf/model.ckpt.index", "tf/model.ckpt.data-00000-of-00001"], []),
        (
            ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json", "optimizer.bin"],
            ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"],
        ),
        (
            ["model_state.pdparams", "model_config.json", "model_state.pdopt"],
            ["model_config.json", "model_state.pdparams"],
        ),
        (
            ["model.weights.h5", "metadata.json", "config.json", "assets/tokenizer/vocabulary.spm"],
            ["assets/tokenizer/vocabulary.spm", "config.json", "metadata.json", "model.weights.h5"],
        ),
        (
            ["model.ckpt-best.index", "model.ckpt-best.data-00000-of-00001", "albert_config.json"],
            ["albert_config.json", "model.ckpt-best.data-00000-of-00001", "model.ckpt-best.index"],
        ),
        (
            ["pytorch_model.bin", "bert_config.json", "added_tokens.json", "30k-clean.model"],
            ["30k-clean.model", "added_tokens.json", "bert_config.json", "pytorch_model.bin"],
        ),
        (
            ["model.safetensors", "albert_config_tiny.json", "my_vocab.txt", "vocabulary.spm"],
            ["albert_config_tiny.json", "model.safetensors", "my_vocab.txt", "vocabulary.spm"],
        ),
        (
            ["config.json", "onnx/model.onnx", "onnx/model_quantized.onnx"],
            ["config.json", "onnx/model.onnx"],
        ),
        (["model.onnx", "model.onnx_data"], ["model.onnx", "model.onnx_data"]),
    ],
)
def test_one_set_of_weights_is_chosen(names: list[str], taken: list[str]) -> None:
    assert choose(names) == taken


def test_size_and_source_are_said_before_anything_arrives(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.repositories["owner/model"] = {**ALBERT, "model.safetensors": bytes(1_234_567)}

    def stopped(*args: object, **options: object) -> None:
        raise OSError("nothing is fetched in this test")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.snapshot_download", stopped)
        with pytest.raises(DownloadError):
            fetch_repository("owner/model")
    said = capsys.readouterr().err
    assert "owner/model (1.2 MB)" in said
    assert f"{site.address}/owner/model" in said
    fetch_repository("owner/model")
    capsys.readouterr()
    fetch_repository("owner/model", refresh=True)  # asked, and nothing is new
    assert capsys.readouterr().err == ""
    assert site.asked[-1].path.startswith("/api/models/")


def test_what_was_fetched_is_used_again_without_a_question(site: Site) -> None:
    site.repositories["owner/model"] = ALBERT
    first = fetch_repository("owner/model")
    site.asked.clear()
    assert fetch_repository("owner/model") == first
    assert fetch_repository("owner/model", offline=True) == first
    assert site.asked == []


def test_refresh_asks_and_takes_what_is_new(site: Site) -> None:
    site.repositories["owner/model"] = without("tokenizer.json")
    fetch_repository("owner/model")
    site.repositories["owner/model"] = ALBERT
    assert not (fetch_repository("owner/model") / "tokenizer.json").exists()
    assert (fetch_repository("owner/model", refresh=True) / "tokenizer.json").exists()
    assert (fetch_repository("owner/model", offline=True) / "tokenizer.json").exists()


def test_refresh_without_a_network_points_to_the_copy(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.repositories["owner/model"] = ALBERT
    folder = fetch_repository("owner/model")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot be reached") as error:
        fetch_repository("owner/model", refresh=True)
    assert "--offline" in error.value.facts["to do"]
    assert fetch_repository("owner/model") == folder


def test_a_revision_is_kept_apart(site: Site) -> None:
    site.repositories["owner/model"] = ALBERT
    commit = site.commit("owner/model")
    assert fetch_repository("owner/model", commit).name == commit
    with pytest.raises(DownloadError, match="not in the cache"):
        fetch_repository("owner/model", offline=True)  # the main branch was not asked for
    with pytest.raises(DownloadError, match="no revision 'v9'"):
        fetch_repository("owner/model", "v9")


def test_offline_without_a_copy_is_refused_with_both_ways_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.repositories["owner/model"] = ALBERT
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="not in the cache") as error:
        fetch_repository("owner/model")
    assert site.asked == []
    assert "owner/model" in error.value.facts["to do"]
    assert error.value.facts["where"] == huggingface_hub.constants.HF_HUB_CACHE


def test_half_a_copy_is_no_copy(site: Site) -> None:
    files = {"config.json": b"{}", "model.safetensors.index.json": b"{}"}
    site.repositories["owner/model"] = {**files, **dict.fromkeys(SHARDS, b"x")}
    folder = fetch_repository("owner/model")
    (folder / SHARDS[1]).unlink()
    with pytest.raises(DownloadError, match="not in the cache"):
        fetch_repository("owner/model", offline=True)
    assert (fetch_repository("owner/model") / SHARDS[1]).exists()


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("owner/none", None, "no such repository"),
        (
            "owner/empty",
            {"config.json": b"{}", "flax_model.msgpack": b""},
            "no weights that can be read",
        ),
    ],
)
def test_what_the_hub_lacks_is_reported(
    site: Site, name: str, files: dict[str, bytes] | None, message: str
) -> None:
    if files is not None:
        site.repositories[name] = files
    with pytest.raises(DownloadError, match=message) as error:
        fetch_repository(name)
    assert error.value.facts["where"] == f"{site.address}/{name}"


def test_a_file_that_is_listed_and_not_sent_is_reported(site: Site, cache: Path) -> None:
    class Torn(dict[str, bytes]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            return None if name == "model.safetensors" else super().get(name, b"")

    site.repositories["owner/model"] = Torn(ALBERT)
    with pytest.raises(DownloadError):
        fetch_repository("owner/model")
    with pytest.raises(DownloadError, match="not in the cache"):
        fetch_repository("owner/model", offline=True)


def test_no_network_is_refused_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot be reached") as error:
        fetch_repository("owner/model")
    assert "into a folder yourself" in error.value.facts["to do"]
    assert "127.0.0.1:9" in error.value.facts["expected"]


def test_progress_is_the_bytes_of_all_files_and_the_library_shows_nothing(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.repositories["owner/model"] = {**ALBERT, "model.safetensors": bytes(300_000)}
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    said: list[tuple[str, int, int | None]] = []
    folder = fetch_repository("owner/model", progress=lambda *x: said.append(x))
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert {(name, total) for name, _, total in said} == {("owner/model", size)}
    assert [done for _, done, _ in said] == sorted({done for _, done, _ in said})
    assert said[-1][1] == size
    assert len(capsys.readouterr().err.splitlines()) == 1  # the name, its size and source
