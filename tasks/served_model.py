"""A table of questions enters (base64 wav), a table of answers leaves: what MLflow loads and serves (models from code).

MLflow copies this file into every registered version and runs it when the version is loaded.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import mlflow
import pandas as pd


class Assistant(mlflow.pyfunc.PythonModel):
    """Column audio (base64 wav, any rate) -> columns audio (base64 wav), text, sample_rate_hz, outcome.

    outcome is "answered", "nothing heard" (no words in the question: the wav has no samples) or "nothing said".
    """

    def load_context(self, context: Any) -> None:
        """Load the model folder that was registered."""
        from omni_core.speech_to_speech import SpeechToSpeech

        self.model = SpeechToSpeech.load(context.artifacts["model"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One answer a row; a row that is no audio fails with one sentence."""
        cells = model_input["audio"]
        questions = [one for cell in cells for one in (cell if isinstance(cell, list) else [cell])]  # {"audio": [...]}
        return pd.DataFrame([self._answer(audio, row) for row, audio in enumerate(questions)])

    def _answer(self, audio: str, row: int) -> dict[str, Any]:
        from omni_core.audio import decode, encode_wav

        try:
            wav = base64.b64decode(audio, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError(f"row {row}: column 'audio' holds a wav file in base64; this is not base64") from error
        answer = self.model.answer(*decode(wav))
        return {
            "audio": base64.b64encode(encode_wav(answer.waveform, answer.sample_rate_hz)).decode(),
            "text": answer.text,
            "sample_rate_hz": answer.sample_rate_hz,
            "outcome": answer.outcome,
        }


mlflow.models.set_model(Assistant())
