"""A served model with a talker, put together without a flow: real parts, untrained, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from data_contracts.components import ComponentsSettings
from omni_core import components
from omni_core.adapter import Adapter, AdapterConfig
from omni_core.alignment import ALIGNER_FRAME_RATE_HZ
from omni_core.audio import resample
from omni_core.code_prior import project
from omni_core.codecs import mel_rvq
from omni_core.prefix import prefix_of_tokens
from omni_core.progress import silent
from omni_core.speech_heads import Assembly
from omni_core.speech_heads import talker as head
from omni_core.speech_heads._talker_served import convert_language_model
from omni_core.speech_heads.talker import Talker, TalkerConfig
from tests.flows import tiny

ENCODER_RATE_HZ = 100.0


def write_model(folder: Path, speech: np.ndarray, speech_rate_hz: int) -> Path:
    """folder/model, as quantize leaves it; the codec is fitted to the speech, the language model taught a few answers."""
    language_model = tiny.write_language_model(folder / "language_model", tiny.turns())
    parts = ComponentsSettings(**{
        "language_model": {"weights": str(language_model), "system_prompt": "Answer."},
        "encoder": {"name": "log_mel", "weights": ""},
        "codec": {"num_codebooks": 2, "codebook_size": 16, "vocoder": "griffin_lim", "refine_steps": 2},
    })  # fmt: skip
    model = folder / "model"
    (model / "codec").mkdir(parents=True)
    voice = torch.from_numpy(resample(speech, speech_rate_hz, mel_rvq.SAMPLE_RATE_HZ).copy())
    codec = mel_rvq.fit([voice], parts.codec, folder)
    codec.save(model / "codec")
    lm = components.load("language_models", "huggingface", parts.language_model, folder)
    trained = {"listen": _listen(folder / "listen", lm), "speak": _speak(folder / "speak", lm, codec)}
    first = tiny.turns()[0]
    turns = ((first["question_text"], first["answer_text"]),)
    (served := folder / "served").mkdir()
    cost = convert_language_model(served, trained["listen"], parts.language_model, "none", turns, folder, 1)
    head.assemble(Assembly(model, trained, parts, codec.frame_rate_hz, "none", turns, folder, 1, silent, served))
    card = {"components": parts.model_dump(mode="json"), "language": "en", "weight_quantizer": "none"}
    (model / "model.json").write_text(json.dumps(card | {"context": cost["context"]}))
    return model


def _listen(folder: Path, lm) -> Path:
    torch.manual_seed(0)
    tokens = tuple(sorted({token for row in tiny.turns() for token in lm.tokens(row["question_text"])}))
    adapter = Adapter(AdapterConfig(80, ENCODER_RATE_HZ, lm.width, tokens), lm.embedding[list(tokens)].detach())
    with torch.no_grad():
        adapter.classes.bias[0] -= 2  # untrained, and yet it hears something
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix)
    return _save(folder, {"adapter": adapter, "prefix": prefix}, {"adapter": adapter.config_dict()})


def _speak(folder: Path, lm, codec) -> Path:
    pack, vectors = components.load("languages", "en"), project(codec.code_vectors())
    talker = Talker(TalkerConfig(
        pack.num_bases, pack.num_stresses, lm.width, codec.num_codebooks, codec.codebook_size, codec.frame_rate_hz,
        ALIGNER_FRAME_RATE_HZ, vectors.shape[2], 32, 1, 2,
    ))  # fmt: skip
    talker.set_code_vectors(vectors)
    return _save(folder, {"talker": talker}, {"talker": talker.config_dict()})


def _save(folder: Path, modules: dict, config: dict) -> Path:
    folder.mkdir()
    weights = {
        f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
    }
    save_file(
        {name: value.detach().contiguous().clone() for name, value in weights.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(config))
    return folder
