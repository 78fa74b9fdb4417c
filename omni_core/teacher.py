"""A text enters, the teacher voice's waveform leaves: the voice of the training targets, as Mini-Omni had one.

Names: `hibari` (its voice heart, inside the package) or `hibari/<voice>`. hibari-tts 0.2.1, Apache-2.0, 24 kHz,
130 times real time on one core; British voices (`hibari/emma`) are fetched by the package on first use.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from data_contracts.errors import SettingsError, WeightsError

LICENCE = "Apache-2.0"
# hibari surrounds a sentence with 0.3 s and 0.45 s of silence: a third of a short answer. A model trained on that
# would keep its listener waiting and spend a third of its steps on nothing.
SILENCE_BEFORE_S, SILENCE_AFTER_S = 0.05, 0.15
AUDIBLE = 10 ** (-50 / 20)  # of the peak


class Voice(Protocol):
    """A voice: speaks text at its own sample rate, the same text and seed give the same samples."""

    name: str
    sample_rate_hz: int

    def speak(self, text: str, speed: float = 1.0, seed: int = 0) -> np.ndarray: ...


class HibariVoice:
    """One hibari voice on one onnxruntime thread; `name` is the speaker that goes into the manifest."""

    def __init__(self, voice: str):
        from hibari import Hibari
        from hibari.voices import VOICES

        if voice not in VOICES:
            raise SettingsError(f"unknown voice 'hibari/{voice}'; there are: {', '.join(voice_names())}")
        try:
            self._model = Hibari(voice=voice, threads=1)
        except RuntimeError as error:
            raise WeightsError(f"the weights of voice 'hibari/{voice}' are not here: {error}") from error
        self.name = f"hibari/{voice}"
        self.sample_rate_hz: int = self._model.sample_rate

    def speak(self, text: str, speed: float = 1.0, seed: int = 0) -> np.ndarray:
        """(samples,) float32 in -1..1; empty for text without a speakable sign. `speed` 0.5 (slow) to 2 (fast)."""
        return trim_silence(np.asarray(self._model(text, speed=speed, seed=seed), np.float32), self.sample_rate_hz)


def trim_silence(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Leave SILENCE_BEFORE_S and SILENCE_AFTER_S around what sounds, less where there was less to begin with."""
    loud = np.flatnonzero(np.abs(waveform) > AUDIBLE * np.max(np.abs(waveform), initial=0.0))
    if not len(loud):
        return waveform
    start = max(0, loud[0] - round(SILENCE_BEFORE_S * sample_rate_hz))
    return waveform[start : loud[-1] + 1 + round(SILENCE_AFTER_S * sample_rate_hz)]


def voice_names() -> tuple[str, ...]:
    """Every name that `load_voice` takes."""
    from hibari.voices import VOICES

    return ("hibari", *(f"hibari/{voice}" for voice in VOICES))


def load_voice(name: str) -> Voice:
    """The voice called `name`; raises SettingsError listing the names when there is none such.

    A newcomer adds a voice engine by a branch here; with the second one this becomes a family of files.
    """
    engine, _, voice = name.partition("/")
    if engine != "hibari":
        raise SettingsError(f"unknown voice '{name}' in ingest.voice.teacher; there are: {', '.join(voice_names())}")
    return HibariVoice(voice or "heart")
