"""Every look at the sealed set is one line, in order, also when several processes look at once; one module opens the set."""

import multiprocessing
import re
from pathlib import Path

import pytest

from data_contracts.errors import StorageError
from omni_core.sealed_looks import LOG, log_look, looks, told

ROOT = Path(__file__).resolve().parents[2]


def look(home, sealed_set="s", reader="evaluate"):
    return log_look(home, reader=reader, model="m", manifest="d", sealed_set=sealed_set, turns=5)


def test_looks_are_counted_for_each_sealed_set(tmp_path):
    assert looks(tmp_path / "new") == []
    assert [look(tmp_path / "new"), look(tmp_path / "new", "other"), look(tmp_path / "new")] == [1, 1, 2]
    assert [entry["look"] for entry in looks(tmp_path / "new")] == [1, 1, 2]
    assert looks(tmp_path / "new")[0]["time"].endswith("+00:00")


def test_eight_at_once_lose_no_line(tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        numbers = pool.map(look, [tmp_path] * 8)
    assert sorted(numbers) == list(range(1, 9)) and len(looks(tmp_path)) == 8


def test_a_line_cut_off_by_a_power_failure_spoils_nothing(tmp_path):
    look(tmp_path)
    with open(tmp_path / LOG, "a") as file:
        file.write('{"time": "2026')
    assert look(tmp_path) == 2 and [entry["look"] for entry in looks(tmp_path)] == [1, 2]


def test_a_look_that_cannot_be_logged_is_not_taken(tmp_path):
    (tmp_path / LOG).mkdir()
    with pytest.raises(StorageError, match="cannot be logged"):
        look(tmp_path)


def test_who_looked_how_often_is_one_sentence_a_sealed_set(tmp_path):
    assert told(tmp_path) == []
    for sealed_set, reader in (("new", "evaluate"), ("old", "evaluate"), ("old", "listen"), ("old", "evaluate")):
        look(tmp_path, sealed_set, reader)
    assert [line.split(", the last")[0] for line in told(tmp_path)] == [
        "sealed set new (5 turns): 1 looks (evaluate 1)", "sealed set old (5 turns): 3 looks (evaluate 2, listen 1)",
    ]  # fmt: skip


def test_only_sealed_set_opens_the_sealed_shards_and_only_ingest_writes_them():
    """What reads a table goes through tables.rows, which refuses sealed ones; the door without a lock has one user."""
    used = {"rows_of|sealed_shards": set(), "SEALED_FOLDER|sealed/": set()}
    for path in sorted(path for folder in ("omni_core", "tasks", "flows") for path in (ROOT / folder).rglob("*.py")):
        for words, files in used.items():
            if re.search(rf"\b({words})", path.read_text()):
                files.add(path.name)
    assert used["rows_of|sealed_shards"] == {"sealed_set.py", "tables.py"}
    assert used["SEALED_FOLDER|sealed/"] == {"sealed_set.py", "tables.py", "ingest.py", "planned_shards.py"}
