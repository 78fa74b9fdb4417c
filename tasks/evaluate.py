"""A served model and the sealed test split enter, its scores leave; a champion scored before is not scored again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core.bundled_weights import PREFIX
from omni_core.scores import PAIRED_SETTINGS
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


def judge_of(inputs: dict[str, Any]) -> str:
    """What a hub id stands for today; folders and bundled weights are in the key by their content."""
    from omni_core.judge_pin import fingerprint

    judge = inputs["settings"].judge
    return "" if judge.startswith(PREFIX) or Path(judge).is_dir() else fingerprint(judge)


@stage(
    "omni_core.evaluate", "omni_core.speech_to_speech", "omni_core.speech_heads.*", "omni_core.metrics.*", also=judge_of
)
def evaluate(model: QuantizedModel, manifest: Manifest, settings: EvaluateSettings, home: str) -> EvaluationReport:
    """Every metric, an utterance a row; see omni_core.evaluate."""
    from omni_core import evaluate as core

    with shown("evaluate") as progress:
        return core.evaluate(store_of(home), model, manifest, settings, local_folder(home), progress)


evaluate_champion = evaluate.with_options(name="evaluate champion")


def evaluated_alike(
    stored: EvaluationReport, champion: QuantizedModel, challenger: EvaluationReport, manifest: Manifest, home: str
) -> EvaluationReport:
    """The champion's stored evaluation when the challenger was asked the same; else a new one, on the challenger's manifest."""
    same_questions = stored.facts["sealed_set"] == challenger.facts["sealed_set"]
    if same_questions and all(stored.settings.get(name) == challenger.settings.get(name) for name in PAIRED_SETTINGS):
        return stored
    known = {name: value for name, value in challenger.settings.items() if name in EvaluateSettings.model_fields}
    return evaluate_champion(champion, manifest, EvaluateSettings.model_validate(known), home)
