"""A manifest enters; the shards of speech in the assistant's own voice leave: its answers, and plain speech of that voice."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq

from data_contracts.errors import SourceError
from data_contracts.ingest import Manifest
from omni_core.store import ArtifactStore


def voice_shards(store: ArtifactStore, manifest: Manifest) -> list[str]:
    """Answer shards, then the speech shards in which only the answers' commonest speaker talks.

    Speech of that voice that answers nothing is practice for the speech head: a closed domain has few distinct
    answers, and a head that has seen few sentences learns them by heart.
    """
    folder, answers = store.folder(manifest), manifest.shards("answer")

    def speakers(shard: str) -> Counter[str]:
        return Counter(pq.read_table(folder / shard, columns=["speaker"])["speaker"].to_pylist())

    if not answers:
        raise SourceError("no answer has audio; set ingest.voice.teacher or add recordings of the answers")
    own = sum((speakers(shard) for shard in answers), Counter()).most_common(1)[0][0]
    return answers + [shard for shard in manifest.shards("speech") if set(speakers(shard)) == {own}]
