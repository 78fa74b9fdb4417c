"""The family's contract: every file in omni_core/source_formats/ is run through the same claims, on a real folder."""

import pickle
import shutil
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_contracts.base import choices
from data_contracts.ingest import VoiceSettings
from omni_core import components
from omni_core.audio import decode
from omni_core.sources import format_of, read_sources
from tests.omni_core.made_sources import run, settings_for
from tests.omni_core.source_formats.made_folders import MAKERS, make, prompts


@pytest.fixture(scope="module", params=choices("source_formats"))
def made(request, tmp_path_factory):
    """(format's name, folder, what was put there)."""
    assert request.param in MAKERS, f"add a folder in the new format {request.param} to made_folders.py"
    return request.param, *make(request.param, tmp_path_factory.mktemp(request.param))


def settings(folder, **changes):
    """For formats that state no licence the settings do."""
    return settings_for(str(folder), voice=VoiceSettings(teacher=None), licences={str(folder): "CC0-1.0"}, **changes)


def heard(record) -> np.ndarray:
    return decode(record.said.audio.read_bytes())[0]


def test_a_folder_is_recognised_by_what_lies_in_it(made):
    name, folder, _ = made
    assert format_of(folder) == name


def test_records_come_one_by_one(made):
    name, folder, _ = made
    found = components.load("source_formats", name).records("here", folder, "en")
    assert isinstance(found, Iterator) and next(found).source == "here"


def test_every_row_is_a_record_with_an_id_of_its_own(made):
    _, folder, expected = made
    records = read_sources(settings(folder))
    assert len(records) == len(expected.texts) + sum(expected.rules.values())
    assert len({record.id for record in records}) == len(records) == len({record.line for record in records})


def test_texts_splits_and_licences_are_read(made):
    _, folder, expected = made
    records = [record for record in read_sources(settings(folder)) if record.said.text in expected.texts]
    good = list({record.said.text: record for record in records}.values())
    assert [record.said.text for record in good] == expected.texts
    assert {record.split for record in good} <= expected.splits
    assert all(record.license and record.language == "en" for record in good)


def test_sound_is_found_at_its_address_also_from_another_process(made):
    _, folder, expected = made
    records = {record.said.text: record for record in read_sources(settings(folder))}
    for text, waveform in prompts(len(expected.texts)):
        found = heard(pickle.loads(pickle.dumps(records[text])))
        if expected.sound:
            np.testing.assert_allclose(found, waveform, atol=1 / 32_768)
        else:  # mp3 at 32 kHz, or another rate
            assert len(found) > len(waveform) and abs(np.std(found) / np.std(waveform) - 1) < 0.1


def test_addresses_are_read_in_any_order(made):
    _, folder, expected = made
    records = [record for record in read_sources(settings(folder)) if record.said.text in expected.texts]
    forwards = [record.said.audio.read_bytes() for record in records]
    assert [record.said.audio.read_bytes() for record in reversed(records)] == forwards[::-1]


def test_where_the_folder_lies_does_not_count(made, tmp_path):
    _, folder, _ = made
    copy = shutil.copytree(folder.parent.parent, tmp_path / "elsewhere") / "corpus" / folder.name

    def known(record):
        return record.id, record.split, record.cells, record.failure, record.said.audio_name, record.said.audio_sha256

    assert [known(one) for one in read_sources(settings(copy))] == [
        known(one) for one in read_sources(settings(folder))
    ]


def test_accepted_and_rejected_are_all_that_was_read_each_with_its_rule(made, tmp_path):
    _, folder, expected = made
    store, manifest = run(tmp_path, settings(folder))
    rejected = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    assert Counter(row["rule"] for row in rejected) == expected.rules, [row["reason"] for row in rejected]
    assert manifest.facts["accepted"] == len(expected.texts)
    assert manifest.facts["accepted"] + manifest.facts["rejected"] == manifest.facts["read"]
    assert all(row["reason"] and row["record"].startswith(("{", "[")) for row in rejected)
    assert not list(folder.rglob("ran")), "a command in a source must not be run"
