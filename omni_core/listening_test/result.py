"""A test and its raters' sessions enter, a ListeningResult leaves: what was preferred, by how many, and who was left out.

answers.parquet   a row an answer        result.json   settings and facts of the card (the store writes it)
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import MetricError
from data_contracts.listening_test import ListeningResult, ListeningTest, ListeningTestSettings
from omni_core.bootstrap import holm
from omni_core.listening_test.analysis import Preference, Tally, binomial_tail, preference, tally
from omni_core.listening_test.answers import Session
from omni_core.store import CARD, ArtifactStore

ROW = pa.schema([
    *((name, pa.string()) for name in ("rater", "item", "name", "first", "x", "picked")),
    *((name, pa.int32()) for name in ("position", "response_ms", "plays_first", "plays_second", "plays_x")),
    ("is_check", pa.bool_()),
    ("is_counted", pa.bool_()),
])  # fmt: skip
"""Columns of answers.parquet; `name` is the turn or recording, sides are a and b, x is null in design ab."""


def conclude(store: ArtifactStore, test: ListeningTest, sessions: Sequence[Session]) -> ListeningResult:
    """Analyse all sessions of a test and store the outcome. Raises MetricError when no rater counts.

    Once the planned raters have been analysed their result stands: who looks again with more raters until he likes what he
    sees finds a preference where there is none (Armitage, McPherson and Rowe 1969, "Repeated significance tests").
    """
    if stands := concluded(store, test):
        return stands
    settings = ListeningTestSettings(**test.settings)
    tallies = [tally(session, settings.max_failed_checks) for session in sessions]
    facts = outcome(test, settings, tallies)
    listed = json.loads((store.folder(test) / "test.json").read_text())
    names = {one["item"]: one["name"] for one in (*listed["items"], *listed["checks"])}
    with store.scratch(ListeningResult.kind) as folder:
        _write_answers(folder, sessions, tallies, names)
        return store.commit(ListeningResult, folder, inputs={"test": test}, settings=test.settings, facts=facts)


def concluded(store: ArtifactStore, test: ListeningTest) -> ListeningResult | None:
    """The result of a test whose planned raters have all been analysed; None while it is not finished."""
    for path in sorted(store.fs.glob(f"{store.base}/{ListeningResult.kind}/*/{CARD}")):
        found = store.load(ListeningResult, str(path).split("/")[-2])
        if found.inputs.get("test") == test.digest and found.facts["raters"] >= found.facts["raters_planned"]:
            return found
    return None


def outcome(test: ListeningTest, settings: ListeningTestSettings, tallies: Sequence[Tally]) -> dict[str, Any]:
    """The facts of the card. `left_out` and `raters_counted` add up to all who came."""
    counted = [one for one in tallies if not one.left_out]
    if not counted:
        why = "; ".join(_left_out(tallies)) or "nobody has answered yet"
        raise MetricError(
            f"the listening test of {test.facts['a']} and {test.facts['b']} has no rater who counts ({why}); invite more raters"
        )
    found = preference(counted, settings.confidence, guessing_is_fair=settings.design == "abx")
    facts: dict[str, Any] = {
        "design": settings.design, "a": test.facts["a"], "b": test.facts["b"], "reports": test.inputs,
        **asdict(found), "confidence": settings.confidence, "pairs": test.facts["pairs"],
        "set_aside": test.facts["set_aside"], "raters_planned": settings.raters, "raters_counted": len(counted),
        "left_out": [{"rater": one.rater, "reason": one.left_out} for one in tallies if one.left_out],
    }  # fmt: skip
    if settings.design == "abx":
        facts["raters_who_hear"] = hearing(counted, settings.confidence)
    return facts | {"sentences": sentences(facts, found) + _left_out(tallies)}


def hearing(counted: Sequence[Tally], confidence: float) -> list[str]:
    """abx: raters whose own answers are better than guessing (exact binomial, Holm over raters)."""
    adjusted = holm({one.rater: binomial_tail(one.hits, one.trials) for one in counted})
    return [rater for rater, p in adjusted.items() if p <= 1 - confidence]


def sentences(facts: dict[str, Any], found: Preference) -> list[str]:
    """What a person reads: the finding first, then how far to trust it."""
    said = [_heard(facts, found) if facts["design"] == "abx" else _preferred(facts, found)]
    if found.raters < facts["raters_planned"]:
        said.append(f"not finished: {found.raters} of {facts['raters_planned']} planned raters count so far; a verdict waits for the rest")  # fmt: skip
    fewest = math.ceil(math.log2(1 / (1 - facts["confidence"])))
    if facts["design"] == "ab" and found.raters < fewest:
        said.append(f"{found.raters} raters cannot prove a preference at {facts['confidence']:.0%}, however much they agree; at least {fewest} can")  # fmt: skip
    if facts["set_aside"]:
        said.append(f"{facts['set_aside']} of {facts['set_aside'] + facts['pairs']} pairs were set aside; the result speaks of the others")  # fmt: skip
    return said


def _left_out(tallies: Sequence[Tally]) -> list[str]:
    reasons = Counter(one.left_out for one in tallies if one.left_out)
    return [f"{count} {'rater' if count == 1 else 'raters'} left out: {reason}" for reason, count in reasons.items()]


def _bounds(found: Preference, confidence: float) -> str:
    return (
        f"{100 * found.share:.1f} % of {found.answers} answers by {found.raters} {'rater' if found.raters == 1 else 'raters'} "
        f"({confidence:.0%} one-sided bounds {100 * found.lower:.1f} % and {100 * found.upper:.1f} %"
    )


def _preferred(facts: dict[str, Any], found: Preference) -> str:
    p, level = min(found.p_higher, found.p_lower), 1 - facts["confidence"]
    winner, loser = ("b", "a") if found.p_higher <= found.p_lower else ("a", "b")
    rule = f"{winner} is preferred to {loser}" if p <= level else "no preference is shown"
    return f"b ({facts['b']}) was preferred to a ({facts['a']}) in {_bounds(found, facts['confidence'])}; sign flips of raters: p = {p:.3g}, one-sided): {rule}"  # fmt: skip


def _heard(facts: dict[str, Any], found: Preference) -> str:
    rule = "the difference is heard" if found.p_higher <= 1 - facts["confidence"] else "that anyone hears a difference is not shown"  # fmt: skip
    return (
        f"X was found in {_bounds(found, facts['confidence'])}; exact binomial against guessing: p = {found.p_higher:.3g}): {rule}; "
        f"{len(facts['raters_who_hear'])} of {found.raters} raters hear it by themselves"
    )


def _write_answers(folder: Path, sessions: Sequence[Session], tallies: Sequence[Tally], names: dict[str, str]) -> None:
    rows = [
        {"rater": session.rater, "position": position, "name": names[trial.item], **asdict(trial), **asdict(answer),
         "is_counted": not one.left_out}
        for session, one in zip(sessions, tallies, strict=True)
        for position, (trial, answer) in enumerate(zip(session.plan, session.answers, strict=False))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW), folder / "answers.parquet", compression="zstd")
