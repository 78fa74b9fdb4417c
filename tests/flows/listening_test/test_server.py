"""The application over HTTP: who gets in, what a page betrays, what is kept, and how a session goes on."""

import re

import pytest
from starlette.testclient import TestClient

from flows.listening_test.server import COOKIE
from omni_core.listening_test.result import conclude


@pytest.fixture
def client(served):
    app, book, _, _ = served()
    return TestClient(app, follow_redirects=False), book


def begin(client, book):
    """A new rater's path."""
    started = client.post(f"/t/{book.token()}/start")
    assert started.status_code == 303
    return started.headers["location"]


def send(client, path, position, choice="first", **plays):
    form = {
        "position": position,
        "choice": choice,
        "response_ms": 800,
        "plays_first": 1,
        "plays_second": 1,
        "plays_x": 1,
    }
    return client.post(path, data=form | plays)


def test_without_the_token_nothing_is_served(client):
    client, book = client
    path = begin(client, book)
    paths = ["/", "/docs", "/openapi.json", "/t/", f"/t/{'x' * 32}/", "/t/ü/", path.replace(book.token(), "x" * 32),
             path.replace(book.token(), "x" * 32) + "/0/first.wav", f"/t/{'x' * 32}/sample.wav"]  # fmt: skip
    for wrong in paths:
        answer = client.get(wrong)
        assert answer.status_code == 404 and "RIFF" not in answer.text and book.token() not in answer.text
    assert client.post(f"/t/{'x' * 32}/start").status_code == 404 and len(book.sessions()) == 1
    assert send(client, path.replace(book.token(), "x" * 32), 0).status_code == 404
    assert book.sessions()[0].answers == ()


def test_a_strangers_session_is_not_found(client):
    client, book = client
    assert client.get(f"/t/{book.token()}/r/{'x' * 22}").status_code == 404
    assert send(client, f"/t/{book.token()}/r/{'x' * 22}", 0).status_code == 404


def test_every_page_fetches_nothing_from_elsewhere_and_tells_nobody_the_link(client):
    client, book = client
    for path in (f"/t/{book.token()}/", begin(client, book), "/nowhere"):
        answer = client.get(path)
        assert not re.findall(r"(?:src|href|action)=\"(?:https?:)?//", answer.text) and "@import" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["x-robots-tag"] == "noindex"


def test_but_for_its_number_every_page_is_the_same_so_a_check_cannot_be_told(client):
    client, book = client
    path, pages = begin(client, book), set()
    for position in range(6):
        pages.add(re.sub(r'nonce="[^"]+"|\d+', "", client.get(path).text))
        send(client, path, position)
    assert len(pages) == 1 and "tone-" not in pages.pop()


def test_clips_are_those_of_the_plan_and_come_in_pieces_as_phones_ask_for_them(client, served):
    client, book = client
    path = begin(client, book)
    (session,) = book.sessions()
    _, _, store, test = served()
    trial = session.plan[0]
    for slot, side in (("first", trial.first), ("second", trial.second)):
        whole = client.get(f"{path}/0/{slot}.wav")
        assert whole.content == (store.folder(test) / "clips" / f"{trial.item}-{side}.wav").read_bytes()
        assert whole.headers["content-type"] == "audio/wav" and "disposition" not in str(whole.headers)
        piece = client.get(f"{path}/0/{slot}.wav", headers={"Range": "bytes=0-1"})
        assert piece.status_code == 206 and piece.content == b"RI"


def test_clips_ahead_and_slots_that_are_not_there_are_not_served(client):
    client, book = client
    path = begin(client, book)
    for wrong in (
        "1/first.wav",
        "-1/first.wav",
        "0/x.wav",
        "0/a.wav",
        "zero/first.wav",
        "99/first.wav",
        "0/..%2f..%2ftest.wav",
    ):
        assert client.get(f"{path}/{wrong}").status_code == 404


def test_answers_are_kept_by_side_not_by_place(client):
    client, book = client
    path = begin(client, book)
    for position in range(6):
        assert send(client, path, position, "second", plays_second=3).headers["location"] == path
    (session,) = book.sessions()
    assert [answer.picked for answer in session.answers] == [trial.second for trial in session.plan]
    assert session.answers[0].plays_second == 3 and session.answers[0].response_ms == 800
    assert "Thank you" in client.get(path).text


def test_a_double_click_and_the_back_button_change_nothing(client):
    client, book = client
    path = begin(client, book)
    send(client, path, 0, "first")
    for position in (0, 3, 99):
        assert send(client, path, position, "second").status_code == 303
    (session,) = book.sessions()
    assert [answer.picked for answer in session.answers] == [session.plan[0].first]


@pytest.mark.parametrize(
    ("form", "words"),
    [({"plays_second": 0}, "listen to every clip"), ({"choice": ""}, "choose one"), ({"choice": "both"}, "choose one"),
     ({"plays_first": "-1"}, "listen to every clip"), ({"plays_first": "٣"}, "listen to every clip")],
)  # fmt: skip
def test_an_answer_without_listening_or_choosing_is_asked_for_again(client, form, words):
    client, book = client
    path = begin(client, book)
    answer = send(client, path, 0, **{"choice": "first", **form})
    assert answer.status_code == 422 and words in answer.text and book.sessions()[0].answers == ()


def test_a_form_that_is_too_large_is_refused(client):
    client, book = client
    assert client.post(begin(client, book), content=b"a" * 5000).status_code == 413


def test_a_rater_goes_on_where_he_stopped_on_this_device_and_by_his_own_path_on_another(client, served):
    client, book = client
    path = begin(client, book)
    send(client, path, 0)
    send(client, path, 1)
    app, _, _, _ = served()  # the server started again
    again = TestClient(app, cookies={COOKIE: client.cookies[COOKIE]})
    assert "Go on with pair 3 of 6" in again.get(f"/t/{book.token()}/").text
    assert "Pair 3 of 6" in TestClient(app).get(path).text
    assert len(book.sessions()) == 1


def test_the_cookie_is_for_this_test_alone_and_not_for_scripts(client):
    client, book = client
    cookie = client.post(f"/t/{book.token()}/start").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and f"path=/t/{book.token()}/".lower() in cookie


def test_raters_who_fail_their_checks_do_not_count(served):
    app, book, store, test = served()
    for listens in (True, True, False):
        client = TestClient(app, follow_redirects=False)
        path = begin(client, book)
        session = book.sessions()[-1]
        for position, trial in enumerate(session.plan):
            wanted = "b" if not trial.is_check else "a" if listens else "b"
            send(client, path, position, "first" if trial.first == wanted else "second")
    facts = conclude(store, test, book.sessions()).facts
    assert facts["raters_counted"] == 2 and facts["share"] == 1
    assert facts["left_out"][0]["reason"] == "failed 2 of 2 attention checks, at most 0 may fail"


def test_a_database_that_fails_is_told_politely(client, tmp_path):
    client, book = client
    path = begin(client, book)
    (tmp_path / "answers.db").write_bytes(b"overwritten" * 1000)
    answer = client.get(path)
    assert answer.status_code == 503 and "cannot be kept just now" in answer.text


def test_a_question_with_markup_is_shown_as_text(served):
    app, book, _, _ = served(question="Which is <b>better</b> & why?")
    client = TestClient(app, follow_redirects=False)
    assert "Which is &lt;b&gt;better&lt;/b&gt; &amp; why?" in client.get(begin(client, book)).text
