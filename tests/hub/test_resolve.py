"""From a name to a folder: paths first, archives unpacked once and checked ever after."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from server import Site
from test_hub_archives import FILES, OTHERS, contents, tar_of, zip_of

from albertkit import hub
from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.errors import CheckpointError, DownloadError, OutputError
from albertkit.hub.catalog import find
from albertkit.hub.known import Files, KnownModel

SAFETENSORS = {"config.json": b"{}", "model.safetensors": b"x"}


@pytest.fixture
def archive(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """google-albert-base-v2 lies on the local server; the bytes of its archive."""
    content = tar_of(tmp_path / "made.tar.gz", FILES | OTHERS).read_bytes()
    url = site.put("/models/albert_base_v2.tar.gz", content)
    relocate(monkeypatch, "google-albert-base-v2", Files({"albert_base_v2.tar.gz": url}))
    return content


def relocate(monkeypatch: pytest.MonkeyPatch, name: str, source: Files) -> None:
    """Let a known model come from other addresses."""
    model = find(name)
    assert model is not None
    moved = dataclasses.replace(model, source=source)

    def found(wanted: str) -> KnownModel | None:
        same = find(wanted)
        return moved if same is not None and same.name == name else same

    monkeypatch.setattr(hub, "find", found)


def test_a_path_that_exists_stays_what_it_is(site: Site, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt.index").write_text("")
    (tmp_path / "owner").mkdir()
    for path in (tmp_path, tmp_path / "model.ckpt.index", tmp_path / "model.ckpt"):
        assert hub.resolve(path) == path
        assert hub.resolve(str(path)) == path
    assert site.asked == []


def test_a_folder_here_comes_before_a_model_of_its_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "albert-base-v2").mkdir()
    assert hub.resolve("albert-base-v2") == Path("albert-base-v2")
    site.repositories["albert/albert-base-v2"] = SAFETENSORS
    folder = hub.resolve("hf:albert/albert-base-v2")
    assert {x.name for x in folder.iterdir()} == set(SAFETENSORS)


@pytest.mark.parametrize("name", ["albert-base-v2", "albert/albert-base-v2", "owner/x@main"])
def test_names_and_ids_of_the_hub(site: Site, name: str) -> None:
    site.repositories["albert/albert-base-v2"] = site.repositories["owner/x"] = SAFETENSORS
    assert {x.name for x in hub.resolve(name).iterdir()} == set(SAFETENSORS)


def test_a_wrong_path_into_a_folder_here_is_no_id_of_the_hub(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for wrong in ("run/modle", "a/b/c", "./x", "nowhere", "/no/such/place", "../x", "a b/c"):
        with pytest.raises(CheckpointError, match="does not exist|has this name"):
            hub.resolve(wrong)
    with pytest.raises(CheckpointError, match="albert-base-v2"):
        hub.resolve("albert-base-v3")
    assert site.asked == []


@pytest.mark.parametrize("path", ["./x", "../x", "~/x", "/no/x", "no/x.safetensors", "x.bin"])
def test_what_has_the_shape_of_a_path_is_called_a_path(site: Site, path: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        hub.resolve(path)
    assert caught.value.what == "The path does not exist."
    assert Path(caught.value.facts["where"]) == Path(path)
    assert site.asked == []


def test_a_missing_path_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(CheckpointError) as caught:
        hub.resolve(tmp_path / "modle")
    assert str(tmp_path / "model") in caught.value.facts["to do"]


def test_a_link_to_nothing_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(CheckpointError) as caught:
        hub.resolve(tmp_path / "link")
    assert caught.value.facts["found"] == "a link to gone"


def test_an_id_that_the_hub_lacks_may_have_been_a_folder(site: Site) -> None:
    with pytest.raises(DownloadError, match="There is no folder owner/none here, and: "):
        hub.resolve("owner/none")


def test_a_name_that_is_nearly_one_of_a_shipped_model_names_it(site: Site) -> None:
    for name in ("tiny-en", "albertkit/tiny-e"):
        with pytest.raises(CheckpointError, match="albertkit/tiny-en"):
            hub.resolve(name)
    with pytest.raises(CheckpointError):
        hub.resolve("a text, not a name. " * 500)
    assert site.asked == []


@pytest.mark.parametrize("name", ["google-albert-base-v2", "albert_base_v2"])
def test_an_archive_is_fetched_and_unpacked_once(
    site: Site, cache: Path, archive: bytes, name: str
) -> None:
    folder = hub.resolve(name)
    assert folder == cache / "models" / "google-albert-base-v2" / "files" / "albert_base"
    assert contents(folder.parent) == FILES
    assert hub.resolve(name) == folder
    assert hub.resolve(name, offline=True) == folder
    assert len(site.asked) == 1
    record = json.loads((cache / "models" / "google-albert-base-v2" / "sha256.json").read_text())
    source = record["sources"][site.address + "/models/albert_base_v2.tar.gz"]
    assert source["sha256"] == hashlib.sha256(archive).hexdigest()
    assert record["files"]["albert_base/30k-clean.vocab"] == hashlib.sha256(b"words").hexdigest()
    assert contents(cache / "downloads" / "google-albert-base-v2") == {}


@pytest.mark.parametrize(
    ("name", "case", "file", "family"),
    [
        ("google-albert-base-v2", "google_tf/g1_i1_gelu", "albert_base_v2.tar.gz", "google_tf"),
        ("brightmart-tiny", "brightmart_tf/own_preln", "albert_tiny.zip", "brightmart_tf"),
    ],
)
def test_what_was_fetched_opens(
    site: Site,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    case: str,
    file: str,
    family: str,
) -> None:
    members = {f"x/{path.name}": path.read_bytes() for path in (golden / case).iterdir()}
    make = zip_of if file.endswith(".zip") else tar_of
    url = site.put(f"/{file}", make(tmp_path / file, members).read_bytes())
    relocate(monkeypatch, name, Files({file: url}))
    opened = open_checkpoint(hub.resolve(name))
    assert opened.family == family
    assert opened.checkpoint.has_sentence_order


@pytest.mark.shared
def test_a_file_of_paddle_opens_with_the_config_that_is_written_beside_it(
    site: Site, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = shared / "golden" / "paddlenlp" / "chinese_like_relu" / "pretraining"
    model = find("albert-chinese-base")
    assert model is not None
    assert isinstance(model.source, Files)
    assert model.source.config is not None
    small = json.loads((case / "config.json").read_text())
    config = {key: small[key] for key in model.source.config}  # the keys that we write
    url = site.put("/x.pdparams", (case / "model_state.pdparams").read_bytes())
    relocate(monkeypatch, model.name, Files({"model_state.pdparams": url}, config))
    opened = open_checkpoint(hub.resolve("albert-chinese-base"))
    assert (opened.family, opened.checkpoint.config.hidden_act) == ("paddlenlp", "relu")
    assert opened.checkpoint.has_sentence_order


def test_a_repository_opens(site: Site, golden: Path) -> None:
    case = golden / "huggingface" / "gelu_new" / "pretraining"
    site.repositories["owner/x"] = {path.name: path.read_bytes() for path in case.iterdir()}
    opened = open_checkpoint(hub.resolve("owner/x"))
    assert opened.family == "huggingface"
    assert opened.checkpoint.has_masked_lm


def test_progress_is_reported(archive: bytes) -> None:
    seen: list[tuple[str, int, int | None]] = []
    hub.resolve("albert_base_v2", progress=lambda *x: seen.append(x))
    assert seen[-1] == ("albert_base_v2.tar.gz", len(archive), len(archive))


def test_an_archive_says_its_size_and_source_before_it_arrives(
    site: Site, archive: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    hub.resolve("albert_base_v2", progress=lambda *x: seen.append(capsys.readouterr().err))
    assert f"({len(archive) / 1e6:.1f} MB) from {site.address}" in seen[0]
    assert "albert_base_v2.tar.gz" in seen[0]
    assert not any(seen[1:])
    hub.resolve("albert_base_v2")
    assert capsys.readouterr().err == ""


def test_a_flat_zip_and_a_variables_folder_give_the_place_of_the_weights(
    site: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = {"albert_config_tiny_g.json": b"{}", "albert_model.ckpt.index": b"", "vocab.txt": b""}
    layouts = {"flat": (flat, "."), "hub": ({f"albert/{x}": y for x, y in HUB.items()}, "albert")}
    for name, (files, where) in layouts.items():
        content = zip_of(tmp_path / f"{name}.zip", files).read_bytes()
        url = site.put(f"/{name}.zip", content)
        relocate(monkeypatch, "brightmart-tiny", Files({f"{name}.zip": url}))
        folder = hub.resolve("albert_tiny")
        assert folder == cache / "models" / "brightmart-tiny" / "files" / where
        shutil.rmtree(cache / "models")


HUB = {"saved_model.pb": b"", "variables/variables.index": b"", "assets/albert_config.json": b"{}"}


def test_single_files_get_their_names_and_the_config_that_paddle_keeps_in_its_code(
    site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = find("albert-chinese-tiny")
    assert model is not None
    assert isinstance(model.source, Files)
    moved = {n: site.put(f"/{n}", n.encode()) for n in model.source.addresses}
    relocate(monkeypatch, model.name, Files(moved, model.source.config))
    folder = hub.resolve("albert-chinese-tiny")
    assert {x.name for x in folder.iterdir()} == {
        "model_state.pdparams",
        "vocab.txt",
        "config.json",
    }
    config = json.loads((folder / "config.json").read_text())
    assert (config["hidden_size"], config["hidden_act"]) == (312, "gelu")
    assert (config["bos_token_id"], config["model_type"]) == (2, "albert")
    assert hub.resolve("albert-chinese-tiny", offline=True) == folder


def test_another_file_at_the_same_address_is_an_error_that_names_both(
    site: Site, cache: Path, archive: bytes, tmp_path: Path
) -> None:
    hub.resolve("albert_base_v2")
    shutil.rmtree(cache / "models" / "google-albert-base-v2" / "files")
    other = tar_of(tmp_path / "other.tar.gz", {**FILES, "albert_base/checkpoint": b"new"})
    site.put("/models/albert_base_v2.tar.gz", other.read_bytes())
    for _ in range(2):  # the wrong file does not stay to be taken the next time
        with pytest.raises(DownloadError, match="SHA-256") as error:
            hub.resolve("albert_base_v2")
        assert hashlib.sha256(archive).hexdigest() in error.value.facts["expected"]
        assert hashlib.sha256(other.read_bytes()).hexdigest() in error.value.facts["found"]
    site.put("/models/albert_base_v2.tar.gz", archive)
    assert contents(hub.resolve("albert_base_v2").parent) == FILES


@pytest.mark.parametrize("change", ["content", "missing", "extra"])
def test_a_file_that_changed_in_the_cache_is_an_error_that_names_both(
    archive: bytes, change: str
) -> None:
    folder = hub.resolve("albert_base_v2")
    path = folder / ("extra.txt" if change == "extra" else "30k-clean.vocab")
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(b"other")
    (folder / ".DS_Store").write_bytes(b"hidden files are nobody's")
    with pytest.raises(DownloadError, match="is not the one that was downloaded") as error:
        hub.resolve("albert_base_v2", offline=True)
    sums = {hashlib.sha256(x).hexdigest() for x in (b"words", b"other")}
    named = error.value.facts["expected"] + error.value.facts["found"]
    assert error.value.facts["where"] == str(path)
    assert any(x in named for x in sums)


def test_what_a_killed_unpacking_left_is_removed(cache: Path, archive: bytes) -> None:
    left = cache / "models" / "google-albert-base-v2" / ".files.writing-0123456789ab"
    left.mkdir(parents=True)
    (left / "model.ckpt-best.index").write_bytes(b"half")
    assert contents(hub.resolve("albert_base_v2").parent) == FILES
    assert not left.exists()


def test_a_damaged_record_is_reported(cache: Path, archive: bytes) -> None:
    hub.resolve("albert_base_v2")
    for damage in ("", "[]", '{"sources": {"a": {}}, "files": {}}', '{"sources": {}, "files": 3}'):
        (cache / "models" / "google-albert-base-v2" / "sha256.json").write_text(damage)
        with pytest.raises(DownloadError, match="record of a downloaded model is damaged"):
            hub.resolve("albert_base_v2")


def test_offline_without_a_copy_says_where_to_put_it(
    site: Site, cache: Path, archive: bytes
) -> None:
    with pytest.raises(DownloadError, match="not in the cache") as error:
        hub.resolve("albert_base_v2", offline=True)
    assert site.asked == []
    assert site.address + "/models/albert_base_v2.tar.gz" in error.value.facts["to do"]
    place = cache / "downloads" / "google-albert-base-v2"
    assert str(place) in error.value.facts["to do"]


def test_a_file_fetched_by_hand_is_taken(site: Site, cache: Path, archive: bytes) -> None:
    place = cache / "downloads" / "google-albert-base-v2"
    place.mkdir(parents=True)
    (place / "albert_base_v2.tar.gz").write_bytes(archive)
    assert contents(hub.resolve("albert_base_v2").parent) == FILES
    assert site.asked == []


def test_a_bad_file_given_by_hand_is_not_removed(cache: Path, archive: bytes) -> None:
    place = cache / "downloads" / "google-albert-base-v2" / "albert_base_v2.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_text("<html>")
    with pytest.raises(CheckpointError, match="archive that can be unpacked"):
        hub.resolve("albert_base_v2")
    assert place.exists()


def test_a_damaged_archive_is_neither_kept_nor_recorded(
    site: Site, cache: Path, archive: bytes
) -> None:
    site.put("/models/albert_base_v2.tar.gz", archive[:-50])
    with pytest.raises(CheckpointError, match="damaged or cut off"):
        hub.resolve("albert_base_v2")
    assert not (cache / "models" / "google-albert-base-v2" / "files").exists()
    site.put("/models/albert_base_v2.tar.gz", archive)
    assert contents(hub.resolve("albert_base_v2").parent) == FILES


def test_no_network_says_what_was_tried_and_what_to_do(
    cache: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9/albert_base_v2.tar.gz"
    relocate(monkeypatch, "google-albert-base-v2", Files({"albert_base_v2.tar.gz": url}))
    with pytest.raises(DownloadError) as error:
        hub.resolve("albert_base_v2")
    assert error.value.facts["where"] == url
    assert "refused" in error.value.facts["found"]
    place = cache / "downloads" / "google-albert-base-v2" / "albert_base_v2.tar.gz"
    assert str(place) in error.value.facts["to do"]


def test_a_model_without_address_says_so(site: Site) -> None:
    with pytest.raises(DownloadError, match="No address of this model is known"):
        hub.resolve("brightmart-xxlarge")


def test_a_cache_that_cannot_be_written_is_reported(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError):
        hub.resolve("albert_base_v2")


def test_a_copy_is_made_of_files_not_of_links(site: Site, tmp_path: Path) -> None:
    site.repositories["owner/x"] = SAFETENSORS
    folder = hub.resolve("owner/x")
    assert (folder / "model.safetensors").is_symlink()
    copy = hub.copy_to(folder, tmp_path / "mine")
    assert contents(copy) == SAFETENSORS
    assert not any(x.is_symlink() for x in copy.iterdir())
    with pytest.raises(OutputError):
        hub.copy_to(folder, tmp_path / "mine")
