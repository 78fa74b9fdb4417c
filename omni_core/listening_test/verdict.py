"""A verdict and a listening result of its two models enter, the verdict leaves with what people heard as one more guard.

    verdict        people hear a loss    not known yet    no worse than the margin
    PROMOTE        REJECT                INCONCLUSIVE     PROMOTE
    INCONCLUSIVE   REJECT                INCONCLUSIVE     INCONCLUSIVE
    REJECT         REJECT                REJECT           REJECT

One more guard needs no correction: all guards have to hold (intersection-union test, Berger 1982), so it can only make a
promotion rarer.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from data_contracts.base import Artifact
from data_contracts.compare import CompareSettings, Decision, Verdict
from data_contracts.errors import ArtifactError, MetricError
from data_contracts.listening_test import ListeningResult
from omni_core.store import ArtifactStore

NAME = "listener_preference"
POWER = 0.8
"""Chance to see an effect as large as the estimate, for the count of raters that would tell."""


@dataclass(frozen=True)
class ListenerPreference:
    """The figure: shares of answers for the challenger and for the champion; gain is their difference, -1..1."""

    name: str
    unit: str
    better: str
    challenger: float
    champion: float
    gain: float
    lower: float
    """One-sided bound: the gain is at least this, at `confidence`."""
    upper: float
    standard_error: float
    p_value: float
    """Of no gain, exact, by sign flips of raters; not adjusted for other figures."""
    margin: float
    n: int
    """Answers."""
    speakers: int
    """Clusters: here the raters."""
    confidence: float


def preference_of(result: ListeningResult, challenger: str, champion: str, margin: float) -> ListenerPreference:
    """The figure for two reports' digests, whichever of them was a.

    Raises ArtifactError for a result of other reports, MetricError for abx and for a test that is not finished.
    """
    facts = result.facts
    tested = facts["reports"]
    if {tested.get("a"), tested.get("b")} != {challenger, champion}:
        raise ArtifactError(
            f"listening_result/{result.digest} compares {facts['a']} and {facts['b']}, not the reports {champion[:8]} and "
            f"{challenger[:8]} of this verdict; run `omni listen {champion[:8]} {challenger[:8]}`"
        )
    if facts["design"] != "ab":
        raise MetricError(
            f"listening_result/{result.digest} asks whether a difference is heard (abx); a verdict needs design=ab"
        )
    if facts["raters"] < facts["raters_planned"]:
        raise MetricError(
            f"listening_result/{result.digest} has {facts['raters']} of {facts['raters_planned']} planned raters; invite the "
            "rest, then analyse it again with --results"
        )
    return _figure(facts, challenger_is_b=tested["b"] == challenger, margin=margin)


def _figure(facts: dict[str, Any], challenger_is_b: bool, margin: float) -> ListenerPreference:
    share, low, high = facts["share"], facts["lower"], facts["upper"]
    if not challenger_is_b:
        share, low, high = 1 - share, 1 - high, 1 - low
    error = 2 * math.sqrt(share * (1 - share) / facts["effective_answers"])
    return ListenerPreference(
        NAME, "fraction", "higher", share, 1 - share, 2 * share - 1, 2 * low - 1, 2 * high - 1, error,
        facts["p_higher" if challenger_is_b else "p_lower"], margin, facts["answers"], facts["raters"], facts["confidence"],
    )  # fmt: skip


def with_listening(store: ArtifactStore, verdict: Verdict, settings: CompareSettings) -> Verdict:
    """The verdict itself when no listening test is asked for, else a new one that has heard it.

    Raises ArtifactError when the verdict had no champion or the result is not in the store, and what preference_of raises.
    """
    if not settings.listening_result and not settings.listening_required:
        return verdict
    if "champion" not in verdict.inputs:
        if settings.listening_result:
            raise ArtifactError(
                "compare.listening_result is set, but there is no champion yet to compare with; leave it out"
            )
        return verdict
    inputs: dict[str, Artifact] = {"verdict": verdict}
    comparisons = verdict.facts["comparisons"]
    challenger, champion = verdict.inputs["challenger"], verdict.inputs["champion"]
    if settings.listening_result:
        inputs["listening"] = result = store.load(ListeningResult, settings.listening_result)
        heard = preference_of(result, challenger, champion, settings.listening_margin)
        decision, sentence = judged(verdict.facts["decision"], heard)
        comparisons = comparisons | {NAME: asdict(heard)}
    else:
        decision, sentence = _awaited(verdict.facts["decision"], challenger, champion)
    facts = verdict.facts | {
        "decision": decision, "reasons": [*verdict.facts["reasons"], sentence], "comparisons": comparisons,
    }  # fmt: skip
    with store.scratch(Verdict.kind) as folder:
        (folder / "verdict.json").write_text(json.dumps(facts, indent=1))
        return store.commit(Verdict, folder, inputs=inputs, settings=verdict.settings, facts=facts)


def _awaited(decision: Decision, challenger: str, champion: str) -> tuple[Decision, str]:
    sentence = (
        f"{NAME}: not asked yet; run `omni listen {champion} {challenger}`, and again with --results, then start this run "
        "again with compare.listening_result set to the digest that it prints"
    )
    return ("INCONCLUSIVE" if decision == "PROMOTE" else decision), sentence


def judged(decision: Decision, heard: ListenerPreference) -> tuple[Decision, str]:
    """The rule of the module's picture, and its sentence."""
    said = (
        f"{NAME}: {100 * heard.challenger:.1f} % of {heard.n} answers by {heard.speakers} raters are for the challenger, gain "
        f"{_points(heard.gain)} ({heard.confidence:.0%} one-sided bounds {_points(heard.lower)} and {_points(heard.upper)})"
    )
    if heard.upper < -heard.margin:
        return (
            "REJECT",
            f"{said}; worse: even the favourable bound is a loss beyond the margin of {_points(heard.margin)[1:]}",
        )
    if heard.lower < -heard.margin:
        return ("INCONCLUSIVE" if decision == "PROMOTE" else decision), f"{said}; open: {_needed(heard)}"
    return decision, f"{said}; no worse: the unfavourable bound is within the margin of {_points(heard.margin)[1:]}"


def _needed(heard: ListenerPreference) -> str:
    """The standard error falls with the root of the raters: n' = n (z se / distance)^2."""
    distance = heard.gain + heard.margin
    if distance <= 0 or heard.standard_error == 0:
        return f"the unfavourable bound is beyond the margin of {_points(heard.margin)[1:]}, and more raters will not do: the estimate itself does not say so"
    z = NormalDist().inv_cdf(heard.confidence) + NormalDist().inv_cdf(POWER)
    more = max(1, math.ceil(heard.speakers * (z * heard.standard_error / distance) ** 2) - heard.speakers)
    return (
        f"to show that it is no worse, about {more} more raters are needed, if the estimate holds ({POWER:.0%} power)"
    )


def _points(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f} points"
