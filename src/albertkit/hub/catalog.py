"""The models that are known by name."""

from __future__ import annotations

import difflib

from albertkit.hub import known_chinese, known_english
from albertkit.hub.known import KnownModel


def all_models() -> dict[str, KnownModel]:
    """Every known model by its name, English first, in the order of their sources and sizes."""
    return {m.name: m for m in (*known_english.MODELS, *known_chinese.MODELS)}


def find(name: str) -> KnownModel | None:
    """The model with this name or alias; None if there is none."""
    models = all_models()
    if name in models:
        return models[name]
    return next((m for m in models.values() if name in m.aliases), None)


def near(name: str) -> list[str]:
    """Known names that contain `name` or look like it, at most five."""
    names = {x.lower(): m.name for m in all_models().values() for x in (m.name, *m.aliases)}
    wanted = name.lower()
    inside = [names[x] for x in names if wanted in x or wanted.replace("_", "-") in x]
    alike = [names[x] for x in difflib.get_close_matches(wanted, names, n=5, cutoff=0.6)]
    return list(dict.fromkeys([*inside, *alike]))[:5]
