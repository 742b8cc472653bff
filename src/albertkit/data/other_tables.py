"""Examples that are not one text file: Parquet, folders of Hugging Face's datasets, a folder for
each label.

`open_table` takes any of them, and CSV, TSV and JSON lines; all are read row by row like a `Table`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from albertkit.data.tables import MAX_ROW_BYTES, BadRows, Row, Table, refuse_pipe
from albertkit.errors import CorpusError, listed, reason

Split = Literal["train", "dev"]
# Names of the parts of a data set, in folders and in the beginnings of files.
SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("validation", "dev", "valid", "val", "test"),
}
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_TEXTS = (".txt", ".text", ".md")
_BATCH = 1000  # rows of Parquet that are Python values at one time


def open_table(path: str | Path, split: Split = "train") -> Table:
    """The rows of a file or folder.

    A folder holds a folder for each label with a text in each file; or a data set as `datasets`
    saves it or as it is on the hub, of which the files of `split` are taken.

    Raises:
        CorpusError: it cannot be read, or is of another kind.
    """
    path = Path(path)
    refuse_pipe(path)
    if not path.is_dir():
        return ArrowTable(path, [path]) if _is_arrow(path) else Table(path)
    inner = _part_of(path, split)
    if inner is not None:
        return open_table(inner, split)
    arrow = sorted(path.glob("*.arrow")) or _files_of(path, split, (".parquet",))
    if arrow:
        return ArrowTable(path, arrow)
    tables = _files_of(path, split, _TABLES)
    if len(tables) == 1:
        return Table(tables[0])
    labels = _label_folders(path)
    if len(labels) > 1:
        return LabelFolders(path, labels)
    parquet = sorted(path.glob("*.parquet"))
    if parquet:
        return ArrowTable(path, parquet)
    raise CorpusError(
        "The folder holds no examples that can be read.",
        expected=f"a folder for each label, or files named {split}.csv, {split}.parquet",
        found=listed(sorted(x.name for x in path.iterdir())) or "an empty folder",
        where=path,
        fix="give the file with the examples itself",
    )


def has_part(path: Path, split: Split) -> bool:
    """Whether a folder has files or a folder for a part of its data set."""
    if not path.is_dir():
        return False
    return _part_of(path, split) is not None or bool(_files_of(path, split, (".parquet", *_TABLES)))


def _part_of(path: Path, split: str) -> Path | None:
    """The folder of a part; beside folders of labels a label may well be called "test"."""
    parts = [path / name for name in chain(*SPLIT_NAMES.values()) if (path / name).is_dir()]
    if not any(part.name in SPLIT_NAMES["train"] for part in parts):
        return None
    return next((part for part in parts if part.name in SPLIT_NAMES[split]), None)


def _files_of(path: Path, split: str, suffixes: Sequence[str]) -> list[Path]:
    """Files of a part, such as train.csv or data/train-00000-of-00002.parquet."""
    for name in SPLIT_NAMES[split]:
        for folder in (path, path / "data"):
            found = [
                file
                for file in sorted(folder.glob(f"{name}*"))
                if file.suffix in suffixes and file.name[len(name)] in ".-_0123456789"
            ]
            if found:
                return found
    return []


def _is_arrow(path: Path) -> bool:
    """Whether a file is Parquet, or Arrow's stream as `datasets` writes it."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1" or path.suffix == ".arrow"
    except OSError:
        return False  # a table says what is wrong


class LabelFolders(Table):
    """A folder for each label; each file in it is a text. Columns: text, label.

    A row is a file, counted from 1 in the order of labels and names.
    """

    def __init__(self, path: Path, labels: Sequence[Path]) -> None:
        self.path, self.kind, self.delimiter = path, "folders", ""
        self.has_header, self.columns = True, ("text", "label")
        self._files = [file for label in labels for file in _texts_in(label)]

    def place(self, line: int) -> str:
        """The file of a row."""
        return str(self._files[line - 1])

    def rows(self, bad: BadRows | None = None) -> Iterator[Row]:
        """The text of every file with the name of its folder."""
        bad = bad or BadRows()
        for number, file in enumerate(self._files, 1):
            try:
                if file.stat().st_size > MAX_ROW_BYTES:
                    raise ValueError(f"more than {MAX_ROW_BYTES // 2**20} MiB")
                text = file.read_bytes().decode("utf-8-sig")
            except (OSError, ValueError) as error:
                bad.refuse(
                    CorpusError(
                        "A text cannot be read.",
                        expected="a file of UTF-8 text",
                        found=reason(error),
                        where=file,
                        fix="correct the file, or pass on_bad_row='skip'",
                        command_fix="correct the file, or add --on-bad-row skip",
                    )
                )
                continue
            yield Row(number, {"text": text, "label": file.parent.name})


