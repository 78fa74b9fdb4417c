"""Two evaluations of the same sealed set enter, a verdict with its reasons leaves: PROMOTE, REJECT or INCONCLUSIVE.

                                worse by more   too little data   not worse   better
    own_speech_wer                 REJECT        INCONCLUSIVE       guard     target
    answer_accuracy                REJECT        INCONCLUSIVE       guard     target      + latency gate passed
    distill_mos                    REJECT        INCONCLUSIVE       guard     target
    speaker_similarity             REJECT        INCONCLUSIVE       guard
    cascade_retention              REJECT        INCONCLUSIVE       guard
    listener_preference            REJECT        INCONCLUSIVE       guard   (target)      once people were asked
    time_to_first_audio_p95_ms     REJECT        INCONCLUSIVE       guard                 timed in turn by the benchmark

PROMOTE asks for all guards (not worse by more than the margin) and one target (better), each at `confidence`; REJECT
needs a loss beyond a margin that is as sure, or a failed gate of latency or consistency; anything between is
INCONCLUSIVE, with how many more turns would tell. A figure is left out only by its name in compare.unguarded, and the
verdict lists those. While there is no champion, absolute gates decide (omni_core/absolute_gates.py).

Power comes first: a guard that an equal model would clear by chance only says nothing when it is cleared, so there only a
figure that is shown to be better clears (power is no matter then).

A guard on which both models have the same parts (a swapped codec writes no other text) and the same turns is equal by
construction and clears on any number of turns: 299 of them would be asked for to exclude a loss of 1 % that cannot be there.

Guards need no correction, as all of them must hold (intersection-union test, Berger 1982); targets are corrected by
Holm, as one is enough. So under no difference a promotion happens in at most 1 - confidence of the cases (simulated:
benchmarks/comparison.md). REJECT is not corrected: each loss is as sure as its own bound, and either way the champion stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

from data_contracts.base import Artifact
from data_contracts.benchmark import LatencyReport
from data_contracts.compare import MEASURED_BY, CompareSettings, Decision, Verdict
from data_contracts.consistency import ConsistencyReport
from data_contracts.errors import MetricError
from data_contracts.evaluate import EvaluationReport
from data_contracts.listening_test import ListeningResult
from omni_core import absolute_gates as gates
from omni_core.listening_test.verdict import (
    ListenerPreference,
    check_nobody_listened,
    heard_by_people,
    is_preferred,
    listened,
)
from omni_core.paired_scores import Comparison, compare_scores, corrected, intervals
from omni_core.promotion_evidence import check_card, check_same_model
from omni_core.reasons import failed_gates, passed_gates, rule_of, sentence, what_is_missing
from omni_core.scores import FIRST_AUDIO, Scores, check_paired, read_scores, timed_together
from omni_core.store import ArtifactStore

Standing = Literal["few", "lost", "open", "weak", "clear"]


def compare(
    store: ArtifactStore,
    challenger: EvaluationReport,
    champion: EvaluationReport | None,
    latency: LatencyReport,
    settings: CompareSettings,
    consistency: ConsistencyReport | None = None,
) -> Verdict:
    """Judge the challenger; without a consistency report that gate is not asked for.

    Raises ArtifactError when a report was altered, cannot be read, or the two cannot be paired, MetricError for a figure that is
    missing or cannot be computed.
    """
    for report in filter(None, (challenger, champion, latency, consistency)):
        check_card(store, report)
    for report in filter(None, (latency, consistency)):
        check_same_model(report, challenger.inputs.get("model"))
    new, old = _scores(store, challenger, settings), None
    comparisons: dict[str, Comparison] = {}
    heard: ListenerPreference | None = None
    if champion is None:
        check_nobody_listened(settings)
        decision, reasons = absolute(new, latency, settings, consistency)
    else:
        check_paired(challenger, champion)
        old = _scores(store, champion, settings)
        ours, theirs = timed_together(store, latency, challenger, champion)
        new, old = replace(new, samples={FIRST_AUDIO: ours}), replace(old, samples={FIRST_AUDIO: theirs})
        heard = heard_by_people(store, challenger.digest, champion.digest, settings)
        comparisons, heard = corrected(compare_scores(new, old, settings), heard, settings)
        decision, reasons = decide(comparisons, latency, settings, heard, consistency)
        decision, said = listened(decision, heard, challenger.digest, champion.digest, settings)
        reasons += said
    if settings.unguarded:
        reasons.append(f"nothing guards {', '.join(settings.unguarded)}: compare.unguarded says so")
    sides = {"challenger": new} | ({"champion": old} if old else {})
    facts: dict[str, Any] = {
        "decision": decision, "reasons": reasons, "confidence": settings.confidence,
        "unguarded": list(settings.unguarded),
        "comparisons": {name: asdict(c) | {"rule": rule(c, settings)} for name, c in comparisons.items()},
        "intervals": {side: intervals(scores, settings) for side, scores in sides.items()},
    }  # fmt: skip
    if heard:
        facts["comparisons"][heard.name] = asdict(heard)
    beside = {"champion": champion, "consistency": consistency}
    inputs: dict[str, Artifact] = {"challenger": challenger, "latency": latency}
    inputs |= {role: report for role, report in beside.items() if report}
    if champion and settings.listening_result:
        inputs["listening"] = store.load(ListeningResult, settings.listening_result)
    with store.scratch(Verdict.kind) as folder:
        return store.commit(Verdict, folder, inputs=inputs, settings=settings.model_dump(mode="json"), facts=facts)


def _scores(store: ArtifactStore, report: EvaluationReport, settings: CompareSettings) -> Scores:
    scores = read_scores(store, report)
    missing = [name for name in MEASURED_BY if name not in (*scores.figures, *settings.unguarded)]
    if missing:
        raise MetricError(
            f"{', '.join(missing)} was not measured for evaluation {report.digest[:12]}, and compare guards it; add its metric "
            "to evaluate.metrics, or name it in compare.unguarded"
        )
    return scores


def decide(
    comparisons: Mapping[str, Comparison],
    latency: LatencyReport,
    settings: CompareSettings,
    heard: ListenerPreference | None = None,
    consistency: ConsistencyReport | None = None,
) -> tuple[Decision, list[str]]:
    """The rule of the module's picture, and a sentence for each thing that it looked at.

    `heard` counts as a target here; as a guard it is looked at afterwards (listened), as it has raters and no turns.
    """
    guards = [c for c in comparisons.values() if c.margin is not None]
    targets = [comparisons[name] for name in settings.targets if name in comparisons]
    stands = {c.name: standing(c, settings) for c in (*guards, *targets)}
    lost = [c for c in guards if stands[c.name] == "lost"]
    better = bool(heard and is_preferred(heard, settings)) or any(is_better(c, settings) for c in targets)
    failed = failed_gates(latency, consistency)
    judged = {c.name: c for c in (*guards, *targets)}.values()
    reasons = [*failed, *(sentence(c, rule(c, settings), settings) for c in judged)]
    if lost or failed:
        return "REJECT", reasons
    if better and all(stands[c.name] == "clear" for c in guards):
        return "PROMOTE", [*reasons, *passed_gates(latency, consistency)]
    few, unclear = ([c for c in guards if stands[c.name] in kinds] for kinds in (("few",), ("open", "weak")))
    return "INCONCLUSIVE", [*reasons, *what_is_missing(few, unclear, [] if better else targets, settings)]


def standing(c: Comparison, settings: CompareSettings) -> Standing:
    """Where a figure stands against its margin; one without a margin is too few or clear, one equal by construction clear."""
    if c.same_parts == "equal":
        return "clear"
    if c.n < settings.min_turns or c.clusters < settings.min_speakers:
        return "few"
    if c.margin is None or c.power is None:
        return "clear"
    if c.upper < -c.margin:
        return "lost"
    if c.lower < -c.margin:
        return "open"
    return "clear" if c.lower > 0 or c.power >= settings.power else "weak"


def is_better(c: Comparison, settings: CompareSettings) -> bool:
    """A target that is shown to be better."""
    return (
        c.name in settings.targets
        and standing(c, settings) == "clear"
        and c.gain > 0
        and c.p_value <= 1 - settings.confidence
    )


def rule(c: Comparison, settings: CompareSettings) -> str:
    """The rule that decided this figure, in words; empty for one that is only shown."""
    if c.margin is None and c.name not in settings.targets:
        return ""
    return rule_of(c, standing(c, settings), is_better(c, settings), settings)


def absolute(
    scores: Scores, latency: LatencyReport, settings: CompareSettings, consistency: ConsistencyReport | None = None
) -> tuple[Decision, list[str]]:
    """No champion: each guarded figure against its gate, and the gates of consistency and latency."""
    looked = {gate: gate.standing(settings) for gate in gates.gates_of(scores, settings)}
    failed = failed_gates(latency, consistency)
    reasons = ["no champion yet: absolute gates decide", *(gates.sentence(gate, settings) for gate in looked)]
    reasons += failed or passed_gates(latency, consistency)
    if failed or "failed" in looked.values():
        return "REJECT", reasons
    lacks = [gates.missing(gate, settings) for gate, stands in looked.items() if stands != "passed"]
    return "INCONCLUSIVE" if lacks else "PROMOTE", [*reasons, *lacks]
