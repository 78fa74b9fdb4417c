"""The voice's own speech enters; a codec and a phoneme aligner fitted to it leave. Minutes, not days: no big weights."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

from safetensors.torch import load_file, save_file
from torch import Tensor

from data_contracts.components import CodecSettings
from data_contracts.errors import SettingsError, SourceError, WeightsError
from data_contracts.ingest import Manifest
from data_contracts.train import Aligner, FittedCodec
from omni_core import alignment, bundled_weights, components
from omni_core.codecs import Codec
from omni_core.languages import LanguagePack
from omni_core.mel import SAMPLE_RATE_HZ, log_mel
from omni_core.pretrained import licence_of
from omni_core.progress import Progress, silent
from omni_core.speech_text import speech_text
from omni_core.store import ArtifactStore
from omni_core.tables import rows, waveform_of

ALIGNER_STEPS, ALIGNER_BATCH = 180, 24
ALIGNER_ROUNDS = 50
"""A handful of utterances is learned after so many rounds through them."""


def bases_of(phonemes: Tensor, pack: LanguagePack) -> Tensor:
    """Phoneme ids -> ids of their sounds without stress; the aligner does not care for stress."""
    return phonemes % pack.num_bases


def _training_speech(store: ArtifactStore, manifest: Manifest, shards: list[str]) -> list[tuple[str, Tensor]]:
    """(text, waveform at 22 050 Hz) of the training utterances of the shards."""
    columns = ["split", "text", "audio"]
    found = [
        (row["text"], waveform_of(row, SAMPLE_RATE_HZ))
        for shard in shards
        for row in rows(store, manifest, shard, columns)
        if row["split"] == "train"
    ]
    if not found:
        raise SourceError(
            "there is no training answer with audio to fit the codec to; check the split column of the sources"
        )
    return found


def codec_module(settings: CodecSettings) -> ModuleType:
    """The codec's module; raises SettingsError when it is one with public weights and the settings name none."""
    module = importlib.import_module(f"omni_core.codecs.{settings.name}")
    if not settings.weights and not hasattr(module, "fit"):
        raise SettingsError(
            f"the codec {settings.name} is not fitted to data, it has weights; set components.codec.weights to a folder "
            f"or a hub id, as {module.PUBLIC_WEIGHTS}"
        )
    return module


def fit_codec(
    store: ArtifactStore,
    manifest: Manifest,
    shards: list[str],
    settings: CodecSettings,
    home: Path,
    progress: Progress = silent,
) -> FittedCodec:
    """The codec of these settings, stored: with its public weights as it is, else fitted to the training answers."""
    module = codec_module(settings)
    if settings.weights:
        codec, licences = _with_weights(module, settings, home)
    else:
        codec = _fitted(module, _training_speech(store, manifest, shards), settings, home, progress)
        licences = (
            {"vocoder hifigan_universal": "MIT"} if settings.name == "mel_rvq" and settings.vocoder == "hifigan" else {}
        )
    facts = {
        name: getattr(codec, name)
        for name in ("sample_rate_hz", "frame_rate_hz", "num_codebooks", "codebook_size", "look_ahead_frames")
    } | {"shards": manifest.shard_hashes(shards)}
    with store.scratch(FittedCodec.kind) as folder:
        codec.save(folder)
        return store.commit(
            FittedCodec,
            folder,
            settings=settings.model_dump(mode="json"),
            facts=facts,
            licences=licences,
        )


def _with_weights(module: ModuleType, settings: CodecSettings, home: Path) -> tuple[Codec, dict[str, str]]:
    """The codec that the weights make, and their licence as their card states it."""
    where = bundled_weights.resolve(settings.weights, home)
    folder = Path(where) if Path(where).is_dir() else where
    if hasattr(module, "fit") and not (Path(where) / "config.json").is_file():
        raise WeightsError(
            f"no fitted {settings.name} in '{settings.weights}'; name the folder of one, or leave "
            "components.codec.weights empty to fit it to the data"
        )
    return module.load(settings, folder, home), {f"codec {settings.weights}": licence_of(settings.weights)}


def _fitted(
    module: ModuleType, speech: list[tuple[str, Tensor]], settings: CodecSettings, home: Path, progress: Progress
) -> Codec:
    """A codec fitted to at most `fit_minutes` of the speech."""
    waveforms, seconds = [], 0.0
    for _, waveform in speech:
        waveforms.append(waveform)
        seconds += len(waveform) / SAMPLE_RATE_HZ
        if seconds > 60 * settings.fit_minutes:
            break
    return module.fit(waveforms, settings, home, progress)


def fit_aligner(
    store: ArtifactStore, manifest: Manifest, shards: list[str], language: str, progress: Progress = silent
) -> Aligner:
    """Fit the phoneme recogniser to the training answers of the shards and store it."""
    pack = components.load("languages", language)
    speech = _training_speech(store, manifest, shards)
    mels = [log_mel(waveform) for _, waveform in speech]
    targets = [bases_of(speech_text(text, pack).phonemes, pack) for text, _ in speech]
    steps = min(ALIGNER_STEPS, ALIGNER_ROUNDS * -(-len(mels) // ALIGNER_BATCH))
    model = alignment.fit(mels, targets, pack.num_bases, steps=steps, batch=ALIGNER_BATCH, progress=progress)
    with store.scratch(Aligner.kind) as folder:
        save_file(model.state_dict(), folder / "aligner.safetensors")
        (folder / "config.json").write_text(json.dumps({"num_phonemes": pack.num_bases, "language": language}))
        facts = {"utterances": len(mels), "shards": manifest.shard_hashes(shards)}
        return store.commit(Aligner, folder, settings={"language": language}, facts=facts)


def load_aligner(store: ArtifactStore, aligner: Aligner) -> alignment.PhonemeRecogniser:
    """Read an aligner back."""
    folder = store.folder(aligner)
    model = alignment.PhonemeRecogniser(json.loads((folder / "config.json").read_text())["num_phonemes"])
    model.load_state_dict(load_file(folder / "aligner.safetensors"))
    return model.eval()
