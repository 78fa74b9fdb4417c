"""Raters' plans and answers enter, the same leave: any database that SQLAlchemy knows by URL, SQLite unless told otherwise.

    sqlite:///answers.db                          postgresql+pg8000://user:password@host/name    its driver is in the lock

    listening_test     digest of the test, token of its link
    listening_rater    rater, test, number, plan (JSON)          so a session goes on where it stopped, on any device
    listening_answer   rater, position -> the clip that was picked, how long it took, how often each was played

No name, address or device of a rater is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from data_contracts.errors import SettingsError, StorageError
from data_contracts.listening_test import Side
from omni_core.listening_test.trials import Trial

METADATA = sql.MetaData()
TESTS = sql.Table(
    "listening_test",
    METADATA,
    sql.Column("digest", sql.String(64), primary_key=True),
    sql.Column("token", sql.String(64), nullable=False),
)
RATERS = sql.Table(
    "listening_rater",
    METADATA,
    sql.Column("rater", sql.String(64), primary_key=True),
    sql.Column("digest", sql.ForeignKey(TESTS.c.digest), nullable=False),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("plan", sql.JSON, nullable=False),
    sql.Column("started_at", sql.DateTime(timezone=True), nullable=False),
    sql.UniqueConstraint("digest", "number"),
)
ANSWERS = sql.Table(
    "listening_answer",
    METADATA,
    sql.Column("rater", sql.ForeignKey(RATERS.c.rater), primary_key=True),
    sql.Column("position", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("picked", sql.String(1), nullable=False),
    sql.Column("response_ms", sql.Integer, nullable=False),
    sql.Column("plays_first", sql.Integer, nullable=False),
    sql.Column("plays_second", sql.Integer, nullable=False),
    sql.Column("plays_x", sql.Integer, nullable=False),
    sql.Column("answered_at", sql.DateTime(timezone=True), nullable=False),
)
ATTEMPTS = 20
"""Raters who may start in the same instant."""


@dataclass(frozen=True)
class Answer:
    """What a rater did on one page: the side that was picked, and how it was listened to."""

    picked: Side
    response_ms: int
    plays_first: int
    plays_second: int
    plays_x: int = 0


@dataclass(frozen=True)
class Session:
    """One rater: the plan, and the answers given so far, the first trial's first."""

    rater: str
    number: int
    plan: tuple[Trial, ...]
    answers: tuple[Answer, ...]

    @property
    def is_finished(self) -> bool:
        """Every trial is answered."""
        return len(self.answers) == len(self.plan)


def engine_of(url: str) -> sql.Engine:
    """A database by URL, not connected yet. Raises SettingsError for what is no URL or lacks its driver."""
    try:
        waiting = {"timeout": 30} if sql.make_url(url).get_backend_name() == "sqlite" else {}  # s, for another's write
        # pre_ping: a database that was restarted meanwhile is connected to again, no rater notices
        return sql.create_engine(url, connect_args=waiting, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError) as error:
        raise SettingsError(
            "--database takes a URL such as sqlite:///answers.db or postgresql+pg8000://user:password@host/name, with its "
            f"driver installed ({error})"
        ) from error


class AnswerBook:
    """The database of one test. Raises StorageError, one sentence without the password, when it cannot be used."""

    def __init__(self, url: str, digest: str):
        self.digest = digest
        self._engine = engine_of(url)
        self._name = self._engine.url.render_as_string(hide_password=True)
        try:
            self._make_tables()
        except (IntegrityError, StorageError):  # another server made them in the same instant: now they are there
            self._make_tables()
        self.token()  # raters refer to the test's row, which SQLite does not ask for and PostgreSQL does

    def _make_tables(self) -> None:
        with self._transaction() as connection:
            METADATA.create_all(connection)

    @contextmanager
    def _transaction(self) -> Iterator[sql.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise StorageError(
                f"the database {self._name} cannot be used ({_cause(error)}); correct --database or mend it"
            ) from error

    def token(self) -> str:
        """The secret part of the test's link, made once: the link stays good when the server starts again."""
        try:
            return self._token()
        except IntegrityError:  # another server made it in the same instant: that one stands
            return self._token()

    def _token(self) -> str:
        with self._transaction() as connection:
            found = connection.scalar(sql.select(TESTS.c.token).where(TESTS.c.digest == self.digest))
            if found is None:
                found = secrets.token_urlsafe(24)
                connection.execute(TESTS.insert().values(digest=self.digest, token=found))
            return str(found)

    def start(self, make_plan: Callable[[int, Sequence[Sequence[Trial]]], list[Trial]]) -> Session:
        """A new rater; `make_plan(number, earlier plans)` is asked again when two raters start in one instant."""
        for _ in range(ATTEMPTS):
            try:
                with self._transaction() as connection:
                    rows = connection.scalars(sql.select(RATERS.c.plan).where(RATERS.c.digest == self.digest)).all()
                    session = Session(secrets.token_urlsafe(16), len(rows), tuple(make_plan(len(rows), [_plan(row) for row in rows])), ())  # fmt: skip
                    connection.execute(RATERS.insert().values(
                        rater=session.rater, digest=self.digest, number=session.number,
                        plan=[asdict(trial) for trial in session.plan], started_at=datetime.now(UTC),
                    ))  # fmt: skip
                return session
            except IntegrityError:
                continue
        raise StorageError(f"the database {self._name} refused a new rater {ATTEMPTS} times; try again")

    def session(self, rater: str) -> Session | None:
        """A rater of this test, None for a stranger."""
        with self._transaction() as connection:
            row = connection.execute(
                sql.select(RATERS).where(RATERS.c.rater == rater, RATERS.c.digest == self.digest)
            ).one_or_none()
            return _session(connection, row) if row else None

    def record(self, rater: str, position: int, answer: Answer) -> bool:
        """Keep an answer; False when that trial has one already (the first counts: a double click, the back button)."""
        try:
            with self._transaction() as connection:
                connection.execute(ANSWERS.insert().values(
                    rater=rater, position=position, answered_at=datetime.now(UTC), **asdict(answer)))  # fmt: skip
            return True
        except IntegrityError:
            return False

    def sessions(self) -> list[Session]:
        """All raters of this test, in the order in which they came."""
        with self._transaction() as connection:
            rows = connection.execute(
                sql.select(RATERS).where(RATERS.c.digest == self.digest).order_by(RATERS.c.number)
            )
            return [_session(connection, row) for row in rows.all()]


def _cause(error: SQLAlchemyError) -> str:
    """What the driver says, its first line; pg8000 hands PostgreSQL's message on in a dict of its protocol's fields."""
    orig = getattr(error, "orig", None) or error
    fields = orig.args[0] if orig.args and isinstance(orig.args[0], dict) else {}
    return str(fields.get("M") or orig).splitlines()[0]


def _session(connection: sql.Connection, row: sql.Row) -> Session:
    rows = connection.execute(sql.select(ANSWERS).where(ANSWERS.c.rater == row.rater).order_by(ANSWERS.c.position))
    given = tuple(Answer(a.picked, a.response_ms, a.plays_first, a.plays_second, a.plays_x) for a in rows)
    return Session(row.rater, row.number, tuple(_plan(row.plan)), given)


def _plan(stored: Sequence[dict]) -> list[Trial]:
    return [Trial(**trial) for trial in stored]
