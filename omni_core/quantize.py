"""The trained parts enter; the complete served model leaves in one folder, its language model in int8, and what that cost.

model.json              components, language, weight quantizer
encoder/ tokenizer/ embeddings.safetensors language_model/ listen/ speak/ codec/ weights/
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from data_contracts.components import ComponentsSettings
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel, QuantizeSettings
from data_contracts.train import Checkpoint, FittedCodec
from omni_core import bundled_weights, components, tables
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.progress import Progress, silent
from omni_core.store import ArtifactStore
from omni_core.train import load_listen
from omni_core.weight_quantizers import ServedLanguageModel, folder_size_bytes
from omni_core.weight_quantizers.none import TorchLanguageModel

COMPARED_TURNS = 12


def quantize(
    store: ArtifactStore,
    listen: Checkpoint,
    speak: Checkpoint,
    codec: FittedCodec,
    manifest: Manifest,
    parts: ComponentsSettings,
    settings: QuantizeSettings,
    home: Path,
    progress: Progress = silent,
) -> QuantizedModel:
    """Assemble the folder and measure the quantized language model against float32 on validation turns."""
    import importlib

    quantizer = importlib.import_module(f"omni_core.weight_quantizers.{settings.weight_quantizer}")
    lm = components.load("language_models", parts.language_model.name, parts.language_model, home)
    with store.scratch(QuantizedModel.kind) as folder:
        for name, artifact in (("listen", listen), ("speak", speak), ("codec", codec)):
            shutil.copytree(
                store.folder(artifact), folder / name, ignore=shutil.ignore_patterns("card.json", "curve.parquet")
            )
        _copy_weights(folder, parts, home)
        lm.tokenizer.save_pretrained(folder / "tokenizer")
        save_file({"embeddings": lm.embedding.detach().to(torch.bfloat16).clone()}, folder / "embeddings.safetensors")
        progress(1, 3, "folder assembled")
        (folder / "language_model").mkdir()
        quantizer.quantize(lm, folder / "language_model")
        progress(2, 3, "weights quantized")
        card = {"components": parts.model_dump(mode="json"), "language": manifest.settings["language"], "context": lm.context,
                "weight_quantizer": settings.weight_quantizer}  # fmt: skip
        (folder / "model.json").write_text(json.dumps(card, indent=1))
        served = quantizer.load(folder / "language_model", torch.get_num_threads())
        prefix = load_listen(folder / "listen")[1].keys_values.numpy()
        turns = tables.turns(store, manifest, "validation")[:COMPARED_TURNS]
        facts = {
            **loss_of_quality(lm, served, prefix, [(t["question_text"], t["answer_text"]) for t in turns]),
            "size_bytes": folder_size_bytes(folder),
            "language_model_bytes": folder_size_bytes(folder / "language_model"),
            "float32_bytes": sum(p.numel() * 4 for p in lm.model.parameters()),
            **card,
        }
        progress(3, 3, f"cosine to float32 {facts['logit_cosine']:.4f}")
        return store.commit(
            QuantizedModel,
            folder,
            inputs={"listen": listen, "speak": speak, "codec": codec},
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


def loss_of_quality(
    lm: CausalLanguageModel, served: ServedLanguageModel, prefix: np.ndarray, pairs: list[tuple[str, str]]
) -> dict[str, float]:
    """Mean cosine of the logits and share of equal next tokens at every answer position, teacher forced."""
    reference = TorchLanguageModel(lm.model)
    cosines, agreed = [], []
    for question, answer in pairs:
        ids = lm.tokens(question) + lm.chat.suffix
        for model in (reference, served):
            model.start(prefix)
        for token in [None, *lm.tokens(answer)]:
            embeddings = lm.embedding[ids if token is None else [token]].detach().numpy()
            a, b = (model.step(embeddings)[0] for model in (reference, served))
            cosines.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
            agreed.append(a.argmax() == b.argmax())
    return {"logit_cosine": float(np.mean(cosines)), "token_agreement": float(np.mean(agreed))}
