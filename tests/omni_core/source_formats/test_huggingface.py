"""Hugging Face datasets: turns and speech by the names of columns, Arrow and Parquet, and what is no audio is named."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import SourceError
from omni_core.audio import encode_wav
from omni_core.sources import format_of, read_sources
from tests.omni_core.made_sources import settings_for
from tests.omni_core.source_formats.made_folders import AUDIO, prompts, save_to_disk, wav


def speech(count: int) -> pa.Table:
    rows = prompts(count)
    audio = [{"bytes": encode_wav(waveform, 16_000), "path": None} for _, waveform in rows]
    return pa.table(
        {"audio": pa.array(audio, AUDIO), "text": [text for text, _ in rows], "speaker_id": [1, 0] * (count // 2)}
    )


def read(folder):
    return read_sources(settings_for(str(folder)))


def test_class_labels_are_read_by_their_names_and_the_licence_by_the_card(tmp_path):
    save_to_disk(tmp_path, speech(2))
    records = read(tmp_path)
    assert [record.said.speaker for record in records] == ["bob", "ann"]
    assert {record.license for record in records} == {"cc-by-4.0"}


def test_without_dataset_info_the_repository_s_readme_names_the_licence(tmp_path):
    pq.write_table(speech(2), tmp_path / "train.parquet")
    assert {record.license for record in read(tmp_path)} == {""}
    (tmp_path / "README.md").write_text("---\nlicense: [mit, cc0-1.0]\n---\n# Ours --- and theirs\n")
    assert {record.license for record in read(tmp_path)} == {"mit, cc0-1.0"}


def test_parquet_files_of_a_repository_tell_their_splits_and_labels(tmp_path):
    (tmp_path / "data").mkdir()
    info = {"info": {"features": {"speaker_id": {"names": ["ann", "bob"], "_type": "ClassLabel"}}}}
    table = speech(2).replace_schema_metadata({"huggingface": json.dumps(info)})
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"):
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    records = read(tmp_path)
    assert format_of(tmp_path) == "huggingface" and records[0].said.speaker == "bob"
    assert [record.split for record in records] == ["train"] * 4 + ["validation"] * 2


def test_what_datasets_keeps_of_a_map_is_not_read_twice(tmp_path):
    for name in ("data-00000-of-00001", "cache-0123456789abcdef"):
        with (
            pa.OSFile(str(tmp_path / f"{name}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, speech(2).schema) as writer,
        ):
            writer.write_table(speech(2))
    assert len(read(tmp_path)) == 2


def test_a_dataset_of_questions_and_answers_becomes_turns(tmp_path):
    (_, waveform), wrong_columns = prompts(1)[0], pa.array([["a"], ["b"]])
    audio = pa.array([{"bytes": encode_wav(waveform, 16_000), "path": None}] * 2, AUDIO)
    table = pa.table(
        {
            "instruction": ["Who?", "Where?"],
            "response": ["Me.", "Here."],
            "question_audio": audio,
            "text": wrong_columns,
        }
    )
    pq.write_table(table, tmp_path / "train.parquet")
    records = read(tmp_path)
    assert [(record.said.text, record.answer.text) for record in records] == [("Who?", "Me."), ("Where?", "Here.")]
    assert all(record.said.audio and record.answer.audio is None for record in records)


def test_audio_saved_as_paths_is_found_beside_the_table(tmp_path):
    text, waveform = prompts(1)[0]
    wav(tmp_path / "clips" / "a.wav", waveform)
    pq.write_table(pa.table({"audio": ["clips/a.wav"], "text": [text]}), tmp_path / "t.parquet")
    assert read(tmp_path)[0].said.audio.read_bytes() == (tmp_path / "clips" / "a.wav").read_bytes()


@pytest.mark.parametrize(
    "table, sentence",
    [
        (pa.table({"label": [1]}), r"t\.parquet has neither a question and an answer nor a text; found: label; rename"),
        (
            pa.table({"text": ["a"], "audio": [[0.0, 0.1]]}),
            r"holds list<.*> in the column 'audio', not audio; save it with dataset\.cast_column\('audio'",
        ),
    ],
)
def test_columns_that_cannot_be_read_are_named_with_the_mend(tmp_path, table, sentence):
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=sentence):
        read(tmp_path)
