"""A server, a cache and a hub library that stay inside the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from server import Site, serving


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Site]:
    """A server that plays the hub too; waits between attempts are short."""
    monkeypatch.setattr("albertkit.hub.fetch.WAITS", (0.001,) * 5)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Both caches, ours and the hub library's, in an empty folder; ours is returned."""
    monkeypatch.setenv("ALBERTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache"
