"""Planned shards enter, Parquet files leave, in a work folder that survives a kill: finished files are not made again.

    plans -> 2 processes, 16 utterances at a time -> rows in order -> <work>/<folder>-<role>-<source>-<shard>.parquet

A file is written whole under another name and renamed; equal plans give equal bytes.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import OmniError, StorageError
from data_contracts.ingest import VoiceSettings
from omni_core.planned_shards import PlannedShards
from omni_core.processes import cores, end_with_parent
from omni_core.progress import Progress, silent
from omni_core.store import is_full
from omni_core.utterances import ROW, Plan, make

CHUNK = 16  # utterances a message between processes: about 1 MB of FLAC comes back
AHEAD = 4  # chunks in flight a process; bounds memory when there are millions
MAX_PROCESSES = 8
WORTH_PROCESSES = 96  # a process takes seconds to import torch and load the voice
RECORDINGS_A_SPEECH = 10  # reading a recording costs a tenth of speaking a text

Rows = list[dict[str, Any]]


def make_shards(shards: PlannedShards, work: Path, settings: VoiceSettings, progress: Progress = silent) -> None:
    """Make every shard's file in `work` that is not there yet. Raises StorageError on a full disk."""
    missing = [number for number, name in enumerate(shards.names) if not work_file(work, name).is_file()]
    total = sum(shards.sizes)
    done = total - sum(shards.sizes[number] for number in missing)
    with storing(work), contextlib.closing(_rows_of(shards, missing, settings)) as rows:
        work.mkdir(parents=True, exist_ok=True)
        for number in missing:
            table: Rows = []
            while len(table) < shards.sizes[number]:
                table += next(rows)
                progress(done + len(table), total, "speaking and reading utterances")
            write_table(pa.Table.from_pylist(table, schema=ROW), work_file(work, shards.names[number]))
            done += len(table)


def work_file(work: Path, shard: str) -> Path:
    """Where a shard of that name waits until the manifest is written."""
    return work / shard.replace("/", "-")


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet (zstd) whole or not at all."""
    write_parts([table], table.schema, path)


def write_parts(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """The same of a table that comes in parts, a row group each: one part gives the bytes that a whole table gives."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turns a full disk into one sentence."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageError(
            f"the disk of {folder} is full; free some space and start again, finished shards are kept"
        ) from error


def _chunks(shards: PlannedShards, missing: Sequence[int]) -> Iterator[tuple[Plan, ...]]:
    """A shard's plans are made when its turn has come."""
    for number in missing:
        plans = shards.shard(number).plans
        yield from (plans[start : start + CHUNK] for start in range(0, len(plans), CHUNK))


def _is_worth_processes(chunks: Iterable[Sequence[Plan]]) -> bool:
    costs = (1 if plan.audio is None else 1 / RECORDINGS_A_SPEECH for chunk in chunks for plan in chunk)
    return any(cost >= WORTH_PROCESSES for cost in itertools.accumulate(costs))


def _rows_of(shards: PlannedShards, missing: Sequence[int], settings: VoiceSettings) -> Generator[Rows, None, None]:
    """The rows of each chunk, in order; by a pool of processes when there is enough to do."""
    processes, chunks = min(cores(), MAX_PROCESSES), _chunks(shards, missing)
    if processes < 2 or not _is_worth_processes(_chunks(shards, missing)):
        yield from map(partial(_make_chunk, settings), chunks)
        return
    # spawn: a forked child would inherit torch's and onnxruntime's threads in an unknown state
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_start_process)
    try:
        yield from _in_order(pool, partial(_make_chunk, settings), chunks, processes * AHEAD)
    except BrokenProcessPool as error:
        raise OmniError(
            "a process that speaks utterances was ended from outside, often for want of memory; start again, "
            "finished shards are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, function: Callable[[Any], Rows], items: Iterable[Any], ahead: int
) -> Iterator[Rows]:
    waiting: deque[Future[Rows]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _make_chunk(settings: VoiceSettings, plans: Sequence[Plan]) -> Rows:
    return [make(plan, settings) for plan in plans]


def _start_process() -> None:
    """One thread a process (torch reads the variable when it is imported), and no process outlives a killed parent."""
    os.environ["OMP_NUM_THREADS"] = "1"
    end_with_parent()
