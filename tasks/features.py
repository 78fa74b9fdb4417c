"""One shard enters, its FeatureShard leaves, four kinds of it: mapped over shards, so a new shard computes one shard."""

from __future__ import annotations

from typing import Any

from prefect import Task, unmapped
from prefect.futures import PrefectFutureList

from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings
from data_contracts.features import FeatureShard, FeaturesSettings
from data_contracts.ingest import Manifest
from data_contracts.train import Aligner, FittedCodec
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


def for_each(shards: list[str], task: Task[..., FeatureShard], *same: Any) -> PrefectFutureList[FeatureShard]:
    """The task for every shard; the other arguments are the same for all."""
    return task.map(shards, *map(unmapped, same))


@stage("omni_core.features", beside_others=True)
def encoder_features(
    shard: str, manifest: Manifest, encoder: EncoderSettings, settings: FeaturesSettings, home: str
) -> FeatureShard:
    """What the encoder hears in the questions of one shard."""
    from omni_core import features

    with shown(f"encoder features {shard}") as progress:
        return features.encoder_features_of_shard(
            store_of(home), manifest, shard, encoder, settings, local_folder(home), progress
        )


@stage("omni_core.features", "omni_core.languages.*", beside_others=True)
def speech_targets(
    shard: str,
    manifest: Manifest,
    codec: FittedCodec,
    codec_settings: CodecSettings,
    aligner: Aligner,
    language: str,
    home: str,
) -> FeatureShard:
    """Codes, phonemes, durations, pitch and energy of the answers of one shard."""
    from omni_core import features

    with shown(f"speech targets {shard}") as progress:
        return features.speech_targets_of_shard(
            store_of(home), manifest, shard, codec, codec_settings, aligner, language, local_folder(home), progress
        )


@stage("omni_core.features", beside_others=True)
def answer_codes(
    shard: str, manifest: Manifest, codec: FittedCodec, codec_settings: CodecSettings, home: str
) -> FeatureShard:
    """Codes of the answers of one shard, for a head that reads codes alone."""
    from omni_core import features

    with shown(f"answer codes {shard}") as progress:
        return features.answer_codes_of_shard(
            store_of(home), manifest, shard, codec, codec_settings, local_folder(home), progress
        )


def _questions(inputs: dict[str, Any]) -> str:
    """The questions that go in before the answers: they stand in the turns, not in the shard."""
    from omni_core.shard_reads import first_questions

    return str(sorted(first_questions(store_of(inputs["home"]), inputs["manifest"], inputs["shard"]).items()))


@stage("omni_core.features", "omni_core.languages.*", also=_questions, beside_others=True)
def language_model_states(
    shard: str, manifest: Manifest, language_model: LanguageModelSettings, language: str, home: str
) -> FeatureShard:
    """What the frozen language model thinks at each word of the answers of one shard."""
    from omni_core import features

    with shown(f"language model states {shard}") as progress:
        return features.language_model_states_of_shard(
            store_of(home), manifest, shard, language_model, language, local_folder(home), progress
        )
