"""Two evaluations of the same sealed set enter, a verdict with its reasons leaves: PROMOTE, REJECT or INCONCLUSIVE.

                              worse by more   not worse   better
    own_speech_wer               REJECT          guard     target
    answer_accuracy              REJECT          guard     target      + latency gate passed
    distill_mos                  REJECT          guard     target

PROMOTE asks for all guards (not worse by more than the margin) and one target (better), each at `confidence`; REJECT
needs a loss beyond a margin that is as sure, or a failed latency gate; anything between is INCONCLUSIVE, with how many
more turns would tell. While there is no champion, absolute gates decide.

Guards need no correction, as all of them must hold (intersection-union test, Berger 1982); targets are corrected by
Holm, as one is enough. So under no difference a promotion happens in at most 1 - confidence of the cases.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from statistics import NormalDist
from typing import Any

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import CompareSettings, Decision, Verdict
from data_contracts.evaluate import EvaluationReport
from omni_core.paired_scores import GUARDS, Comparison, Scores, check_paired, compare_scores, intervals, read_scores
from omni_core.store import ArtifactStore

POWER = 0.8
"""Chance to see an effect as large as the estimate, for the count of turns that would tell."""


def compare(
    store: ArtifactStore,
    challenger: EvaluationReport,
    champion: EvaluationReport | None,
    latency: LatencyReport,
    settings: CompareSettings,
) -> Verdict:
    """Judge the challenger. Raises ArtifactError when the reports cannot be paired, MetricError for a missing guard."""
    new = read_scores(store, challenger)
    if champion is None:
        decision, reasons = absolute(new, latency, settings)
        comparisons: dict[str, Comparison] = {}
    else:
        check_paired(challenger, champion)
        comparisons = compare_scores(new, read_scores(store, champion), settings)
        decision, reasons = decide(comparisons, latency, settings)
    facts: dict[str, Any] = {
        "decision": decision, "reasons": reasons, "confidence": settings.confidence,
        "comparisons": {name: asdict(c) for name, c in comparisons.items()},
        "intervals": {"challenger": intervals(new, settings)},
    }  # fmt: skip
    if champion is not None:
        facts["intervals"]["champion"] = intervals(read_scores(store, champion), settings)
    inputs = {"challenger": challenger, "latency": latency} | ({"champion": champion} if champion else {})
    with store.scratch(Verdict.kind) as folder:
        (folder / "verdict.json").write_text(json.dumps(facts, indent=1))
        return store.commit(Verdict, folder, inputs=inputs, settings=settings.model_dump(mode="json"), facts=facts)


def decide(
    comparisons: Mapping[str, Comparison], latency: LatencyReport, settings: CompareSettings
) -> tuple[Decision, list[str]]:
    """The rule of the module's picture, and a sentence for each thing that it looked at."""
    guards = [comparisons[name] for name in GUARDS]
    lost = [c for c in guards if c.upper < -_guarded(c)]
    open_ = [c for c in guards if c not in lost and c.lower < -_guarded(c)]
    better = [c for c in guards if c.p_value <= 1 - settings.confidence and c.gain > 0]
    slow = _latency_reasons(latency)
    reasons = [*slow, *(_sentence(c, settings, c in lost, c in open_, c in better) for c in guards)]
    if lost or slow:
        return "REJECT", reasons
    if not open_ and better:
        return "PROMOTE", [*reasons, _latency_sentence(latency)]
    return "INCONCLUSIVE", [*reasons, *_what_is_missing(guards, open_, better, settings)]


def _sentence(c: Comparison, settings: CompareSettings, lost: bool, open_: bool, better: bool) -> str:
    percent = round(100 * settings.confidence)
    if lost:
        rule = f"worse: even the favourable bound {_signed(c.upper, c)} is a loss beyond the margin of {_margin(c)}"
    elif open_:
        rule = f"open: the unfavourable bound {_signed(c.lower, c)} is beyond the margin of {_margin(c)}"
    elif better:
        rule = f"better: Holm-adjusted p = {c.p_value:.3g}"
    else:
        rule = f"no worse: the unfavourable bound {_signed(c.lower, c)} is within the margin of {_margin(c)}"
    return (
        f"{c.name}: {_amount(c.challenger, c)} against the champion's {_amount(c.champion, c)}, gain "
        f"{_signed(c.gain, c)} ({percent} % one-sided bounds {_signed(c.lower, c)} and {_signed(c.upper, c)}, "
        f"n = {c.n} turns of {c.speakers} {'speaker' if c.speakers == 1 else 'speakers'}); {rule}"
    )


