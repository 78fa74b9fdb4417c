"""A served model small enough for a test: it says the question backwards, in the voice that its folder names."""

import base64
import json
from pathlib import Path

import mlflow
import pandas as pd


class Assistant(mlflow.pyfunc.PythonModel):
    """The same table as tasks/served_model.py."""

    def load_context(self, context):
        self.voice = json.loads((Path(context.artifacts["model"]) / "model.json").read_text())["voice"]

    def predict(self, context, model_input, params=None):
        from omni_core.audio import decode, encode_wav

        rows = []
        for audio in (one for cell in model_input["audio"] for one in (cell if isinstance(cell, list) else [cell])):
            waveform, rate = decode(base64.b64decode(audio))
            answer = base64.b64encode(encode_wav(waveform[::-1], rate)).decode()
            rows.append(
                {"audio": answer, "text": f"{self.voice} heard {len(waveform)} samples", "sample_rate_hz": rate}
            )
        return pd.DataFrame(rows)


mlflow.models.set_model(Assistant())
