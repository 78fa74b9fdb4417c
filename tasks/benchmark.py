"""The served model and the champion enter, the LatencyReport on this machine leaves: both timed in one session."""

from __future__ import annotations

from data_contracts.benchmark import BenchmarkSettings, LatencyReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from tasks.home import store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.benchmark", "omni_core.speech_to_speech", "omni_core.speech_heads.*")
def benchmark(
    model: QuantizedModel,
    manifest: Manifest,
    settings: BenchmarkSettings,
    home: str,
    champion: QuantizedModel | None = None,
) -> LatencyReport:
    """Time to first audio, real-time factor and memory; see omni_core.benchmark."""
    from omni_core import benchmark as core

    with shown("benchmark") as progress:
        return core.benchmark(store_of(home), model, champion, manifest, settings, progress)
