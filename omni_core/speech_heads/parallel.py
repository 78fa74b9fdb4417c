"""parallel: Mini-Omni's own head; speech features and the tokens of all streams enter, the next token of each leaves.

    7 audio streams ---+                              +-- final norm -- lm_head -- text, and audio where there is no
    text stream -------+-- mean of embeddings -- trunk                             post-adapter
    speech features ---+                              +-- post-adapter -- its norm -- its head -- audio
      (adapter; in the place of the audio streams)

The trunk is a decoder of transformers (Qwen2 in the released models) whose vocabulary holds every stream
(omni_core/token_layout.py, ParallelLayout). Its final norm is taken out, since the post-adapter branches off before it.
Source: Mini-Omni, Xie and Wu 2024 (arXiv 2408.16725), sections 3.2 and 3.4.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data_contracts.errors import WeightsError
from omni_core.speech_heads import Assembly, Speaker
from omni_core.speech_heads._parallel_blocks import GatedMLP, decoder, mean_of_streams
from omni_core.token_layout import ParallelLayout

LANGUAGE_MODEL = "trained"
SOUND_ONLY = ()  # one model says text and codes, a step of both at a time


@dataclass(frozen=True)
class ParallelConfig:
    """Shape of a parallel head."""

    layout: ParallelLayout
    trunk: dict[str, Any]
    """Configuration of the trunk as transformers writes it; vocab_size may exceed the layout's total_size."""
    encoder_width: int
    adapter: str = "gated_mlp"
    """gated_mlp or linear."""
    adapter_width: int = 4864
    """Inner width of a gated adapter."""
    post_adapter_layers: int = 0
    tied: bool = False
    """True: lm_head is the embedding."""
    vision_width: int = 0
    """Width of image features (Mini-Omni2: 512); 0 without a vision adapter."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ParallelConfig:
        """Inverse of dataclasses.asdict after a trip through JSON."""
        layout = {**values["layout"], "delays": tuple(values["layout"]["delays"])}
        return cls(**{**values, "layout": ParallelLayout(**layout)})


def _new_cache() -> Any:
    from transformers import DynamicCache

    return DynamicCache()


@dataclass
class Caches:
    """Keys and values of what was read so far: of the trunk, and of the post-adapter."""

    trunk: Any = field(default_factory=_new_cache)
    post_adapter: Any = field(default_factory=_new_cache)


@dataclass(frozen=True)
class StreamLogits:
    """text (batch, steps, text_vocabulary_size); audio (batch, num_streams, steps, vocabulary_size) or None."""

    text: Tensor
    audio: Tensor | None


class ParallelHead(nn.Module):
    """See the module's picture."""

    trunk: Any
    post_adapter: Any

    def __init__(self, config: ParallelConfig):
        super().__init__()
        self.config, self.layout = config, config.layout
        self.trunk, self.norm = decoder(config.trunk)
        embedding = self.trunk.get_input_embeddings()
        width = embedding.weight.shape[1]
        self.lm_head = nn.Linear(width, len(embedding.weight), bias=False)
        if config.adapter == "linear":
            self.speech_adapter: nn.Module = nn.Linear(config.encoder_width, width)
        else:
            self.speech_adapter = GatedMLP(config.encoder_width, config.adapter_width, width)
        self.post_adapter = None
        if config.post_adapter_layers:
            self.post_adapter, self.post_norm = decoder(config.trunk, config.post_adapter_layers)
            self.post_head = nn.Linear(width, self.layout.audio_size, bias=False)
        if config.vision_width:
            self.vision_adapter = GatedMLP(config.vision_width, config.adapter_width, width)
        self.tie()

    def tie(self) -> None:
        """A tied head has one matrix; to be called again where loading has replaced parameters."""
        if self.config.tied:
            self.lm_head.weight = self.trunk.get_input_embeddings().weight

    @property
    def context_steps(self) -> int:
        """Longest sequence: prompt and answer together."""
        return self.trunk.config.max_position_embeddings

    def embed(self, tokens: Tensor, features: Tensor | None = None, frame_counts: Tensor | None = None) -> Tensor:
        """See mean_of_streams."""
        table, adapter = self.trunk.get_input_embeddings(), self.speech_adapter
        return mean_of_streams(table, adapter, tokens, features, frame_counts)

    def start(self, rows: int) -> Caches:
        """An empty conversation of so many rows."""
        return Caches()

    def read(
        self,
        tokens: Tensor,
        features: Tensor | None = None,
        frame_counts: Tensor | None = None,
        caches: Caches | None = None,
    ) -> Tensor:
        """As mean_of_streams -> hidden states (batch, steps, width), before any norm."""
        inputs = {"inputs_embeds": self.embed(tokens, features, frame_counts), "use_cache": caches is not None}
        return self.trunk(**inputs, past_key_values=caches and caches.trunk).last_hidden_state

    def deepen(self, hidden: Tensor, caches: Caches | None = None) -> Tensor:
        """Hidden states -> what the audio is read off: through the post-adapter, where there is one."""
        if self.post_adapter is None:
            return hidden
        past = caches and caches.post_adapter
        return self.post_adapter(
            inputs_embeds=hidden, use_cache=caches is not None, past_key_values=past
        ).last_hidden_state

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Of `read`, (..., width) -> (..., text_vocabulary_size)."""
        return F.linear(self.norm(hidden), self.lm_head.weight[: self.layout.text_vocabulary_size])

    def audio_logits(self, deepened: Tensor) -> Tensor:
        """Of `deepen`, (..., width) -> (..., num_streams, vocabulary_size)."""
        if self.post_adapter is None:
            rows = slice(self.layout.text_vocabulary_size, self.layout.total_size)
            logits = F.linear(self.norm(deepened), self.lm_head.weight[rows])
        else:
            logits = self.post_head(self.post_norm(deepened))
        return logits.unflatten(-1, (self.layout.num_streams, -1))

    def forward(
        self,
        tokens: Tensor,
        features: Tensor | None = None,
        frame_counts: Tensor | None = None,
        caches: Caches | None = None,
        with_audio: bool = True,
        last_only: bool = False,
    ) -> StreamLogits:
        """As mean_of_streams; logits of every step, or of the last one (30 s of speech in two rows would fill 2.2 GB)."""
        hidden = self.read(tokens, features, frame_counts, caches)
        kept = slice(-1, None) if last_only else slice(None)
        text = self.text_logits(hidden[:, kept])
        if not with_audio:
            return StreamLogits(text, None)
        return StreamLogits(text, self.audio_logits(self.deepen(hidden, caches)[:, kept]).transpose(1, 2))


def empty(config: ParallelConfig) -> ParallelHead:
    """A head whose weights are about to be loaded: not initialised, which takes long at full size."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        return ParallelHead(config)


