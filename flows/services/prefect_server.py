"""Prefect's own command line enters, with a server that asks its database again; the answer leaves when it was let in.

    a form is submitted    BEGIN, reads the deployment, checks the settings for 0.3 s, INSERT: "database is locked", at once
    the worker lives on          UPDATE, COMMIT

SQLite lets no transaction write that has read what another one changed meanwhile, however long it would wait. Prefect 3.8.8
answers such a request with 503, having changed nothing: its own clients ask again, its UI does not. Of 12 runs submitted in
the form while a run was at work 3 came to nothing. It can go when Prefect's server waits by itself
(github.com/PrefectHQ/prefect/issues/18934).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
READS = ("GET", "HEAD", "OPTIONS")
REFUSED = 503

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


def asking_again(app: App) -> App:
    """The ASGI application, that is asked again when it refuses a change."""

    async def asked(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READS:
            await app(scope, receive, send)
            return
        body = await _body(receive)
        for pause_s in PAUSES_S:
            if await _is_answered(app, dict(scope), _again(body, receive), send):
                return
            await asyncio.sleep(pause_s)
        await app(scope, _again(body, receive), send)

    return asked


async def _is_answered(app: App, scope: dict[str, Any], receive: Receive, send: Send) -> bool:
    """False when it refused; then nothing was sent, and the error that it raises behind its refusal is dropped."""
    refused = False

    async def passed_on(message: Message) -> None:
        nonlocal refused
        refused = refused or message.get("status") == REFUSED
        if not refused:
            await send(message)

    try:
        await app(scope, receive, passed_on)
    except Exception:
        if not refused:
            raise
    return not refused


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A request's body whole, then what the connection tells."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return parts.pop() if parts else await receive()

    return received


def main() -> None:
    """`prefect ...`; its server is the one that asks again."""
    from prefect.cli import app
    from prefect.server.api import server

    create_app = server.create_app
    server.create_app = lambda *args, **kwargs: asking_again(create_app(*args, **kwargs))
    app()


if __name__ == "__main__":
    main()
