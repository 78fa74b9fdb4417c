"""A comparison and where it stands enter, the sentence that a person reads leaves: estimate, interval, sample, rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import CompareSettings
from data_contracts.consistency import ConsistencyReport
from omni_core import power
from omni_core.paired_scores import Comparison


def sentence(c: Comparison, rule: str, settings: CompareSettings) -> str:
    """All that the verdict looked at in one figure."""
    values = f"{c.name}: {plain(c.challenger, c.unit)} against the champion's {plain(c.champion, c.unit)}"
    if c.same_parts == "equal":
        return f"{values}, n = {sample(c.n, c.speakers)}; {rule}"
    return (
        f"{values}, gain "
        f"{signed(c.gain, c)} ({100 * settings.confidence:.3g} % one-sided bounds {signed(c.lower, c)} and "
        f"{signed(c.upper, c)}, n = {sample(c.n, c.speakers)}); {rule}"
    )


def rule_of(c: Comparison, stands: str, is_better: bool, settings: CompareSettings) -> str:
    """The rule that decided, in words; `stands` is what omni_core.compare.standing said."""
    if c.same_parts == "equal":
        return "equal by construction: the same parts answered, and every turn came out the same"
    found = _rule_of_statistics(c, stands, is_better, settings)
    if c.same_parts == "unequal":
        found += (
            "; the same parts answered and some turn differs, so they are not deterministic and the statistics decide"
        )
    return found


def _rule_of_statistics(c: Comparison, stands: str, is_better: bool, settings: CompareSettings) -> str:
    margin = _margin(c)
    if stands == "few":
        return f"too few to judge: at least {sample(settings.min_turns, settings.min_speakers)} are needed"
    if stands == "lost":
        return f"worse: even the favourable bound {signed(c.upper, c)} is a loss beyond the margin of {margin}"
    if stands == "open":
        return f"open: the unfavourable bound {signed(c.lower, c)} is beyond the margin of {margin}"
    if stands == "weak":
        return (
            f"too little data: it is within the margin of {margin}, but as equal a model would get there in only "
            f"{c.power:.0%} of cases, {settings.power:.0%} are asked for"
        )
    if is_better:
        return f"better: Holm-adjusted p = {c.p_value:.3g}"
    if c.margin is None:
        return f"not shown to be better: Holm-adjusted p = {c.p_value:.3g}"
    return f"no worse: the unfavourable bound {signed(c.lower, c)} is within the margin of {margin}"


def what_is_missing(
    few: Sequence[Comparison], unclear: Sequence[Comparison], targets: Sequence[Comparison], settings: CompareSettings
) -> list[str]:
    """How many more turns would settle what is open; `targets` are those to choose from when none is better."""
    sentences = [too_few(c.name, c.n, c.clusters, settings) for c in few]
    for c in unclear:
        sentences.append(
            _needed(c, c.times_more, f"show that {c.name} is no worse", "if the models are equal", settings)
        )
    return [*sentences, _to_be_better(targets, settings)] if targets else sentences


def too_few(name: str, turns: int, clusters: int, settings: CompareSettings) -> str:
    """What a figure lacks to be judged at all."""
    return (
        f"to judge {name} at all, at least {max(0, settings.min_turns - turns)} more turns and "
        f"{max(0, settings.min_speakers - clusters)} more speakers are needed"
    )


def _to_be_better(targets: Sequence[Comparison], settings: CompareSettings) -> str:
    """Of the target that is nearest to it; Holm's first step is the strictest."""
    able = [c for c in targets if c.same_parts != "equal"]
    if not able:
        return f"to show that {targets[0].name} is better, no data will do: the same parts answered, it is equal by construction"
    best = max(able, key=lambda c: c.gain / c.standard_error if c.standard_error else math.copysign(0, c.gain))
    what, found = f"show that {best.name} is better", signed(best.detectable_gain, best)
    if best.gain <= 0 or best.standard_error == 0:
        return (
            f"to {what}, more turns will not do: the estimate itself ({signed(best.gain, best)}) does not say so; a true "
            f"gain of {found} would be seen on these turns ({settings.power:.0%} power)"
        )
    strict = 1 - (1 - settings.confidence) / len(targets)
    times = power.growth(best.precision, best.gain, strict, settings.power)
    return _needed(best, times if math.isfinite(times) else None, what, "if the estimate holds", settings)


def _needed(c: Comparison, times: float | None, what: str, provided: str, settings: CompareSettings) -> str:
    if times is None:
        return f"to {what}, no number of turns will do with a margin of {_margin(c)}; widen it in compare's settings"
    turns, clusters = max(1, math.ceil(c.n * times) - c.n), max(1, math.ceil(c.clusters * times) - c.clusters)
    by = f" by {clusters:,} more speakers" if c.clusters == c.speakers > 1 else ""
    return f"to {what}, about {turns:,} more turns{by} are needed {provided} ({settings.power:.0%} power)"


def failed_gates(latency: LatencyReport, consistency: ConsistencyReport | None) -> list[str]:
    """Why the gates of consistency and latency failed; empty when both passed."""
    gates = {"consistency": consistency, "latency": latency}
    return [
        f"{name} gate failed: {reason}"
        for name, report in gates.items()
        if report and not report.facts["passed"]
        for reason in report.facts["reasons"]
    ]


def passed_gates(latency: LatencyReport, consistency: ConsistencyReport | None) -> list[str]:
    """That they passed, with their figures."""
    first, factor = latency.facts["time_to_first_audio_ms"]["p95"], latency.facts["real_time_factor"]["p50"]
    passed = [f"latency gate passed: time to first audio p95 {first:.0f} ms, real-time factor p50 {factor:.2f}"]
    if consistency:
        wer, answers = consistency.facts["own_speech_wer"], consistency.facts["answers"]
        passed.append(
            f"consistency gate passed: the parts fit, silence gives no speech, {wer:.0%} of the words of {answers} answers "
            "are heard otherwise than written"
        )
    return passed


def sample(turns: int, speakers: int) -> str:
    """How many of what."""
    return f"{turns:,} turns of {speakers} {'speaker' if speakers == 1 else 'speakers'}"


def plain(value: float, unit: str) -> str:
    """A figure's value with its unit."""
    if unit == "ms":
        return f"{value:.0f} ms"
    return f"{100 * value:.1f} %" if unit == "fraction" else f"{value:.2f}"


def signed(value: float, c: Comparison) -> str:
    """A gain with its sign; a rounded zero is +0, never -0."""
    if c.gain_unit in ("fraction", "share"):
        return f"{round(100 * value, 1) + 0.0:+.1f} {'points' if c.gain_unit == 'fraction' else '%'}"
    return f"{round(value, 2) + 0.0:+.2f}"


def _margin(c: Comparison) -> str:
    return "nothing" if c.margin is None else signed(c.margin, c).removeprefix("+")
