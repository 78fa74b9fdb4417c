"""Settings enter; the first trouble that would stop the run later leaves as one sentence, before anything is written."""

from __future__ import annotations

from pathlib import Path

from data_contracts.errors import ComponentError, SourceError
from data_contracts.retrain import RetrainSettings
from omni_core.bundled_weights import resolve

VOCODER_WEIGHTS = {"hifigan": "bundled:hifigan_universal"}


def preflight(settings: RetrainSettings, home: Path) -> None:
    """Sources are there, bundled weights are there and unaltered. Raises SourceError, ComponentError or WeightsError."""
    if settings.components.speech_head.name == "parallel":
        raise ComponentError(
            "the flow does not train the speech head 'parallel' yet (omni_core/mini_omni does, as functions); choose talker"
        )
    for source in settings.ingest.sources:
        if not Path(source).is_dir():
            raise SourceError(f"source '{source}' is not a folder; correct ingest.sources")
    parts = settings.components
    weights = [parts.language_model.weights, parts.encoder.weights, parts.codec.weights, settings.evaluate.judge]
    if not parts.codec.weights:
        weights.append(VOCODER_WEIGHTS.get(parts.codec.vocoder, ""))
    for name in filter(None, weights):
        resolve(name, home)
    from omni_core.fit import codec_module

    codec_module(parts.codec)
