"""Features enter, the two trained parts leave; a stage that was killed goes on from its last checkpoint."""

from __future__ import annotations

from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings, SpeechHeadSettings
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.train import Checkpoint, FittedCodec, ListenSettings, SpeakSettings
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.listen", "omni_core.train", beside_others=True)
def train_listen(
    manifest: Manifest,
    questions: list[FeatureShard],
    encoder: EncoderSettings,
    language_model: LanguageModelSettings,
    settings: ListenSettings,
    start: str,
    home: str,
) -> Checkpoint:
    """The adapter learns to hand questions to the frozen language model; `start` is the plan's (see Plan.starts)."""
    from omni_core import train

    with shown("train listen") as progress:
        return train.train_listen(
            store_of(home), manifest, questions, encoder, language_model, settings, start, local_folder(home), progress
        )


@stage("omni_core.speak", "omni_core.train", "omni_core.languages.*", "omni_core.codecs.*", beside_others=True)
def train_speak(
    targets: list[FeatureShard],
    states: list[FeatureShard],
    codec: FittedCodec,
    codec_settings: CodecSettings,
    speech_head: SpeechHeadSettings,
    language: str,
    settings: SpeakSettings,
    start: str,
    home: str,
) -> Checkpoint:
    """The speech head learns to speak answers from phonemes and the language model's states."""
    from omni_core import train

    with shown("train speak") as progress:
        return train.train_speak(
            store_of(home),
            targets,
            states,
            codec,
            codec_settings,
            speech_head,
            language,
            settings,
            start,
            local_folder(home),
            progress,
        )
