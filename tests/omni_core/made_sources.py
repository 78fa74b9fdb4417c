"""Small real sources for the tests of ingest, and running it on them."""

import csv
from pathlib import Path

import pyarrow.parquet as pq

from data_contracts.ingest import IngestSettings, Manifest, QualitySettings
from omni_core.ingest import ingest
from omni_core.store import ArtifactStore
from tests.flows.tiny import COLUMNS as TURN_COLUMNS

ANY = QualitySettings(max_rejected_fraction=1, min_train_turns=0, min_validation_turns=0, min_test_turns=0)
PLACES = ("kitchen", "hall", "attic", "garden", "cellar", "office", "porch", "garage", "bath", "closet", "den", "shed")


def write_source(folder: Path, rows: list[dict], columns=TURN_COLUMNS) -> str:
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return str(folder)


def turn(number: int, **cells) -> dict:
    """A valid turn about a place; questions differ by number, answers repeat every third."""
    return {
        "id": f"t{number}",
        "language": "en",
        "split": "train",
        "topic": "lights",
        "license": "CC0-1.0",
        "question_text": f"Turn on light {number} in the {PLACES[number % 12]}.",
        "answer_text": f"The {PLACES[number // 3 % 12]} is bright.",
    } | cells


def three_splits() -> list[dict]:
    return [turn(0), turn(1), turn(2), turn(30, split="validation"), turn(60, split="test")]


def settings_for(*sources: str, **changes) -> IngestSettings:
    return IngestSettings(sources=sources, **({"quality": ANY} | changes))


def run(tmp_path: Path, settings: IngestSettings, name: str = "store", **kwargs) -> tuple[ArtifactStore, Manifest]:
    store = ArtifactStore(tmp_path / name)
    return store, ingest(store, settings, tmp_path / "home", **kwargs)


def utterances(store: ArtifactStore, manifest: Manifest, role: str) -> list[dict]:
    """Rows of every split, the sealed one last."""
    folder, shards = store.folder(manifest), [*manifest.shards(role), *manifest.sealed_shards(role)]
    return [row for name in shards for row in pq.read_table(folder / name).to_pylist()]
