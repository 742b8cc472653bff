"""What the fuzzers found stays found: every stored input, and every seed, through its parser."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from targets import GOLDEN, TARGETS

import albertkit
from albertkit.errors import AlbertkitError

FINDINGS = Path(__file__).resolve().parent / "findings"
PACKAGE = Path(albertkit.__file__).resolve().parent
FOLDERS = ("checkpoint", "hub", "text")
# Modules of these folders that no target names, each with the reason.
NO_PARSERS = {
    "checkpoint.early_exit": "shapes of what was read",
    "checkpoint.families._protocol": "declares what a family is",
    "checkpoint.families._tf.write": "writes",
    "checkpoint.families._tf.layer_norms": "names that were read",
    "checkpoint.families._express": "turns numbers into others",
    "checkpoint.families._foreign": "names that were read",
    "hub.by_script": "looks at characters",
    "checkpoint.families.huggingface.choose": "compares what was read",
    "checkpoint.families.uer.fold": "turns numbers into others",
    "checkpoint": "the door",
    "checkpoint.finite": "numbers that were read",
    "checkpoint.checkpoint": "what the families read",
    "checkpoint.tokenizers": "opens what others read",
    "checkpoint.new_head": "adds a head to what was read",
    "checkpoint.words": "adds rows to what was read",
    "checkpoint.families.huggingface.wrappers": "names that were read",
    "checkpoint.families": "chooses a family",
    "checkpoint.families._tf": "a folder",
    "checkpoint.formats": "a folder",
    "hub": "names",
    "hub.cache": "files that we wrote ourselves",
    "hub.fetch": "the network; its answers are tested against a server",
    "hub.repository": "the hub library's answers",
    "hub.catalog": "a list",
    "hub.known": "a list",
    "hub.known_chinese": "a list",
    "hub.known_english": "a list",
    "hub.known_scores": "a list",
    "hub.measured": "a file of the package",
    "text": "a folder",
    "text.added_words": "adds pieces to what was read",
    "text.alignment": "text, not files",
    "text.characters": "text, not files",
    "text.chunks": "text, not files",
    "text.encoding": "ids that were made",
    "text.memo": "keeps results",
    "text.huggingface": "writes",
    "text.learn_words": "counts the words of text",
    "text.places": "ids that were made",
    "text.ties": "ids that were made",
    "text.tokenizer": "text, not files",
    "text.transformers_calls": "text and ids, not files",
    "text.vocabulary": "text, not files",
    "text.words": "text, not files",
}


@pytest.mark.parametrize("name", TARGETS)
def test_stored_findings_are_refused_or_read(name: str) -> None:
    target = TARGETS[name]
    stored = [path.read_bytes() for path in sorted((FINDINGS / name).glob("*"))]
    for data in [*stored, b"", b"\0" * 64, *target.seeds()]:
        with contextlib.suppress(AlbertkitError):  # anything else is a finding
            target.parse(data)


def test_every_parser_has_a_target() -> None:
    named = {module for target in TARGETS.values() for module in target.modules}
    modules = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for folder in FOLDERS
        for path in (PACKAGE / folder).rglob("*.py")
    }
    there = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")
    }
    assert named <= modules | there, "a module that is not there"
    assert not named & set(NO_PARSERS)
    assert modules - named - set(NO_PARSERS) == set(), "name its target in targets.py"


def test_every_target_begins_from_something_that_opens() -> None:
    """One whose seeds are all refused at the door would fuzz the door alone."""
    closed = {
        name for name, target in TARGETS.items() if not any(map(target_opens(name), target.seeds()))
    }
    # Its exports come from other programs; without them it begins from a graph that is no model.
    assert closed <= ({"onnx"} if not list(GOLDEN.rglob("*.onnx*")) else set())


def target_opens(name: str) -> Callable[[bytes], bool]:
    def opens(seed: bytes) -> bool:
        try:
            TARGETS[name].parse(seed)
        except AlbertkitError:
            return False
        return True

    return opens
