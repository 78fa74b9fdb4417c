"""A killed run goes on where it was; a full disk is one sentence and leaves nothing half-written."""

import pyarrow.parquet as pq
import pytest

from data_contracts.errors import StorageError
from omni_core.ingest import ingest
from omni_core.store import ArtifactStore
from tests.omni_core.made_sources import run, settings_for, three_splits, turn, write_source


def test_a_killed_run_goes_on_with_the_shards_that_were_finished(tmp_path):
    settings = settings_for(write_source(tmp_path / "texts", [turn(number) for number in range(16)]), shard_rows=8)

    def kill_in_the_second_shard(done: int, total: int, what: str) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, settings, progress=kill_in_the_second_shard)
    (finished,) = (tmp_path / "home" / "work").glob("ingest-*/*")
    written_ns, seen = finished.stat().st_mtime_ns, []
    _, manifest = run(tmp_path, settings, progress=lambda done, total, what: seen.append(done))

    assert (
        finished.name == "utterances-answer-00-00000.parquet" and written_ns and min(seen) > 6 and max(seen) == 16 + 6
    )
    assert not list((tmp_path / "home" / "work").iterdir()) and not list((tmp_path / "store" / ".tmp").iterdir())
    _, whole = run(tmp_path / "fresh", settings)
    assert manifest.digest == whole.digest


def test_a_full_disk_says_so_and_leaves_no_half_written_shard(tmp_path, small_disk):
    source = write_source(tmp_path / "texts", [turn(number, answer_text=f"It is {number}.") for number in range(24)])
    with pytest.raises(StorageError, match="is full; free some space and start again, finished shards are kept"):
        ingest(ArtifactStore(tmp_path / "store"), settings_for(source), small_disk / "home")
    assert [path.name for path in (small_disk / "home").rglob("*.part")] == []
    for path in (small_disk / "home").rglob("*.parquet"):
        pq.read_table(path)


def test_a_full_store_says_so_and_leaves_no_manifest(tmp_path, small_disk):
    source = write_source(tmp_path / "texts", three_splits())
    with pytest.raises(StorageError, match="is full"):
        ingest(ArtifactStore(small_disk / "store"), settings_for(source), tmp_path / "home")
    assert not (small_disk / "store" / "manifest").exists()
    assert list((tmp_path / "home" / "work").glob("ingest-*/*.parquet")), "finished shards wait for the next start"
