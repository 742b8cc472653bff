"""Examples in Parquet, in folders of Hugging Face's datasets, and in a folder for each label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit.data.other_tables import ArrowTable, has_part, open_table
from albertkit.data.tables import BadRows
from albertkit.errors import CorpusError
from albertkit.tasks.columns import find_columns, text_examples
from albertkit.tasks.examples import TextExample

ROWS = [{"text": "good", "label": 1}, {"text": "b\u00e4d", "label": 0}, {"text": "?", "label": -1}]
FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
}
NAMED = [("good", "pos"), ("b\u00e4d", "neg"), ("?", None)]


def cells_of(path: Path, split: Any = "train") -> list[tuple[Any, Any]]:
    return [(row.cells["text"], row.cells["label"]) for row in open_table(path, split).rows()]


def arrow_table(rows: list[dict[str, Any]], features: dict[str, Any] | None = None) -> Any:
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pylist(rows)
    if features is None:
        return table
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )


def write_parquet(path: Path, rows: list[dict[str, Any]], features: Any = None) -> None:
    table = arrow_table(rows, features)
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_arrow(path: Path, rows: Any, features: Any = None) -> None:
    """As datasets.save_to_disk writes a part: Arrow's stream with its features."""
    table = arrow_table(rows, features) if isinstance(rows, list) else rows
    import pyarrow as pa

    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def write_texts(folder: Path, **texts: list[str]) -> Path:
    for label, members in texts.items():
        (folder / label).mkdir(parents=True)
        for number, text in enumerate(members):
            (folder / label / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def test_parquet_has_the_names_of_its_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS, FEATURES)
    assert cells_of(tmp_path / "a.parquet") == NAMED
    write_parquet(tmp_path / "b.parquet", ROWS)
    assert cells_of(tmp_path / "b.parquet") == [(row["text"], row["label"]) for row in ROWS]


def test_lists_of_classes_have_names_too(tmp_path: Path) -> None:
    features = {"tags": {"feature": FEATURES["label"], "_type": "List"}}
    write_parquet(tmp_path / "a.parquet", [{"tags": [1, 0]}, {"tags": []}], features)
    rows = list(open_table(tmp_path / "a.parquet").rows())
    assert [row.cells["tags"] for row in rows] == [["pos", "neg"], []]


