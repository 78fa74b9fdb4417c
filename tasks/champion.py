"""A registered version enters, the champion's alias on it leaves, or a refusal: the transaction of a promotion.

    lock -> settle what a killed one left -> nothing altered by hand? -> version whole? -> three probes -> clock
         -> line of the history (here it happens) -> aliases -> "settled"

A kill before the line changes nothing; after it, whoever comes next moves the aliases. Neither Prefect nor MLflow is
imported here: `omni rollback` has to be quick.
"""

from __future__ import annotations

import base64
import getpass
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.errors import PromotionError
from data_contracts.promote import HistoryEntry, PromoteSettings, Version
from data_contracts.quantize import QuantizedModel
from omni_core.promotion_evidence import check_model_folder, package_digest
from omni_core.promotion_history import CLOCK_TOLERANCE, Standing, beyond_rollback, clock_trouble, previous, trouble
from tasks import registry
from tasks.home import local_folder

PROOF = "proof"


def current(home: str, settings: PromoteSettings) -> Version | None:
    """The champion, after what a killed promotion left was settled. Raises PromotionError for a hand's work."""
    found = settled(home, settings)
    return registry.versions(home, settings.registered_model)[found.champion] if found.champion else None


def settled(home: str, settings: PromoteSettings) -> Standing:
    """Where the registry stands, with the aliases of its last line moved. Raises PromotionError for a hand's work."""
    found = registry.standing(home, settings.registered_model, settings.alias)
    if trouble(found) is None and not found.is_settled:
        found = _settle(home, found, settings)
    if sentence := trouble(found):
        raise PromotionError(f"{sentence}; nothing was promoted")
    return found


def _settle(home: str, found: Standing, settings: PromoteSettings) -> Standing:
    """Move the aliases of the last line; again, when a later line came meanwhile, as they may have moved after it."""
    while True:
        line = found.last
        assert line is not None
        aliases = {settings.alias: line.version, settings.previous_alias: previous(found)}
        registry.settle(home, found.name, line.number, aliases)
        found = registry.standing(home, settings.registered_model, settings.alias)
        if found.last == line:
            return found


def promote_version(home: str, number: str, settings: PromoteSettings, reason: str = "") -> HistoryEntry:
    """Prove a registered version and make it champion. Raises PromotionError or ArtifactError; then nothing moved."""
    with exclusive(home, settings):
        clock = _Clock()
        before = settled(home, settings)
        version = _version(home, number, settings)
        if version.number == before.champion:
            raise PromotionError(f"version {number} of {before.name} is the champion already")
        _check_verdict(version, before, home)
        _prove(home, version, settings)
        now = clock.now()
        if sentence := clock_trouble(before.history, version.made, now):
            raise PromotionError(f"{sentence}; nothing was promoted")
        line = _line(before, "promote", version, now, reason or version.tags.get("reason", ""))
        registry.append(home, before.name, line)
        _settle(home, registry.standing(home, before.name, settings.alias), settings)
        return line


def newest_never_promoted(home: str, settings: PromoteSettings) -> str:
    """The newest version that won and never was champion. Raises PromotionError when there is none."""
    was = {entry.version for entry in settled(home, settings).history}
    known = registry.versions(home, settings.registered_model).values()
    found = [v.number for v in known if v.number not in was and v.tags.get("decision") == "PROMOTE"]
    if not found:
        raise PromotionError(
            f"every version of {settings.registered_model} that won was champion already, or there is none; name one "
            "(`omni history` lists them) or run the flow"
        )
    return found[-1]


def roll_back(home: str, settings: PromoteSettings, to: str = "", reason: str = "by hand") -> HistoryEntry:
    """Go back to the champion before, or to the version `to`, which was one: also the mend after a hand's work.

    The version was proven when it was promoted; here its files are checked, which takes a second.
    """
    with exclusive(home, settings):
        before = registry.standing(home, settings.registered_model, settings.alias)
        if sentence := beyond_rollback(before):
            raise PromotionError(sentence)
        target = to or _back_to(before)
        version = _version(home, target, settings) if target else None
        if version:
            if target not in {entry.version for entry in before.history}:
                raise PromotionError(
                    f"version {target} of {before.name} was never champion; `omni promote {target}` proves it"
                )
            _check_files(home, version, settings)
        line = _line(before, "rollback", version, datetime.now(UTC), reason)
        registry.append(home, before.name, line)
        _settle(home, registry.standing(home, before.name, settings.alias), settings)
        return line


def _back_to(before: Standing) -> str:
    """The version that a rollback goes to; empty when the champion was deleted and none is left."""
    if not before.champion:
        raise PromotionError(f"{before.name} has no champion to go back from; run the flow, or promote a version")
    target = previous(before)
    if not target and before.champion in before.versions:
        raise PromotionError(
            f"version {before.champion} of {before.name} is its first champion: there is none to go back to"
        )
    return target


