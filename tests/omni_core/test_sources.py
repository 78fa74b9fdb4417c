"""A folder is read by the format that it is in; one that cannot be read at all is named with the mend."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from data_contracts.errors import SettingsError, SourceError
from omni_core import source_texts
from omni_core.source_formats import texts_alone
from omni_core.sources import format_of, load_format, read_sources, source_names
from tests.omni_core.made_sources import settings_for, three_splits, write_source
from tests.omni_core.source_formats.made_folders import MAKERS, make


def header(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "metadata.csv").write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda folder: None, r"source '.*' is not a folder; correct ingest\.sources"),
        (lambda folder: folder.mkdir(), r"source '.*' is empty; put a metadata\.csv and its audio there"),
        (lambda folder: (folder / "audio").mkdir(parents=True), r"source '.*' has no metadata\.csv; write one"),
        (lambda folder: header(folder, ""), r"metadata\.csv lacks the columns .* found: nothing"),
        (lambda folder: header(folder, "id,language,text,audio\n"), "has a header but no record; add records"),
        (
            lambda folder: header(folder, "id,language,question_text,answer\n1,en,a,b\n"),
            r"metadata\.csv lacks the column 'answer_text'; .* found: id, language, question_text, answer$",
        ),
        (
            lambda folder: header(folder, "id,language,sentence\n1,en,a\n"),
            r"lacks the columns 'question_text' and 'answer_text' \(turns\) or 'text' \(speech\); found: id, language, sent",
        ),
        (
            lambda folder: header(folder, "id,language,question_text,answer_text,questionaudio\n1,en,a,b,c\n"),
            "has a column 'questionaudio', which is not read; is it 'question_audio'",
        ),
        (lambda folder: header(folder, "id,id,language,text,audio\n1,1,en,a,b\n"), "names a column twice"),
        (lambda folder: header(folder, "id,language,text,audio\n1,en,caf\xe9,b\n"), "is not a CSV file in UTF-8"),
    ],
)
def test_a_source_that_cannot_be_read_is_named_with_the_mend(tmp_path, make, sentence):
    make(tmp_path / "source")
    with pytest.raises(SourceError, match=sentence):
        read_sources(settings_for(str(tmp_path / "source")))


def test_a_source_listed_twice_or_none_at_all_is_refused(tmp_path):
    source = write_source(tmp_path / "texts", three_splits())
    with pytest.raises(SourceError, match="listed twice"):
        read_sources(settings_for(source, f"{source}/../texts"))
    with pytest.raises(SourceError, match=r"ingest\.sources is empty"):
        read_sources(settings_for())


def test_sources_of_one_name_keep_apart():
    assert source_names([Path("a/texts"), Path("b/texts"), Path("c")]) == ["texts", "texts-2", "c"]


def test_a_folder_in_no_format_is_told_of_all_of_them(tmp_path):
    (tmp_path / "notes.txt").write_text("speech is elsewhere")
    with pytest.raises(
        SourceError, match=r"other formats: common_voice, huggingface, kaldi, libritts, ljspeech, voice_"
    ):
        format_of(tmp_path)


def test_a_folder_that_looks_like_two_formats_is_read_as_the_settings_say(tmp_path):
    folder, made = make("kaldi", tmp_path)
    (folder / "samples.tar").write_bytes(b"")
    with pytest.raises(SourceError, match=r"looks like kaldi and webdataset; say which in ingest\.formats"):
        read_sources(settings_for(str(folder)))
    records = read_sources(settings_for(str(folder), formats={str(folder): "kaldi"}))
    assert len(records) == len(made.texts) + sum(made.rules.values())


def test_our_own_metadata_comes_before_what_lies_beside_it(tmp_path):
    source = write_source(tmp_path / "texts", three_splits())
    (tmp_path / "texts" / "backup.tar").write_bytes(b"")
    assert format_of(Path(source)) == "metadata_csv"


def test_a_format_for_a_source_that_is_not_listed_is_refused(tmp_path):
    source = write_source(tmp_path / "texts", three_splits())
    with pytest.raises(SettingsError, match=r"ingest\.formats names 'elsewhere', which is not in ingest\.sources"):
        read_sources(settings_for(source, formats={"elsewhere": "kaldi"}))


def test_a_format_that_does_not_exist_is_refused_by_the_settings():
    with pytest.raises(ValidationError, match="unknown member of source_formats: 'mp3'"):
        settings_for("texts", formats={"texts": "mp3"})


def test_compressed_tars_are_refused_with_the_mend(tmp_path):
    (tmp_path / "train-000000.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(SourceError, match=r"train-000000\.tar\.gz is compressed.*unpack it to a \.tar"):
        read_sources(settings_for(str(tmp_path)))


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "metadata_csv"])
def test_the_plan_knows_the_texts_of_every_format_without_opening_sound(name, tmp_path):
    folder, _ = make(name, tmp_path)
    settings = settings_for(str(folder), held_out_fraction=0.0)
    rows = read_sources(settings)
    texts = source_texts.source_texts(settings)
    assert not texts.unread and not texts.cut and texts.records == {folder.name: len(rows)}
    good = {record.said.text for record in rows if record.split == "train" and not record.failure} - {""}
    assert good and good <= {*texts.questions, *texts.speech}
    assert len(texts.answers) == len(texts.questions)
    with texts_alone():
        unheard = [record.said.audio_sha256 for record in load_format(name).records("", folder, "en")]
    assert set(unheard) == {""} != {record.said.audio_sha256 for record in rows}


def test_of_a_large_source_the_first_records_are_read_and_that_is_said(tmp_path, monkeypatch):
    folder, _ = make("ljspeech", tmp_path)
    monkeypatch.setattr(source_texts, "MAX_RECORDS", 2)
    texts = source_texts.source_texts(settings_for(str(folder), held_out_fraction=0.0))
    assert texts.cut == [str(folder)] and texts.records == {} and texts.number(2) == "at least 2"
