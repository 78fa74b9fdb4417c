"""A manifest enters, the part of it that one stage reads leaves: what stays the same when more data is added.

voice_shards     the shards of speech in the assistant's own voice
fit_shards       the first answer shards, to which codec and aligner are fitted
first_questions  the question that first asked for each answer of a shard
"""

from __future__ import annotations

from collections import Counter

from data_contracts.errors import SourceError
from data_contracts.ingest import Manifest
from omni_core.store import ArtifactStore


def voice_shards(store: ArtifactStore, manifest: Manifest) -> list[str]:
    """Answer shards, then the speech shards in which only the answers' commonest speaker talks.

    Speech of that voice that answers nothing is practice for the speech head: a closed domain has few distinct
    answers, and a head that has seen few sentences learns them by heart.
    """
    import pyarrow.parquet as pq

    folder, answers = store.folder(manifest), manifest.shards("answer")

    def speakers(shard: str) -> Counter[str]:
        return Counter(pq.read_table(folder / shard, columns=["speaker"])["speaker"].to_pylist())

    if not answers:
        raise SourceError("no answer has audio; set ingest.voice.teacher or add recordings of the answers")
    own = sum((speakers(shard) for shard in answers), Counter()).most_common(1)[0][0]
    return answers + [shard for shard in manifest.shards("speech") if set(speakers(shard)) == {own}]


def fit_shards(store: ArtifactStore, manifest: Manifest, role: str, minutes: float) -> list[str]:
    """The role's first shards with at least `minutes` of training speech together, or all of them."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder, seconds = store.folder(manifest), 0.0
    names: list[str] = []
    for name in manifest.shards(role):
        table = pq.read_table(folder / name, columns=["split", "duration_s"])
        train = pc.sum(table.filter(pc.equal(table["split"], "train"))["duration_s"]).as_py()
        names.append(name)
        seconds += train or 0.0
        if seconds >= 60 * minutes:
            break
    return names


def first_questions(store: ArtifactStore, manifest: Manifest, shard: str) -> dict[str, str]:
    """Answer's utterance_id -> text of the first turn's question that it answers, for the answers of one shard."""
    import pyarrow.parquet as pq

    folder = store.folder(manifest)
    wanted = set(pq.read_table(folder / shard, columns=["utterance_id"])["utterance_id"].to_pylist())
    turns = pq.read_table(folder / "turns.parquet", columns=["answer_id", "question_text"]).to_pylist()
    found: dict[str, str] = {}
    for turn in turns:
        if turn["answer_id"] in wanted:
            found.setdefault(turn["answer_id"], turn["question_text"])
    return found
