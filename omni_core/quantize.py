"""The trained parts enter; the complete served model leaves in one folder, its language model in int8, and what that cost.

model.json        components, language, weight quantizer
encoder/ codec/ weights/                     every model's
listen/ speak/ tokenizer/ embeddings.safetensors language_model/       the speech head's own (omni_core/speech_heads)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from data_contracts.components import ComponentsSettings, LanguageModelSettings
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedLanguageModel, QuantizedModel, QuantizeSettings
from data_contracts.train import Checkpoint, FittedCodec
from omni_core import bundled_weights, tables
from omni_core.progress import Progress, silent
from omni_core.speech_heads import Assembly, speech_head
from omni_core.store import ArtifactStore
from omni_core.weight_quantizers import folder_size_bytes

COMPARED_TURNS = 12


def quantize_language_model(
    store: ArtifactStore,
    listen: Checkpoint,
    manifest: Manifest,
    language_model: LanguageModelSettings,
    settings: QuantizeSettings,
    home: Path,
    progress: Progress = silent,
) -> QuantizedLanguageModel:
    """Convert a frozen language model and measure it against float32 on validation turns, behind the prefix of `listen`.

    A stage of its own, since no swap of a codec or a talker changes it.
    """
    from omni_core.speech_heads._talker_served import convert_language_model

    with store.scratch(QuantizedLanguageModel.kind) as folder:
        facts = convert_language_model(
            folder, store.folder(listen), language_model, settings.weight_quantizer, _compared(store, manifest), home,
            torch.get_num_threads(), progress,
        )  # fmt: skip
        return store.commit(
            QuantizedLanguageModel,
            folder,
            inputs={"listen": listen, "manifest": manifest},
            settings={"language_model": language_model.model_dump(mode="json"), **settings.model_dump(mode="json")},
            facts=facts,
        )


def _compared(store: ArtifactStore, manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """(question, answer) texts of the first validation turns."""
    turns = tables.turns(store, manifest, "validation")[:COMPARED_TURNS]
    return tuple((turn["question_text"], turn["answer_text"]) for turn in turns)


def quantize(
    store: ArtifactStore,
    trained: Mapping[str, Checkpoint],
    codec: FittedCodec,
    manifest: Manifest,
    parts: ComponentsSettings,
    settings: QuantizeSettings,
    home: Path,
    language_model: QuantizedLanguageModel | None = None,
    progress: Progress = silent,
) -> QuantizedModel:
    """Assemble the folder. A language model that the head trained is converted here, and measured against float32.

    trained: training stage, in order -> what it left. language_model: the frozen one, converted; None where the head
    trained it.
    """
    with store.scratch(QuantizedModel.kind) as folder:
        shutil.copytree(store.folder(codec), folder / "codec", ignore=shutil.ignore_patterns("card.json"))
        _copy_weights(folder, parts, home)
        turns = _compared(store, manifest)
        cost = speech_head(parts.speech_head.name).assemble(Assembly(
            folder, {stage: store.folder(made) for stage, made in trained.items()}, parts,
            codec.facts["frame_rate_hz"], settings.weight_quantizer,
            turns, home, torch.get_num_threads(), progress, store.folder(language_model) if language_model else None,
        ))  # fmt: skip
        cost = {**cost, **(language_model.facts if language_model else {})}
        card = {"components": parts.model_dump(mode="json"), "language": manifest.settings["language"],
                "context": cost["context"], "weight_quantizer": settings.weight_quantizer}  # fmt: skip
        (folder / "model.json").write_text(json.dumps(card, indent=1))
        facts = {
            **cost,
            "size_bytes": folder_size_bytes(folder),
            "language_model_bytes": folder_size_bytes(folder / "language_model"),
            **card,
        }
        progress(len(turns), len(turns), f"comparing with float32, cosine {facts['logit_cosine']:.4f}")
        return store.commit(
            QuantizedModel,
            folder,
            inputs={**trained, "codec": codec, "manifest": manifest}
            | ({"language model": language_model} if language_model else {}),
            settings=settings.model_dump(mode="json"),
            facts=facts,
            licences=manifest.licences | codec.licences,
        )


def _copy_weights(folder: Path, parts: ComponentsSettings, home: Path) -> None:
    """The encoder's and the vocoder's weights travel with the model, so that it runs where there is no home."""
    if parts.encoder.weights:
        where = bundled_weights.resolve(parts.encoder.weights, home)
        if Path(where).is_dir():
            shutil.copytree(where, folder / "encoder")
        else:
            from transformers import AutoFeatureExtractor, AutoModel

            AutoModel.from_pretrained(where).save_pretrained(folder / "encoder")
            AutoFeatureExtractor.from_pretrained(where).save_pretrained(folder / "encoder")
    if parts.codec.name == "mel_rvq" and parts.codec.vocoder == "hifigan":
        where = bundled_weights.resolve("bundled:hifigan_universal", home)
        shutil.copytree(where, folder / "weights" / "hifigan_universal")