def test_a_saved_data_set_has_its_parts(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    write_arrow(tmp_path / "train" / "data-00000-of-00002.arrow", ROWS[:1], FEATURES)
    write_arrow(tmp_path / "train" / "data-00001-of-00002.arrow", ROWS[1:], FEATURES)
    write_arrow(tmp_path / "validation" / "data-00000-of-00001.arrow", ROWS[1:2], FEATURES)
    assert cells_of(tmp_path) == NAMED
    assert cells_of(tmp_path, "dev") == NAMED[1:2]
    assert cells_of(tmp_path / "validation") == NAMED[1:2]
    assert has_part(tmp_path, "dev")
    assert not has_part(tmp_path / "train", "dev")


def test_a_data_set_of_the_hub_has_its_parts(tmp_path: Path) -> None:
    for number, rows in enumerate((ROWS[:2], ROWS[2:])):
        write_parquet(tmp_path / "data" / f"train-0000{number}-of-00002.parquet", rows, FEATURES)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", ROWS[:1], FEATURES)
    assert cells_of(tmp_path) == NAMED
    assert cells_of(tmp_path, "dev") == NAMED[:1]


def test_a_folder_with_tables_has_its_parts(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\ngood,1\n")
    (tmp_path / "training-notes.csv").write_text("a,b\n")
    (tmp_path / "dev.csv").write_text("text,label\nbad,0\n")
    assert (cells_of(tmp_path), cells_of(tmp_path, "dev")) == ([("good", "1")], [("bad", "0")])


def test_a_folder_for_each_label(tmp_path: Path) -> None:
    write_texts(tmp_path, pos=["so good", "fine\nindeed"], neg=["b\u00e4d"])
    (tmp_path / "pos" / "picture.png").write_bytes(b"x")
    table = open_table(tmp_path)
    columns = find_columns(table)
    assert list(text_examples(table, columns, BadRows())) == [
        TextExample("1", "b\u00e4d", None, "neg"),
        TextExample("2", "so good", None, "pos"),
        TextExample("3", "fine\nindeed", None, "pos"),
    ]
    assert not has_part(tmp_path, "dev")


def test_folders_for_each_label_below_parts(tmp_path: Path) -> None:
    write_texts(tmp_path / "train", pos=["a"], neg=["b"])
    write_texts(tmp_path / "test", pos=["c"], neg=["d"])
    assert cells_of(tmp_path) == [("b", "neg"), ("a", "pos")]
    assert cells_of(tmp_path, "dev") == [("d", "neg"), ("c", "pos")]


def test_a_label_may_be_called_test(tmp_path: Path) -> None:
    write_texts(tmp_path, test=["a"], production=["b"])
    assert cells_of(tmp_path) == [("b", "production"), ("a", "test")]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_bad_text_is_named_by_its_file_or_left_out(tmp_path: Path, content: bytes) -> None:
    write_texts(tmp_path, pos=["a"], neg=["b"])
    (tmp_path / "neg" / "x.txt").write_bytes(content)
    table = open_table(tmp_path)
    with pytest.raises(CorpusError, match=r"neg/x\.txt"):
        list(text_examples(table, find_columns(table), BadRows()))
    bad = BadRows("skip")
    assert len(list(text_examples(table, find_columns(table), bad))) == 2
    assert len(bad.skipped) == 1


def test_a_row_of_parquet_without_a_text_is_named_by_its_number(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [ROWS[0], {"text": None, "label": 1}])
    table = open_table(tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"a\.parquet, row 2"):
        list(text_examples(table, find_columns(table), BadRows()))


@pytest.mark.parametrize("names", [5, "pos", {"pos": 0}, None, [["pos"], 2]])
def test_names_of_classes_that_are_no_texts_are_none(tmp_path: Path, names: object) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS, {"label": {"_type": "ClassLabel", "names": names}})
    first = next(open_table(tmp_path / "a.parquet").rows())
    wanted = [str(name) for name in names] if isinstance(names, list) else None
    assert first.cells["label"] == (wanted[ROWS[0]["label"]] if wanted else ROWS[0]["label"])


def test_texts_that_lie_outside_of_an_arrow_file_are_damage(tmp_path: Path) -> None:
    """pyarrow reads them wherever they would be, unless it is told to look."""
    write_arrow(tmp_path / "a.arrow", [{"text": "good"}, {"text": "bad"}])
    good, damaged = (np.array([0, 4, end], np.int32).tobytes() for end in (7, 1 << 30))
    content = (tmp_path / "a.arrow").read_bytes()
    assert content.count(good) == 1
    (tmp_path / "a.arrow").write_bytes(content.replace(good, damaged))
    table = ArrowTable(tmp_path, [tmp_path / "a.arrow"])
    with pytest.raises(CorpusError, match=r"table cannot be read(?s:.)*a\.arrow"):
        list(table.rows())


@pytest.mark.parametrize("columns", [(), ("empty",)])
def test_rows_that_no_bytes_stand_for_are_damage(tmp_path: Path, columns: Sequence[str]) -> None:
    """Each would be a row of nothing: all memory, from a file of a kilobyte."""
    pa = pytest.importorskip("pyarrow")
    kind = pa.struct([(name, pa.null()) for name in columns])
    batch = pa.RecordBatch.from_struct_array(pa.array([{}] * 4_000, kind))
    write_arrow(tmp_path / "a.arrow", pa.Table.from_batches([batch]))
    with pytest.raises(CorpusError, match=r"4,000 rows in 0 bytes(?s:.)*a\.arrow"):
        list(open_table(tmp_path / "a.arrow").rows())


@pytest.mark.parametrize("deep", [False, True])
def test_members_of_lists_that_no_bytes_stand_for_are_damage(tmp_path: Path, deep: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    lists = pa.ListArray.from_arrays([0, 2**20], pa.nulls(2**20))
    if deep:
        lists = pa.StructArray.from_arrays([pa.ListArray.from_arrays([0, 1], lists)], ["inner"])
    write_arrow(tmp_path / "a.arrow", pa.table({"empty": lists, "text": ["a"]}))
    with pytest.raises(CorpusError, match=r"1,048,576 members of lists in \d+ bytes"):
        list(open_table(tmp_path / "a.arrow").rows())


def test_lists_and_columns_without_values_are_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {
        "none": pa.nulls(2),
        "empty": pa.array([[], []], pa.list_(pa.null())),
        "inner": pa.array([{"a": [[1], []]}, None]),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
        "pair": pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
    }
    table = pa.table(columns)
    write_arrow(tmp_path / "a.arrow", table)
    cells = [row.cells for row in open_table(tmp_path / "a.arrow").rows()]
    assert cells == table.to_pylist()


def test_parquet_without_columns_is_damage(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{}])
    with pytest.raises(CorpusError, match=r"no columns(?s:.)*a\.parquet"):
        open_table(tmp_path / "a.parquet")


def test_a_large_batch_is_read_in_order(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 3 - 1} for number in range(2_500)]
    write_arrow(tmp_path / "a.arrow", rows, FEATURES)
    found = list(open_table(tmp_path / "a.arrow").rows())
    assert [row.line for row in found] == list(range(1, 2_501))
    assert [row.cells["text"] for row in found] == [row["text"] for row in rows]


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    with pytest.raises(CorpusError, match=r"table cannot be read(?s:.)*a\.parquet"):
        open_table(tmp_path / "a.parquet")


def test_without_pyarrow_the_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    with pytest.raises(CorpusError, match="pip install pyarrow"):
        open_table(tmp_path / "a.parquet")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(CorpusError, match=r"a folder for each label(?s:.)*picture\.png"):
        open_table(tmp_path)
