"""Source folders in any format enter, the Manifest leaves: validated speech in Parquet shards, and why the rest was set aside.

    sources ------records suite--> plans --voice--> utterances --utterances suite, between_rows suite--> Manifest
                         |                                                |
                         +-------------------> rejected/ <----------------+

accepted + rejected = read, always. An utterance that fails sets aside every record that needs it. Records lie on disk
(omni_core/on_disk.py) and are judged a part at a time; what has to be known of all at once is digests and numbers.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts import expectations
from data_contracts.errors import SettingsError, SourceError, TooManyRejectedError
from data_contracts.ingest import (
    CODED_UTTERANCE,
    REJECTED,
    SEALED_FOLDER,
    TURN,
    UTTERANCE,
    IngestSettings,
    Manifest,
    RejectedRecords,
    VoiceSettings,
)
from omni_core import ingest_tables as tables
from omni_core.between_records import between_tables, trace_numbers, trace_tables
from omni_core.bundled_weights import resolve
from omni_core.code_digest import code_digest
from omni_core.ingest_facts import facts_of, kept_of, licences_of
from omni_core.ingest_tables import Outcome
from omni_core.planned_shards import NOWHERE, PlannedShards, plan_shards
from omni_core.progress import Progress, silent
from omni_core.records import Record
from omni_core.set_aside import SetAside
from omni_core.shards import make_shards, storing, work_file, write_parts, write_table
from omni_core.sources import read_sources
from omni_core.store import ArtifactStore
from omni_core.teacher import load_voice
from omni_core.utterances import pieces_of
from omni_core.validate import Validator

COMMONEST = 4  # reasons named when the run stops
UTTERANCES, RECORDS, BETWEEN = 0, 100, 200
"""Stages of SetAside: among equally common rules those of utterances are named first; an expectation's number is added."""


def ingest(store: ArtifactStore, settings: IngestSettings, home: Path, progress: Progress = silent) -> Manifest:
    """Read every source, speak what has no audio, judge every record, and write the Manifest.

    `home` is the run-time folder: finished shards wait in home/work/ until the manifest is written, so that a killed
    run goes on where it was. Raises SourceError (a source cannot be read, no voice, too few turns), SettingsError
    (unknown voice), StorageError, and TooManyRejectedError (the rejected table is kept as an artifact and named).
    """
    spoken = _with_decoder(settings.voice, home)
    with storing(Path(home) / "work"):
        outcome, voice, validator = _judged(settings, spoken, Path(home), progress)
        kept = kept_of(outcome)
        facts = facts_of(outcome, kept, voice)
        _judge_the_whole(store, settings, outcome, facts, validator)
        manifest = _write_manifest(store, settings, outcome, facts, licences_of(outcome, kept), validator)
        shutil.rmtree(outcome.work, ignore_errors=True)
    return manifest


def _judged(
    settings: IngestSettings, spoken: VoiceSettings, home: Path, progress: Progress
) -> tuple[Outcome, str, Validator]:
    """What became of every record, the voice that speaks, and the validator with its pages."""
    scratch, validator = home / "work", Validator()
    records = read_sources(settings, scratch)
    voice = _voice_name(records, settings)
    failures = SetAside(len(records), scratch)
    for index, number, failure in validator.failing(
        expectations.record_suite(settings), tables.record_tables(records, settings)
    ):
        failures.add(index, failure, RECORDS + number)
    _stop_when_nothing_can_be_spoken(failures, len(records))

    shards = plan_shards(records, ~failures.mask, settings, voice)
    work = work_folder(home, shards, settings)
    make_shards(shards, work, spoken, progress)

    bad = SetAside(sum(shards.sizes), scratch)
    suite, parts = expectations.utterance_suite(settings.quality), tables.utterance_tables(shards, work)
    for row, number, failure in validator.failing(suite, parts):
        bad.add(row, failure, number)
    _set_aside_by_utterances(failures, bad, shards)
    between = between_tables(records, failures.accepted)
    for index, number, failure in validator.failing(expectations.between_rows_suite(), between):
        failures.add(index, failure, BETWEEN + number)
    return Outcome(records, shards, work, failures), voice, validator


def work_folder(home: Path, shards: PlannedShards, settings: IngestSettings) -> Path:
    """home/work/ingest-<key>: the key is made of all that the utterances' bytes depend on, and nothing else."""
    key = hashlib.sha256()
    for part in chain(shards, (settings.voice, code_digest("omni_core.utterances"))):
        key.update(repr(part).encode())  # a shard at a time: the text of them all would be as large as they are
    return Path(home) / "work" / f"ingest-{key.hexdigest()[:20]}"


def _with_decoder(voice: VoiceSettings, home: Path) -> VoiceSettings:
    """The settings with the folder of SNAC's weights, where codes are to be decoded."""
    if voice.coded_answers != "decode":
        return voice
    if not voice.snac_weights:
        raise SettingsError(
            "ingest.voice.coded_answers is 'decode', which needs the weights of SNAC's 24 kHz decoder: name their "
            "folder or hub id in ingest.voice.snac_weights, or choose 'keep' or 'speak'"
        )
    return voice.model_copy(update={"snac_weights": resolve(voice.snac_weights, home)})


