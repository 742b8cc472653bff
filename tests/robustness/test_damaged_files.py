"""Damaged files of every format: a clear error, or values that differ just where the damage is.

A new format is one line in FORMATS: how its folder is made, the file that is damaged in it, and
what is compared. Each file is cut at every 1/200, has bits flipped, sizes swapped and pieces moved
(damage.py), and is changed by hand where its checksums and lengths would hide that
(damage_*.py): there each case tells the error that it must give, or that it must open.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_files
from damage import CUTS, damaged, open_each
from damage_archives import tar_cases, zip_archive_cases
from damage_hdf5 import hdf5_cases
from damage_text import (
    index_json_cases,
    json_cases,
    safetensors_cases,
    settings_cases,
    vocabulary_cases,
)
from damage_tf import Case, graph_cases, index_cases
from damage_torch import paddle_cases, sharing_cases, stream_cases, zip_cases

from albertkit.checkpoint.checkpoint import open_checkpoint
from albertkit.checkpoint.families._tf import graph as tf_graph
from albertkit.checkpoint.formats import pdparams, torch_save
from albertkit.errors import AlbertkitError
from albertkit.hub.archives import unpack

Values = dict[str, object]
NEEDED = 2000
DECODER, TABLE = "masked_lm.decoder.weight", "albert.embeddings.word.weight"
TWIN, SAME = "the undamaged twin", "opened, 0 differ"


def opened(place: Path) -> Values:
    """Everything that a checkpoint holds: tensors, config, head, tokenizer."""
    read = open_checkpoint(place)
    if read.tokenizer_error is not None:
        raise read.tokenizer_error
    checkpoint = read.checkpoint
    values: Values = dict(checkpoint.tensors)
    values |= {f"config {k}": v for k, v in dataclasses.asdict(checkpoint.config).items()}
    values |= {"head": checkpoint.head, "family": read.family}
    if checkpoint.tokenizer is not None:
        values |= {f"piece {n}": x for n, x in enumerate(checkpoint.tokenizer.pieces)}
        # One value: which settings there are follows from the pieces.
        values |= {"settings": checkpoint.tokenizer.settings()}
        scored = getattr(getattr(checkpoint.tokenizer, "proto", None), "pieces", [])
        values |= {f"score {n}": (x.score, x.type) for n, x in enumerate(scored)}
    return values


def graph(place: Path) -> Values:
    """What a graph file tells."""
    return dataclasses.asdict(tf_graph.read_graph(next(place.iterdir()), 24))


def torch_file(place: Path) -> Values:
    """The tensors of a file of torch alone."""
    return dict(torch_save.read_weights(next(place.iterdir())).tensors)


def paddle_file(place: Path) -> Values:
    """The arrays of a file of Paddle alone."""
    return dict(pdparams.read_weights(next(place.iterdir())).tensors)


def unpacked(place: Path) -> Values:
    """The files in an archive."""
    out = place.parent / "unpacked"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    unpack(next(place.iterdir()), out)
    return {name: np.frombuffer(data, "u1") for name, data in tiny_files.contents(out).items()}


@dataclass(frozen=True)
class Format:
    """A file to damage.

    files: the folder that it lies in, by path. file: its name. most: how many values one flipped
    bit may change where it is not refused; 0 where checksums cover all of them. read: the values.
    by_hand: cases with what must become of them (damage_tf.Case).
    """

    files: Callable[[], Mapping[str, bytes]]
    file: str
    most: int = 1
    read: Callable[[Path], Values] = opened
    by_hand: Callable[[bytes], Iterator[Case]] | None = None

    def cases(self, name: str) -> list[Case]:
        """Everything that is done to the file."""
        whole = self.files()[self.file]
        found: list[Case] = [(what, data, "?") for what, data in damaged(whole, name)]
        more = iter(()) if self.by_hand is None else self.by_hand(whole)
        return found + [(f"by hand: {what}", data, words) for what, data, words in more]


def of(family: str, **more: Callable[[], bytes]) -> Callable[[], Mapping[str, bytes]]:
    """The folder that we write for a family, and other files in it; __ in a name is a dot."""
    made = {name.replace("__", "."): make for name, make in more.items()}
    return lambda: {**tiny_files.folder_of(family), **{name: make() for name, make in made.items()}}


def instead(family: str, **more: Callable[[], bytes]) -> Callable[[], Mapping[str, bytes]]:
    """The config that we write for a family, with weights of another form."""
    config = {"config.json": tiny_files.folder_of(family)["config.json"]}
    return lambda: {**config, **{name.replace("__", "."): make() for name, make in more.items()}}


def golden(place: str, *names: str) -> Callable[[], Mapping[str, bytes]]:
    """Files of the reference data that the original program wrote; all of a folder, or these."""

    def make() -> Mapping[str, bytes]:
        files = tiny_files.contents(tiny_files.GOLDEN / place)
        wanted = names or [name for name in files if not name.endswith(".npz")]
        return {name: files[name] for name in wanted}

    return make


def snappy() -> Mapping[str, bytes]:
    """google's checkpoint with an index of many packed blocks."""
    files = dict(golden("google_tf/g1_i1_gelu")())
    variants = tiny_files.GOLDEN / "google_tf" / "g1_i1_gelu_index_variants"
    files[INDEX] = (variants / "multiblock_snappy.ckpt.index").read_bytes()
    return files


