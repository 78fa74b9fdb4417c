"""The data enters, the trained parts of a model leave: encoder features, codec, and the stages of the speech head, a table a kind.

A head says of itself whether the language model is frozen or trained (omni_core/speech_heads); the rest follows here. Stages
are submitted in the order of their lines; what does not read one another runs side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

from data_contracts.base import Artifact
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedLanguageModel
from data_contracts.retrain import RetrainSettings
from data_contracts.train import Checkpoint, FittedCodec
from omni_core.components import constant
from tasks.features import answer_codes, encoder_features, for_each, language_model_states, speech_targets
from tasks.fit import fit_aligner, fit_codec, shards_of_the_voice, shards_to_fit
from tasks.quantize import quantize_language_model
from tasks.side_by_side import finish
from tasks.train import train_listen, train_speak
from tasks.train_parallel import train_adaption, train_alignment, train_multimodal


@dataclass(frozen=True)
class Trained:
    """What the stages left."""

    codec: FittedCodec
    checkpoints: dict[str, Checkpoint]
    """Training stage, in order -> its weights."""
    beside: dict[str, Artifact]
    """Task -> what it made on the way, for the report."""
    language_model: QuantizedLanguageModel | None = None
    """The frozen one, as it will be served."""

    @property
    def journey(self) -> dict[str, Artifact]:
        """Task -> artifact."""
        trained = {f"train {stage}": made for stage, made in self.checkpoints.items()}
        served = {"quantize language model": self.language_model} if self.language_model else {}
        return {"fit codec": self.codec, **self.beside, **trained, **served}


def train(manifest: Manifest, settings: RetrainSettings, starts: dict[str, str]) -> Trained:
    """Train what the speech head needs, in its own stages. starts: the plan's, stage -> model to start from."""
    language_model = constant("speech_heads", settings.components.speech_head.name, "LANGUAGE_MODEL")
    if language_model == "trained":
        return with_the_language_model(manifest, settings, starts)
    return beside_a_frozen_language_model(manifest, settings, starts)


def beside_a_frozen_language_model(manifest: Manifest, settings: RetrainSettings, starts: dict[str, str]) -> Trained:
    """talker: an adapter and a prefix listen, the head speaks from phonemes and the language model's states."""
    home, parts, language, steps = settings.home, settings.components, settings.ingest.language, settings.train
    hear_from, speak_from = starts["train listen"], starts["train speak"]
    questions, answers = manifest.shards("question"), manifest.shards("answer")
    voice = shards_of_the_voice(manifest, home)
    to_fit = shards_to_fit(manifest, parts.codec.fit_minutes, home)

    heard = for_each(questions, encoder_features, manifest, parts.encoder, settings.features, home)
    states = for_each(answers, language_model_states, manifest, parts.language_model, language, home)
    listen = train_listen.submit(manifest, heard, parts.encoder, parts.language_model, steps.listen, hear_from, home)

    codec = fit_codec.submit(manifest, [] if parts.codec.weights else to_fit, parts.codec, home)
    aligner = fit_aligner.submit(manifest, to_fit, language, home)
    targets = for_each(voice, speech_targets, manifest, codec, parts.codec, aligner, language, home)
    speak = train_speak.submit(
        targets, states, codec, parts.codec, parts.speech_head, language, steps.speak, speak_from, home
    )

    served = quantize_language_model.submit(listen, manifest, parts.language_model, settings.quantize, home)

    finish(heard, listen, codec, aligner, targets, states, speak, served)
    trained = {"listen": listen.result(), "speak": speak.result()}
    return Trained(codec.result(), trained, {"fit aligner": aligner.result()}, served.result())


def with_the_language_model(manifest: Manifest, settings: RetrainSettings, starts: dict[str, str]) -> Trained:
    """parallel: Mini-Omni's recipe, three stages of one model that listens, thinks and speaks."""
    home, parts, recipe = settings.home, settings.components, settings.train.parallel
    questions, answers = manifest.shards("question"), manifest.shards("answer")
    to_fit = [] if parts.codec.weights else shards_to_fit(manifest, parts.codec.fit_minutes, home)
    start_from = starts.get("train alignment", "")

    heard = for_each(questions, encoder_features, manifest, parts.encoder, settings.features, home)
    codec = fit_codec.submit(manifest, to_fit, parts.codec, home)
    codes = for_each(answers, answer_codes, manifest, codec, parts.codec, home)

    same = (manifest, heard, codes, codec, parts.language_model, parts.speech_head)
    alignment = train_alignment.submit("modality_alignment", None, *same, recipe.alignment, start_from, home)
    adaption = train_adaption.submit("adaption", alignment, *same, recipe.adaption, "", home)
    multimodal = train_multimodal.submit("multimodal", adaption, *same, recipe.multimodal, "", home)

    finish(heard, codec, codes, alignment, adaption, multimodal)
    trained = {"alignment": alignment.result(), "adaption": adaption.result(), "multimodal": multimodal.result()}
    return Trained(codec.result(), trained, {})
