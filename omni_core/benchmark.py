"""A served model and spoken questions enter; how fast it answers on this machine, and whether that is fast enough, leaves.

    question 1: challenger, champion    question 2: champion, challenger    question 3: challenger, champion ...

Each model is measured in a process of its own, so that peak memory is the served model's and no thread pool of the flow is
in the way. Where there is a champion, it answers the same questions in the same minutes, in turn with the challenger:
what the machine does meanwhile hits both, and a question's times can be paired (omni_core/compare.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.base import Artifact
from data_contracts.benchmark import ANSWER_TIMES, CHALLENGER, CHAMPION, PER_ANSWER, BenchmarkSettings, LatencyReport
from data_contracts.errors import MetricError, SourceError
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from omni_core import tables
from omni_core.processes import cores, cpu_name
from omni_core.progress import Progress, silent
from omni_core.store import ArtifactStore

if TYPE_CHECKING:
    from omni_core.speech_to_speech import SpeechToSpeech

Times = dict[str, float | None]
QUESTION_RATE_HZ = 16_000


def answer_when_asked(model_folder: Path, questions: Path, threads: int) -> None:
    """Child process: "7 whole" or "7 first" on stdin -> question 7 of an npz is answered, a JSON line of its times leaves.

    At the end of stdin the peak memory leaves. "first" stops at the first sound.
    """
    from omni_core.speech_to_speech import SpeechToSpeech

    model = SpeechToSpeech.load(model_folder, threads)
    waveforms = list(np.load(questions).values())
    for line in sys.stdin:
        number, how = line.split()
        times = _whole if how == "whole" else _first
        print(json.dumps(times(model, waveforms[int(number)])), flush=True)
    print(json.dumps({"peak_memory_mb": peak_memory_mb()}), flush=True)


def _whole(model: SpeechToSpeech, waveform: np.ndarray) -> Times:
    answer = model.answer(waveform, QUESTION_RATE_HZ)
    audio_s = len(answer.waveform) / answer.sample_rate_hz
    return {"time_to_first_audio_s": answer.time_to_first_audio_s, "total_s": answer.total_s, "audio_s": audio_s}


def _first(model: SpeechToSpeech, waveform: np.ndarray) -> Times:
    started = time.perf_counter()
    _, chunk = next(model.stream(waveform, QUESTION_RATE_HZ))
    waited_s = time.perf_counter() - started
    return {"time_to_first_audio_s": waited_s if len(chunk) else 0.0, "total_s": None, "audio_s": None}


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
    champion: QuantizedModel | None,
    manifest: Manifest,
    settings: BenchmarkSettings,
    progress: Progress = silent,
) -> LatencyReport:
    """Answer validation questions (the test split stays sealed) and judge the times; the champion answers them in turn."""
    questions = _questions(store, manifest, settings)
    models = {CHALLENGER: model} | ({CHAMPION: champion} if champion else {})
    with store.scratch(LatencyReport.kind) as folder:
        waveforms = folder.with_suffix(".npz")
        np.savez(waveforms, *[tables.waveform_of(row, QUESTION_RATE_HZ).numpy() for row in questions])
        try:
            folders = {who: store.folder(one) for who, one in models.items()}
            rows, memory = _in_turn(folders, waveforms, questions, settings, progress)
        finally:
            waveforms.unlink(missing_ok=True)
        latency = latency_of(rows, CHALLENGER) | {"peak_memory_mb": memory[CHALLENGER]}
        reasons = gate(latency, settings)
        facts = {**latency, "hardware": hardware(settings.threads),
                 "passed": not reasons, "reasons": reasons}  # fmt: skip
        if champion:
            facts[CHAMPION] = latency_of(rows, CHAMPION) | {"peak_memory_mb": memory[CHAMPION]}
        pq.write_table(pa.Table.from_pylist(rows, schema=ANSWER_TIMES), folder / PER_ANSWER)
        inputs: dict[str, Artifact] = {"model": model, "manifest": manifest}
        inputs |= {CHAMPION: champion} if champion else {}
        return store.commit(
            LatencyReport, folder, inputs=inputs, settings=settings.model_dump(mode="json"), facts=facts
        )


def hardware(threads: int) -> str:
    """What the times were measured on."""
    return f"{cpu_name()}, {cores()} cores, {threads} threads"


def latency_of(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, Any]:
    """Percentiles of a model's whole answers. Raises MetricError when it spoke none."""
    whole = [row for row in rows if row["who"] == who and row["audio_s"] is not None]
    spoken = [row for row in whole if row["audio_s"] > 0]
    if not spoken:
        raise MetricError(
            f"the {who} spoke no answer at all, so there is no latency; look at the answers' text in the evaluation"
        )
    return {
        "time_to_first_audio_ms": percentiles([1000 * row["time_to_first_audio_s"] for row in spoken]),
        "real_time_factor": percentiles([row["total_s"] / row["audio_s"] for row in spoken]),
        "answers": len(spoken), "silent_answers": len(whole) - len(spoken),
    }  # fmt: skip


