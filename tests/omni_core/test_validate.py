"""Great Expectations tells which rows fail and why, and its pages are the same bytes for the same data."""

import pandas
import pytest
from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from data_contracts import expectations
from data_contracts.errors import MetricError
from data_contracts.ingest import IngestSettings, QualitySettings
from omni_core import suite_result
from omni_core.validate import Failure, Validator, without_chance

GOOD = {
    "utterance_id": "u",
    "role": "question",
    "source": "s",
    "language": "en",
    "split": "train",
    "text": "hello there",
    "speaker": "ann",
    "license": "CC0-1.0",
    "synthesized": False,
    "sample_rate_hz": 16_000,
    "source_sample_rate_hz": 16_000,
    "duration_s": 1.0,
    "clipped_fraction": 0.0,
    "silence_fraction": 0.1,
    "snr_db": 30.0,
    "words_per_second": 2.0,
}
RECORD = {
    "source": "s",
    "id": "a",
    "line": 2,
    "split": "train",
    "language": "en",
    "license": "CC0-1.0",
    "said": "hello there",
    "answer": "hello",
    "said_characters": 11,
    "answer_characters": 5,
    "surplus_cells": 0,
    "first_line_of_id": None,
    "unwritten": None,
    "unvoiced": None,
    "flaw": None,
    "flaw_rule": None,
}


def utterance_rows(*changes: dict) -> pandas.DataFrame:
    return pandas.DataFrame([GOOD | {"fault": None, "fault_sentence": None} | change for change in changes])


def test_answers_have_a_bound_of_their_own_and_a_question_of_that_length_is_set_aside():
    long = QualitySettings(max_duration_s=20, max_answer_duration_s=90)
    table = utterance_rows({"duration_s": 80.0}, *({"role": "answer", "duration_s": s} for s in (80.0, 91.0, 0.1)))
    found = Validator().failures(expectations.utterance_suite(long), table)
    assert {row: failure.reason for row, failure in found.items()} == {
        0: "the question lasts 80.00 s (quality.min_duration_s, max_duration_s: 0.3 to 20)",
        2: "the answer lasts 91.00 s (quality.min_duration_s, max_answer_duration_s: 0.3 to 90)",
        3: "the answer lasts 0.10 s (quality.min_duration_s, max_answer_duration_s: 0.3 to 90)",
    }
    assert QualitySettings(max_duration_s=20).longest_answer_s == 20


def test_each_row_gets_the_first_rule_that_it_breaks_with_its_numbers():
    table = utterance_rows({}, {"duration_s": 0.1}, {"snr_db": 2.0, "duration_s": 99.0}, {"snr_db": 2.5})
    found = Validator().failures(expectations.utterance_suite(QualitySettings()), table)
    assert found == {
        1: Failure("duration", "the question lasts 0.10 s (quality.min_duration_s, max_duration_s: 0.3 to 15)"),
        2: Failure("duration", "the question lasts 99.00 s (quality.min_duration_s, max_duration_s: 0.3 to 15)"),
        3: Failure("snr", "the question's signal-to-noise ratio is 2.5 dB, under quality.min_snr_db 8"),
    }


def test_a_fault_comes_before_every_measure_and_braces_in_it_are_text():
    table = utterance_rows({"fault": "broken_audio", "fault_sentence": "file '{x}' is broken", "duration_s": 0.0})
    found = Validator().failures(expectations.utterance_suite(QualitySettings()), table)
    assert found == {0: Failure("broken_audio", "file '{x}' is broken")}


@pytest.mark.parametrize(
    "change, rule",
    [
        ({"surplus_cells": 1}, "cells"),
        ({"id": ""}, "id"),
        ({"first_line_of_id": "2"}, "duplicate_id"),
        ({"split": "dev"}, "split"),
        ({"language": "eng"}, "language"),
        ({"license": ""}, "licence"),
        ({"license": "Unknown"}, "licence"),
        ({"unwritten": "日本"}, "character_set"),
        ({"said": ""}, "empty_text"),
        ({"answer": ""}, "empty_text"),
        ({"said": "x"}, "characters"),
        ({"answer": "word " * 80}, "characters"),
        ({"unvoiced": "answer"}, "no_voice"),
    ],
)
def test_a_record_is_judged_by_its_metadata(change: dict, rule: str):
    table = pandas.DataFrame([RECORD, RECORD | change], index=[10, 20])
    found = Validator().failures(expectations.record_suite(IngestSettings()), table)
    assert list(found) == [20] and found[20].rule == rule and found[20].reason


def test_regions_of_the_language_and_plain_speech_without_an_answer_are_accepted():
    rows = [RECORD | {"language": language, "answer": None} for language in ("en", "en-US", "EN_gb")]
    assert Validator().failures(expectations.record_suite(IngestSettings()), pandas.DataFrame(rows)) == {}


def test_an_empty_table_breaks_no_rule():
    table = utterance_rows({})[:0]
    assert Validator().failures(expectations.utterance_suite(QualitySettings()), table) == {}


