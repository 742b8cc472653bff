"""Hostile pickles are refused by name and run nothing; real ones of every protocol are read."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from damage import open_each
from hostile_pickles import (
    Hostile,
    abuses,
    archive,
    array,
    call,
    entry,
    gadgets,
    glob,
    many,
    raw_bytes,
    storage,
    stream,
    tensor,
    text,
    whole,
)
from hostile_pickles import files as files_of

from albertkit.checkpoint.formats import pdparams, torch_save
from albertkit.checkpoint.formats.unpickle import load
from albertkit.checkpoint.formats.unpickle_allowed import CALLS, CLASSES, Stored
from albertkit.errors import CheckpointError

NOWHERE = Path("/nowhere/canary")
READERS = {"pickle": pdparams, "archive": torch_save, "stream": torch_save}


def read(data: bytes) -> object:
    return load(np.frombuffer(data, np.uint8))[0]


def test_there_are_enough_of_them() -> None:
    names = [hostile.name for hostile in [*gadgets(NOWHERE), *abuses()]]
    assert len(set(names)) == len(names)
    assert sum(1 for _ in gadgets(NOWHERE)) >= 60
    assert len(names) >= 150


@pytest.mark.parametrize("name", [hostile.name for hostile in gadgets(NOWHERE)])
def test_what_a_pickle_wants_to_run_is_refused_by_name(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = next(one for one in gadgets(canary) if one.name == name)
    refused(hostile, tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("name", [hostile.name for hostile in abuses()])
def test_what_leads_a_reader_astray_is_refused(name: str, tmp_path: Path) -> None:
    refused(next(one for one in abuses() if one.name == name), tmp_path)


def refused(hostile: Hostile, folder: Path) -> None:
    """Every file that holds the pickle is refused within the time, and says why."""
    for kind, data in files_of(hostile).items():
        readers = [READERS[kind], torch_save] if kind == "pickle" else [READERS[kind]]
        for reader in readers:
            place = folder / f"{kind}.bin"
            place.write_bytes(data)
            started = time.process_time()
            with pytest.raises(CheckpointError) as caught:
                reader.read_weights(place)
            assert time.process_time() - started < 2
            # The reader of .pdparams knows no storages, so it stops at the first.
            named = [hostile.found, "a persistent id"] if reader is pdparams else [hostile.found]
            assert any(one in str(caught.value) for one in named), str(caught.value)
            assert len(str(caught.value)) < 1000


def test_the_gadgets_are_alive(tmp_path: Path) -> None:
    """pickle.loads in a child process makes the canary: the tests above would see it."""
    canary = tmp_path / "canary"
    live = [hostile for hostile in gadgets(canary) if hostile.live]
    for number, hostile in enumerate(live):
        (tmp_path / f"{number}.pkl").write_bytes(hostile.pickle)
    script = tmp_path / "run.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(tmp_path), str(len(live))],
        capture_output=True,
        text=True,
        timeout=240,
    )
    made = json.loads((tmp_path / "made.json").read_text())
    dead = [live[number].name for number in range(len(live)) if number not in made]
    assert not dead, (dead, done.stderr[-2000:])
    assert len(live) >= 60


CHILD = """
import json, os, pickle, shutil, sys, time
from pathlib import Path

folder, count = Path(sys.argv[1]), int(sys.argv[2])
canary, made, kept = folder / "canary", [], []
for number in range(count):
    try:
        kept.append(pickle.loads((folder / f"{number}.pkl").read_bytes()))
    except BaseException as error:
        print(number, repr(error), file=sys.stderr)
    end = time.monotonic() + 3
    while not os.path.lexists(canary) and time.monotonic() < end:
        time.sleep(0.01)
    if os.path.lexists(canary):
        made.append(number)
        kept.clear()
        shutil.rmtree(canary) if canary.is_dir() and not canary.is_symlink() else canary.unlink()
(folder / "made.json").write_text(json.dumps(made))
os._exit(0)
"""


def test_memory_stays_within_the_limit(tmp_path: Path) -> None:
    """The bombs once more, in a child whose memory is limited to twice the file and 64 MB."""
    place = tmp_path / "bomb.bin"
    cases = [
        (f"{one.name}, {kind}", data) for one in abuses() for kind, data in files_of(one).items()
    ]
    for case in cases:  # each with a limit that follows from its own size

        def open_it() -> str:
            torch_save.read_weights(place)
            return "opened"

        if len(case[1]) > 50_000:
            assert open_each(iter([case]), place, open_it) == {case[0]: "refused"}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_are_read(protocol: int) -> None:
    values = {
        "plain": np.arange(6, dtype="f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3)),
        "big": np.arange(4, dtype=">f4"),
        "empty": np.zeros((0, 3), "f4"),
        "number": np.float32(2.5),
        "whole": np.arange(3),
    }
    if protocol:  # in protocol 0 the bytes would be one line of text; nobody saves models so
        values["large"] = np.linspace(-1, 1, 100_000, dtype="f4")
    found = read(pickle.dumps(values, protocol))
    assert isinstance(found, dict)
    for name, value in values.items():
        stored = found[name]
        assert isinstance(stored, Stored)
        np.testing.assert_array_equal(stored.array, value)
        assert stored.array.shape == value.shape
    others = {"a": 1, "b": [1.5, None, True, -(2**40)], "c": (("x",), {"y": "\u732b"}), "d": False}
    assert read(pickle.dumps(others, protocol)) == others
    ordered = read(pickle.dumps(OrderedDict(a=1), protocol))
    assert ordered == {"a": 1}


def test_the_list_of_names_is_short_and_holds_nothing_that_runs() -> None:
    names = {str(symbol) for symbol in [*CALLS, *CLASSES]}
    assert len(names) == 29
    roots = {name.split(".")[0] for name in names}
    assert roots == {"collections", "torch", "numpy", "_codecs", "builtins", "__builtin__"}
    built_in = {name for name in names if "builtin" in name}
    assert {name.split(".")[1] for name in built_in} == {"tuple", "bytes"}


def test_a_name_in_between_is_not_looked_up() -> None:
    """The module of a refused name is never imported."""
    sys.modules.pop("antigravity", None)
    with pytest.raises(CheckpointError, match="antigravity.fly"):
        read(b"\x80\x02" + glob("antigravity", "fly") + b".")
    assert "antigravity" not in sys.modules


def test_the_parts_that_hostile_files_are_made_of_are_right(tmp_path: Path) -> None:
    """The same helpers make good files: so it is the hostile part that is refused."""
    body = entry("weight", tensor(storage()))
    for name, data in {"archive": archive(body), "stream": stream(body)}.items():
        (tmp_path / name).write_bytes(data)
        weights = torch_save.read_weights(tmp_path / name)
        assert weights.tensors["weight"].shape == (2, 3)
    raw = np.arange(6, dtype="<f4").tobytes()
    good = entry("weight", array(text("f4"), many(whole(2), whole(3)), raw_bytes(raw)))
    (tmp_path / "p").write_bytes(b"\x80\x04" + good + b".")
    for reader in (pdparams, torch_save):
        found = reader.read_weights(tmp_path / "p").tensors["weight"]
        np.testing.assert_array_equal(found, np.arange(6, dtype="f4").reshape(2, 3))
    assert pickle.loads(b"\x80\x04" + good + b".")["weight"].shape == (2, 3)
    assert read(b"\x80\x02" + call(glob("torch", "Size"), many(whole(4))) + b".") == (4,)
