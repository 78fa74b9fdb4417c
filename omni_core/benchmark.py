"""A served model and spoken questions enter; how fast it answers on this machine, and whether that is fast enough, leaves.

Measured in a process of its own, so that peak memory is the served model's and no thread pool of the flow is in the way.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.benchmark import BenchmarkSettings, LatencyReport
from data_contracts.errors import MetricError, SourceError
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core import tables
from omni_core.progress import Progress, silent
from omni_core.store import ArtifactStore

QUESTION_RATE_HZ = 16_000


def answer_all(model_folder: Path, questions: Path, threads: int, warmup: int) -> None:
    """Child process: answer every question of an npz, print a JSON line of times each, then the peak memory."""
    from omni_core.speech_to_speech import SpeechToSpeech

    model = SpeechToSpeech.load(model_folder, threads)
    waveforms = list(np.load(questions).values())
    for number, waveform in enumerate([*waveforms[:1] * warmup, *waveforms]):
        answer = model.answer(waveform, QUESTION_RATE_HZ)
        if number >= warmup:
            print(json.dumps({"time_to_first_audio_s": answer.time_to_first_audio_s, "total_s": answer.total_s,
                              "audio_s": len(answer.waveform) / answer.sample_rate_hz}), flush=True)  # fmt: skip
    print(json.dumps({"peak_memory_mb": peak_memory_mb()}), flush=True)


def peak_memory_mb() -> float:
    """Largest resident set of this process so far, in MiB.

    Linux counts a child's ru_maxrss from its parent's at the fork, which is the flow's gigabytes; VmHWM starts anew.
    """
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        return float(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    scale = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def percentiles(values: list[float]) -> dict[str, float]:
    """p50 and p95, linear interpolation."""
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def gate(latency: dict[str, Any], settings: BenchmarkSettings) -> list[str]:
    """Reasons against the model, in sentences; none when it is fast enough."""
    first, factor = latency["time_to_first_audio_ms"]["p95"], latency["real_time_factor"]["p50"]
    reasons = []
    if first > settings.max_time_to_first_audio_p95_ms:
        reasons.append(
            f"time to first audio p95 is {first:.0f} ms, over the bound of {settings.max_time_to_first_audio_p95_ms:.0f} ms"
        )
    if factor > settings.max_real_time_factor:
        reasons.append(f"real-time factor is {factor:.2f}, over the bound of {settings.max_real_time_factor:.2f}")
    return reasons


def benchmark(
    store: ArtifactStore,
    model: QuantizedModel,
    manifest: Manifest,
    settings: BenchmarkSettings,
    progress: Progress = silent,
) -> LatencyReport:
    """Answer validation questions (the test split stays sealed) and judge the times."""
    wanted = {t["question_id"] for t in tables.turns(store, manifest, "validation")[: settings.questions]}
    questions = [
        row
        for shard in manifest.shards("question")
        for row in tables.rows(store, manifest, shard)
        if row["utterance_id"] in wanted
    ]
    if not questions:
        raise SourceError("there is no validation question to measure latency with; mark some rows split=validation")
    with store.scratch(LatencyReport.kind) as folder:
        waveforms = folder.with_suffix(".npz")
        np.savez(waveforms, *[tables.waveform_of(row, QUESTION_RATE_HZ).numpy() for row in questions])
        try:
            times, memory = _measure(store.folder(model), waveforms, settings, len(questions), progress)
        finally:
            waveforms.unlink(missing_ok=True)
        spoken = [t for t in times if t["audio_s"] > 0]
        if not spoken:
            raise MetricError(
                "the model spoke no answer at all, so there is no latency; look at the answers' text in the evaluation"
            )
        latency = {
            "time_to_first_audio_ms": percentiles([1000 * t["time_to_first_audio_s"] for t in spoken]),
            "real_time_factor": percentiles([t["total_s"] / t["audio_s"] for t in spoken]),
            "peak_memory_mb": round(memory), "answers": len(spoken), "silent_answers": len(times) - len(spoken),
            "hardware": f"{platform.processor() or platform.machine()}, {settings.threads} threads",
        }  # fmt: skip
        reasons = gate(latency, settings)
        facts = {**latency, "passed": not reasons, "reasons": reasons}
        pq.write_table(pa.Table.from_pylist(times), folder / "per_answer.parquet")
        (folder / "latency.json").write_text(json.dumps(facts, indent=1))
        return store.commit(
            LatencyReport, folder, inputs={"model": model}, settings=settings.model_dump(mode="json"), facts=facts
        )


def _measure(
    model: Path, waveforms: Path, settings: BenchmarkSettings, number: int, progress: Progress
) -> tuple[list[dict], float]:
    code = f"from pathlib import Path; from omni_core.benchmark import answer_all; answer_all(Path({str(model)!r}), Path({str(waveforms)!r}), {settings.threads}, {settings.warmup})"
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        for line in child.stdout:
            lines.append(json.loads(line))
            progress(min(len(lines), number), number, "questions answered")
        complaint = child.stderr.read()
    if child.returncode:
        raise MetricError(f"the benchmark's process failed: {(complaint.strip().splitlines() or ['no message'])[-1]}")
    return lines[:-1], lines[-1]["peak_memory_mb"]
