"""The Great Expectations suites of ingest: what a record, an utterance and the accepted whole must be.

    records        a row each, from the metadata alone      ]
    utterances     a row each, once there is audio          ] a row that fails is set aside with rule and reason
    between_rows   a row each, duplicates and leakage       ]
    accepted_*     what is handed on; all must hold

Expectations of the first three carry `meta`: `rule` (short name to count by) and `reason` (one sentence); both are
format strings over the row's columns. Order matters: a row is set aside by the first one that it fails.
Great Expectations takes seconds to import, so it is imported when a suite is built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from data_contracts.ingest import SPLITS, UTTERANCE, IngestSettings, QualitySettings

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations import Expectation

UTTERANCE_COLUMNS = tuple(name for name in UTTERANCE.names if name != "audio")
TURN_COLUMNS = (
    "turn_id",
    "question_id",
    "answer_id",
    "question_text",
    "answer_text",
    "topic",
    "split",
    "language",
    "question_key",
)


STATED = r"(?i)^(?!(?:unknown|none|n/a)$).+"
"""A licence that says something."""


def _rule(kind: str, rule: str, reason: str, **arguments: Any) -> Expectation:
    from great_expectations import expectations

    return getattr(expectations, kind)(**arguments, meta={"rule": rule, "reason": reason}, notes=f"rule: {rule}")


def _suite(name: str, *expected: Expectation) -> ExpectationSuite:
    from great_expectations import ExpectationSuite

    return ExpectationSuite(name=name, expectations=list(expected))


def language_pattern(language: str) -> str:
    """A regular expression of the language and its regions: en is also en-US and en_GB, in any case."""
    return rf"(?i)^{re.escape(language)}(?:[-_].+)?$"


def record_suite(settings: IngestSettings) -> ExpectationSuite:
    """Rows of metadata: columns source, id, line, split, language, license, said, answer (None for plain speech),
    surplus_cells, flaw and flaw_rule (why its format sets it aside, or None), first_line_of_id (None unless the id was used before),
    unwritten (None, or characters that are not the language's), unvoiced (None, or what lacks audio)."""
    quality = settings.quality
    null, lengths = "ExpectColumnValuesToBeNull", "ExpectColumnValueLengthsToBeBetween"
    fewest, most = quality.min_characters, quality.max_characters
    bounds = f"characters (quality.min_characters, max_characters: {fewest} to {most})"
    within = {"min_value": fewest, "max_value": most}
    return _suite(
        "records",
        _rule(null, "{flaw_rule}", "{flaw}", column="flaw"),
        _rule(
            "ExpectColumnValuesToBeBetween",
            "cells",
            "the row has {surplus_cells} more cells than the header; put texts with commas in quotes",
            column="surplus_cells",
            max_value=0,
        ),
        _rule(lengths, "id", "the id is empty; give the record one", column="id", min_value=1),
        _rule(
            null,
            "duplicate_id",
            "the id '{id}' is already that of line {first_line_of_id}; give it another",
            column="first_line_of_id",
        ),
        _rule(
            "ExpectColumnValuesToBeInSet",
            "split",
            "the split '{split}' is none of " + ", ".join(SPLITS),
            column="split",
            value_set=list(SPLITS),
        ),
        _rule(
            "ExpectColumnValuesToMatchRegex",
            "language",
            f"the language '{{language}}' is not the assistant's (ingest.language: {settings.language})",
            column="language",
            regex=language_pattern(settings.language),
        ),
        _rule(
            "ExpectColumnValuesToMatchRegex",
            "licence",
            "no licence is named; fill the cell license, or name the whole source's in ingest.licences",
            column="license",
            regex=STATED,
        ),
        _rule(lengths, "empty_text", "its text is empty; write what is said", column="said", min_value=1),
        _rule(lengths, "empty_text", "its answer text is empty; write the answer", column="answer", min_value=1),
        _rule(lengths, "characters", f"its text has {{said_characters}} {bounds}", column="said", **within),
        _rule(lengths, "characters", f"its answer text has {{answer_characters}} {bounds}", column="answer", **within),
        _rule(
            null,
            "character_set",
            f"it has characters that are not written in {settings.language}: {{unwritten}}; write it in that language",
            column="unwritten",
        ),
        _rule(
            null,
            "no_voice",
            "has no {unvoiced} audio and no voice is set: set ingest.voice.teacher or add the recording",
            column="unvoiced",
        ),
    )


def utterance_suite(quality: QualitySettings) -> ExpectationSuite:
    """Utterances with their measures: the columns of UTTERANCE but the audio, and fault, fault_sentence (None when
    the audio could be read or spoken)."""
    return _suite(
        "utterances",
        _rule("ExpectColumnValuesToBeNull", "{fault}", "{fault_sentence}", column="fault"),
        *_measure_rules(quality),
    )


def _measure_rules(quality: QualitySettings) -> list[Expectation]:
    between = "ExpectColumnValuesToBeBetween"
    slowest, fastest = quality.min_words_per_second, quality.max_words_per_second
    return [
        _rule(
            between,
            "sample_rate",
            "the {role} is sampled at {source_sample_rate_hz:.0f} Hz, under "
            f"quality.min_sample_rate_hz {quality.min_sample_rate_hz}",
            column="source_sample_rate_hz",
            min_value=quality.min_sample_rate_hz,
        ),
        _duration_rule("!=", "max_duration_s", quality.min_duration_s, quality.max_duration_s),
        _duration_rule("==", "max_answer_duration_s", quality.min_duration_s, quality.longest_answer_s),
        _rule(
            between,
            "clipping",
            "{clipped_fraction:.1%} of the {role}'s samples are at full scale, over "
            f"quality.max_clipped_fraction {quality.max_clipped_fraction:.1%}",
            column="clipped_fraction",
            max_value=quality.max_clipped_fraction,
        ),
        _rule(
            between,
            "silence",
            "{silence_fraction:.0%} of the {role} is silence, over "
            f"quality.max_silence_fraction {quality.max_silence_fraction:.0%}",
            column="silence_fraction",
            max_value=quality.max_silence_fraction,
        ),
        _rule(
            between,
            "snr",
            "the {role}'s signal-to-noise ratio is {snr_db:.1f} dB, under "
            f"quality.min_snr_db {quality.min_snr_db:g}",
            column="snr_db",
            min_value=quality.min_snr_db,
        ),
        _rule(
            between,
            "words_per_second",
            "the {role} has {words_per_second:.2g} words a second (quality.min_words_per_second, max_words_per_second: "
            f"{slowest:g} to {fastest:g}): text and audio do not belong together",
            column="words_per_second",
            min_value=slowest,
            max_value=fastest,
        ),
    ]


def _duration_rule(role_is_answer: str, bound: str, shortest: float, longest: float) -> Expectation:
    """Of answers, or of all others: a question has to fit the encoder's window, an answer has not."""
    return _rule(
        "ExpectColumnValuesToBeBetween",
        "duration",
        f"the {{role}} lasts {{duration_s:.2f}} s (quality.min_duration_s, {bound}: {shortest:g} to {longest:g})",
        column="duration_s",
        min_value=shortest,
        max_value=longest,
        row_condition=f'role {role_is_answer} "answer"',
        condition_parser="pandas",
    )


def between_rows_suite() -> ExpectationSuite:
    """Records against one another: columns duplicate_of, text_also_in and speaker_also_in (None, or which
    record or voice of which split)."""
    null = "ExpectColumnValuesToBeNull"
    return _suite(
        "between_rows",
        _rule(
            null,
            "duplicate",
            "the same text with the same audio is already that of {duplicate_of}",
            column="duplicate_of",
        ),
        _rule(
            null,
            "text_leakage",
            "its text or recording is also in {text_also_in}",
            column="text_also_in",
        ),
        _rule(
            null,
            "speaker_leakage",
            "its question is spoken by {speaker_also_in}",
            column="speaker_also_in",
        ),
    )


def accepted_utterances_suite(settings: IngestSettings) -> ExpectationSuite:
    """What the shards hold: the per-utterance rules again, the schema, unique ids, known splits and languages."""
    from great_expectations import expectations as gxe

    return _suite(
        "accepted_utterances",
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=list(UTTERANCE_COLUMNS)),
        gxe.ExpectColumnValuesToBeUnique(column="utterance_id"),
        gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        gxe.ExpectColumnValuesToMatchRegex(column="language", regex=language_pattern(settings.language)),
        gxe.ExpectColumnValuesToMatchRegex(column="license", regex=STATED),
        *_measure_rules(settings.quality),
    )


