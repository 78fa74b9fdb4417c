"""Tables are read a few rows at a time: nothing is lost when a file is broken, and memory does not grow with the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import SourceError
from omni_core import table_files
from omni_core.clips import Cell
from omni_core.validate import Failure

ROW_BYTES, ROWS_A_GROUP = 50_000, 100  # the hub's row groups of datasets with sound have 100 rows


def arrow(path: Path, table: pa.Table, rows_a_batch: int) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_a_batch)


def parquet(path: Path, table: pa.Table, rows_a_batch: int) -> None:
    pq.write_table(table, path, row_group_size=rows_a_batch)


def numbered(count: int) -> pa.Table:
    return pa.table({"number": list(range(count)), "sound": [b"%06d" % n * 2_000 for n in range(count)]})


WRITERS = pytest.mark.parametrize("write, name", [(parquet, "t.parquet"), (arrow, "t.arrow")])


@WRITERS
def test_every_row_is_read_once_in_order_and_a_cell_is_found_by_its_row(tmp_path, write, name):
    write(tmp_path / name, numbered(100), 30)
    rows = list(table_files.rows(tmp_path / name, ["number"]))
    assert rows == [(n, {"number": n}) for n in range(100)]
    for row in (0, 1, 59, 3, 99, 30):
        assert Cell(tmp_path / name, "sound", row).read_bytes() == b"%06d" % row * 2_000


@WRITERS
def test_a_file_written_anew_is_read_anew(tmp_path, write, name):
    write(tmp_path / name, numbered(3), 3)
    assert Cell(tmp_path / name, "number", 2)
    before = Cell(tmp_path / name, "sound", 2).read_bytes()
    write(tmp_path / name, pa.table({"sound": [b"a", b"b", b"c"]}), 3)
    assert Cell(tmp_path / name, "sound", 2).read_bytes() == b"c" != before


def test_a_broken_row_group_fails_its_rows_and_no_others(tmp_path):
    path = tmp_path / "t.parquet"
    parquet(path, numbered(90), 30)
    column = pq.read_metadata(path).row_group(1).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    rows = list(table_files.rows(path, ["number", "sound"]))
    assert [row for row, _ in rows] == list(range(90))
    failed = [row for row, values in rows if isinstance(values, Failure)]
    assert failed == list(range(30, 60)) and "download it again" in rows[30][1].reason
    with pytest.raises(SourceError, match=r"t\.parquet cannot be read at row 31"):
        Cell(path, "sound", 31).read_bytes()


@WRITERS
def test_a_file_cut_short_gives_one_failure_for_what_is_lost(tmp_path, write, name):
    write(tmp_path / name, numbered(60), 30)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 3 // 4])
    rows = [values for _, values in table_files.rows(tmp_path / name, ["number"])]
    assert [isinstance(values, Failure) for values in rows].count(True) == 1 and isinstance(rows[-1], Failure)
    assert len(rows) == (1 if write is parquet else 31)  # a Parquet file's index is at its end


def test_a_text_that_is_not_utf_8_fails_its_row_alone(tmp_path):
    texts = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")]
    )
    arrow(tmp_path / "t.arrow", pa.table({"text": texts}), 3)
    first, second, third = (values for _, values in table_files.rows(tmp_path / "t.arrow", ["text"]))
    assert (first, third) == ({"text": "a"}, {"text": "c"}) and second.rule == "broken_row"


READ_ALL = """
import sys
from pathlib import Path
from omni_core import clips, table_files
def peak_kb():  # of this program alone; ru_maxrss is at least that of the parent
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
path, twice, start_kb = Path(sys.argv[1]), 0, peak_kb()
rows = [row for row, values in table_files.rows(path, ["number", "sound"]) if len(values["sound"]) > 1]
for row in rows:
    twice += len(clips.Cell(path, "sound", row).read_bytes())
print(len(rows), twice, peak_kb() - start_kb)
"""


def peak_growth_kb(path: Path, count: int) -> int:
    """By how much the peak memory of another process grows that lists the file and then reads it cell by cell."""
    read = subprocess.run([sys.executable, "-c", READ_ALL, path], capture_output=True, text=True, check=True)
    rows, read_bytes, grown_kb = map(int, read.stdout.split())
    assert (rows, read_bytes) == (count, count * ROW_BYTES)
    return grown_kb


@WRITERS
def test_memory_is_bounded_by_a_few_row_groups_and_not_by_the_file(tmp_path, write, name):
    """30 MB and 120 MB need the same, within an eighth of what there is more of."""
    noise = np.random.default_rng(0)
    grown_kb = []
    for count in (600, 2_400):
        sound = [noise.bytes(ROW_BYTES) for _ in range(count)]
        write(tmp_path / name, pa.table({"number": list(range(count)), "sound": sound}), ROWS_A_GROUP)
        grown_kb.append(peak_growth_kb(tmp_path / name, count))
    assert grown_kb[1] - grown_kb[0] < (2_400 - 600) * ROW_BYTES / 1024 / 8
