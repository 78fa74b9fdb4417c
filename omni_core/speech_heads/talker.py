"""talker: phonemes and the language model's states of an answer enter, codec codes leave.

    phonemes + states -> encoder -> duration, pitch, energy -> one condition a codec frame
                                                                      |
                      codes so far (delayed streams) -> causal decoder -> next codes

It cannot lose its place, since each frame is told which sounds it holds; a plain decoder that attends to phonemes
mixed up words (25-33 % word errors, measured). The language model stays frozen, so a swap of it retrains only
this. Variance adaptor: FastSpeech 2 (Ren et al. 2021, section 2.3), averaged a phoneme as in FastPitch
(Lancucki 2021); delayed streams: MusicGen (Copet et al. 2023).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni_core.code_prior import CodePrior, latent_loss
from omni_core.speech_heads import Assembly, Speaker
from omni_core.speech_heads._phoneme_blocks import ConvBlock, VariancePredictor
from omni_core.token_layout import TokenLayout

LANGUAGE_MODEL = "frozen"
SOUND_ONLY = ("speak",)  # it reads the finished text
STATE_BOTTLENECK = 8
STATE_DROPOUT = 0.5
"""States tell mood and emphasis, phonemes tell the words. States in full width name the sentence, and the head recites
what it learned by heart: own-speech WER 43 % with them, 26 % with the same weights and the states left out (40 answers).
So they pass a narrow place, and half of the answers are trained without them."""
SUBFRAMES = 4
"""Moments a codec frame at which the condition says what sounds: a frame may hold two or three phonemes."""


@dataclass(frozen=True)
class TalkerConfig:
    """Shape of a talker; everything but width, num_layers and num_heads is derived from the other components."""

    num_bases: int
    num_stresses: int
    state_width: int
    num_streams: int
    codebook_size: int
    frame_rate_hz: float
    duration_rate_hz: float
    latent_width: int
    width: int = 256
    num_layers: int = 4
    num_heads: int = 4


@dataclass
class Conditioning:
    """What is known of a batch of answers before any code: all (batch, phonemes) but states (batch, phonemes, width)."""

    phonemes: Tensor
    words: Tensor
    states: Tensor
    mask: Tensor
    durations: Tensor | None = None
    log_f0: Tensor | None = None
    energy: Tensor | None = None


class Talker(nn.Module):
    """See the module's picture."""

    def __init__(self, config: TalkerConfig):
        from transformers import LlamaConfig, LlamaModel

        super().__init__()
        self.config = config
        self.layout = TokenLayout.delayed(config.num_streams, config.codebook_size)
        width = config.width
        self.base = nn.Embedding(config.num_bases, width)
        self.stress = nn.Embedding(config.num_stresses, width)
        self.word_start = nn.Embedding(2, width)
        self.state = nn.Sequential(
            nn.LayerNorm(config.state_width),
            nn.Linear(config.state_width, STATE_BOTTLENECK),
            nn.Linear(STATE_BOTTLENECK, width),
        )
        self.encoder = nn.ModuleList(ConvBlock(width) for _ in range(4))
        self.variance = VariancePredictor(width, 4)  # log duration, voicing, log f0, energy
        self.prosody = nn.Linear(3, width)
        self.condition = nn.Linear(SUBFRAMES * (width + 1), width)
        self.smooth = nn.ModuleList(ConvBlock(width) for _ in range(2))
        to_latent = nn.Linear(width, config.latent_width)
        self.latent = nn.Sequential(nn.LayerNorm(width), to_latent)
        self.correction = nn.Linear(width, config.latent_width, bias=False)
        self.prior = CodePrior(config.num_streams, config.codebook_size, config.latent_width)
        self.codes = nn.Embedding(config.num_streams * self.layout.vocabulary_size, width)
        self.decoder = LlamaModel(LlamaConfig(
            vocab_size=1, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads, num_key_value_heads=config.num_heads, max_position_embeddings=4096,
            pad_token_id=None, bos_token_id=None, eos_token_id=None,
        ))  # fmt: skip
        self.heads = nn.Linear(width, config.num_streams * config.codebook_size)
        self.prosody_mean: Tensor
        self.prosody_std: Tensor
        self.register_buffer("prosody_mean", torch.zeros(2))
        self.register_buffer("prosody_std", torch.ones(2))
        nn.init.zeros_(to_latent.weight)  # guesses begin at the mean: the prior is not loud before it knows
        nn.init.zeros_(self.correction.weight)
        nn.init.normal_(self.codes.weight, std=0.3 / math.sqrt(config.num_streams))

    def set_code_vectors(self, vectors: Tensor) -> None:
        """The codec's code vectors, projected: for the prior, and as first embeddings, so that like codes start alike."""
        self.prior.set_vectors(vectors)
        unit = self.prior.vectors / self.prior.vectors.square().sum(2).mean(1).sqrt()[:, None, None].clamp(min=1e-6)
        for stream, book in enumerate(unit):
            mix = torch.randn(book.shape[1], self.config.width) / math.sqrt(self.config.num_streams) * 0.3
            start = stream * self.layout.vocabulary_size
            with torch.no_grad():
                self.codes.weight[start : start + len(book)] = book @ mix

    def encode(self, c: Conditioning) -> Tensor:
        """Phonemes and states -> (batch, phonemes, width)."""
        x = self.base(c.phonemes % self.config.num_bases) + self.stress(c.phonemes // self.config.num_bases)
        starts = F.pad(c.words[:, 1:] != c.words[:, :-1], (1, 0))
        x = x + self.word_start(starts.long()) + self.state(c.states) * self._heeded(c.states)
        for block in self.encoder:
            x = block(x, c.mask)
        return x

    def _heeded(self, states: Tensor) -> Tensor:
        """1 for phonemes whose state counts, (batch, phonemes, 1): those of practice speech (all zero) never do."""
        known = (states != 0).any(-1, keepdim=True).float()
        if self.training:
            known = known * (torch.rand(len(states), 1, 1) >= STATE_DROPOUT)
        return known

    def normalised_prosody(self, c: Conditioning) -> Tensor:
        """Measured pitch and energy -> (batch, phonemes, 3): voiced or not, pitch, energy, in the voice's own units."""
        assert c.log_f0 is not None and c.energy is not None, "measured prosody is known in training only"
        voiced = (c.log_f0 > 0).float()
        f0 = (c.log_f0 - self.prosody_mean[0]) / self.prosody_std[0] * voiced
        return torch.stack([voiced, f0, (c.energy - self.prosody_mean[1]) / self.prosody_std[1]], -1)

    def frame_conditions(self, encoded: Tensor, prosody: Tensor, durations: Tensor) -> Tensor:
        """Spread phonemes over time: (batch, phonemes, width), durations in aligner frames -> (batch, frames, width)."""
        phonemes = encoded + self.prosody(prosody)
        ends = durations.cumsum(1) / self.config.duration_rate_hz
        frames = max(1, math.ceil(ends[:, -1].max().item() * self.config.frame_rate_hz - 1e-3))
        moments = (torch.arange(frames * SUBFRAMES) + 0.5) / (SUBFRAMES * self.config.frame_rate_hz)
        owner = torch.searchsorted(ends.contiguous(), moments.expand(len(ends), -1).contiguous())
        owner = owner.clamp(max=durations.shape[1] - 1)
        starts = (ends - durations / self.config.duration_rate_hz).gather(1, owner)
        lengths = (durations / self.config.duration_rate_hz).gather(1, owner).clamp(min=1e-3)
        place = ((moments - starts) / lengths).clamp(0, 1)
        spread = phonemes.gather(1, owner[..., None].expand(-1, -1, phonemes.shape[2]))
        spread = torch.cat([spread, place[..., None]], -1)
        x = self.condition(spread.reshape(len(ends), frames, -1))
        inside = (torch.arange(frames) / self.config.frame_rate_hz < ends[:, -1:]).float()
        for block in self.smooth:
            x = block(x, inside)
        return x

    def step_inputs(self, conditions: Tensor, streams: Tensor) -> Tensor:
        """Conditions of a step's newest frame plus the embeddings of the previous step's codes."""
        offsets = torch.arange(self.config.num_streams)[:, None] * self.layout.vocabulary_size
        previous = torch.cat([torch.full_like(streams[:, :, :1], self.layout.pad), streams[:, :, :-1]], 2)
        padded = F.pad(conditions, (0, 0, 0, previous.shape[2] - conditions.shape[1]))
        return padded + self.codes(previous + offsets).sum(1)

    def losses(
        self,
        c: Conditioning,
        codes: Tensor,
        frame_counts: Tensor,
        code_dropout: float = 0.0,
        decoded: int | None = None,
    ) -> dict[str, Tensor]:
        """Teacher forcing: codes (batch, num_streams, frames) -> cross-entropy of codes, the latent's and the variance losses.

        Only the first `decoded` rows go through the decoder (all by default), which costs twice the rest.
        """
        assert c.durations is not None, "durations are known in training"
        encoded = self.encode(c)
        prosody = self.normalised_prosody(c)
        frames = codes.shape[2]
        conditions = self.frame_conditions(encoded, prosody, c.durations)
        conditions = F.pad(conditions, (0, 0, 0, max(0, frames - conditions.shape[1])))[:, :frames]
        guess, vectors = self.latent(conditions), self.prior.of_codes(codes)
        real = torch.arange(frames) < frame_counts[:, None]
        seen = self._with_noise(self.layout.delay(codes[:decoded]), code_dropout)
        logits = self.logits(conditions[:decoded], guess[:decoded], vectors[:decoded], seen)
        targets = torch.where(real[:decoded, None], codes[:decoded], self.layout.pad)
        code_loss = F.cross_entropy(logits.flatten(0, 2).float(), targets.flatten(), ignore_index=self.layout.pad)
        losses = {"codes": code_loss, "latent": latent_loss(guess, vectors.sum(1), real.float())}
        return losses | self._variance_losses(encoded, prosody, c)

    def _with_noise(self, streams: Tensor, share: float) -> Tensor:
        """Replace a share of the codes by others, so that the decoder trusts its condition more than what it said."""
        noise = torch.randint_like(streams, self.config.codebook_size)
        drop = (torch.rand(streams.shape) < share) & (streams != self.layout.pad)
        return torch.where(drop, noise, streams)

    def logits(self, conditions: Tensor, guess: Tensor, vectors: Tensor, seen: Tensor) -> Tensor:
        """Teacher forcing: conditions (batch, frames, width), guesses of the latent, the codes' vectors and the streams
        that the decoder sees -> (batch, streams, frames, codes), each code given those before it."""
        frames = vectors.shape[2]
        hidden = self.decoder(inputs_embeds=self.step_inputs(conditions, seen)).last_hidden_state
        by_frame = torch.stack([hidden[:, d : d + frames] for d in self.layout.delays], 1)  # of the step that says it
        said = vectors.cumsum(1) - vectors
        return self.code_logits(by_frame, guess[:, None] + self.correction(by_frame) - said)

    def code_logits(self, hidden: Tensor, rest: Tensor) -> Tensor:
        """Free logits plus the prior's, (batch, streams, n, codes).

        hidden (batch, streams, n, width) is of the step that says the stream, rest (batch, streams, n, latent width)
        what is left to say. One product a stream: both weights side by side.
        """
        batch, streams, n, _ = hidden.shape
        sharpness = self.prior.sharpness_of_streams()
        x = torch.cat([hidden, rest * sharpness[:, None, None]], -1).transpose(0, 1).flatten(1, 2)
        weight = torch.cat([self.heads.weight.unflatten(0, (streams, -1)), self.prior.vectors], 2)
        bias = self.heads.bias.unflatten(0, (streams, -1)) - self.prior.half_norms * sharpness[:, None]
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2)).unflatten(1, (batch, n)).transpose(0, 1)

    def _variance_losses(self, encoded: Tensor, prosody: Tensor, c: Conditioning) -> dict[str, Tensor]:
        assert c.durations is not None, "durations are known in training"
        predicted = self.variance(encoded, c.mask)
        count = c.mask.sum()
        squared = (predicted[..., 0] - c.durations.clamp(min=1).log()).square() * c.mask
        voicing = F.binary_cross_entropy_with_logits(predicted[..., 1], prosody[..., 0], reduction="none") * c.mask
        pitch = (predicted[..., 2] - prosody[..., 1]).square() * c.mask * prosody[..., 0]
        energy = (predicted[..., 3] - prosody[..., 2]).square() * c.mask
        return {"duration": squared.sum() / count, "prosody": (voicing + pitch + energy).sum() / count}

    @torch.no_grad()
    def plan(self, c: Conditioning) -> Tensor:
        """One answer (batch 1): predicted durations and prosody -> conditions (1, frames, width)."""
        encoded = self.encode(c)
        predicted = self.variance(encoded, c.mask)
        durations = predicted[..., 0].exp().round().clamp(min=1, max=60)
        voiced = (predicted[..., 1] > 0).float()
        prosody = torch.stack([voiced, predicted[..., 2] * voiced, predicted[..., 3]], -1)
        return self.frame_conditions(encoded, prosody, durations)

    @torch.no_grad()
    def speak(self, conditions: Tensor, pick=lambda logits: logits.argmax(-1)):
        """Conditions (1, frames, width) -> yields the codes of one frame at a time, (num_streams,)."""
        from transformers import DynamicCache

        frames, layout = conditions.shape[1], self.layout
        streams = torch.full((1, self.config.num_streams, layout.steps(frames)), layout.pad)
        offsets = torch.arange(self.config.num_streams) * layout.vocabulary_size
        delays = torch.tensor(layout.delays)
        cache = DynamicCache()
        guess = self.latent(conditions)[0]
        said = torch.zeros_like(guess)
        every = torch.arange(self.config.num_streams)
        previous = torch.full((1, self.config.num_streams), layout.pad)
        for step in range(layout.steps(frames)):
            x = self.codes(previous + offsets).sum(1, keepdim=True)
            if step < frames:
                x = x + conditions[:, step : step + 1]
            hidden = self.decoder(inputs_embeds=x, past_key_values=cache, use_cache=True).last_hidden_state
            frame_of = step - delays
            inside = (frame_of >= 0) & (frame_of < frames)
            at = frame_of.clamp(0, frames - 1)
            rest = guess[at] - said[at] + self.correction(hidden[0])
            logits = self.code_logits(hidden[:, None].expand(-1, self.config.num_streams, -1, -1), rest[None, :, None])
            chosen = pick(logits[0, :, 0])
            said.index_add_(0, at, self.prior.vectors[every, chosen] * inside[:, None])
            previous = torch.where(inside, chosen, layout.pad)[None]
            streams[:, :, step] = previous
            if step >= layout.max_delay:
                yield torch.stack([streams[0, k, step - layout.max_delay + d] for k, d in enumerate(layout.delays)])

    def config_dict(self) -> dict:
        """For config.json."""
        return asdict(self.config)


def assemble(assembly: Assembly) -> dict[str, Any]:
    """See omni_core.speech_heads.SpeechHead."""
    from omni_core.speech_heads import _talker_served

    return _talker_served.assemble(assembly)


def serve(folder: Path, card: dict[str, Any], threads: int) -> Speaker:
    """See omni_core.speech_heads.SpeechHead."""
    from omni_core.speech_heads._talker_served import TalkerSpeaker

    return TalkerSpeaker(folder, card, threads)