def accepted_turns_suite() -> ExpectationSuite:
    """turns.parquet with question_key, the question's words and audio."""
    from great_expectations import expectations as gxe

    return _suite(
        "accepted_turns",
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=list(TURN_COLUMNS)),
        gxe.ExpectColumnValuesToBeUnique(column="turn_id"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["split", "question_key"]),
    )


def splits_apart_suite() -> ExpectationSuite:
    """Each text and each recorded voice (columns kind, value, split), once a split: none may be in two."""
    from great_expectations import expectations as gxe

    return _suite("splits_apart", gxe.ExpectCompoundColumnsToBeUnique(column_list=["kind", "value"]))


def totals_suite(quality: QualitySettings) -> ExpectationSuite:
    """One row of counts: read, accepted_plus_rejected, rejected_fraction, and the turns in train, validation, test."""
    from great_expectations import expectations as gxe

    between = "ExpectColumnValuesToBeBetween"
    minima = (quality.min_train_turns, quality.min_validation_turns, quality.min_test_turns)
    least = dict(zip(SPLITS, minima, strict=True))
    return _suite(
        "totals",
        gxe.ExpectColumnPairValuesToBeEqual(column_A="read", column_B="accepted_plus_rejected"),
        _rule(between, "rejected", "", column="rejected_fraction", max_value=quality.max_rejected_fraction),
        *(
            _rule(
                between,
                "quantity",
                f"{{{split}:.0f}} accepted {split} turns are fewer than "
                f"quality.min_{split}_turns {count}; add some or lower it",
                column=split,
                min_value=count,
            )
            for split, count in least.items()
        ),
    )