def _label_folders(path: Path) -> list[Path]:
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir() and _texts_in(folder)]


def _texts_in(folder: Path) -> list[Path]:
    if folder.name.startswith("."):
        return []
    return sorted(x for x in folder.iterdir() if x.suffix.lower() in _TEXTS and x.is_file())


class ArrowTable(Table):
    """Files of Parquet, or of Arrow as `datasets` saves them, one after the other.

    Numbers of classes whose names the files have become these names, -1 becomes None.

    Raises:
        CorpusError: a file is damaged, or pyarrow is not installed.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path, self.kind, self.delimiter, self.has_header = path, "parquet", "", True
        self._files = list(files)
        with _arrow_errors(self._files[0]):
            schema = _open_arrow(self._files[0])[0]
            self.columns = tuple(schema.names)  # decoded here, if they are UTF-8
        self._classes = _classes(schema.metadata or {})

    def place(self, line: int) -> str:
        """The number of a row, counted over all files."""
        return f"{self.path}, row {line}"

    def rows(self, bad: BadRows | None = None) -> Iterator[Row]:
        """Every row with the values of its columns."""
        number = 0
        for file in self._files:
            with _arrow_errors(file):
                _, batches = _open_arrow(file)
                for batch in batches:
                    for cells in batch.to_pylist():
                        number += 1
                        for column, names in self._classes.items():
                            cells[column] = _named(cells.get(column), names)
                        yield Row(number, cells)


def _open_arrow(file: Path) -> tuple[Any, Iterator[Any]]:
    """Schema of a file, and its rows in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix == ".arrow":
        reader = pa.ipc.open_stream(pa.memory_map(str(file)))
        return reader.schema, _small_batches(reader)
    parquet = pq.ParquetFile(file)
    if not parquet.schema_arrow.names:  # nothing would bound the number of rows
        raise ValueError("no columns")
    return parquet.schema_arrow, _small_batches(parquet.iter_batches(_BATCH))


def _small_batches(batches: Iterable[Any]) -> Iterator[Any]:
    """Batches of few rows that are safe to read; the next step with a damaged one ends a process.

    Raises:
        ValueError: a batch is not what its header says; pyarrow has errors of its own.
    """
    for batch in batches:
        batch.validate(full=True)  # reading does not
        _bounded("rows", batch.num_rows, batch)
        for column in batch.columns:
            _bound_lists(column, batch)
        for start in range(0, batch.num_rows, _BATCH):
            yield batch.slice(start, _BATCH)


def _bounded(what: str, count: int, batch: Any) -> None:
    """A value takes a bit or more: of nothing a file of a kilobyte could hold any number."""
    if count > 8 * batch.nbytes:
        raise ValueError(f"{count:,} {what} in {batch.nbytes:,} bytes")


def _bound_lists(column: Any, batch: Any) -> None:
    """The same for the members of lists, and of lists in them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inner: list[Any] = []
    if isinstance(column, pa.StructArray):
        inner = column.flatten()
    elif isinstance(column, pa.MapArray):
        _bounded("members of maps", len(column.keys), batch)
        inner = [column.keys, column.items]
    elif isinstance(column, pa.lib.BaseListArray):
        _bounded("members of lists", pc.sum(pc.list_value_length(column)).as_py() or 0, batch)
        inner = [column.flatten()]  # a copy if they are views, which may all be of the same members
    for part in inner:
        _bound_lists(part, batch)


@contextmanager
def _arrow_errors(file: Path) -> Iterator[None]:
    """Turn what pyarrow says, and that it is not there, into a CorpusError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CorpusError(
            "Parquet is read with pyarrow, which is not installed.",
            where=file,
            fix="pip install pyarrow",
        ) from error
    except CorpusError:
        raise
    except Exception as error:  # pyarrow's own errors are of a dozen kinds
        raise CorpusError(
            "A table cannot be read.",
            expected="Parquet, or Arrow as datasets saves it",
            found=reason(error),
            where=file,
            fix="download or write the file again",
        ) from error


def _classes(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of classes by column, from what `datasets` writes into its files."""
    try:
        features = dict(json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found = {}
    for column, feature in features.items():
        one = feature.get("feature", feature) if isinstance(feature, dict) else {}
        names = one.get("names") if isinstance(one, dict) else None
        if names and isinstance(names, list) and one.get("_type") == "ClassLabel":
            found[column] = [str(name) for name in names]
    return found


def _named(value: Any, names: Sequence[str]) -> Any:
    """A number of a class, or several, as names."""
    if isinstance(value, list):
        return [_named(x, names) for x in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