def _what_is_missing(
    guards: list[Comparison], open_: list[Comparison], better: list[Comparison], settings: CompareSettings
) -> list[str]:
    """How many more turns would settle what is open."""
    z = NormalDist().inv_cdf(settings.confidence) + NormalDist().inv_cdf(POWER)
    sentences = [_needed(c, c.gain + _guarded(c), z, f"show that {c.name} is no worse") for c in open_]
    if not better:
        strict = NormalDist().inv_cdf(1 - (1 - settings.confidence) / len(guards)) + NormalDist().inv_cdf(POWER)
        best = max(guards, key=lambda c: c.gain / c.standard_error if c.standard_error else math.copysign(0, c.gain))
        sentences.append(_needed(best, best.gain, strict, f"show that {best.name} is better"))
    return sentences


def _needed(c: Comparison, distance: float, z: float, what: str) -> str:
    """The standard error falls with the root of n: n' = n (z se / distance)^2."""
    if distance <= 0 or c.standard_error == 0:
        return f"to {what}, more turns will not do: the estimate itself ({_signed(c.gain, c)}) does not say so"
    more = max(1, math.ceil(c.n * (z * c.standard_error / distance) ** 2) - c.n)
    return f"to {what}, about {more:,} more turns are needed, by as many more speakers, if the estimate holds ({POWER:.0%} power)"


def absolute(scores: Scores, latency: LatencyReport, settings: CompareSettings) -> tuple[Decision, list[str]]:
    """No champion: each guarded figure against its gate, and the latency gate."""
    gates = settings.gates
    bounds = {
        "own_speech_wer": gates.max_own_speech_wer,
        "answer_accuracy": gates.min_answer_accuracy,
        "distill_mos": gates.min_distill_mos,
    }
    passed, reasons = True, ["no champion yet: absolute gates decide"]
    for name, bound in bounds.items():
        figure, value = scores.figures[name], scores.value(name)
        holds = value >= bound if figure.better == "higher" else value <= bound
        passed = passed and holds
        relation = "at least" if figure.better == "higher" else "at most"
        reasons.append(
            f"{name} is {_plain(value, figure.unit)} (n = {scores.count(name)} turns), gate "
            f"{relation} {_plain(bound, figure.unit)}: {'passed' if holds else 'failed'}"
        )
    slow = _latency_reasons(latency)
    reasons += slow or [_latency_sentence(latency)]
    return ("PROMOTE" if passed and not slow else "REJECT"), reasons


def _latency_reasons(latency: LatencyReport) -> list[str]:
    return [] if latency.facts["passed"] else [f"latency gate failed: {reason}" for reason in latency.facts["reasons"]]


def _latency_sentence(latency: LatencyReport) -> str:
    first, factor = latency.facts["time_to_first_audio_ms"]["p95"], latency.facts["real_time_factor"]["p50"]
    return f"latency gate passed: time to first audio p95 {first:.0f} ms, real-time factor p50 {factor:.2f}"


def _plain(value: float, unit: str) -> str:
    return f"{100 * value:.1f} %" if unit == "fraction" else f"{value:.2f}"


def _amount(value: float, c: Comparison) -> str:
    return _plain(value, c.unit)


def _guarded(c: Comparison) -> float:
    """The margin of a guard."""
    assert c.margin is not None, f"{c.name} is no guard"
    return c.margin


def _margin(c: Comparison) -> str:
    return _signed(_guarded(c), c).removeprefix("+")


def _signed(value: float, c: Comparison) -> str:
    """With its sign; a rounded zero is +0, never -0."""
    return f"{round(100 * value, 1) + 0.0:+.1f} points" if c.unit == "fraction" else f"{round(value, 2) + 0.0:+.2f}"
