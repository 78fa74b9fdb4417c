"""The answer book: what is written is found again, by any rater, on any start, and only once."""

import importlib
import sqlite3
import threading

import pytest
from sqlalchemy.schema import CreateTable

from data_contracts.errors import SettingsError, StorageError
from omni_core.listening_test.answers import METADATA, Answer, AnswerBook
from omni_core.listening_test.trials import Trial

PLAN = [Trial("0000", "b", None, False), Trial("check-00", "a", None, True)]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/answers.db"


def test_a_session_is_found_again_after_a_restart(url):
    started = AnswerBook(url, "test").start(lambda number, earlier: PLAN)
    AnswerBook(url, "test").record(started.rater, 0, Answer("b", 1200, 2, 1))
    found = AnswerBook(url, "test").session(started.rater)
    assert found.plan == tuple(PLAN) and found.answers == (Answer("b", 1200, 2, 1),) and not found.is_finished


def test_the_first_answer_to_a_trial_stays(url):
    book = AnswerBook(url, "test")
    rater = book.start(lambda number, earlier: PLAN).rater
    assert book.record(rater, 0, Answer("a", 1, 1, 1)) and not book.record(rater, 0, Answer("b", 2, 1, 1))
    assert book.session(rater).answers == (Answer("a", 1, 1, 1),)


def test_tests_of_one_database_do_not_see_each_other(url):
    one, other = AnswerBook(url, "one"), AnswerBook(url, "other")
    rater = one.start(lambda number, earlier: PLAN).rater
    assert other.session(rater) is None and other.sessions() == [] and one.token() != other.token()


def test_the_token_is_made_once(url):
    assert AnswerBook(url, "test").token() == AnswerBook(url, "test").token()
    assert len(AnswerBook(url, "test").token()) >= 32


def test_raters_who_start_in_one_instant_get_different_numbers_and_know_of_each_other(url):
    book, seen = AnswerBook(url, "test"), []

    def start():
        seen.append(book.start(lambda number, earlier: PLAN if number == len(earlier) else []).number)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(8)) and all(session.plan for session in book.sessions())


def test_a_database_that_cannot_be_used_is_one_sentence_without_the_password(tmp_path, url):
    with pytest.raises(StorageError, match=r"cannot be used \(unable to open database file\)"):
        AnswerBook(f"sqlite:///{tmp_path}/no/such/folder.db", "test")
    with pytest.raises(SettingsError, match="--database takes a URL"):
        AnswerBook("answers.db", "test")
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        AnswerBook(f"sqlite:///{tmp_path}/broken.db", "test")


def test_nothing_about_the_person_is_kept(url, tmp_path):
    AnswerBook(url, "test").start(lambda number, earlier: PLAN)
    columns = {
        column[1] for table in ("listening_rater", "listening_answer")
        for column in sqlite3.connect(tmp_path / "answers.db").execute(f"pragma table_info({table})")
    }  # fmt: skip
    assert columns == {"rater", "digest", "number", "plan", "started_at", "position", "picked", "response_ms", "plays_first",
                       "plays_second", "plays_x", "answered_at"}  # fmt: skip


@pytest.mark.parametrize("name", ["postgresql", "mysql", "mssql"])
def test_the_tables_can_be_made_in_other_databases(name):
    dialect = importlib.import_module(f"sqlalchemy.dialects.{name}").dialect()
    for table in METADATA.sorted_tables:
        assert f"CREATE TABLE {table.name}" in str(CreateTable(table).compile(dialect=dialect))
