"""A prepared test and its answer book enter, a web application leaves: what a rater sees, hears and sends.

    /t/<token>/                      welcome, volume, start        (any other path, or another token: 404)
    /t/<token>/r/<rater>             the next trial, or thanks     GET shows, POST answers
    /t/<token>/r/<rater>/3/first.wav the clip of a trial, once the rater has come as far

The token opens the test, the rater's own path (as hard to guess) opens one session, so a session goes on where it
stopped, on any device. A page names neither side, fetches nothing from elsewhere and sets one cookie: the way back.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from data_contracts.errors import OmniError
from data_contracts.listening_test import ListeningTestSettings
from omni_core.listening_test.answers import Answer, AnswerBook, Session
from omni_core.listening_test.trials import Trial, plan

COOKIE = "listening_rater"
LARGEST_FORM_BYTES = 4_096
LONGEST_MS = 24 * 3_600_000
PAGES = Environment(loader=PackageLoader("flows.listening_test", "."), autoescape=True, undefined=StrictUndefined)


def application(folder: Path, book: AnswerBook) -> FastAPI:
    """The application of the test in `folder` (an opened ListeningTest), with answers in `book`."""
    return _Pages(folder, book).app


class _Pages:
    """The routes of one test; its state is the opened test and its token."""

    def __init__(self, folder: Path, book: AnswerBook):
        listed = json.loads((folder / "test.json").read_text())
        self.clips, self.book, self.token = folder / "clips", book, book.token()
        self.settings = ListeningTestSettings(**listed["settings"])
        self.items, self.checks = ([one["item"] for one in listed[part]] for part in ("items", "checks"))
        self.contexts = {one["item"]: one["context"] for part in ("items", "checks") for one in listed[part]}
        # neither OpenAPI nor its pages: a rater has no use for them
        self.app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        root = "/t/{token}"
        for method, path, handler in (
            ("GET", f"{root}/", self.welcome), ("POST", f"{root}/start", self.start),
            ("GET", f"{root}/sample.wav", self.sample), ("GET", f"{root}/r/{{rater}}", self.trial),
            ("POST", f"{root}/r/{{rater}}", self.answer),
            ("GET", f"{root}/r/{{rater}}/{{position}}/{{slot}}.wav", self.clip),
        ):  # fmt: skip
            self.app.add_api_route(path, handler, methods=[method], response_model=None)
        self.app.add_exception_handler(StarletteHTTPException, self.refused)
        self.app.add_exception_handler(RequestValidationError, self.refused)
        self.app.add_exception_handler(OmniError, self.failed)
        self.app.middleware("http")(guarded)

    def welcome(self, request: Request, token: str) -> Response:
        self._check(token)
        session = self.book.session(request.cookies.get(COOKIE, ""))
        trials = (
            session.plan if session else range(min(len(self.items), self.settings.pairs_per_rater) + len(self.checks))
        )
        return self._page(request, "welcome", session=session, trials=len(trials))

    def start(self, request: Request, token: str) -> Response:
        self._check(token)
        session = self.book.start(self._plan)
        response = RedirectResponse(self._path(session), status_code=303)
        response.set_cookie(COOKIE, session.rater, max_age=90 * 86_400, path=f"/t/{self.token}/", httponly=True,
                            samesite="lax", secure=request.url.scheme == "https")  # fmt: skip
        return response

    def _plan(self, number: int, earlier: Sequence[Sequence[Trial]]) -> list[Trial]:
        rng = np.random.default_rng([self.settings.seed, number])
        return plan(self.items, self.checks, self.settings.design, self.settings.pairs_per_rater, earlier, rng)

    def sample(self, token: str) -> Response:
        self._check(token)
        return FileResponse(self.clips / f"{self.items[len(self.items) // 2]}-a.wav", media_type="audio/wav")

    def trial(self, request: Request, token: str, rater: str) -> Response:
        session = self._session(token, rater)
        return self._next(request, session)

    async def answer(self, request: Request, token: str, rater: str) -> Response:
        session = await run_in_threadpool(self._session, token, rater)
        form = await _form(request)
        position = _number(form, "position", len(session.plan))
        if position == len(session.answers) and position < len(session.plan):
            given = _answer(form, session.plan[position])
            if isinstance(given, str):
                return await run_in_threadpool(partial(self._next, request, session, problem=given, status=422))
            await run_in_threadpool(self.book.record, rater, position, given)
        return RedirectResponse(
            self._path(session), status_code=303
        )  # a double click and the back button land here too

    def clip(self, token: str, rater: str, position: int, slot: str) -> Response:
        session = self._session(token, rater)
        if not 0 <= position <= min(len(session.answers), len(session.plan) - 1):
            raise HTTPException(404)
        trial = session.plan[position]
        side = {"first": trial.first, "second": trial.second, "x": trial.x}.get(slot)
        if side is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "private, max-age=3600"}
        return FileResponse(self.clips / f"{trial.item}-{side}.wav", media_type="audio/wav", headers=headers)

    def _next(self, request: Request, session: Session, problem: str = "", status: int = 200) -> Response:
        if session.is_finished:
            return self._page(request, "thanks", trials=len(session.plan))
        position = len(session.answers)
        trial = session.plan[position]
        return self._page(request, "trial", status, position=position, trials=len(session.plan), problem=problem,
                          context=self.contexts[trial.item], path=self._path(session))  # fmt: skip

    def _page(self, request: Request, name: str, status: int = 200, **values: object) -> HTMLResponse:
        nonce = request.state.nonce
        page = PAGES.get_template(f"{name}.html.jinja").render(settings=self.settings, nonce=nonce, **values)
        return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})

    def _check(self, token: str) -> None:
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise HTTPException(404)

    def _session(self, token: str, rater: str) -> Session:
        self._check(token)
        session = self.book.session(rater)
        if session is None:
            raise HTTPException(404)
        return session

    def _path(self, session: Session) -> str:
        return f"/t/{self.token}/r/{session.rater}"

    def refused(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return self._page(request, "refused", status, sentence="This link opens nothing. Ask whoever sent it for the whole link.")  # fmt: skip

    def failed(self, request: Request, error: Exception) -> Response:
        logging.getLogger("uvicorn.error").error("%s", error)  # what the person at the server reads
        return self._page(request, "refused", 503, sentence="The answers cannot be kept just now; nothing is lost. Load this page again in a minute.")  # fmt: skip


async def guarded(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Every answer says: fetch nothing from elsewhere, be framed by nobody, tell nobody the link."""
    nonce = request.state.nonce = secrets.token_urlsafe(12)
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; media-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM_BYTES:
            raise HTTPException(413)
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _number(form: dict[str, str], name: str, highest: int) -> int:
    """A whole number 0..highest of a form; whatever else was sent is 0."""
    text = form.get(name, "")
    return min(int(text), highest) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _answer(form: dict[str, str], trial: Trial) -> Answer | str:
    """The answer of a form, or what is missing."""
    plays = {slot: _number(form, f"plays_{slot}", 1_000) for slot in ("first", "second", "x")}
    if not plays["first"] or not plays["second"] or (trial.x and not plays["x"]):
        return "Please listen to every clip to its end first."
    picked = {"first": trial.first, "second": trial.second}.get(form.get("choice", ""))
    if picked is None:
        return "Please choose one of the two."
    return Answer(picked, _number(form, "response_ms", LONGEST_MS), plays["first"], plays["second"], plays["x"])