def test_duplicates_and_leaks_among_accepted_rows_break_their_suites():
    check = Validator()
    twice = pandas.DataFrame([GOOD, GOOD])
    assert [meta["rule"] for meta in check.broken(expectations.accepted_utterances_suite(IngestSettings()), twice)] == [
        "expect_column_values_to_be_unique"
    ]
    traces = pandas.DataFrame([("voice", "ann", "test"), ("voice", "ann", "train")], columns=["kind", "value", "split"])
    assert check.broken(expectations.splits_apart_suite(), traces)
    assert not Validator().broken(expectations.splits_apart_suite(), traces[:1])


def in_parts(table: pandas.DataFrame, rows: int) -> list[pandas.DataFrame]:
    return [table[start : start + rows] for start in range(0, len(table), rows)]


def test_a_table_in_parts_fails_the_rows_of_the_whole_table():
    changes = [{"duration_s": 0.1} if n % 3 == 1 else {"snr_db": 1.0} if n % 4 == 2 else {} for n in range(40)]
    table, suite = utterance_rows(*changes), expectations.utterance_suite(QualitySettings())
    found = {row: failure for row, _, failure in Validator().failing(suite, in_parts(table, 7))}
    assert found == Validator().failures(suite, table) and len(found) == 20


def test_a_repetition_in_another_part_breaks_the_suite():
    table = pandas.DataFrame([GOOD | {"utterance_id": f"{n % 4}"} for n in range(8)])
    suite = expectations.accepted_utterances_suite(IngestSettings())

    def broken(ids: list[int]) -> list[str]:
        whole = pandas.DataFrame({"utterance_id": ids})
        return [meta["rule"] for meta in Validator().broken_by_parts(suite, in_parts(table, 4), whole)]

    assert broken([0, 1, 2, 3] * 2) == ["expect_column_values_to_be_unique"] and broken(list(range(8))) == []


def test_pages_count_every_row_of_a_table_in_parts_and_show_a_sample(tmp_path, monkeypatch):
    for rows in ("unexpected_list", "unexpected_index_list"):
        monkeypatch.setitem(suite_result.LISTS, rows, 5)
    check, table = Validator(), utterance_rows(*({"duration_s": n / 100} for n in range(30)))
    assert len(list(check.failing(expectations.utterance_suite(QualitySettings()), in_parts(table, 8)))) == 30
    check.write_docs(tmp_path / "docs")
    (page,) = (tmp_path / "docs" / "validations").rglob("*.html")
    text = page.read_text()
    assert "30 unexpected values found. 100% of 30 total rows." in text and "Sampled Unexpected Values" in text


def test_an_expectation_that_cannot_be_computed_in_a_later_part_stops_the_run():
    suite = ExpectationSuite("late", expectations=[gxe.ExpectColumnValuesToBeBetween(column="here", min_value=0)])
    tables = [pandas.DataFrame({"here": [1]}), pandas.DataFrame({"gone": [1]})]
    with pytest.raises(MetricError, match="of suite 'late' could not be computed"):
        Validator().broken_by_parts(suite, tables)


def test_totals_tell_too_much_rejected_from_too_little_left():
    def broken(**counts) -> list[str]:
        row = {"read": 10, "accepted_plus_rejected": 10, "rejected_fraction": 0.1}
        row |= {"train": 5, "validation": 1, "test": 1}
        suite = expectations.totals_suite(QualitySettings(min_train_turns=4))
        return [meta["rule"] for meta in Validator().broken(suite, pandas.DataFrame([row | counts]))]

    assert broken() == []
    assert broken(rejected_fraction=0.3) == ["rejected"]
    assert broken(train=3, test=0) == ["quantity", "quantity"]
    assert broken(accepted_plus_rejected=9) == ["expect_column_pair_values_to_be_equal"]


def test_an_expectation_that_cannot_be_computed_stops_the_run():
    suite = ExpectationSuite("wrong", expectations=[gxe.ExpectColumnValuesToBeBetween(column="absent", min_value=0)])
    with pytest.raises(MetricError, match="expect_column_values_to_be_between of suite 'wrong' could not be computed"):
        Validator().failures(suite, pandas.DataFrame({"present": [1]}))


def test_four_thousand_rows_with_a_quarter_bad_are_judged_in_seconds():
    import time

    table = pandas.concat([utterance_rows({}, {}, {}, {"duration_s": 0.1})] * 1_000, ignore_index=True)
    check, start = Validator(), time.process_time()
    assert len(check.failures(expectations.utterance_suite(QualitySettings()), table)) == 1_000
    assert time.process_time() - start < 6


def test_data_docs_are_the_same_bytes_for_the_same_data(tmp_path):
    def pages(name: str) -> dict[str, bytes]:
        check = Validator()
        check.failures(expectations.utterance_suite(QualitySettings()), utterance_rows({}, {"duration_s": 0.1}))
        check.write_docs(tmp_path / name / "docs")
        folder = tmp_path / name / "docs"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = pages("first")
    assert first == pages("second") and b"duration_s" in b"".join(first.values())
    assert sum(map(len, first.values())) < 2_000_000


def test_random_ids_keep_their_pairs_when_they_are_numbered():
    one, two = "6c46e45f-1aa7-4052-95f8-733bc31fcbc7", "aa69c23c-d0a4-4a97-bcae-e9e55eff6c76"
    page = f"{two} {one} {two} 20261122T160050.334470Z"
    assert without_chance(page) == "part-0 part-1 part-0 20000101T000000.000000Z"
