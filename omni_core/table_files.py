"""Parquet and Arrow files enter, a few rows at a time leave: memory is bounded by a row group or a record batch.

On the hub, those of datasets with sound have 100 rows: at 350 kB a row, 35 MB. (A row group's column is often one
dictionary page, which no reader takes in parts; where it is not, a Parquet column is bounded by a page.)

Hugging Face writes Arrow IPC streams (`save_to_disk`) and Parquet (the hub); both are read with pyarrow alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from omni_core.validate import Failure

ROWS = 16  # at about 350 kB a row with sound, 5 MB are in memory
BUFFER_BYTES = 1 << 20  # of a Parquet column; without it pyarrow reads the column of a row group whole
UNREADABLE = (pa.ArrowException, OSError, EOFError)


def find(folder: Path) -> list[tuple[str, Path]]:
    """(name that may tell the split, file) of every table of a dataset's folder, in order.

    Layouts: `save_to_disk` of a dataset (state.json) or of a dict of splits (dataset_dict.json), and files in the
    folder, in data/ or in one folder a split or configuration, as on the hub.
    """
    if (about := folder / "dataset_dict.json").is_file():
        splits = json.loads(about.read_text(encoding="utf-8"))["splits"]
        return [(split, path) for split in splits for path in _files_of_a_split(folder / split)]
    if (folder / "state.json").is_file():
        return [("", path) for path in _files_of_a_split(folder)]
    found = _tables_in(folder) or [path for child in sorted(folder.iterdir()) if child.is_dir()
                                   for path in _tables_in(child)]  # fmt: skip
    return [(f"{path.parent.name if path.parent != folder else ''} {path.stem}", path) for path in found]


def _files_of_a_split(folder: Path) -> list[Path]:
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return [folder / entry["filename"] for entry in state["_data_files"]]


def _tables_in(folder: Path) -> list[Path]:
    """cache-*.arrow are what `datasets` keeps of a map or filter: the same rows again."""
    tables = (path for path in folder.iterdir() if path.suffix in (".parquet", ".arrow"))
    return sorted(path for path in tables if not path.name.startswith("cache-"))


def schema(path: Path) -> pa.Schema | None:
    """The columns, None when the file cannot be read."""
    try:
        if path.suffix == ".parquet":
            return pq.read_schema(path)
        with pa.OSFile(str(path)) as file:
            return _open_arrow(file).schema
    except UNREADABLE:
        return None


def batches(path: Path, columns: Sequence[str], first_row: int = 0) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of the first row, at most ROWS rows) of the columns, from the batch of `first_row` on.

    Raises one of UNREADABLE for a file that is missing, cut short or broken.
    """
    if path.suffix == ".parquet":
        yield from _parquet_batches(path, columns, first_row)
        return
    with pa.OSFile(str(path)) as file:
        reader, start = _open_arrow(file), 0
        for batch in reader:
            for at in range(0, len(batch), ROWS):
                if first_row < start + at + ROWS:
                    yield start + at, batch.select(columns).slice(at, ROWS)
            start += len(batch)


def _parquet_batches(path: Path, columns: Sequence[str], first_row: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
        start = 0
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if first_row < end:
                for batch in file.iter_batches(ROWS, row_groups=[group], columns=list(columns), use_threads=False):
                    yield start, batch.select(columns)
                    start += len(batch)
            start = end


def _open_arrow(file: pa.NativeFile) -> pa.ipc.RecordBatchStreamReader:
    """The stream of record batches; also of Arrow's file format, which has the stream inside."""
    magic = file.read(8)
    file.seek(8 if magic.startswith(b"ARROW1") else 0)
    return pa.ipc.open_stream(file)


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
    """(row number, {column: value}) of a whole file; a Failure stands for what cannot be read.

    A broken row group of a Parquet file gives a Failure for each of its rows that is left; a file without a readable
    end gives one, for nothing tells how many rows were lost.
    """
    at = 0
    while True:
        try:
            for first, batch in batches(path, columns, at):
                for index in range(max(at - first, 0), len(batch)):
                    yield first + index, _row(batch, index, path)
                    at = first + index + 1
            return
        except UNREADABLE as error:
            cause = " ".join(str(error).split())[:200]
            broken = Failure(
                "broken_table", f"{path.name} cannot be read from row {at} on ({cause}); download it again"
            )
            end = _end_of_row_group(path, at)
            yield from ((row, broken) for row in range(at, max(end, at + 1)))
            if not end:
                return
            at = end


def _row(batch: pa.RecordBatch, index: int, path: Path) -> dict[str, Any] | Failure:
    try:
        return {name: batch.column(at)[index].as_py() for at, name in enumerate(batch.schema.names)}
    except UnicodeDecodeError as error:
        return Failure("broken_row", f"the row of {path.name} holds a text that is not UTF-8 ({error.reason})")


def _end_of_row_group(path: Path, row: int) -> int:
    """The first row behind the row group of `row`; 0 when the file does not tell or has no such row."""
    if path.suffix != ".parquet":
        return 0
    try:
        metadata = pq.read_metadata(path)
    except UNREADABLE:
        return 0
    end = 0
    for group in range(metadata.num_row_groups):
        end += metadata.row_group(group).num_rows
        if row < end:
            return end
    return 0
