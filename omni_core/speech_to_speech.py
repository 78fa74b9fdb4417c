"""The whole model as it is served: a spoken question enters, a written and spoken answer leaves, sound before it is finished.

waveform -> encoder -> features -> speech head -> text, and codes frame by frame       (omni_core/speech_heads)
                                                            |
                                  chunks of waveform <- codec
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from data_contracts.components import ComponentsSettings
from data_contracts.errors import SourceError
from omni_core import components
from omni_core.audio import resample
from omni_core.codecs._streaming import open_stream
from omni_core.speech_heads import holds_words, speech_head

FIRST_CHUNK_S, CHUNK_S = 0.4, 1.2
"""The first chunk is short, so that it is heard early; the next are long, so that fewer borders are computed twice."""
MIN_QUESTION_S = 0.1
SILENCE_DB = -60.0
"""A question that never passes this level (of full scale) is a muted microphone: it is not listened to."""

Outcome = Literal["answered", "nothing heard", "nothing said"]
"""nothing heard: no words in the question (silence, noise), so there is no answer, neither text nor sound;
nothing said: words were heard, and none came back."""


@dataclass(frozen=True)
class Answer:
    """What was heard, what came back, and how fast. Times are from the end of the question, in seconds."""

    heard_text: str
    text: str
    waveform: np.ndarray
    sample_rate_hz: int
    time_to_first_audio_s: float
    total_s: float
    ended: bool = True
    """The answer came to its own end; False: it was cut off at a limit, or where it went round in circles."""

    @property
    def outcome(self) -> Outcome:
        """What a program that asked has to tell apart."""
        if len(self.waveform):
            return "answered"
        return "nothing said" if holds_words(self.heard_text) else "nothing heard"


class SpeechToSpeech:
    """A loaded model folder; answers one question at a time. `speaker` is its speech head, served."""

    def __init__(self, folder: Path, threads: int):
        card = json.loads((folder / "model.json").read_text())
        parts = ComponentsSettings.model_validate(card["components"])
        self.encoder = components.load(
            "encoders",
            parts.encoder.name,
            parts.encoder.model_copy(update={"weights": str(folder / "encoder")}),
            folder,
        )
        self.speaker = speech_head(parts.speech_head.name).serve(folder, card, threads)
        self.codec = components.load("codecs", parts.codec.name, parts.codec, folder / "codec", folder)
        self.sample_rate_hz = self.codec.sample_rate_hz

    @classmethod
    def load(cls, folder: str | Path, threads: int = 2) -> SpeechToSpeech:
        """Model folder -> model; sets torch's threads for the whole process."""
        torch.set_num_threads(threads)
        return cls(Path(folder), threads)

    @property
    def longest_question_s(self) -> float:
        """What the encoder hears at once; infinite for one without a window."""
        return getattr(self.encoder, "max_samples", math.inf) / self.encoder.sample_rate_hz

    @torch.no_grad()
    def features(self, waveform: np.ndarray, sample_rate_hz: int) -> Tensor:
        """(samples,) at any rate -> encoder features (frames, width)."""
        if len(waveform) < MIN_QUESTION_S * sample_rate_hz:
            raise SourceError(
                f"the question lasts {len(waveform) / sample_rate_hz:.2f} s; a question needs at least {MIN_QUESTION_S} s"
            )
        if len(waveform) > self.longest_question_s * sample_rate_hz:
            raise SourceError(
                f"the question lasts {len(waveform) / sample_rate_hz:.1f} s and the encoder hears {self.longest_question_s:g} s "
                "at once; ask in shorter pieces"
            )
        samples = resample(np.asarray(waveform, np.float32), sample_rate_hz, self.encoder.sample_rate_hz)
        return self.encoder.encode([torch.from_numpy(np.ascontiguousarray(samples))])[0]

    def _listen(self, waveform: np.ndarray, sample_rate_hz: int) -> Any:
        """The question as the speech head takes it; None for silence. Raises SourceError for one that is too short or long."""
        features = self.features(waveform, sample_rate_hz)
        if np.abs(waveform).max() < 10 ** (SILENCE_DB / 20):
            return None
        question = self.speaker.listen(features)
        if 0 < self.speaker.context < (needed := self.speaker.positions(question)):
            raise SourceError(
                f"the question lasts {len(waveform) / sample_rate_hz:.1f} s; with its answer that makes {needed} positions and "
                f"the language model reads {self.speaker.context}; ask in shorter pieces"
            )
        return question

    def hear(self, waveform: np.ndarray, sample_rate_hz: int) -> str:
        """The question as the model hears it, in words; none in silence."""
        question = self._listen(waveform, sample_rate_hz)
        return "" if question is None else self.speaker.heard(question)

    @torch.no_grad()
    def round_trip(self, waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, int]:
        """A waveform through the codec and back, and the codec's rate: what the speech head could reach at best."""
        samples = resample(np.asarray(waveform, np.float32), sample_rate_hz, self.sample_rate_hz)
        codes = self.codec.encode(torch.from_numpy(np.ascontiguousarray(samples))[None])
        return self.codec.decode(codes)[0].numpy(), self.sample_rate_hz

    def answer_text(self, question: str) -> str:
        """The text path: a written question, the written answer."""
        return self.speaker.answer_text(question)

    def stream(self, waveform: np.ndarray, sample_rate_hz: int) -> Iterator[tuple[str, np.ndarray]]:
        """A question -> (text of the answer so far, chunk of its waveform), chunk by chunk; the last text is whole.

        Put together the chunks are the whole decoding, so joints do not crack. An answer without sound is one empty chunk.
        """
        for text, chunk, _ in self._stream(self._listen(waveform, sample_rate_hz)):
            yield text, chunk

    @torch.no_grad()
    def _stream(self, question: Any) -> Iterator[tuple[str, np.ndarray, bool]]:
        """Text so far, samples, and whether the answer came to its own end (known of the last)."""
        if question is None:
            yield "", np.zeros(0, np.float32), True
            return
        rate, decoding = self.codec.frame_rate_hz, open_stream(self.codec)
        codes: list[Tensor] = []
        wanted = self.codec.look_ahead_frames + max(1, round(FIRST_CHUNK_S * rate))
        for frame in self.speaker.answer(question):
            if frame.codes is None:
                yield frame.text, np.zeros(0, np.float32), frame.ended
                return
            codes.append(frame.codes)
            if frame.last or len(codes) >= wanted:
                yield frame.text, decoding.push(torch.stack(codes, 1)[None], frame.last)[0].numpy(), frame.ended
                codes, wanted = [], max(1, round(CHUNK_S * rate))

    def answer(self, waveform: np.ndarray, sample_rate_hz: int, seed: int = 0) -> Answer:
        """A question -> the whole answer with its times. Decoding is greedy; the seed only fixes a sampling codec."""
        torch.manual_seed(seed)
        started = time.perf_counter()
        first, text, chunks, ended = 0.0, "", [], True
        question = self._listen(waveform, sample_rate_hz)
        for text, chunk, ended in self._stream(question):  # noqa: B007 the last text is the answer's
            first = first or time.perf_counter() - started
            chunks.append(chunk)
        total = time.perf_counter() - started
        # behind the clock: a head need not write down what it heard to answer it
        heard = "" if question is None else self.speaker.heard(question)
        return Answer(heard, text, np.concatenate(chunks), self.sample_rate_hz, first, total, ended)