def google() -> Mapping[str, bytes]:
    """What an archive of google holds."""
    return {f"albert/{name}": data for name, data in tiny_files.folder_of("google_tf").items()}


def one(name: str, make: Callable[[], bytes]) -> Callable[[], Mapping[str, bytes]]:
    """A file alone."""
    return lambda: {name: make()}


INDEX, DATA = "model.ckpt-best.index", "model.ckpt-best.data-00000-of-00001"
WORDS, SPIECE, SETTINGS = "vocab.txt", "spiece.model", "tokenizer_config.json"
SETTINGS_TEXT = b'{"do_lower_case": true}'

FORMATS = {
    "safetensors": Format(of("huggingface"), "model.safetensors", 1, opened, safetensors_cases),
    "safetensors, our own": Format(of("albertkit"), "albertkit.safetensors"),
    "safetensors, a shard": Format(tiny_files.shards, "model-00001.safetensors"),
    "safetensors, index of shards": Format(
        tiny_files.shards, "model.safetensors.index.json", 0, opened, index_json_cases
    ),
    "torch, archive": Format(
        instead("huggingface", pytorch_model__bin=tiny_files.torch_zip),
        "pytorch_model.bin",
        0,
        opened,
        zip_cases,
    ),
    "torch, archive without checksums": Format(
        instead("huggingface", pytorch_model__bin=partial(tiny_files.torch_zip, sums=False)),
        "pytorch_model.bin",
    ),
    "torch, shared storages": Format(
        one("x.bin", lambda: next(sharing_cases())[1]),
        "x.bin",
        0,
        torch_file,
        lambda whole: sharing_cases(),
    ),
    "torch, stream": Format(
        instead("huggingface", pytorch_model__bin=tiny_files.torch_stream),
        "pytorch_model.bin",
        1,
        opened,
        stream_cases,
    ),
    "UER": Format(golden("uer/relu_untied", "config.json", "model.bin"), "model.bin"),
    "Paddle": Format(of("paddlenlp"), "model_state.pdparams"),
    "Paddle, old": Format(
        instead("paddlenlp", model_state__pdparams=tiny_files.paddle_old), "model_state.pdparams"
    ),
    "Paddle, arrays alone": Format(
        one("x.pdparams", lambda: next(paddle_cases())[1]),
        "x.pdparams",
        1,
        paddle_file,
        lambda whole: paddle_cases(),
    ),
    "KerasHub": Format(of("keras_hub"), "model.weights.h5", 1, opened, hdf5_cases),
    "KerasHub, of a task": Format(of("keras_hub"), "task.weights.h5"),
    "tensor bundle, index": Format(of("google_tf"), INDEX, 0, opened, index_cases),
    "tensor bundle, data": Format(of("google_tf"), DATA, 0),
    "tensor bundle, index of two data files": Format(tiny_files.data_shards, INDEX, 0),
    "tensor bundle, second data file": Format(
        tiny_files.data_shards, "model.ckpt-best.data-00001-of-00002", 0
    ),
    "tensor bundle, packed index": Format(snappy, INDEX, 0),
    "tensor bundle, albert_zh": Format(of("brightmart_tf"), "albert_model.ckpt.index", 0),
    "ONNX": Format(one("model.onnx", tiny_files.onnx_export), "model.onnx"),
    "graph, .meta": Format(
        one("x.meta", tiny_files.graph), "x.meta", 5, graph, lambda whole: graph_cases()
    ),
    "graph, saved_model.pb": Format(
        one("saved_model.pb", tiny_files.saved_model), "saved_model.pb", 5, graph
    ),
    "vocab.txt": Format(
        of("huggingface", vocab__txt=tiny_files.vocabulary), WORDS, 1, opened, vocabulary_cases
    ),
    "spiece.model": Format(of("huggingface", spiece__model=tiny_files.spiece), SPIECE, 2),
    "spiece.model with a table": Format(
        of("huggingface", spiece__model=partial(tiny_files.spiece, table=True)), SPIECE, 2
    ),
    "tokenizer_config.json": Format(
        of(
            "huggingface",
            vocab__txt=tiny_files.vocabulary,
            tokenizer_config__json=lambda: SETTINGS_TEXT,
        ),
        SETTINGS,
        1,
        opened,
        settings_cases,
    ),
    **{
        f"config of {family}": Format(of(family), config, 2, opened, json_cases)
        for family, config in [
            ("albertkit", "config.json"),
            ("huggingface", "config.json"),
            ("google_tf", "albert_config.json"),
            ("brightmart_tf", "albert_config.json"),
            ("uer", "config.json"),
            ("paddlenlp", "config.json"),
            ("keras_hub", "config.json"),
        ]
    },
    "archive, .tar.gz": Format(
        one("x.tar.gz", lambda: tiny_files.tar(google())), "x.tar.gz", 0, unpacked, tar_cases
    ),
    "archive, .zip": Format(
        one("x.zip", lambda: tiny_files.packed(google())), "x.zip", 0, unpacked, zip_archive_cases
    ),
}


