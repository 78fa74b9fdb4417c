"""Ingest's memory does not grow with the rows of a source, and what it finds by digests is what a simple reading finds."""

from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

from benchmarks.ingest_memory import ingested, traced_peak, write_folder
from omni_core import between_records, parts
from omni_core.digests import digests, first_of_equals
from omni_core.on_disk import OnDisk
from omni_core.planned_shards import NOWHERE, plan_shards
from omni_core.records import Piece, Record
from omni_core.set_aside import SetAside
from omni_core.validate import Failure
from tests.omni_core import simple_ingest
from tests.omni_core.made_sources import run, settings_for, three_splits, turn, write_source

BYTES_A_ROW = 1_000
"""All that ingest may hold of a further row of this test; a listing in memory holds 8 kB of its topic alone, twice."""


def test_a_further_row_takes_less_than_a_kilobyte_however_long_its_texts(tmp_path, monkeypatch):
    """Parts and shards are small here, so that both counts are many of them; a long topic stands for many rows."""
    monkeypatch.setattr(parts, "ROWS", 120)

    def peak(rows: int) -> int:
        folder = tmp_path / f"{rows}"
        return traced_peak(write_folder(folder / "corpus", rows, topic="lights " * 1_200), folder, shard_rows=60)

    ingested(write_folder(tmp_path / "few" / "corpus", 20), tmp_path / "few")  # imports and caches
    assert (peak(360) - peak(240)) / 120 < BYTES_A_ROW


def random_records(seed: int, count: int = 300) -> list[Record]:
    """Few texts, voices and recordings, so that every kind of repetition is there many times."""
    random = np.random.default_rng(seed)

    def one_of(*choices: str) -> str:
        return choices[random.integers(len(choices))]

    def piece(text: str) -> Piece:
        sha = one_of("", "", "a1", "b2", "c3")
        return Piece(text, Path(sha) if sha else None, sha, sha, one_of("", "ann", "bob", "cy", "unknown"))

    records = []
    for line in range(count):
        said = piece(f"{one_of('Turn on', 'turn ON', 'Where is')} {random.integers(40)}?")
        answer = piece(f"It is {random.integers(12)}.") if random.random() < 0.7 else None
        split = one_of("train", "train", "validation", "test")
        id = f"t{line if random.random() < 0.95 else line // 2}"
        records.append(Record(one_of("a", "b"), line, id, "en", split, "", "CC0-1.0", said, answer))
    return records


@pytest.mark.parametrize("seed", range(5))
def test_shards_are_those_of_the_simple_reading(seed):
    records, settings = random_records(seed), settings_for("a", shard_rows=8)
    accepted = np.random.default_rng(seed).random(len(records)) < 0.8
    expected, ids = simple_ingest.plan_shards(records, set(np.flatnonzero(accepted)), settings, "ann")
    found = plan_shards(records, accepted, settings, "ann")
    assert list(found) == expected and found.names == [shard.name for shard in expected]
    assert found.sizes == [len(shard.plans) for shard in expected]
    made = [plan.utterance_id for shard in expected for plan in shard.plans]
    for index in np.flatnonzero(accepted):
        rows = found.row_of[index][found.row_of[index] != NOWHERE]
        assert tuple(made[row] for row in rows) == ids[index]


@pytest.mark.parametrize("seed", range(5))
def test_repeated_and_leaking_records_are_those_of_the_simple_reading(seed, monkeypatch):
    monkeypatch.setattr(parts, "ROWS", 32)
    records = random_records(seed)
    left = np.flatnonzero(np.random.default_rng(seed).random(len(records)) < 0.8)
    table = pandas.concat(between_records.between_tables(records, left))
    expected = simple_ingest.between(records, left.tolist())
    assert {int(index): tuple(row) for index, row in zip(table.index, table.to_numpy(), strict=True)} == expected
    assert all(any(row[column] for row in expected.values()) for column in range(3)), "each kind is there"


def test_a_table_in_parts_gives_the_records_reasons_and_facts_of_a_whole_one(tmp_path, monkeypatch):
    rows = [*three_splits(), *(turn(n, **({"language": "fr"} if n % 5 == 0 else {})) for n in range(3, 24))]
    rows += [turn(60, id="again", split="train"), turn(4, id="twice"), turn(7), turn(25, answer_text=" ")]
    settings = settings_for(write_source(tmp_path / "texts", rows))
    store, whole = run(tmp_path, settings, "whole")
    monkeypatch.setattr(parts, "ROWS", 4)
    other, by_parts = run(tmp_path, settings, "parts")
    assert by_parts.facts == whole.facts and whole.facts["accepted"] + whole.facts["rejected"] == len(rows)
    assert list(by_parts.facts["rejected_by_rule"]) == list(whole.facts["rejected_by_rule"])
    assert by_parts.files.keys() == whole.files.keys()
    for name in whole.files:
        first, second = store.folder(whole) / name, other.folder(by_parts) / name
        if name.endswith(".parquet"):
            assert pq.read_table(first).equals(pq.read_table(second)), name
        elif "validations" in name:  # the pages show the same counts; the digest of the data is that of the parts
            lines = zip(first.read_text().splitlines(), second.read_text().splitlines(), strict=True)
            assert sum(one != two for one, two in lines) <= 1, name


def test_a_sequence_on_disk_is_read_while_it_grows_and_leaves_no_file(tmp_path):
    values = OnDisk(tmp_path / "made")
    for number in range(50):
        values.append({"number": number})
        assert values[number] == {"number": number} == values[-1]
    assert len(values) == 50 and [value["number"] for value in values] == list(range(50))
    assert [value["number"] for value in values[3:5]] == [3, 4]
    with pytest.raises(IndexError):
        values[50]
    assert not list((tmp_path / "made").iterdir())


def test_equal_texts_share_a_digest_and_none_has_none():
    keys = digests(["a", None, "b", "a", None])
    assert first_of_equals(keys).tolist() == [0, 1, 2, 0, 1] and keys[1] == b""


def test_the_first_reason_stays_and_the_commonest_rule_is_named_first():
    found = SetAside(6)
    for row, rule, stage in ((4, "late", 200), (1, "early", 3), (1, "late", 200), (5, "many", 200), (0, "many", 200)):
        found.add(row, Failure(rule, f"{rule} {row}"), stage)
    assert list(found) == [0, 1, 4, 5] and found.accepted.tolist() == [2, 3] and len(found) == 4
    assert [(rule, count, first.reason) for rule, count, first in found.by_rule()] == [
        ("many", 2, "many 0"), ("early", 1, "early 1"), ("late", 1, "late 4")
    ]  # fmt: skip
    with pytest.raises(KeyError):
        found[2]
