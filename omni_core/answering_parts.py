"""A served model's folder enters, a digest of each part that decides its written answers leaves: what two models have in common.

    encoder, listen, head, language_model, tokenizer, embeddings.safetensors     their files, as they are served
    settings                            of model.json what these read: system prompt, encoder's window, quantizer, context
    code, libraries, threads            what runs them: a step of decoding is code, and rounding is the library's

Two models with equal digests write the same answers, whatever they sound like: a swapped codec or a new talker changes no
word. Left out is only what turns codes into sound (SOUND of every model, SOUND_ONLY of its speech head): what nobody thought
of counts as deciding. Taken from the files while they are evaluated, never from what settings call them.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_contracts.base import FileEntry
from omni_core.code_digest import code_digest
from omni_core.components import constant
from omni_core.store import content_digest, describe_files

CARD = "model.json"
SOUND = ("codec", "weights")
"""Folders of every model that turn codes into sound: the codec, and its vocoder's weights."""
LIBRARIES = ("numpy", "onnxruntime", "tokenizers", "torch", "transformers")


def answering_parts(folder: Path, threads: int) -> dict[str, str]:
    """Part -> digest, of a model's folder as quantize leaves it; threads: that it is evaluated with."""
    card = json.loads((folder / CARD).read_text())
    parts = card["components"]
    head, encoder = parts["speech_head"]["name"], parts["encoder"]["name"]
    members = (f"speech_heads.{head}", f"encoders.{encoder}", f"weight_quantizers.{card['weight_quantizer']}")
    return _parts_in_files(folder, head) | {
        "settings": _digest(_settings(card)),
        "code": code_digest("omni_core.speech_to_speech", *(f"omni_core.{member}" for member in members)),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "threads": str(threads),
    }


def _parts_in_files(folder: Path, head: str) -> dict[str, str]:
    """Name at the top of the folder -> digest of what lies there."""
    left_out = (CARD, *SOUND, *constant("speech_heads", head, "SOUND_ONLY"))
    found: dict[str, dict[str, FileEntry]] = {}
    for name, entry in describe_files(folder).items():
        found.setdefault(name.split("/")[0], {})[name] = entry
    return {part: content_digest(files) for part, files in found.items() if part not in left_out}


def _settings(card: dict[str, Any]) -> dict[str, Any]:
    """Without the names of weights (their files are digested) and without the shapes of what sounds, or lies in files."""
    parts = card["components"]
    heard = {name: {k: v for k, v in parts[name].items() if k != "weights"} for name in ("encoder", "language_model")}
    return card | {"components": heard | {"speech_head": parts["speech_head"]["name"]}}


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