def _voice_name(records: Sequence[Record], settings: IngestSettings) -> str:
    """The speaker of synthesized speech, empty when nothing is synthesized; an unknown voice stops here."""
    spoken = (piece.audio is None for record in records for _, piece in pieces_of(record))
    needed = settings.voice.teacher and any(spoken)
    return load_voice(settings.voice.teacher).name if needed and settings.voice.teacher else ""


def _stop_when_nothing_can_be_spoken(failures: SetAside, read: int) -> None:
    rules = failures.by_rule()
    if len(failures) == read and [rule for rule, _, _ in rules] == ["no_voice"]:
        raise SourceError(f"none of the {read} records can be used: each {failures[0].reason}")


def _set_aside_by_utterances(failures: SetAside, bad: SetAside, shards: PlannedShards) -> None:
    """A record goes with the first of its utterances that failed; what was set aside before keeps its reason."""
    for index in range(len(shards.row_of)):
        found = [int(row) for row in shards.row_of[index] if row != NOWHERE and int(row) in bad]
        if found and index in failures:
            failures.move(index, UTTERANCES)
        elif found:
            failures.add(index, bad[found[0]], UTTERANCES)


def _judge_the_whole(
    store: ArtifactStore, settings: IngestSettings, outcome: Outcome, facts: dict, validator: Validator
) -> None:
    """Run the suites over what is handed on. Too much set aside or too little left stops; the table is kept."""

    assert facts["accepted"] + facts["rejected"] == facts["read"], "every record is accepted or set aside"
    wrong = validator.broken_by_parts(
        expectations.accepted_utterances_suite(settings), tables.kept_tables(outcome), tables.utterance_numbers(outcome)
    )
    turns = tables.turn_frames(outcome, expectations.TURN_COLUMNS)
    wrong += validator.broken_by_parts(expectations.accepted_turns_suite(), turns, tables.turn_numbers(outcome))
    said = outcome.records, outcome.failures.accepted
    wrong += validator.broken_by_parts(expectations.splits_apart_suite(), trace_tables(*said), trace_numbers(*said))
    assert not wrong, f"accepted data must meet its own suites: {wrong}"
    totals = tables.totals_table(facts)
    broken = validator.broken(expectations.totals_suite(settings.quality), totals)
    if broken:
        path = _keep_rejected(store, settings, outcome, facts, validator)
        if any(meta["rule"] == "rejected" for meta in broken):
            raise TooManyRejectedError(_too_many(outcome, facts, settings, path))
        reasons = "; ".join(meta["reason"].format(**totals.loc[0]) for meta in broken)
        raise SourceError(f"{reasons} ({facts['rejected']} of {facts['read']} records were set aside, see {path})")


def _too_many(outcome: Outcome, facts: dict, settings: IngestSettings, path: str) -> str:
    rules = outcome.failures.by_rule()[:COMMONEST]
    reasons = "; ".join(f"{count} x {rule} (as: {first.reason})" for rule, count, first in rules)
    return (
        f"{facts['rejected']} of {facts['read']} records were set aside, over quality.max_rejected_fraction "
        f"{settings.quality.max_rejected_fraction:g}; most often {reasons}; all are in {path}; "
        "mend them or raise the limit"
    )


def _keep_rejected(
    store: ArtifactStore, settings: IngestSettings, outcome: Outcome, facts: dict, validator: Validator
) -> str:
    """Write the RejectedRecords artifact; returns the address of its table."""
    with store.scratch(RejectedRecords.kind) as folder:
        write_parts(tables.rejected_tables(outcome), REJECTED, folder / "rejected.parquet")
        validator.write_docs(folder / "data_docs")
        kept = store.commit(RejectedRecords, folder, settings=settings.model_dump(mode="json"), facts=facts)
    return f"{store.root}/{kept.kind_name}/{kept.digest}/rejected.parquet"


def _write_manifest(
    store: ArtifactStore,
    settings: IngestSettings,
    outcome: Outcome,
    facts: dict,
    licences: dict[str, str],
    validator: Validator,
) -> Manifest:
    with store.scratch(Manifest.kind) as folder:
        for name, kept in outcome.kept_of_shards():
            rows = pq.read_table(work_file(outcome.work, name), columns=CODED_UTTERANCE.names)
            schema = UTTERANCE if rows["codec"].null_count == len(rows) else CODED_UTTERANCE
            rows = rows.select(schema.names).filter(pa.array(kept))
            if len(rows):
                (folder / name).parent.mkdir(exist_ok=True)
                write_table(rows.cast(schema), folder / name)
        for part in ("rejected", SEALED_FOLDER):
            (folder / part).mkdir(exist_ok=True)
        write_parts(tables.rejected_tables(outcome), REJECTED, folder / "rejected" / "rejected.parquet")
        write_parts(tables.turn_tables(outcome, sealed=False), TURN, folder / "turns.parquet")
        write_parts(tables.turn_tables(outcome, sealed=True), TURN, folder / SEALED_FOLDER / "turns.parquet")
        validator.write_docs(folder / "data_docs")
        return store.commit(Manifest, folder, settings=settings.model_dump(mode="json"), facts=facts, licences=licences)
