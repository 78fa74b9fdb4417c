"""Source folders in any format enter, the Manifest leaves: validated speech in Parquet shards, and why the rest was set aside.

    sources ------records suite--> plans --voice--> utterances --utterances suite, between_rows suite--> Manifest
                         |                                                |
                         +-------------------> rejected/ <----------------+

accepted + rejected = read, always. An utterance that fails sets aside every record that needs it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts import expectations
from data_contracts.errors import SettingsError, SourceError, TooManyRejectedError
from data_contracts.ingest import (
    CODED_UTTERANCE,
    SEALED,
    SEALED_FOLDER,
    UTTERANCE,
    IngestSettings,
    Manifest,
    RejectedRecords,
    VoiceSettings,
)
from omni_core import ingest_tables as tables
from omni_core.bundled_weights import resolve
from omni_core.code_digest import code_digest
from omni_core.ingest_tables import Outcome
from omni_core.progress import Progress, silent
from omni_core.records import Record
from omni_core.shards import make_shards, work_file, write_table
from omni_core.sources import read_sources
from omni_core.store import ArtifactStore
from omni_core.teacher import LICENCE, load_voice
from omni_core.utterances import PlannedShard, plan_shards
from omni_core.validate import Failure, Validator

if TYPE_CHECKING:
    import pandas

COMMONEST = 4  # reasons named when the run stops


def ingest(store: ArtifactStore, settings: IngestSettings, home: Path, progress: Progress = silent) -> Manifest:
    """Read every source, speak what has no audio, judge every record, and write the Manifest.

    `home` is the run-time folder: finished shards wait in home/work/ until the manifest is written, so that a killed
    run goes on where it was. Raises SourceError (a source cannot be read, no voice, too few turns), SettingsError
    (unknown voice), StorageError, and TooManyRejectedError (the rejected table is kept as an artifact and named).
    """
    spoken = _with_decoder(settings.voice, home)
    records, validator = read_sources(settings), Validator()
    voice = _voice_name(records, settings)
    failures = validator.failures(expectations.record_suite(settings), tables.record_table(records, settings))
    _stop_when_nothing_can_be_spoken(records, failures)

    shards, ids = plan_shards(records, set(range(len(records))) - failures.keys(), settings, voice)
    work = work_folder(home, shards, settings)
    make_shards(shards, work, spoken, progress)

    utterances = tables.utterance_table(shards, work)
    bad = validator.failures(expectations.utterance_suite(settings.quality), utterances)
    failures = _failures_of_records(bad, utterances, ids) | failures
    between = tables.between_table(records, failures)
    failures = failures | validator.failures(expectations.between_rows_suite(), between)

    outcome = Outcome(records, ids, failures, utterances)
    facts = tables.facts_of(outcome, voice)
    _judge_the_whole(store, settings, outcome, facts, validator)
    manifest = _write_manifest(store, settings, outcome, facts, validator, shards, work)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def work_folder(home: Path, shards: Sequence[PlannedShard], settings: IngestSettings) -> Path:
    """home/work/ingest-<key>: the key is made of all that the utterances' bytes depend on, and nothing else."""
    key = hashlib.sha256()
    for part in (*shards, settings.voice, code_digest("omni_core.utterances")):
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
    pieces = [piece for record in records for piece in (record.said, record.answer) if piece]
    needed = settings.voice.teacher and any(piece.audio is None for piece in pieces)
    return load_voice(settings.voice.teacher).name if needed and settings.voice.teacher else ""


def _stop_when_nothing_can_be_spoken(records: Sequence[Record], failures: dict[int, Failure]) -> None:
    if len(failures) == len(records) and all(failure.rule == "no_voice" for failure in failures.values()):
        raise SourceError(f"none of the {len(records)} records can be used: each {failures[0].reason}")


def _failures_of_records(
    bad: dict[int, Failure], utterances: pandas.DataFrame, ids: Sequence[tuple[str, ...]]
) -> dict[int, Failure]:
    """Index of a record -> failure of the first of its utterances that failed."""
    by_id = {utterances.utterance_id[row]: failure for row, failure in bad.items()}
    found = {index: [by_id[one] for one in needed if one in by_id] for index, needed in enumerate(ids)}
    return {index: failures[0] for index, failures in found.items() if failures}


def _judge_the_whole(
    store: ArtifactStore, settings: IngestSettings, outcome: Outcome, facts: dict, validator: Validator
) -> None:
    """Run the suites over what is handed on. Too much set aside or too little left stops; the table is kept."""
    import pandas

    assert facts["accepted"] + facts["rejected"] == facts["read"], "every record is accepted or set aside"
    wrong = validator.broken(expectations.accepted_utterances_suite(settings), outcome.kept.reset_index(drop=True))
    turns = pandas.DataFrame(tables.turn_rows(outcome), columns=list(expectations.TURN_COLUMNS))
    wrong += validator.broken(expectations.accepted_turns_suite(), turns)
    wrong += validator.broken(expectations.splits_apart_suite(), tables.trace_table(outcome))
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
    examples = {failure.rule: failure.reason for failure in reversed(list(outcome.failures.values()))}
    rules = list(facts["rejected_by_rule"].items())[:COMMONEST]
    reasons = "; ".join(f"{count} x {rule} (as: {examples[rule]})" for rule, count in rules)
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
        write_table(tables.rejected_table(outcome), folder / "rejected.parquet")
        validator.write_docs(folder / "data_docs")
        kept = store.commit(RejectedRecords, folder, settings=settings.model_dump(mode="json"), facts=facts)
    return f"{store.root}/{kept.kind_name}/{kept.digest}/rejected.parquet"


def _write_manifest(
    store: ArtifactStore,
    settings: IngestSettings,
    outcome: Outcome,
    facts: dict,
    validator: Validator,
    shards: Sequence[PlannedShard],
    work: Path,
) -> Manifest:
    with store.scratch(Manifest.kind) as folder:
        for shard in shards:
            rows = pq.read_table(work_file(work, shard), columns=CODED_UTTERANCE.names)
            schema = UTTERANCE if rows["codec"].null_count == len(rows) else CODED_UTTERANCE
            rows = rows.select(schema.names).filter(
                pc.is_in(rows["utterance_id"], pa.array(sorted(outcome.kept_ids), pa.string()))
            )
            if len(rows):
                (folder / shard.name).parent.mkdir(exist_ok=True)
                write_table(rows.cast(schema), folder / shard.name)
        (folder / "rejected").mkdir()
        write_table(tables.rejected_table(outcome), folder / "rejected" / "rejected.parquet")
        turns = tables.turn_rows(outcome)
        write_table(tables.turn_table([row for row in turns if row["split"] != SEALED]), folder / "turns.parquet")
        (folder / SEALED_FOLDER).mkdir(exist_ok=True)
        write_table(
            tables.turn_table([row for row in turns if row["split"] == SEALED]),
            folder / SEALED_FOLDER / "turns.parquet",
        )
        validator.write_docs(folder / "data_docs")
        return store.commit(
            Manifest,
            folder,
            settings=settings.model_dump(mode="json"),
            facts=facts,
            licences=_licences(outcome),
        )


def _licences(outcome: Outcome) -> dict[str, str]:
    found: dict[str, set[str]] = defaultdict(set)
    for index in outcome.accepted:
        found[outcome.records[index].source].add(outcome.records[index].license)
    if bool(outcome.kept.synthesized.any()):
        found[f"voice {outcome.kept.speaker[outcome.kept.synthesized].iloc[0].split()[0]}"].add(LICENCE)
    return {part: " and ".join(sorted(names)) for part, names in found.items()}