def differing(before: Values, after: Values) -> int:
    """How many values are not the same, numbers bit by bit; all if names or shapes differ."""
    if DECODER in after.keys() - before.keys():  # a copy of the word table that differs from it
        before = {**before, DECODER: before[TABLE], "config tied_decoder": False}
    if before.keys() != after.keys():
        return max(len(before), len(after))
    count = 0
    for name, old in before.items():
        new = after[name]
        if not isinstance(old, np.ndarray) or not isinstance(new, np.ndarray):
            count += repr(old) != repr(new)
        elif old.shape != new.shape or old.dtype != new.dtype:
            count += old.size
        else:
            a, b = (np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in (old, new))
            if not np.array_equal(a, b):
                count += int((a != b).reshape(old.size, -1).any(axis=1).sum())
    return count


# Of each case what must become of it, and what did: "refused: MESSAGE", or "opened, N differ".
Outcomes = dict[str, tuple[str | None, str]]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcomes]:
    """What became of every case of a format, found out once; the twin is opened first."""
    known: dict[str, Outcomes] = {}

    def find(name: str) -> Outcomes:
        if name not in known:
            known[name] = open_all(FORMATS[name], name, tmp_path_factory.mktemp("damaged"))
        return known[name]

    return find


def open_all(kind: Format, name: str, folder: Path) -> Outcomes:
    """Open the undamaged twin, and then each case in a child process with limits."""
    place = tiny_files.put(kind.files(), folder / "whole")
    kept = tiny_files.put(kind.files(), folder / "kept")
    twin = kind.read(kept)
    assert differing(twin, kind.read(place)) == 0

    def open_it() -> str:
        try:
            return f"opened, {differing(twin, kind.read(place))} differ"
        except AlbertkitError as error:
            return f"refused: {error}"

    cases = kind.cases(name)
    found = open_each(((what, data) for what, data, _ in cases), place / kind.file, open_it)
    made: Outcomes = {what: (words, found.get(what, "not opened")) for what, _, words in cases}
    assert len(made) == len(cases), "names of cases twice"
    return {TWIN: (None, SAME), **made}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_or_differs_where_it_is_damaged(
    name: str, outcomes: Callable[[str], Outcomes]
) -> None:
    found = {case: outcome for case, (_, outcome) in outcomes(name).items()}
    opens = {case: outcome for case, outcome in found.items() if outcome.startswith("opened, ")}
    refused = {case: outcome for case, outcome in found.items() if outcome.startswith("refused: ")}
    bad = {case: outcome for case, outcome in found.items() if case not in {**opens, **refused}}
    assert not bad, bad
    clean = [f"opened, {count} differ" for count in range(FORMATS[name].most + 1)]
    wide = {c: o for c, o in opens.items() if c.startswith("bit ") and o not in clean}
    assert not wide, wide
    # What a cut takes away may be without meaning: a last end of line, the rest of a graph.
    lost = {c: o for c, o in opens.items() if c.startswith("cut ") and o != SAME}
    assert not lost, lost
    assert sum(case.startswith("cut ") for case in refused) >= CUTS - 4
    plain = {case: message for case, message in refused.items() if "\n" not in message}
    assert not plain, "the error gives no facts"


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].by_hand])
def test_what_no_checksum_hides_is_refused_for_what_it_is(
    name: str, outcomes: Callable[[str], Outcomes]
) -> None:
    wrong = {}
    for what, (words, outcome) in outcomes(name).items():
        if words is None:
            good = outcome == SAME
        elif words in ("opens", "?"):
            good = words == "?" or outcome.startswith("opened, ")
        else:
            good = outcome.startswith("refused: ") and words in outcome
        if not good:
            wrong[what] = (words, outcome)
    assert not wrong, wrong