def _questions(store: ArtifactStore, manifest: Manifest, settings: BenchmarkSettings) -> list[dict[str, Any]]:
    wanted = {t["question_id"] for t in tables.turns(store, manifest, "validation")[: settings.questions]}
    questions = [
        row
        for shard in manifest.shards("question")
        for row in tables.rows(store, manifest, shard)
        if row["utterance_id"] in wanted
    ]
    if not questions:
        raise SourceError("there is no validation question to measure latency with; mark some rows split=validation")
    return questions


def _in_turn(
    models: Mapping[str, Path],
    waveforms: Path,
    questions: Sequence[Mapping[str, Any]],
    settings: BenchmarkSettings,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of per_answer.parquet, and each model's peak memory."""
    rows: list[dict[str, Any]] = []
    rounds = settings.rounds if len(models) > 1 else 1
    with ExitStack() as stack:
        served = {who: stack.enter_context(_Served(who, path, waveforms, settings)) for who, path in models.items()}
        for turn in range(rounds):
            for number, question in enumerate(questions):
                # Who is first changes, so that neither always finds the machine as the other has left it.
                for who in list(served)[:: 1 if (turn + number) % 2 == 0 else -1]:
                    times = served[who].ask(number, "first" if turn else "whole")
                    asked = {name: question[name] for name in ("source", "speaker")}
                    rows.append({"who": who, "round": turn, "question_id": question["utterance_id"], **asked, **times})
                progress(turn * len(questions) + number + 1, rounds * len(questions), "questions answered")
        return rows, {who: round(one.end()) for who, one in served.items()}


class _Served:
    """A model in a process of its own, warm, that answers when it is asked."""

    def __init__(self, who: str, model: Path, waveforms: Path, settings: BenchmarkSettings):
        arguments = f"Path({str(model)!r}), Path({str(waveforms)!r}), {settings.threads}"
        code = f"from pathlib import Path; from omni_core.benchmark import answer_when_asked as go; go({arguments})"
        self._who, self._warmup = who, settings.warmup
        # no pipe: one that nobody reads would stop a chatty child
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed by __exit__
        self._child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )

    def __enter__(self) -> _Served:
        for _ in range(self._warmup):
            self.ask(0, "whole")
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()
        self._complaints.close()

    def ask(self, number: int, how: str) -> Times:
        """Times of one answer. Raises MetricError when the process has ended."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # _line tells why
            print(number, how, file=self._child.stdin, flush=True)
        return self._line()

    def end(self) -> float:
        """Let the process end; its peak memory in MiB."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.stdin = None
        memory = self._line()["peak_memory_mb"]
        assert memory is not None
        return memory

    def _line(self) -> Times:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if line:
            return json.loads(line)
        self._complaints.seek(0)
        told = (self._complaints.read().strip().splitlines() or ["no message"])[-1]
        raise MetricError(f"the {self._who}'s process in the benchmark failed: {told}")