@contextmanager
def exclusive(home: str, settings: PromoteSettings) -> Iterator[None]:
    """One promotion at a time in this home; between homes that share a server the history's lines decide."""
    from filelock import FileLock, Timeout

    folder = local_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"promotion-{settings.registered_model.replace('/', '-')}.lock", timeout=0):
            yield
    except Timeout:
        raise PromotionError(
            f"another promotion of {settings.registered_model} is under way in {home}; wait until it has ended, look at "
            "`omni history`, then start again; nothing was promoted"
        ) from None


def _version(home: str, number: str, settings: PromoteSettings) -> Version:
    known = registry.versions(home, settings.registered_model)
    if number not in known:
        there = ", ".join(known) or "none"
        raise PromotionError(f"there is no version {number} of {settings.registered_model}; there are: {there}")
    return known[number]


def _check_verdict(version: Version, before: Standing, home: str) -> None:
    """The version won, and against the champion of today."""
    decision = version.tags.get("decision", "none")
    if decision != "PROMOTE":
        raise PromotionError(
            f"the verdict on version {version.number} of {before.name} is {decision}; nothing was promoted"
        )
    champion = registry.versions(home, before.name)[before.champion].model if before.champion else ""
    if version.champion_before != champion:
        raise PromotionError(
            f"version {version.number} of {before.name} was compared with {_named(version.champion_before)}, but the "
            f"champion is now version {before.champion or 'none'} ({_named(champion)}): run the flow again, its stages are "
            "kept and it compares with that one; nothing was promoted"
        )


def _named(digest: str) -> str:
    return f"model {digest[:12]}" if digest else "no champion"


def _prove(home: str, version: Version, settings: PromoteSettings) -> None:
    """The version's files are what was registered, and, loaded, it answers its probes as the evaluated model did."""
    from omni_core.probe import check_proof

    what = f"version {version.number} of {settings.registered_model}"
    with registry.package_of(home, f"models:/{settings.registered_model}/{version.number}") as folder:
        check_package(folder, version, what)
        check_proof(folder / "artifacts" / PROOF, answers_of(registry.load_package(folder, what)), what)


def _check_files(home: str, version: Version, settings: PromoteSettings) -> None:
    with registry.package_of(home, f"models:/{settings.registered_model}/{version.number}") as folder:
        check_package(folder, version, f"version {version.number} of {settings.registered_model}")


def check_package(folder: Path, version: Version, what: str) -> QuantizedModel:
    """Raises ArtifactError, naming the file if it is the model's, when anything was altered since it was registered."""
    if not version.model or "package" not in version.tags:
        raise PromotionError(f"{what} was registered by hand, nothing proves it; run the flow; nothing was promoted")
    card = check_model_folder(folder / "artifacts" / version.model, version.model, what)
    if package_digest(folder) != version.tags["package"]:
        raise PromotionError(
            f"{what} was altered after it was registered (its code, its proof or its requirements: digest differs); "
            "restore the registry's artifacts from a backup, or run the flow again; nothing was promoted"
        )
    return card


def answers_of(model: Any) -> Callable[[bytes], tuple[bytes, str]]:
    """A loaded pyfunc as a function: question (wav) -> answer (wav) and its text."""

    def answer(question: bytes) -> tuple[bytes, str]:
        row = model.predict({"audio": [base64.b64encode(question).decode()]}).iloc[0]
        return base64.b64decode(row["audio"]), row["text"]

    return answer


def _line(before: Standing, action: Any, version: Version | None, now: datetime, reason: str) -> HistoryEntry:
    return HistoryEntry(
        number=len(before.history) + 1, action=action, version=version.number if version else "", was=before.champion,
        model=version.model if version else "", verdict=version.tags.get("verdict", "") if version else "",
        reason=reason[:1000], at=now, by=f"{getpass.getuser()}@{platform.node()}", token=uuid.uuid4().hex,
    )  # fmt: skip


class _Clock:
    """Time of day, that notices when somebody sets it while a promotion runs."""

    def __init__(self) -> None:
        self.wall, self.running = datetime.now(UTC), time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        now, ran = datetime.now(UTC), time.clock_gettime(time.CLOCK_BOOTTIME) - self.running
        if abs((now - self.wall).total_seconds() - ran) > CLOCK_TOLERANCE.total_seconds():
            raise PromotionError(
                f"the clock was set from {self.wall:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC within {ran:.0f} s while the "
                "promotion ran; see that it is right and start again; nothing was promoted"
            )
        return now
