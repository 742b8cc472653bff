"""One file by its address, from a server that misbehaves."""

from __future__ import annotations

import hashlib
import random
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from server import Site

from albertkit.errors import DownloadError, OutputError
from albertkit.hub import fetch as module
from albertkit.hub.fetch import fetch_file

CONTENT = random.Random(5).randbytes(900_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_arrives_whole_with_its_sum_and_progress(site: Site, tmp_path: Path) -> None:
    progress: list[tuple[str, int, int | None]] = []
    url = site.put("/a.bin", CONTENT)
    got = fetch_file(url, tmp_path / "new" / "a.bin", progress=lambda *x: progress.append(x))
    assert (got.url, got.sha256, got.size, got.etag) == (url, SHA256, len(CONTENT), '"first"')
    assert (tmp_path / "new" / "a.bin").read_bytes() == CONTENT
    assert [x.name for x in (tmp_path / "new").iterdir()] == ["a.bin"], "nothing is left beside it"
    assert progress[-1] == ("a.bin", len(CONTENT), len(CONTENT))
    assert [x[1] for x in progress] == sorted(x[1] for x in progress)


def test_a_cut_connection_is_continued_where_it_broke(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", CONTENT, cuts=[300_000, 300_000])
    fetch_file(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    ranges = [(x.headers.get("Range"), x.headers.get("If-Range")) for x in site.asked]
    assert ranges == [(None, None), ("bytes=300000-", '"first"'), ("bytes=600000-", '"first"')]


def test_a_later_call_continues_what_a_killed_one_left(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", CONTENT, cuts=[300_000])

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_file(url, tmp_path / "a.bin", sleep=killed)
    assert not (tmp_path / "a.bin").exists()
    fetch_file(url, tmp_path / "a.bin")
    assert site.asked[-1].headers["Range"] == "bytes=300000-"
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_that_was_whole_when_the_process_died_is_not_fetched_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.put("/a.bin", CONTENT)

    def killed(path: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "sha256_of", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch_file(url, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    assert fetch_file(url, tmp_path / "a.bin").sha256 == SHA256
    assert len(site.asked) == 1


def test_a_file_that_changed_in_between_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", bytes(len(CONTENT)), cuts=[300_000])

    def change(seconds: float) -> None:
        site.put("/a.bin", CONTENT, etag='"second"')

    got = fetch_file(url, tmp_path / "a.bin", sleep=change)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert (got.sha256, got.etag) == (SHA256, '"second"')


def test_a_part_from_another_address_is_not_continued(site: Site, tmp_path: Path) -> None:
    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    other = site.put("/b.bin", bytes(len(CONTENT)), cuts=[300_000])
    with pytest.raises(KeyboardInterrupt):
        fetch_file(other, tmp_path / "a.bin", sleep=killed)
    fetch_file(site.put("/a.bin", CONTENT), tmp_path / "a.bin")  # the tags are the same
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"first"', None, 'W/"weak"'])
def test_without_ranges_or_a_strong_tag_it_starts_again(
    site: Site, tmp_path: Path, etag: str | None
) -> None:
    url = site.put("/a.bin", CONTENT, ranges=False, etag=etag, cuts=[500_000, 100])
    fetch_file(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    if etag != '"first"':
        assert all("Range" not in x.headers for x in site.asked), "nothing to compare with"


def test_a_range_that_starts_elsewhere_is_not_appended(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import server

    url = site.put("/a.bin", CONTENT, cuts=[300_000])
    true = server._Handler._start

    def wrong(self: server._Handler, page: server.Page) -> int:
        asked = true(self, page)
        return asked - 1000 if asked and len(site.asked) == 2 else asked

    monkeypatch.setattr(server._Handler, "_start", wrong)
    fetch_file(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [x.headers.get("Range") for x in site.asked] == [None, "bytes=300000-", None]


def test_a_beginning_that_the_server_no_longer_has_is_dropped(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", CONTENT, cuts=[600_000])

    def shrink(seconds: float) -> None:
        site.put("/a.bin", CONTENT[:1000])  # the same tag, so a range is asked: answered by 416

    got = fetch_file(url, tmp_path / "a.bin", sleep=shrink)
    assert got.size == 1000
    assert (tmp_path / "a.bin").read_bytes() == CONTENT[:1000]


def test_redirects_are_followed_with_the_range(site: Site, tmp_path: Path) -> None:
    site.put("/real.bin", CONTENT, cuts=[300_000])
    url = site.put("/a.bin", redirect="/real.bin")
    fetch_file(url, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert site.asked[-1].path == "/real.bin"
    assert site.asked[-1].headers["Range"] == "bytes=300000-"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/a.bin"])
def test_a_redirect_away_from_the_web_is_refused(site: Site, tmp_path: Path, target: str) -> None:
    url = site.put("/a.bin", redirect=target)
    with pytest.raises(DownloadError, match=r"is not followed|is not allowed"):
        fetch_file(url, tmp_path / "a.bin")
    assert list(tmp_path.glob("a.bin")) == []


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://example.org/a.bin")
    follow = module._Redirects().redirect_request
    with pytest.raises(urllib.error.HTTPError, match="not followed"):
        follow(request, None, 302, "Found", {}, "http://example.org/a.bin")
    other = follow(request, None, 302, "Found", {}, "https://example.com/a.bin")
    assert other is not None
    assert other.full_url == "https://example.com/a.bin"


def test_busy_servers_are_asked_again(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", CONTENT, failures=[503, 429, 500])
    waits: list[float] = []
    fetch_file(url, tmp_path / "a.bin", sleep=waits.append)
    assert len(waits) == 3
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_waits_grow(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    url = site.put("/a.bin", CONTENT, failures=[503] * 10)
    waits: list[float] = []
    with pytest.raises(DownloadError, match="6 attempts: HTTP 503"):
        fetch_file(url, tmp_path / "a.bin", sleep=waits.append)
    assert waits == [1, 2, 4, 8, 16]


def test_a_missing_file_is_refused_at_once(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        fetch_file(site.address + "/none.bin", tmp_path / "none.bin")
    assert len(site.asked) == 1
    assert error.value.facts["found"] == "HTTP 404 Not Found"
    assert error.value.facts["where"] == site.address + "/none.bin"
    assert str(tmp_path / "none.bin") in error.value.facts["to do"]


def test_no_network_is_reported_after_two_attempts(tmp_path: Path, site: Site) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        waits: list[float] = []
        with pytest.raises(DownloadError) as error:
            fetch_file(
                f"http://127.0.0.1:{port}/a.tar.gz", tmp_path / "a.tar.gz", sleep=waits.append
            )
    assert len(waits) == 1
    assert "refused" in error.value.facts["found"]


def test_a_server_that_never_sends_a_whole_file_is_given_up(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", CONTENT, ranges=False, etag=None, cuts=[10] * 20)
    with pytest.raises(DownloadError, match="cut after 10 of 900,000 bytes"):
        fetch_file(url, tmp_path / "a.bin", sleep=lambda seconds: None)
    assert not (tmp_path / "a.bin").exists()


def test_a_size_that_no_model_has_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    for announced in (True, False):
        url = site.put("/a.bin", CONTENT, announces_size=announced)
        with pytest.raises(DownloadError, match="more bytes than it should"):
            fetch_file(url, tmp_path / "a.bin")
        assert list(tmp_path.glob("*a.bin*")) == []


def test_an_unknown_size_is_fine(site: Site, tmp_path: Path) -> None:
    url = site.put("/a.bin", CONTENT, announces_size=False)
    assert fetch_file(url, tmp_path / "a.bin").sha256 == SHA256


def test_too_little_space_is_refused_before_the_bytes_come(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 5, 1000))
    url = site.put("/a.bin", CONTENT)
    with pytest.raises(OutputError, match="too little space") as error:
        fetch_file(url, tmp_path / "a.bin")
    assert error.value.facts["expected"].startswith("900,000 bytes")


def test_a_place_that_cannot_be_written_is_reported(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        fetch_file(site.put("/a.bin", CONTENT), tmp_path / "file" / "a.bin")


@pytest.mark.parametrize("damage", ["not json", "[]", '{"url": 3}', '{"total": "x"}'])
def test_a_damaged_note_about_a_part_is_no_obstacle(
    site: Site, tmp_path: Path, damage: str
) -> None:
    (tmp_path / ".a.bin.part").write_bytes(b"old")
    (tmp_path / ".a.bin.part.json").write_text(damage)
    fetch_file(site.put("/a.bin", CONTENT), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
