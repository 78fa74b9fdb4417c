"""A manifest enters, one question that a registered model must answer leaves; and whether what came back is an answer."""

from __future__ import annotations

import numpy as np

from data_contracts.errors import PromotionError
from data_contracts.ingest import Manifest
from omni_core.audio import decode, encode_wav
from omni_core.store import ArtifactStore

SHORTEST_ANSWER_S = 0.2
QUIETEST_PEAK = 1e-3


def probe_question(store: ArtifactStore, manifest: Manifest) -> bytes:
    """The first test question (or, without one, the first question) as a wav file."""
    import pyarrow.parquet as pq

    folder = store.folder(manifest)
    rows = [row for name in manifest.shards("question") for row in pq.read_table(folder / name).to_pylist()]
    if not rows:
        raise PromotionError("the manifest holds no question to probe a registered model with")
    row = next((row for row in rows if row["split"] == "test"), rows[0])
    return encode_wav(*decode(row["audio"]))


def check_answer(wav: bytes, text: str, what: str) -> None:
    """Raise PromotionError unless the wav holds sound and the text is not empty."""
    waveform, sample_rate_hz = decode(wav)
    seconds, peak = len(waveform) / sample_rate_hz, float(np.abs(waveform).max())
    if seconds < SHORTEST_ANSWER_S or peak < QUIETEST_PEAK or not text.strip():
        raise PromotionError(
            f"{what} answered its probe with '{text}' in {seconds:.2f} s of sound with a peak of {peak:.4f}; "
            "the champion was not moved"
        )
