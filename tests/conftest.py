"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = CHECKOUT.parent / "shared"
GOLDEN = Path(__file__).resolve().parent / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data, vocabularies and corpora beside the checkout."""
    return SHARED


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference outputs that are part of the repository."""
    return GOLDEN


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    reason = "no folder named 'shared' beside the checkout (reference data and corpora of others)"
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=reason))
