"""A served model and the sealed test split enter, its scores leave; a champion scored before is not scored again."""

from __future__ import annotations

from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.evaluate", "omni_core.speech_to_speech", "omni_core.speech_heads.*", "omni_core.metrics.*")
def evaluate(model: QuantizedModel, manifest: Manifest, settings: EvaluateSettings, home: str) -> EvaluationReport:
    """Every metric, an utterance a row; see omni_core.evaluate."""
    from omni_core import evaluate as core

    with shown("evaluate") as progress:
        return core.evaluate(store_of(home), model, manifest, settings, local_folder(home), progress)
