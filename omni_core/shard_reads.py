"""A manifest enters, the part of it that one stage reads leaves: what stays the same when more data is added.

    fit_shards       the first answer shards, to which codec and aligner are fitted
    first_questions  the question that first asked for each answer of a shard
"""

from __future__ import annotations

from data_contracts.ingest import Manifest
from omni_core.store import ArtifactStore


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
