"""A number of rows enters, what ingest needs of memory to read that many of VoiceAssistant-400K's schema leaves (docs/sources.md).

    python benchmarks/ingest_memory.py 4000 16000              # peak of Python's own memory, and bytes a further row
    python benchmarks/ingest_memory.py --resident 4000 16000   # the same of the process, as the system counts it

The rows are generated and small: half a second of sound and 14 frames of codes, every tenth one set aside. A count is a
process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from data_contracts.ingest import IngestSettings, Manifest, QualitySettings, VoiceSettings

RATE_HZ, SECONDS = 16_000, 0.5
ROWS_A_FILE, ROWS_A_GROUP = 2_000, 100
SOUND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXTS = ("split_name", "index", "round", "question", "answer", "answer_snac")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("question_audio", SOUND)])
ANY = QualitySettings(
    max_rejected_fraction=1, min_train_turns=0, min_validation_turns=0, min_test_turns=0, min_snr_db=-10,
    max_silence_fraction=1,
)  # fmt: skip


def write_folder(folder: Path, rows: int, topic: str = "qa_assistant_v1_7k") -> str:
    """Parquet shards as on the hub, row groups of 100; no two rows alike, but for the topic."""
    (folder / "data").mkdir(parents=True)
    for start in range(0, rows, ROWS_A_FILE):
        table = pa.Table.from_pylist([row(n, topic) for n in range(start, min(start + ROWS_A_FILE, rows))], SCHEMA)
        name = f"train-{start // ROWS_A_FILE:05d}-of-{-(-rows // ROWS_A_FILE):05d}.parquet"
        pq.write_table(table, folder / "data" / name, row_group_size=ROWS_A_GROUP)
    return str(folder)


def row(number: int, topic: str) -> dict:
    """A turn; every tenth says who another model is, and is set aside."""
    random = np.random.default_rng(number)
    wave = np.sin(np.arange(round(RATE_HZ * SECONDS)) * (0.05 + number % 89 / 1_000)) * np.hanning(RATE_HZ * SECONDS)
    sound = io.BytesIO()
    soundfile.write(sound, 0.3 * wave + 1e-3 * random.standard_normal(len(wave)), RATE_HZ, format="WAV")
    frames = random.integers(0, 4096, (14, 7))
    return {
        "split_name": "identity" if number % 10 == 9 else topic, "index": f"{number}", "round": "0",
        "question": f"Number {number}?", "answer": f"It is {number}.",
        "answer_snac": " ".join(f"# {' '.join(map(str, frame))}" for frame in frames),
        "question_audio": {"bytes": sound.getvalue(), "path": f"{number}.wav"},
    }  # fmt: skip


def ingested(source: str, folder: Path, **changes) -> Manifest:
    """The manifest of one such folder."""
    from omni_core.ingest import ingest
    from omni_core.store import ArtifactStore

    settings = IngestSettings(sources=(source,), quality=ANY, voice=VoiceSettings(teacher=None), **changes)
    return ingest(ArtifactStore(folder / "store"), settings, folder / "home")


def traced_peak(source: str, folder: Path, **changes) -> int:
    """Bytes: the most that Python and numpy held at once while ingest ran."""
    tracemalloc.start()
    try:
        ingested(source, folder, **changes)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def resident_peak(source: str, folder: Path) -> int:
    """Bytes of the whole process, Arrow's among them."""
    ingested(source, folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """A count is measured; several are started one after another and compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--resident", action="store_true", help="of the process, not of Python")
    arguments = parser.parse_args()
    if len(arguments.rows) == 1:
        with tempfile.TemporaryDirectory() as name:
            source = write_folder(Path(name) / "corpus", arguments.rows[0])
            ingested(write_folder(Path(name) / "few", 20), Path(name) / "few")  # imports are not counted
            peak = resident_peak if arguments.resident else traced_peak
            print(json.dumps(peak(source, Path(name) / "run")))
        return
    flags = ["--resident"] if arguments.resident else []
    peaks = []
    for rows in arguments.rows:
        ran = subprocess.run([sys.executable, __file__, *flags, str(rows)], capture_output=True, text=True, check=True)
        peaks.append(int(ran.stdout.split()[-1]))
        print(f"{rows} rows: {peaks[-1] / 1e6:.1f} MB", flush=True)
    print(f"{(peaks[-1] - peaks[0]) / (arguments.rows[-1] - arguments.rows[0]):.0f} bytes a further row")


if __name__ == "__main__":
    main()
