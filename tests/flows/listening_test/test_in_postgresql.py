"""The listening test with its answers in a real PostgreSQL: several raters at once, a restart on either side, the analysis."""

import secrets
import threading

import pytest
from starlette.testclient import TestClient

from data_contracts.errors import StorageError
from flows.listening_test.command import listen
from flows.listening_test.server import application
from omni_core.listening_test.answers import METADATA, Answer, AnswerBook, engine_of
from omni_core.listening_test.result import conclude
from omni_core.listening_test.trials import Trial
from tests.postgresql import cluster

PLAN = [Trial("0000", "b", None, False), Trial("check-00", "a", None, True)]


@pytest.fixture(scope="module")
def postgresql():
    with cluster() as running:
        yield running


def at_once(count, work):
    """work(number) in so many threads that begin together; what they return, and no error lost."""
    found, together = [], threading.Barrier(count)

    def run(number):
        together.wait()
        try:
            found.append(work(number))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [one for one in found if isinstance(one, Exception)], found
    return found


def page(store, test, url):
    """The application as a server that has just started serves it."""
    book = AnswerBook(url, test.digest)
    return TestClient(application(store.folder(test), book), follow_redirects=False), book


def answer(client, book, path, position):
    """A rater who hears the difference: picks side b, and in a check the side that is right."""
    trial = book.session(path.rsplit("/", 1)[1]).plan[position]
    form = {"position": position, "response_ms": 800, "plays_first": 1, "plays_second": 2, "plays_x": 0,
            "choice": "first" if trial.first == (trial.right or "b") else "second"}  # fmt: skip
    assert client.post(path, data=form).status_code == 303


def test_eight_raters_at_once_stop_go_on_after_both_servers_restarted_and_are_analysed(served, postgresql):
    _, _, store, test = served(raters=8)
    client, book = page(store, test, postgresql.url())

    def half(_):
        path = client.post(f"/t/{book.token()}/start").headers["location"]
        for position in range(3):
            answer(client, book, path, position)
        return path

    paths = at_once(8, half)
    assert sorted(session.number for session in book.sessions()) == list(range(8))
    assert {len(session.answers) for session in book.sessions()} == {3}

    postgresql.stop()
    assert client.get(paths[0]).status_code == 503
    postgresql.start()
    for path in paths:  # the same server, once the database is back
        assert "4 of 6" in " ".join(client.get(path).text.split())
    postgresql.stop()
    postgresql.start()
    assert client.get(paths[0]).status_code == 200  # nobody asked meanwhile: nobody notices
    client, again = page(store, test, postgresql.url())
    assert again.token() == book.token()

    def rest(number):
        for position in range(3, 6):
            answer(client, again, paths[number], position)
        answer(client, again, paths[number], 5)  # a double click

    at_once(8, rest)
    sessions = again.sessions()
    assert all(session.is_finished for session in sessions) and len({session.plan for session in sessions}) > 1
    facts = conclude(store, test, sessions).facts
    assert (facts["raters_counted"], facts["left_out"], facts["share"]) == (8, [], 1.0)
    assert facts["p_higher"] == pytest.approx(2**-8)


def test_servers_that_start_together_in_an_empty_database_share_one_link(postgresql, monkeypatch):
    METADATA.drop_all(engine_of(postgresql.url()))
    all_have_looked, make = threading.Barrier(4), secrets.token_urlsafe

    def make_together(size):
        all_have_looked.wait(30)
        return make(size)

    monkeypatch.setattr(secrets, "token_urlsafe", make_together)
    books = at_once(4, lambda _: AnswerBook(postgresql.url(), "new to all"))
    assert len({book.token() for book in books}) == 1


def test_the_first_answer_stays_and_tests_do_not_see_each_other(postgresql):
    one, other = (AnswerBook(postgresql.url(), digest) for digest in ("one", "other"))
    rater = one.start(lambda number, earlier: PLAN).rater
    kept = at_once(4, lambda number: one.record(rater, 0, Answer("ab"[number % 2], number, 1, 1)))
    assert sorted(kept) == [False, False, False, True]
    assert len(one.session(rater).answers) == 1 and other.session(rater) is None and other.sessions() == []


def test_the_command_analyses_what_the_database_holds(sides, postgresql, capsys, tmp_path):
    def omni_listen(results_of):
        listen(str(tmp_path / "home"), *map(str, sides), ("attention_checks=0", "pairs_per_rater=5"), results_of, "127.0.0.1",
               0, True, "omni")  # fmt: skip

    with pytest.raises(Exception, match="nobody has answered yet"):
        omni_listen(postgresql.url())
    from tasks.home import store_of

    store = store_of(str(tmp_path / "home"))
    (digest,) = (path.rsplit("/", 1)[1] for path in store.fs.glob(f"{store.base}/listening_test/*"))
    book = AnswerBook(postgresql.url(), digest)
    plan = [Trial(f"{number:04d}", "a", None, False) for number in range(5)]
    for _ in range(5):
        rater = book.start(lambda number, earlier: plan).rater
        for position in range(5):
            book.record(rater, position, Answer("b", 900, 1, 1))
    omni_listen(postgresql.url())
    assert "b (b) was preferred to a (a) in 100.0 % of 25 answers by 5 raters" in capsys.readouterr().out


def test_a_database_that_refuses_is_one_sentence_without_the_password(postgresql):
    with pytest.raises(StorageError) as refused:
        AnswerBook(postgresql.url("wrong-secret"), "test")
    said = str(refused.value)
    assert 'password authentication failed for user "omni"' in said and "wrong-secret" not in said
    assert len(said.splitlines()) == 1 and "{" not in said
    gone = postgresql.url().replace(f":{postgresql.port}/", ":1/")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1/postgres cannot be used"):
        AnswerBook(gone, "test")
