"""The contract of ingest: settings refuse what cannot be, the Manifest lists its shards, suites know the schema."""

import re

import pytest
from pydantic import ValidationError

from data_contracts import expectations
from data_contracts.base import FileEntry
from data_contracts.ingest import REJECTED, TURN, UTTERANCE, IngestSettings, Manifest, QualitySettings, VoiceSettings


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValidationError, match="min_snr"):
        QualitySettings(min_snr=3)


@pytest.mark.parametrize(
    "settings, field, value",
    [
        (QualitySettings, "max_rejected_fraction", 1.5),
        (QualitySettings, "min_sample_rate_hz", 100),
        (IngestSettings, "shard_rows", 1),
        (VoiceSettings, "question_room_fraction", -0.1),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(settings, field: str, value: float):
    with pytest.raises(ValidationError, match=field):
        settings(**{field: value})


def test_the_schema_of_the_form_has_a_help_text_for_every_quality_bound():
    fields = QualitySettings.model_json_schema()["properties"]
    assert all(field.get("description") for field in fields.values())


def test_a_manifest_lists_the_shards_of_a_role_in_order():
    entry = FileEntry(sha256="0", size_bytes=1)
    names = (
        "utterances/answer-01-00000.parquet",
        "utterances/answer-00-00001.parquet",
        "turns.parquet",
        "sealed/answer-00-00000.parquet",
        "utterances/question-00-00000.parquet",
        "utterances/answer-00-00000.parquet",
    )
    manifest = Manifest(digest="d", kind_name="manifest", files=dict.fromkeys(names, entry))
    places = ("00-00000", "00-00001", "01-00000")
    assert manifest.shards("answer") == [f"utterances/answer-{place}.parquet" for place in places]
    assert manifest.shards("speech") == []
    assert manifest.sealed_shards("answer") == ["sealed/answer-00-00000.parquet"]


def test_no_column_of_the_tables_may_be_missing():
    assert not any(field.nullable for schema in (UTTERANCE, TURN, REJECTED) for field in schema)


def suites_a_row() -> list:
    return [
        expectations.record_suite(IngestSettings()),
        expectations.utterance_suite(QualitySettings()),
        expectations.between_rows_suite(),
    ]


def test_every_rule_that_sets_a_record_aside_has_a_name_and_a_sentence():
    for rule in (rule for suite in suites_a_row() for rule in suite.expectations):
        assert rule.meta["rule"] and rule.meta["reason"], rule


def test_rules_read_only_columns_that_the_schema_has():
    columns = {*UTTERANCE.names, "fault", "fault_sentence"}
    for rule in expectations.utterance_suite(QualitySettings()).expectations:
        words = re.findall(r"{(\w+)", rule.meta["rule"] + rule.meta["reason"])
        assert {rule.column, *words} <= columns


def test_the_suites_cover_what_a_dataset_is_checked_for():
    suites = [*suites_a_row(), expectations.totals_suite(QualitySettings())]
    rules = {rule.meta["rule"] for suite in suites for rule in suite.expectations if rule.meta}
    assert rules >= {
        "sample_rate",
        "duration",
        "clipping",
        "silence",
        "snr",
        "characters",
        "words_per_second",
        "duplicate",
        "duplicate_id",
        "text_leakage",
        "speaker_leakage",
        "language",
        "licence",
        "quantity",
    }
