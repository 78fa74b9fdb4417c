"""Data and the two ends of a model, encoder and codec, enter; the trained parts between them leave: a table of contents a head.

A head says of itself whether the language model is frozen or trained (omni_core/speech_heads); the rest follows here.
"""

from __future__ import annotations

from dataclasses import dataclass

from data_contracts.base import Artifact
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.retrain import RetrainSettings
from data_contracts.train import Checkpoint, FittedCodec
from omni_core.components import constant
from tasks.features import answer_codes, for_each, language_model_states, speech_targets
from tasks.fit import fit_aligner, shards_of_the_voice, shards_to_fit
from tasks.train import train_listen, train_speak
from tasks.train_parallel import train_adaption, train_alignment, train_multimodal


@dataclass(frozen=True)
class Trained:
    """What the stages of a head left."""

    checkpoints: dict[str, Checkpoint]
    """Training stage, in order -> its weights."""
    beside: dict[str, Artifact]
    """Task -> what it made on the way, for the report."""

    @property
    def journey(self) -> dict[str, Artifact]:
        """Task -> artifact."""
        return {**self.beside, **{f"train {stage}": made for stage, made in self.checkpoints.items()}}


def train(
    manifest: Manifest,
    heard: list[FeatureShard],
    codec: FittedCodec,
    settings: RetrainSettings,
    starts: dict[str, str],
) -> Trained:
    """Train what the speech head needs, in its own stages. starts: the plan's, stage -> model to start from."""
    language_model = constant("speech_heads", settings.components.speech_head.name, "LANGUAGE_MODEL")
    if language_model == "trained":
        return with_the_language_model(manifest, heard, codec, settings)
    return beside_a_frozen_language_model(manifest, heard, codec, settings, starts)


def beside_a_frozen_language_model(
    manifest: Manifest,
    heard: list[FeatureShard],
    codec: FittedCodec,
    settings: RetrainSettings,
    starts: dict[str, str],
) -> Trained:
    """talker: an adapter and a prefix listen, the head speaks from phonemes and the language model's states."""
    home, parts, language, steps = settings.home, settings.components, settings.ingest.language, settings.train
    hear_from, speak_from = starts["train listen"], starts["train speak"]
    aligner = fit_aligner(manifest, shards_to_fit(manifest, parts.codec.fit_minutes, home), language, home)
    voice, answers = shards_of_the_voice(manifest, home), manifest.shards("answer")
    targets = for_each(voice, speech_targets, manifest, codec, parts.codec, aligner, language, home)
    states = for_each(answers, language_model_states, manifest, parts.language_model, language, home)

    listen = train_listen(manifest, heard, parts.encoder, parts.language_model, steps.listen, hear_from, home)
    speak = train_speak(targets, states, codec, parts.codec, parts.speech_head, language, steps.speak, speak_from, home)
    return Trained({"listen": listen, "speak": speak}, {"fit aligner": aligner})


def with_the_language_model(
    manifest: Manifest, heard: list[FeatureShard], codec: FittedCodec, settings: RetrainSettings
) -> Trained:
    """parallel: Mini-Omni's recipe, three stages of one model that listens, thinks and speaks."""
    home, parts, steps = settings.home, settings.components, settings.train.parallel
    codes = for_each(manifest.shards("answer"), answer_codes, manifest, codec, parts.codec, home)
    same = (manifest, heard, codes, codec, parts.language_model, parts.speech_head)

    alignment = train_alignment("modality_alignment", None, *same, steps.alignment, home)
    adaption = train_adaption("adaption", alignment, *same, steps.adaption, home)
    multimodal = train_multimodal("multimodal", adaption, *same, steps.multimodal, home)
    return Trained({"alignment": alignment, "adaption": adaption, "multimodal": multimodal}, {})
