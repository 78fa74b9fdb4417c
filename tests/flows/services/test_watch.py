import os

import fsspec
import pytest

from data_contracts.errors import SettingsError
from flows.services.watch import Watcher, copy_new, parse_landing


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "metadata.csv").write_text("id\n1\n")
    return folder


@pytest.fixture
def look(tmp_path, source):
    """look() -> sources that were told of, at one look of a watcher that remembers over restarts."""
    watchers = [Watcher(tmp_path / "watched.json")]

    def once(restart: bool = False) -> list[str]:
        if restart:
            watchers[0] = Watcher(tmp_path / "watched.json")
        told = []
        watchers[0].look([str(source)], lambda where, _: told.append(where))
        return told

    return once


def test_what_was_there_before_is_no_news(look):
    assert look() == look() == look() == []


def test_new_files_are_told_once_when_the_copying_has_ended(look, source):
    look()
    (source / "a.wav").write_bytes(b"1")
    assert look() == []
    (source / "b.wav").write_bytes(b"2")
    assert look() == []  # still being copied
    assert look() == [str(source)]
    assert look() == look(restart=True) == look() == []


def test_data_that_landed_while_nobody_looked_is_told_after_the_start(look, source):
    look()
    (source / "metadata.csv").write_text("id\n1\n2\n")
    look(restart=True)
    assert look() == [str(source)]


def test_a_file_written_over_in_the_same_size_is_news(look, source):
    look()
    (source / "metadata.csv").write_text("id\n2\n")
    os.utime(source / "metadata.csv", ns=(1, 1))
    look()
    assert look() == [str(source)]


def test_a_source_that_vanished_is_told_as_a_change_and_stops_nothing(look, source):
    look()
    (source / "metadata.csv").unlink()
    source.rmdir()
    look()
    assert look() == [str(source)]


def test_a_bucket_is_copied_once(tmp_path):
    bucket = fsspec.filesystem("memory")
    bucket.pipe("/landing/new/metadata.csv", b"id\n1\n")
    bucket.pipe("/landing/new/audio/a.wav", b"1234")
    target = tmp_path / "new"
    assert copy_new("memory://landing/new", target) == 2
    assert (target / "audio" / "a.wav").read_bytes() == b"1234"
    assert copy_new("memory://landing/new", target) == 0
    bucket.pipe("/landing/new/metadata.csv", b"id\n1\n2\n")
    assert copy_new("memory://landing/new", target) == 1
    assert not list(target.rglob("*.part"))


def test_a_landing_names_a_url_and_a_folder(tmp_path):
    url, folder = parse_landing("s3://bucket/a=b/new=data/new")
    assert url == "s3://bucket/a=b/new" and str(folder) == "data/new"
    for wrong in ("s3://bucket", "folder=data", "s3://bucket="):
        with pytest.raises(SettingsError, match="URL=FOLDER"):
            parse_landing(wrong)
