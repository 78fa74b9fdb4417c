"""A listening result of a verdict's two models enters, what people heard leaves: one more guard, and a target if so set.

    verdict        people hear a loss    not known yet    no worse than the margin
    PROMOTE        REJECT                INCONCLUSIVE     PROMOTE
    INCONCLUSIVE   REJECT                INCONCLUSIVE     INCONCLUSIVE
    REJECT         REJECT                REJECT           REJECT

One more guard needs no correction: all guards have to hold (intersection-union test, Berger 1982), so it can only make a
promotion rarer. As a target (compare.targets names listener_preference) it is one test more in Holm's family, from the
start: while nobody was asked its p value counts as 1, so that waiting for the answer buys nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from data_contracts.compare import LISTENERS, CompareSettings, Decision
from data_contracts.errors import ArtifactError, MetricError
from data_contracts.listening_test import ListeningResult
from omni_core.promotion_evidence import check_card
from omni_core.store import ArtifactStore

NAME = LISTENERS


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
    """Of no gain, exact, by sign flips of raters; Holm-adjusted for a target."""
    margin: float
    n: int
    """Answers."""
    speakers: int
    """Clusters: here the raters."""
    confidence: float
    gain_unit: str = "fraction"


def heard_by_people(
    store: ArtifactStore, challenger: str, champion: str, settings: CompareSettings
) -> ListenerPreference | None:
    """The figure of the listening result that the settings name, None when they name none.

    Raises ArtifactError when the result is not in the store or was altered, and what preference_of raises.
    """
    if not settings.listening_result:
        return None
    result = store.load(ListeningResult, settings.listening_result)
    check_card(store, result)
    return preference_of(result, challenger, champion, settings.listening_margin)


def check_nobody_listened(settings: CompareSettings) -> None:
    """Raises ArtifactError when a listening result is named where there is no champion to compare with."""
    if settings.listening_result:
        raise ArtifactError(
            "compare.listening_result is set, but there is no champion yet to compare with; leave it out"
        )


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


def listened(
    decision: Decision, heard: ListenerPreference | None, challenger: str, champion: str, settings: CompareSettings
) -> tuple[Decision, list[str]]:
    """The decision and a sentence more, when people were asked or have to be; reports are named by their digests."""
    if heard:
        decision, sentence = judged(decision, heard, settings)
        return decision, [sentence]
    if not settings.listening_required and NAME not in settings.targets:
        return decision, []
    sentence = (
        f"{NAME}: not asked yet; run `omni listen {champion} {challenger}`, and again with --results, then start this run "
        "again with compare.listening_result set to the digest that it prints"
    )
    held = settings.listening_required and decision == "PROMOTE"
    return ("INCONCLUSIVE" if held else decision), [sentence]


def is_preferred(heard: ListenerPreference, settings: CompareSettings) -> bool:
    """A target, and shown to be better; its p value is adjusted for the other targets then."""
    return NAME in settings.targets and heard.gain > 0 and heard.p_value <= 1 - settings.confidence


def judged(decision: Decision, heard: ListenerPreference, settings: CompareSettings) -> tuple[Decision, str]:
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
        return ("INCONCLUSIVE" if decision == "PROMOTE" else decision), f"{said}; open: {_needed(heard, settings)}"
    return decision, f"{said}; {_rule(heard, settings)}"


def _rule(heard: ListenerPreference, settings: CompareSettings) -> str:
    within = f"no worse: the unfavourable bound is within the margin of {_points(heard.margin)[1:]}"
    if NAME not in settings.targets:
        return within
    better = "better" if is_preferred(heard, settings) else f"{within}, but not shown to be better"
    return f"{better}: Holm-adjusted p = {heard.p_value:.3g}"


def _needed(heard: ListenerPreference, settings: CompareSettings) -> str:
    """The standard error falls with the root of the raters: n' = n (z se / distance)^2."""
    distance = heard.gain + heard.margin
    if distance <= 0 or heard.standard_error == 0:
        return f"the unfavourable bound is beyond the margin of {_points(heard.margin)[1:]}, and more raters will not do: the estimate itself does not say so"
    wanted = max(settings.power, 1 - heard.confidence)  # with less the bound clears by chance alone
    z = NormalDist().inv_cdf(heard.confidence) + NormalDist().inv_cdf(wanted)
    more = max(1, math.ceil(heard.speakers * (z * heard.standard_error / distance) ** 2) - heard.speakers)
    return (
        f"to show that it is no worse, about {more} more raters are needed, if the estimate holds "
        f"({settings.power:.0%} power): plan a new test with `--set raters={heard.speakers + more}`, this one has been looked at"
    )


def _points(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f} points"