# Files that hold the word table as float32: without a checksum over it, and with one.
PLAIN = [
    *("safetensors", "safetensors, our own", "safetensors, a shard", "KerasHub"),
    *("torch, archive without checksums", "torch, stream", "Paddle"),
]
CHECKED = ["torch, archive", "UER", "tensor bundle, data"]


@pytest.mark.parametrize("name", [*PLAIN, *CHECKED])
def test_a_flip_in_the_numbers_is_refused_or_differs_exactly_there(
    name: str, tmp_path: Path
) -> None:
    kind = FORMATS[name]
    place = tiny_files.put(kind.files(), tmp_path / "whole")
    twin = kind.read(tiny_files.put(kind.files(), tmp_path / "kept"))
    table = twin[TABLE]
    assert isinstance(table, np.ndarray)
    data = bytearray((place / kind.file).read_bytes())
    start = data.find(np.ascontiguousarray(table).tobytes())
    assert start > 0
    row, column = 7, 1
    data[start + 4 * (row * table.shape[1] + column)] ^= 1
    (place / kind.file).write_bytes(data)
    if name in CHECKED:
        with pytest.raises(AlbertkitError, match="checksum"):
            kind.read(place)
        return
    changed = kind.read(place)
    after = changed[TABLE]
    assert isinstance(after, np.ndarray)
    assert differing(twin, changed) == 1
    assert np.argwhere(after != table).tolist() == [[row, column]]


def test_there_are_thousands_of_cases_and_every_undamaged_twin_opened(
    outcomes: Callable[[str], Outcomes],
) -> None:
    counts = {name: len(outcomes(name)) - 1 for name in FORMATS}
    print("\n".join(f"{name:45}{count:6}" for name, count in counts.items()))
    assert sum(counts.values()) >= NEEDED
    assert [name for name in FORMATS if outcomes(name)[TWIN] == (None, SAME)] == list(FORMATS)