def saved_tensors(head: ParallelHead) -> dict[str, Tensor]:
    """Name -> weights as stored: a tied head stores its embedding only."""
    tensors = head.state_dict()
    if head.config.tied:
        del tensors["lm_head.weight"]
    return tensors


def write(folder: Path, config: ParallelConfig, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """config.json and model.safetensors into an existing folder; `facts` say where the model comes from."""
    stored = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"parallel": asdict(config), **facts}, indent=1))


def read_config(folder: Path) -> tuple[ParallelConfig, dict[str, Any]]:
    """Inverse of what `write` puts in config.json: shape and facts. Raises WeightsError."""
    try:
        facts = json.loads((folder / "config.json").read_text())
        return ParallelConfig.from_dict(facts.pop("parallel")), facts
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"'{folder}' holds no parallel head (config.json with 'parallel', model.safetensors); make one with 'omni import mini-omni'"
        ) from error


def load(folder: Path, dtype: torch.dtype = torch.float32) -> ParallelHead:
    """A folder made by `write` -> head in `dtype`, ready to serve. Raises WeightsError."""
    config, _ = read_config(folder)
    head = empty(config)
    try:
        tensors = load_file(folder / "model.safetensors")
        missing, unexpected = head.load_state_dict(tensors, strict=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights in '{folder}' are missing or do not fit its config.json; import the model again"
        ) from error
    missing = [name for name in missing if not (config.tied and name == "lm_head.weight")]
    if missing or unexpected:
        raise WeightsError(
            f"the weights in '{folder}' do not fit its config.json ({', '.join([*missing, *unexpected][:3])}, ...); import the model again"
        )
    return head.to(dtype).eval().requires_grad_(False)


def assemble(assembly: Assembly) -> dict[str, Any]:
    """See omni_core.speech_heads.SpeechHead."""
    from omni_core.mini_omni import served

    return served.assemble(assembly)


def serve(folder: Path, card: dict[str, Any], threads: int) -> Speaker:
    """See omni_core.speech_heads.SpeechHead."""
    from omni_core.mini_omni.served import ParallelSpeaker

    return ParallelSpeaker(folder, card, threads)
