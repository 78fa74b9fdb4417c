"""Settings enter; the first trouble that would stop the run later leaves as one sentence, before anything is written."""

from __future__ import annotations

from pathlib import Path

from data_contracts.errors import SourceError
from data_contracts.retrain import RetrainSettings
from omni_core.bundled_weights import resolve
from omni_core.plan_facts import Facts, read_facts
from omni_core.plan_refusals import refuse_the_impossible

VOCODER_WEIGHTS = {"hifigan": "bundled:hifigan_universal"}


def preflight(settings: RetrainSettings, home: Path) -> Facts:
    """Sources and weights are there, bundled ones unaltered, and the components fit each other: nothing heavy is read.

    Returns the facts that the plan goes on with. Raises SourceError, WeightsError or ComponentError.
    """
    for source in settings.ingest.sources:
        if not Path(source).is_dir():
            raise SourceError(f"source '{source}' is not a folder; correct ingest.sources")
    parts = settings.components
    weights = [parts.language_model.weights, parts.encoder.weights, parts.codec.weights, settings.evaluate.judge]
    if not parts.codec.weights:
        weights.append(VOCODER_WEIGHTS.get(parts.codec.vocoder, ""))
    for name in filter(None, weights):
        resolve(name, home)
    facts = read_facts(settings, home)
    refuse_the_impossible(settings, facts)
    return facts
