"""Speaker similarity: an answer and the teacher's recording enter, how alike the two voices are leaves. Cosine 0..1, higher is better.

    speaker_similarity          cosine of the embeddings of the answer and of the teacher's recording of that turn
    teacher_speaker_similarity  the same of that recording and the teacher's next one with other samples: what the voice
                                reaches against itself, so the ceiling to read the first number by

Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification", section 2: three LSTM layers over 40 mels, windows
of 1.6 s, here as trained by Resemble AI (package resemblyzer 0.1.4, Apache-2.0; its weights are read, its code, which needs
librosa and a voice activity detector, is not run). Silence at the ends is cut off by level instead; pauses stay.

An answer without sound is nobody's voice: 0. Do not read it over other recording conditions than the teacher's (channel and
codec lower it), under a second of speech, across other embeddings than this one, or as a share of anything. Measured on the
quickstart's test questions, 5th to 95th percentile: one voice 0.80 to 0.90, two voices 0.41 to 0.82, the teacher 0.74 to 0.90.

On one thread a clip of 2 s takes 0.03 s, on two ten times as long (steps of an LSTM are too small to share), so it always
runs on one, and on every turn.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_contracts.errors import ComponentError
from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack, check_weights
from omni_core.precision import threads as torch_threads
from omni_core.spoken_pairs import SAMPLE_RATE_HZ, SHORTEST_S, speech_of

WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
MELS, WIDTH, LAYERS = 40, 256, 3
WINDOW_SAMPLES, HOP_SAMPLES = 400, 160
PARTIAL_FRAMES = 160
PARTIAL_STEP_FRAMES = 77  # resemblyzer's 1.3 windows a second
LEAST_COVERAGE = 0.75  # a last window with less speech is left out
LOUDNESS_DB = -30.0  # quieter speech is raised to it
NOBODY = 0.0


class SpeakerSimilarity:
    """The embedding network on the CPU."""

    is_slow = False
    figures = (
        Figure("speaker_similarity", "cosine", "higher", "likeness of the voice to the teacher's", "speaker_similarity"),
        Figure("teacher_speaker_similarity", "cosine", "higher", "the teacher's likeness to itself, the ceiling",
               "teacher_speaker_similarity"),
    )  # fmt: skip

    def __init__(self, weights: Path):
        import torch
        from torchaudio.transforms import MelSpectrogram

        check_weights(weights, WEIGHTS_SHA256, "resemblyzer==0.1.4")
        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        self._lstm = torch.nn.LSTM(MELS, WIDTH, LAYERS, batch_first=True).eval()
        self._linear = torch.nn.Linear(WIDTH, WIDTH).eval()
        for name, module in (("lstm.", self._lstm), ("linear.", self._linear)):
            module.load_state_dict({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})
        self._mel = MelSpectrogram(SAMPLE_RATE_HZ, WINDOW_SAMPLES, hop_length=HOP_SAMPLES, n_mels=MELS,
                                   norm="slaney", mel_scale="slaney", pad_mode="constant")  # fmt: skip

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """Two cosines a turn; the ceiling is None where no other recording of the teacher is there, or one is silent."""
        own = [self.embed(turn.waveform, turn.sample_rate_hz) for turn in turns]
        known: dict[bytes, np.ndarray | None] = {}
        for turn in turns:
            key = turn.teacher_waveform.tobytes()
            if key not in known:
                known[key] = self.embed(turn.teacher_waveform, turn.teacher_sample_rate_hz)
        voices = list(known.values())
        others = dict(zip(known, voices[1:] + voices[:1], strict=True)) if len(voices) > 1 else {}
        teacher = [turn.teacher_waveform.tobytes() for turn in turns]
        return {
            "speaker_similarity": [
                None if known[key] is None else cosine(mine, known[key], NOBODY)
                for mine, key in zip(own, teacher, strict=True)
            ],
            "teacher_speaker_similarity": [cosine(known[key], others.get(key), None) for key in teacher],
        }

    def embed(self, waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray | None:
        """(samples,) at any rate -> unit vector (256,), none negative; None for less than 0.1 s of sound."""
        import torch

        speech = speech_of(waveform, sample_rate_hz)
        if len(speech) < SHORTEST_S * SAMPLE_RATE_HZ:
            return None
        samples = torch.from_numpy(louder(speech)).float()
        starts = partial_starts(len(samples))
        needed = (starts[-1] + PARTIAL_FRAMES) * HOP_SAMPLES
        samples = torch.nn.functional.pad(samples, (0, max(0, needed - len(samples))))
        with torch_threads(1), torch.inference_mode():
            mel = self._mel(samples).T
            _, (hidden, _) = self._lstm(torch.stack([mel[start : start + PARTIAL_FRAMES] for start in starts]))
            partials = torch.nn.functional.normalize(torch.relu(self._linear(hidden[-1])), dim=1)
            return torch.nn.functional.normalize(partials.mean(0), dim=0).numpy()


def partial_starts(samples: int) -> list[int]:
    """First frame of each window of 1.6 s, at least one; a last one that is mostly padding is left out."""
    frames = -(-(samples + 1) // HOP_SAMPLES)
    starts = list(range(0, max(1, frames - PARTIAL_FRAMES + PARTIAL_STEP_FRAMES + 1), PARTIAL_STEP_FRAMES))
    covered = (samples - starts[-1] * HOP_SAMPLES) / (PARTIAL_FRAMES * HOP_SAMPLES)
    return starts[:-1] if len(starts) > 1 and covered < LEAST_COVERAGE else starts


def louder(samples: np.ndarray) -> np.ndarray:
    """Raised to -30 dB of full scale; louder speech stays as it is."""
    level = np.sqrt(np.mean(samples**2))
    return samples * max(1.0, 10 ** (LOUDNESS_DB / 20) / level)


def cosine(first: np.ndarray | None, second: np.ndarray | None, otherwise: float | None) -> float | None:
    """Of two unit vectors; `otherwise` when one is missing."""
    return otherwise if first is None or second is None else float(np.clip(first @ second, -1, 1))


def load(pack: LanguagePack, threads: int = 1) -> SpeakerSimilarity:
    """The metric; voices have no language, threads are not used. Raises ComponentError without resemblyzer, WeightsError for other weights."""
    found = importlib.util.find_spec("resemblyzer")  # finding does not import it: that would need librosa
    if found is None or not found.submodule_search_locations:
        raise ComponentError(
            "the metric 'speaker_similarity' needs the weights inside resemblyzer; `pip install --no-deps resemblyzer==0.1.4`"
        )
    return SpeakerSimilarity(Path(found.submodule_search_locations[0]) / "pretrained.pt")
