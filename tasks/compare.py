"""Two evaluations on the same sealed set, the latency and the consistency enter, a Verdict with its reasons leaves."""

from __future__ import annotations

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import CompareSettings, Verdict
from data_contracts.consistency import ConsistencyReport
from data_contracts.evaluate import EvaluationReport
from tasks.home import store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.compare")
def compare(
    challenger: EvaluationReport,
    champion: EvaluationReport | None,
    latency: LatencyReport,
    consistency: ConsistencyReport | None,
    settings: CompareSettings,
    home: str,
) -> Verdict:
    """Paired bootstrap against the champion, or absolute gates while there is none; see omni_core.compare."""
    from omni_core import compare as core

    with shown("compare") as progress:
        progress(0, 1, "with the champion" if champion else "with the gates, there is no champion")
        return core.compare(store_of(home), challenger, champion, latency, settings, consistency)
