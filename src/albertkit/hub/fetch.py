"""Fetch one file by its address: continued after a cut, checked for size, never half in place.

What has arrived so far is beside the target as `.NAME.part`, with what the server said about it
in `.NAME.part.json`. It is continued only if the server still has the same file (If-Range).
The standard library carries the bytes; proxies are taken from the usual environment variables.
"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from albertkit import __version__
from albertkit.errors import DownloadError, OutputError
from albertkit.errors import reason as reason_of
from albertkit.files import flush_folder, sha256_of, translate_os_errors, write_atomic

if TYPE_CHECKING:
    from albertkit.progress import Progress

PIECE = 1 << 18
MAX_FILE_BYTES = 8 << 30  # bytes; the largest ALBERT with optimizer slots has 2.7 GB
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between failures in a row
UNREACHED_ATTEMPTS = 2  # of a server that never answered: there is no network, or no such name
TIMEOUT_SECONDS = 30.0
_SPARE_BYTES = 16 << 20  # free space that is left to others
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others a moment later
_RANGE_NOT_SATISFIABLE = 416
_CONNECTION = (TimeoutError, ConnectionError, ssl.SSLError)


def announce(name: str, source: str, size: int | None) -> None:
    """Say on standard error what will be downloaded, before it is: size in bytes, None unknown."""
    amount = "size not known" if size is None else f"{size / 1e6:,.1f} MB"
    print(f"downloading {name} ({amount}) from {source}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Fetched:
    """A file that arrived whole. sha256 in hexadecimal digits; size in bytes."""

    url: str
    sha256: str
    size: int
    etag: str | None = None
    last_modified: str | None = None


@dataclass
class _Part:
    """What has arrived, and what the server said it is a part of."""

    path: Path
    url: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def sidecar(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def validator(self) -> str | None:
        """What If-Range takes: a strong tag, or else the date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def remember(self) -> None:
        values = {name: x for name, x in asdict(self).items() if name != "path"}
        write_atomic(self.sidecar, json.dumps(values) + "\n")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)


class _Cut(Exception):
    """The connection ended before the file did."""


def fetch_file(
    url: str,
    target: Path,
    *,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Fetch `url` into the file `target`, continuing what an earlier call left.

    Args:
        url: http or https.
        target: file; its folder is made. Replaced when the new file is whole.
        progress: called with (name, bytes so far, total or None) when the server answers, and
            as bytes arrive.
        sleep: waits between attempts; seconds.

    Raises:
        DownloadError: the server cannot be reached, has no such file, or sends another than it
            announced; says what was tried.
        OutputError: the place cannot be written, or the disk has too little space.
    """
    with translate_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = _open_part(url, target)
    failures: list[str] = []
    attempts = len(WAITS) + 1
    while True:
        before = part.size
        try:
            _receive(part, target, progress)
            break
        except (_Cut, http.client.HTTPException, *_CONNECTION) as error:
            reason = reason_of(error)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            error.close()
            if error.code == _RANGE_NOT_SATISFIABLE and before:
                part.forget()  # what we hold is no beginning of what the server has
            elif error.code not in _PASSING:
                raise _refused(url, target, [*failures, reason]) from error
        except urllib.error.URLError as error:
            reason = str(error.reason) or type(error.reason).__name__
            attempts = UNREACHED_ATTEMPTS if not part.size else attempts
        failures = [reason] if part.size > before else [*failures, reason]
        if len(failures) >= attempts:
            raise _refused(url, target, failures)
        sleep(WAITS[len(failures) - 1])
    fetched = Fetched(url, sha256_of(part.path), part.size, part.etag, part.last_modified)
    with translate_os_errors(target):
        flush_folder(target.parent)
        part.path.replace(target)
    part.forget()
    return fetched


def _open_part(url: str, target: Path) -> _Part:
    """What an earlier call left of the same address; nothing if that is not known."""
    part = _Part(target.with_name(f".{target.name}.part"), url)
    try:
        values = json.loads(part.sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and values.get("url") == url:
        etag, date, total = (values.get(x) for x in ("etag", "last_modified", "total"))
        part.etag = etag if isinstance(etag, str) else None
        part.last_modified = date if isinstance(date, str) else None
        part.total = total if type(total) is int else None
        if part.validator is not None:
            return part
    with translate_os_errors(target):
        part.forget()
    return _Part(part.path, url)


def _receive(part: _Part, target: Path, progress: Progress | None) -> None:
    """One attempt: ask for what is missing and append it."""
    headers = {"User-Agent": f"albertkit/{__version__}", "Accept-Encoding": "identity"}
    if part.size and part.size == part.total:
        return
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    request = urllib.request.Request(part.url, headers=headers)
    with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
        start = _begin(part, response.status, response.headers)
        _require_space(part, target)
        if progress is not None:
            progress(target.name, start, part.total)
        with translate_os_errors(target), part.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            while piece := response.read(PIECE):
                file.write(piece)
                if file.tell() > (part.total or MAX_FILE_BYTES):
                    raise _too_long(part)
                if progress is not None:
                    progress(target.name, file.tell(), part.total)
    if part.total is not None and part.size < part.total:
        raise _Cut(f"the connection was cut after {part.size:,} of {part.total:,} bytes")


def _begin(part: _Part, status: int, headers: Mapping[str, str]) -> int:
    """Byte at which the answer begins; what we hold is thrown away where it does not fit."""
    start, total = 0, _number(headers.get("Content-Length"))
    if status == http.client.PARTIAL_CONTENT:
        first, _, whole = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        start, total = _number(first.partition("-")[0]) or 0, _number(whole)
        same = part.total is None or total is None or total == part.total
        if start != part.size or not same:
            part.forget()
            raise _Cut(f"the server sent the range {headers.get('Content-Range')!r}")
    else:
        part.forget()
        part.etag, part.last_modified = headers.get("ETag"), headers.get("Last-Modified")
        part.total = None
    part.total = total if total is not None else part.total
    if part.total is not None and part.total > MAX_FILE_BYTES:
        raise _too_long(part)
    part.remember()
    return start


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _require_space(part: _Part, target: Path) -> None:
    missing = (part.total or 0) - part.size
    free = shutil.disk_usage(target.parent).free
    if missing + _SPARE_BYTES > free:
        raise OutputError(
            "The disk has too little space for the download.",
            expected=f"{missing:,} bytes free and some to spare",
            found=f"{free:,} bytes",
            where=target.parent,
            fix="free some space, or set ALBERTKIT_CACHE to another place",
        )


def _too_long(part: _Part) -> DownloadError:
    announced = part.total is not None and part.total <= MAX_FILE_BYTES
    part.forget()
    return DownloadError(
        "The server sends more bytes than it should.",
        expected=f"at most {part.total if announced else MAX_FILE_BYTES:,} bytes",
        found="more" if announced or part.total is None else f"{part.total:,} bytes announced",
        where=part.url,
        fix="check the address",
    )


def _refused(url: str, target: Path, reasons: list[str]) -> DownloadError:
    shown = list(dict.fromkeys(reasons))
    times = f"{len(reasons)} attempts: " if len(reasons) > 1 else ""
    return DownloadError(
        "The file cannot be downloaded.",
        expected=f"{urlsplit(url).hostname} to send it",
        found=times + "; ".join(shown),
        where=url,
        fix=f"check the connection and try again, or download it yourself and put it at {target}",
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to something that can be read on the way."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        allowed = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise urllib.error.HTTPError(
                req.full_url, code, f"redirected to {newurl}, which is not followed", headers, fp
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_Redirects)
