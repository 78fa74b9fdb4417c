"""A served model and the sealed test split enter, its scores leave; a champion scored before is not scored again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core.bundled_weights import PREFIX
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
