"""The quickstart's data is what examples/README.md says: enough pairs, nothing in two splits, and nothing set aside."""

import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas
import pytest

from data_contracts.ingest import IngestSettings
from omni_core import ingest_tables as tables
from omni_core.between_records import between_tables
from omni_core.records import text_key
from omni_core.sources import read_sources

REPOSITORY = Path(__file__).resolve().parent.parent.parent
QUICKSTART = REPOSITORY / "examples" / "quickstart"


def read(name: str) -> list[dict[str, str]]:
    with open(QUICKSTART / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pairs() -> list[dict[str, str]]:
    return [*read("texts/metadata.csv"), *read("heldout.csv")]


@pytest.fixture(scope="module")
def made(pairs):
    """examples/quickstart/make_texts.py, which wrote them."""
    sys.path.insert(0, str(QUICKSTART))
    try:
        import make_texts
    finally:
        sys.path.remove(str(QUICKSTART))
    return make_texts


def test_there_are_two_thousand_pairs_and_the_script_writes_the_same(pairs, made):
    assert Counter(row["split"] for row in pairs) == {"train": 2837, "validation": 100, "test": 150}
    assert pairs == sorted(made.pairs(), key=lambda row: row["split"] == "test")


def test_no_question_is_in_two_splits(pairs):
    splits = defaultdict(set)
    for row in [*pairs, *read("recordings/metadata.csv")]:
        splits[text_key(row["question_text"])].add(row["split"])
    assert len(splits) > 3000 and all(len(found) == 1 for found in splits.values())


def test_a_held_out_combination_is_in_train_in_no_wording(pairs, made):
    split_of = {row["question_text"]: row["split"] for row in pairs}
    for topic, combinations in made.TOPICS.items():
        found = [{split_of[q] for q in one.questions if q in split_of} for one in combinations()]
        assert all(len(splits) == 1 for splits in found), topic
        assert Counter(min(splits) for splits in found)["test"] == 30


def test_held_out_answers_are_not_in_train_but_for_capitals_which_cannot_be_guessed(pairs):
    taught = {row["answer_text"] for row in pairs if row["split"] == "train"}
    assert {row["topic"] for row in pairs if row["split"] == "test" and row["answer_text"] in taught} == {"capitals"}


def test_the_test_recordings_are_the_held_out_pairs_in_voices_of_their_own(pairs):
    recordings = read("recordings/metadata.csv")
    recorded = {row["id"].removeprefix("rec-"): row["question_text"] for row in recordings if row["split"] == "test"}
    assert recorded == {row["id"]: row["question_text"] for row in pairs if row["split"] == "test"}
    splits = defaultdict(set)
    for row in recordings:
        splits[row["question_speaker"]].add(row["split"])
    assert len(splits) == 17 and all(len(found) == 1 for found in splits.values())


def test_no_record_breaks_a_rule_of_its_metadata_or_leaks_and_no_turn_is_there_twice(monkeypatch):
    """The tables that the suites of ingest judge; some practice sentences were drawn twice and are set aside."""
    monkeypatch.chdir(REPOSITORY)
    settings = IngestSettings()
    records = read_sources(settings)
    table = pandas.concat(tables.record_tables(records, settings))
    between = pandas.concat(between_tables(records, np.arange(len(records))))
    assert Counter(record.source for record in records) == {"texts": 2937, "practice": 2000, "recordings": 570}
    assert table.license.str.fullmatch("Apache-2.0").all() and table.language.eq("en").all()
    assert table[["flaw", "first_line_of_id", "unwritten", "unvoiced"]].isna().all(axis=None)
    assert between[["text_also_in", "speaker_also_in"]].isna().all(axis=None)
    twice = [records[index] for index in between.index[between.duplicate_of.notna()]]
    assert len(twice) < 40 and all(record.source == "practice" for record in twice)
