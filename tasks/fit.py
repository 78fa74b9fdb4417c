"""Answers' first shards enter, the fitted codec and aligner leave: more data behind those shards does not refit them."""

from __future__ import annotations

from data_contracts.components import CodecSettings
from data_contracts.ingest import Manifest
from data_contracts.train import Aligner, FittedCodec
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


def shards_to_fit(manifest: Manifest, minutes: float, home: str) -> list[str]:
    """The first answer shards that hold so much training speech."""
    from omni_core.shard_reads import fit_shards

    return fit_shards(store_of(home), manifest, "answer", minutes)


def shards_of_the_voice(manifest: Manifest, home: str) -> list[str]:
    """Shards of speech in the assistant's own voice."""
    from omni_core.shard_reads import voice_shards

    return voice_shards(store_of(home), manifest)


@stage("omni_core.fit", beside_others=True)
def fit_codec(manifest: Manifest, shards: list[str], codec: CodecSettings, home: str) -> FittedCodec:
    """A codec for this voice, or the one with public weights; see omni_core.fit."""
    from omni_core import fit

    with shown("fit codec") as progress:
        return fit.fit_codec(store_of(home), manifest, shards, codec, local_folder(home), progress)


@stage("omni_core.fit", "omni_core.languages.*", beside_others=True)
def fit_aligner(manifest: Manifest, shards: list[str], language: str, home: str) -> Aligner:
    """A phoneme recogniser for forced alignment; see omni_core.fit."""
    from omni_core import fit

    with shown("fit aligner") as progress:
        return fit.fit_aligner(store_of(home), manifest, shards, language, progress)
