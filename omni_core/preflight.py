"""Settings enter; the first trouble that would stop the run later leaves as one sentence, before anything is written."""

from __future__ import annotations

from pathlib import Path

from data_contracts.retrain import RetrainSettings
from omni_core.bundled_weights import resolve
from omni_core.sources import check_is_folder

VOCODER_WEIGHTS = {"hifigan": "bundled:hifigan_universal"}


def preflight(settings: RetrainSettings, home: Path) -> None:
    """Sources are there, bundled weights are there and unaltered. Raises SourceError or WeightsError."""
    for source in settings.ingest.sources:
        check_is_folder(Path(source))
    parts = settings.components
    weights = [parts.language_model.weights, parts.encoder.weights, parts.codec.weights, settings.evaluate.judge,
               parts.speech_head.weights]  # fmt: skip
    if not parts.codec.weights:
        weights.append(VOCODER_WEIGHTS.get(parts.codec.vocoder, ""))
    for name in filter(None, weights):
        resolve(name, home)
