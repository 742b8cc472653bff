"""A web server on this machine that plays the Hugging Face hub and the hosts of old archives.

It serves what it is given, and misbehaves as told: cuts connections, forgets ranges, changes files.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Page:
    """One address. cuts: bytes after which the next answers break off; failures: codes to give."""

    content: bytes = b""
    etag: str | None = '"first"'
    ranges: bool = True
    announces_size: bool = True
    redirect: str | None = None
    cuts: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)


@dataclass
class Asked:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Site:
    """All that the server has, and all that it was asked."""

    address: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def put(self, path: str, content: bytes = b"", **how: Any) -> str:
        """Serve bytes under a path; its address."""
        self.pages[path] = Page(content, **how)
        return self.address + path

    def commit(self, name: str) -> str:
        """Commit of a repository: another one as soon as a file changes."""
        digest = hashlib.sha1()
        for file, content in sorted(self.repositories[name].items()):
            digest.update(file.encode() + b"\0" + content + b"\0")
        return digest.hexdigest()

    def files_asked(self) -> list[str]:
        """Names of the files of repositories that were fetched, in order."""
        return [
            x.path.partition("/resolve/")[2].partition("/")[2]
            for x in self.asked
            if x.method == "GET" and "/resolve/" in x.path
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read `Site.asked` instead."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.site.asked.append(Asked(self.command, path, dict(self.headers.items())))
        if path in self.site.pages:
            self._page(self.site.pages[path])
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            self._file(path.lstrip("/"))
        else:
            self._answer(404, b"nothing here")

    def _page(self, page: Page) -> None:
        if page.failures:
            self._answer(page.failures.pop(0), b"not now")
            return
        if page.redirect is not None:
            self._answer(302, b"", Location=page.redirect)
            return
        headers = {"ETag": page.etag} if page.etag else {}
        start = self._start(page) if page.ranges else 0
        if start >= len(page.content) > 0:
            self._answer(416, b"")
            return
        if start:
            whole = len(page.content)
            headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
        cut = page.cuts.pop(0) if page.cuts else None
        self._answer(
            206 if start else 200, page.content[start:], cut, page.announces_size, **headers
        )

    def _start(self, page: Page) -> int:
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes=") or self.headers.get("If-Range", page.etag) != page.etag:
            return 0
        return int(wanted.removeprefix("bytes=").partition("-")[0])

    def _api(self, rest: str) -> None:
        name = next((x for x in self.site.repositories if f"{rest}/".startswith(f"{x}/")), None)
        if name is None:
            self._answer(
                404, b'{"error":"Repository not found"}', **{"X-Error-Code": "RepoNotFound"}
            )
            return
        what, _, revision = rest.removeprefix(name).strip("/").partition("/")
        if revision not in ("", "main", self.site.commit(name)):
            headers = {"X-Error-Code": "RevisionNotFound"}
            self._answer(404, b'{"error":"Invalid rev id"}', **headers)
            return
        files = self.site.repositories[name]
        if what == "tree":
            rows = [
                {"type": "file", "path": f, "size": len(x), "oid": hashlib.sha1(x).hexdigest()}
                for f, x in files.items()
            ]
            self._answer(200, json.dumps(rows).encode())
            return
        value = {
            "id": name,
            "modelId": name,
            "sha": self.site.commit(name),
            "private": False,
            "tags": [],
        }
        sizes = "blobs=" in self.path.partition("?")[2]  # told to those that ask, as by the hub
        siblings = [
            {"rfilename": f, **({"size": len(x), "blobId": "0"} if sizes else {})}
            for f, x in files.items()
        ]
        self._answer(200, json.dumps({**value, "siblings": siblings}).encode())

    def _file(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        file = rest.partition("/")[2]
        content = self.site.repositories.get(name, {}).get(file)
        if content is None:
            self._answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
            return
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self._answer(200, content, **{"ETag": etag, "X-Repo-Commit": self.site.commit(name)})

    def _answer(
        self,
        code: int,
        content: bytes,
        cut: int | None = None,
        announces_size: bool = True,
        **headers: str,
    ) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if announces_size:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True


@contextmanager
def serving() -> Iterator[Site]:
    """A site that answers while the block runs."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
