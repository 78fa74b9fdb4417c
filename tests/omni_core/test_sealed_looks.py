"""Every look at the sealed set is one line, in order, also when several processes look at once."""

import multiprocessing

import pytest

from data_contracts.errors import StorageError
from omni_core.sealed_looks import LOG, log_look, looks


def look(home, sealed_set="s"):
    return log_look(home, reader="evaluate", model="m", manifest="d", sealed_set=sealed_set, turns=5)


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
