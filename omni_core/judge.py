"""Waveforms enter, texts leave: a speech recogniser that the model under test never saw.

Whisper (Radford et al. 2022) of any size, by Hugging Face folder or hub id. It encodes 30 s, however short the clip
is, and most of that is silence. So here the speech and a second after it are encoded whole, and of the rest of the
silence every twentieth frame, at its own position and with the weight of twenty in every attention:

    0 s        2.5 s  3.5 s                                                       30 s
    |  speech   | 1 s  | .    .    .    .    .    .    .    .    .    .    .    .   |    242 of 1500 frames
    weight      1      1 20   20   20

softmax over keys k_i that stand for n_i equal ones is softmax(q k_i + log n_i), so where the silence is uniform nothing
is lost. A plain short window makes Whisper say a sentence again and again: it learned that a text ends where 30 s end.
Whisper base, bfloat16, one thread: errors in 2013 words of 290 clips (90 sentences of hibari, 200 recorded questions),
on which the thinning was chosen, and in 1450 words of 200 other recorded questions, heard once with the choice made:

    window                                 errors, 290    200 others    seconds a clip
    whole, 30 s                                     59            96              1.02
    thinned and weighted                            60           102              0.16    others: +6, standard error 7
    thinned (4 s, every tenth), no weight           69                            0.26
    speech + 7.5 s                                  66                            0.29
    speech + 1 s                     > 3 000 (of 120)                             0.40    repeats itself until stopped
    CTranslate2 int8, speech + 7.5 s                                              0.26
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data_contracts.errors import MetricError, WeightsError
from omni_core.audio import resample
from omni_core.precision import fast_dtype, threads
from omni_core.progress import Progress, silent

SAMPLE_RATE_HZ = 16_000
FRAME_RATE_HZ = 50
WINDOW_S = 30.0
SILENCE_S, SILENCE_STRIDE = 1.0, 20
BATCH = 16
# No one speaks faster than 8 words a second (QualitySettings.max_words_per_second), a word is seldom more than two
# tokens; the bound ends the loops that Whisper falls into on sounds that are no speech.
TOKENS_A_SECOND, TOKENS_AT_LEAST = 16, 8


@dataclass(frozen=True)
class Prompt:
    """What the decoder is given before the text, and the tokens that it may not say."""

    tokens: tuple[int, ...]
    end: int
    never: tuple[int, ...]
    never_first: tuple[int, ...]
    languages: Mapping[str, int] = field(default_factory=dict)
    """BCP 47 tag -> the token that stands for it; empty for an English-only recogniser."""


@dataclass(frozen=True)
class Heard:
    """What the judge makes of one waveform."""

    text: str
    language: str | None
    """The likeliest language of the sound; None without samples, or when the judge knows only one."""
    language_probability: float | None


class Judge:
    """A loaded recogniser; greedy decoding, no timestamps, the same clips give the same texts."""

    def __init__(self, model: Any, features: Any, tokenizer: Any, prompt: Prompt, thread_count: int):
        self._model, self._features, self._tokenizer = model, features, tokenizer
        self._prompt, self._threads = prompt, thread_count
        self._bias: Tensor | None = None
        for layer in model.model.decoder.layers:
            layer.encoder_attn.register_forward_pre_hook(self._weigh, with_kwargs=True)

    def _weigh(self, _module: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Hand the frames' weights to an attention; WhisperDecoder.forward itself hands in no mask for the encoder."""
        return args, kwargs | {"attention_mask": self._bias}

    def transcribe(self, waveforms: list[np.ndarray], sample_rate_hz: int, progress: Progress = silent) -> list[str]:
        """One text a waveform; see `listen`."""
        return [heard.text for heard in self.listen(waveforms, sample_rate_hz, progress)]

    def listen(self, waveforms: list[np.ndarray], sample_rate_hz: int, progress: Progress = silent) -> list[Heard]:
        """What is said in each waveform (samples,), in order, and in which language; "" and None for one without samples.

        Longer than 30 s is read in pieces, and its language is their mean's. The language is what the decoder expects
        after its start sign, before it is told the language (Radford et al. 2022, section 2.3): it costs nothing.
        Raises MetricError for a waveform with a sample that is not a number.
        """
        for index, waveform in enumerate(waveforms):
            if not np.isfinite(waveform).all():
                raise MetricError(
                    f"waveform {index} for the judge holds samples that are not numbers; look into the codec"
                )
        pieces = [
            piece
            for owner, waveform in enumerate(waveforms)
            for piece in _pieces(owner, resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ))
        ]
        pieces.sort(key=lambda piece: len(piece.waveform))  # a batch costs what its longest costs
        found: list[dict[int, tuple[str, np.ndarray]]] = [{} for _ in waveforms]
        with threads(self._threads), torch.inference_mode():
            for start in range(0, len(pieces), BATCH):
                batch = pieces[start : start + BATCH]
                for piece, heard in zip(batch, self._listen_to_batch([p.waveform for p in batch]), strict=True):
                    found[piece.owner][piece.order] = heard
                progress(start + len(batch), len(pieces), "the judge listens")
        return [self._joined([parts[order] for order in sorted(parts)]) for parts in found]

    def _joined(self, parts: list[tuple[str, np.ndarray]]) -> Heard:
        """One waveform's pieces: their texts, and the languages' probabilities (languages,)."""
        text = " ".join(text for text, _ in parts)
        if not parts or not self._prompt.languages:
            return Heard(text, None, None)
        mean = np.mean([probabilities for _, probabilities in parts], axis=0)
        return Heard(text, list(self._prompt.languages)[int(mean.argmax())], float(mean.max()))

    def _listen_to_batch(self, waveforms: list[np.ndarray]) -> list[tuple[str, np.ndarray]]:
        seconds = [len(waveform) / SAMPLE_RATE_HZ for waveform in waveforms]
        mel = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_features
        kept = kept_frames(max(seconds))
        self._bias = kept.weight.log().to(self._model.device, self._model.dtype)[None, None, None]
        states = self._encode(mel, kept.frames)
        places = self._model.config.max_target_positions - len(self._prompt.tokens)  # of the decoder
        limits = [min(places, round(TOKENS_AT_LEAST + TOKENS_A_SECOND * s)) for s in seconds]
        tokens, languages = self._decode(states, torch.tensor(limits, device=states.device))
        texts = self._tokenizer.batch_decode(tokens.cpu(), skip_special_tokens=True)
        return [(text.strip(), row) for text, row in zip(texts, languages.float().cpu().numpy(), strict=True)]

    def _encode(self, mel: Tensor, frames: Tensor) -> Tensor:
        """WhisperEncoder.forward on chosen frames; (batch, mels, 3000) -> (batch, len(frames), width)."""
        encoder = self._model.model.encoder
        hidden = F.gelu(encoder.conv1(mel.to(self._model.device, self._model.dtype)))
        hidden = F.gelu(encoder.conv2(hidden)).transpose(1, 2)
        frames = frames.to(hidden.device)
        hidden = hidden[:, frames] + encoder.embed_positions.weight[frames]
        for layer in encoder.layers:
            hidden = layer(hidden, self._bias)
        return encoder.layer_norm(hidden)

    def _decode(self, states: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest token, step by step, to the end sign or the clip's limit -> (batch, steps), (batch, languages)."""
        from transformers.modeling_outputs import BaseModelOutput

        prompt, cache = self._prompt, None
        said: list[Tensor] = []
        languages = torch.zeros(len(states), 0)
        step = torch.tensor([prompt.tokens] * len(states), device=states.device)
        over = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        while not over.all():
            out = self._model(
                encoder_outputs=BaseModelOutput(states), decoder_input_ids=step, past_key_values=cache, use_cache=True
            )
            if not said:  # the first place has seen the start sign only
                languages = out.logits[:, 0, list(prompt.languages.values())].softmax(-1)
            logits, cache = out.logits[:, -1], out.past_key_values
            logits[:, list(prompt.never if said else prompt.never + prompt.never_first)] = -torch.inf
            token = logits.argmax(-1).masked_fill(over, prompt.end)
            said.append(token)
            over = over | (token == prompt.end) | (limits <= len(said))
            step = token[:, None]
        return torch.stack(said, 1), languages


@dataclass(frozen=True)
class Kept:
    """Encoder frames that are computed, and how many of the 1500 each stands for; (kept,) each."""

    frames: Tensor
    weight: Tensor


def kept_frames(speech_s: float) -> Kept:
    """Frames for clips up to `speech_s` long: see the module's picture."""
    every = round(WINDOW_S * FRAME_RATE_HZ)
    whole = min(round((speech_s + SILENCE_S) * FRAME_RATE_HZ), every)
    frames = torch.cat([torch.arange(whole), torch.arange(whole, every, SILENCE_STRIDE)])
    return Kept(frames, torch.diff(frames, append=torch.tensor([every])).float())


@dataclass(frozen=True)
class Piece:
    """At most 30 s of one of the waveforms."""

    owner: int
    order: int
    waveform: np.ndarray


def _pieces(owner: int, waveform: np.ndarray) -> list[Piece]:
    """Equal parts of at most 30 s; none of a waveform without samples."""
    count = -(-len(waveform) // round(WINDOW_S * SAMPLE_RATE_HZ))
    parts = np.array_split(waveform, count) if count else []
    return [Piece(owner, order, part) for order, part in enumerate(parts)]


def load_judge(folder: str, threads: int = 1, language: str = "en") -> Judge:
    """A Whisper from a Hugging Face folder or hub id. `language` (BCP 47) is ignored by English-only ones.

    Raises WeightsError when it cannot be loaded or does not know the language.
    """
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = (
            WhisperForConditionalGeneration.from_pretrained(
                folder, dtype=fast_dtype(device), attn_implementation="sdpa"
            )
            .eval()
            .to(device)
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the judge '{folder}' cannot be loaded ({str(error).splitlines()[0]}); evaluate.judge takes a "
            "Whisper's folder or hub id, or bundled:whisper_base after `make weights`"
        ) from error
    features = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
    return Judge(model, features, tokenizer, _prompt(model.generation_config, folder, language), threads)


def _prompt(config: Any, folder: str, language: str) -> Prompt:
    tokens = [config.decoder_start_token_id]
    if getattr(config, "is_multilingual", False):
        mark = f"<|{language.split('-')[0].lower()}|>"
        if mark not in config.lang_to_id:
            raise WeightsError(
                f"the judge '{folder}' does not know the language '{language}'; choose another evaluate.judge"
            )
        tokens += [config.lang_to_id[mark], config.task_to_id["transcribe"]]
    tokens.append(config.no_timestamps_token_id)
    end = config.eos_token_id if isinstance(config.eos_token_id, int) else config.eos_token_id[0]
    never_first = tuple(config.begin_suppress_tokens or ())
    languages = {mark.strip("<|>"): token for mark, token in (getattr(config, "lang_to_id", None) or {}).items()}
    known = languages if getattr(config, "is_multilingual", False) else {}
    return Prompt(tuple(tokens), end, tuple(config.suppress_tokens or ()), never_first, known)
