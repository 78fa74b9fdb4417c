import asyncio

import pytest

from flows.services import prefect_server
from flows.services.prefect_server import PAUSES_S, asking_again


class Busy:
    """An application that refuses the first requests, as Prefect's does: 503, and the error again behind it."""

    def __init__(self, refusals: int):
        self.refusals, self.bodies = refusals, []

    async def __call__(self, scope, receive, send):
        self.bodies.append((await receive())["body"])
        status = 503 if len(self.bodies) <= self.refusals else 201
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": str(status).encode()})
        if status == 503:
            raise OSError("database is locked")


def answer_of(app, method: str) -> list[dict]:
    """What a client gets that sends its body in two parts."""
    parts = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}]
    sent = []

    async def receive():
        return parts.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(asking_again(app)({"type": "http", "method": method}, receive, send))
    return sent


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(prefect_server, "PAUSES_S", tuple(0.0 for _ in PAUSES_S))


def test_a_change_that_was_refused_is_asked_again_whole_and_answered_once():
    app = Busy(refusals=2)
    start, body = answer_of(app, "POST")
    assert (start["status"], body["body"]) == (201, b"201") and app.bodies == [b"ab"] * 3


def test_a_server_that_refuses_for_good_says_so():
    app = Busy(refusals=100)
    with pytest.raises(OSError, match="locked"):
        answer_of(app, "POST")
    assert len(app.bodies) == 1 + len(PAUSES_S)


def test_what_reads_is_passed_on_as_it_comes():
    app = Busy(refusals=0)
    answer_of(app, "GET")
    assert app.bodies == [b"a"]
