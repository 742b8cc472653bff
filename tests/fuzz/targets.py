"""What is fuzzed: one parser each, as a function of a file's bytes.

A parser may raise AlbertkitError; anything else is a finding.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDER = Path(tempfile.mkdtemp(prefix="albertkit-fuzz-"))
SMALL = 200_000  # bytes; larger seeds make the fuzzer slow


@dataclass(frozen=True)
class Target:
    """A parser, and which reference files it begins from."""

    parse: Callable[[bytes], None]
    seeds: tuple[str, ...]  # patterns below tests/golden

    def seed_bytes(self) -> Iterator[bytes]:
        """Contents of the reference files."""
        for pattern in self.seeds:
            for path in sorted(GOLDEN.rglob(pattern)):
                if path.stat().st_size <= SMALL:
                    yield path.read_bytes()


def _at(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def safetensors(data: bytes) -> None:
    """model.safetensors"""
    from albertkit.tensors import read_tensors

    read_tensors(_at("model.safetensors", data))


def config(data: bytes) -> None:
    """config.json, in any spelling"""
    from albertkit.config import read_config

    read_config(_at("config.json", data), vocab_size=100)


def wire(data: bytes) -> None:
    """protocol buffers, all the way down"""
    from albertkit.errors import CheckpointError
    from albertkit.formats.wire import fields

    def walk(message: memoryview, depth: int) -> None:
        for _, value in fields(message):
            if isinstance(value, memoryview) and depth < 4:
                with contextlib.suppress(CheckpointError):
                    walk(value, depth + 1)

    walk(memoryview(data), 0)


def tensor_bundle(data: bytes) -> None:
    """index of a TensorFlow checkpoint"""
    from albertkit.formats.tensor_bundle import read_bundle

    _at("model.ckpt.data-00000-of-00001", bytes(4096))
    _at("model.ckpt.index", data)
    read_bundle(FOLDER / "model.ckpt")


TARGETS = {
    "config": Target(config, ("*config*.json",)),
    "safetensors": Target(safetensors, ("*.safetensors",)),
    "tensor_bundle": Target(tensor_bundle, ("*.index",)),
    "wire": Target(wire, ("*.meta", "*.onnx", "*.pb")),
}
