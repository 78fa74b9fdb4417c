"""Two references enter (evaluation reports or folders of recordings), pairs of clips of the same thing leave.

    report  an answer a turn, of those turns whose audio both reports kept; context: the question's text
    folder  a recording a file; equal names make a pair

What cannot be compared is set aside with its reason, so pairs + set aside = all names of both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from data_contracts.errors import ArtifactError, SourceError
from data_contracts.evaluate import EvaluationReport
from omni_core.audio import decode, resample
from omni_core.listening_test.loudness import loudness_lufs
from omni_core.store import CARD, ArtifactStore

SHORTEST_DIGEST = 4
"""Characters; fewer are a version's number."""
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


@dataclass(frozen=True)
class SideOfTest:
    """One of the two things that are compared: name -> file, and what its raters may read beside it."""

    title: str
    clips: Mapping[str, Path | None]
    contexts: Mapping[str, str]
    report: EvaluationReport | None = None


@dataclass(frozen=True)
class Pair:
    """The same answer of both sides; waveforms (samples,) float32 at one rate."""

    name: str
    context: str
    a: np.ndarray
    b: np.ndarray
    sample_rate_hz: int


@dataclass(frozen=True)
class SetAside:
    """A name that no rater will hear, and why."""

    name: str
    reason: str


def open_side(store: ArtifactStore, reference: str) -> SideOfTest:
    """A folder of recordings, a report's folder, or a report's digest in the store (its first digits will do).

    Raises SourceError for what is neither, ArtifactError for a report that was altered.
    """
    folder = Path(reference)
    if folder.is_dir() and not (folder / CARD).is_file():
        return _recordings(folder)
    if folder.is_dir():
        at = folder.resolve()
        return _report(ArtifactStore(at.parent.parent), at.name)
    digests = reports_of(store, reference)
    if len(digests) != 1:
        found = "none" if not digests else f"{len(digests)} of them"
        raise SourceError(
            f"'{reference}' is no folder, and {found} of the evaluation reports in the store {store.root} begins with it; name a folder of recordings, a report's digest, champion, previous, a version or a run's id"
        )
    return _report(store, digests[0])


def reports_of(store: ArtifactStore, prefix: str) -> list[str]:
    """Digests of the store's evaluation reports that begin with these digits."""
    if not prefix.isalnum() or len(prefix) < SHORTEST_DIGEST:
        return []
    return [Path(found).name for found in store.fs.glob(f"{store.base}/{EvaluationReport.kind}/{prefix}*")]


def _recordings(folder: Path) -> SideOfTest:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    clips: dict[str, Path | None] = {}
    for path in files:
        if path.stem in clips:
            raise SourceError(f"'{folder}' holds two recordings named '{path.stem}'; keep one of them")
        clips[path.stem] = path
    if not clips:
        raise SourceError(f"'{folder}' holds no recording ({', '.join(SUFFIXES)}); name another folder")
    return SideOfTest(folder.resolve().name, clips, {})


def _report(store: ArtifactStore, digest: str) -> SideOfTest:
    report = store.load(EvaluationReport, digest)
    folder = store.verify(report)
    table = pq.read_table(folder / "per_utterance.parquet", columns=["turn_id", "question_text", "clip"])
    clips, contexts = {}, {}
    for turn_id, question, clip in zip(*table.to_pydict().values(), strict=True):
        path = folder / "clips" / f"{clip}-answer.ogg"
        clips[turn_id] = path if clip is not None and path.is_file() else None
        contexts[turn_id] = question
    return SideOfTest(digest[:8], clips, contexts, report)


def pair_up(a: SideOfTest, b: SideOfTest) -> tuple[list[Pair], list[SetAside]]:
    """Decode both sides, name by name. Raises ArtifactError for reports of other questions, SourceError without a pair."""
    if a.report and b.report and a.report.facts["sealed_set"] != b.report.facts["sealed_set"]:
        raise ArtifactError(
            f"reports {a.title} and {b.title} were asked different questions (sealed sets differ); evaluate both on one manifest"
        )
    found = [_pair(name, a, b) for name in sorted({*a.clips, *b.clips})]
    pairs = [one for one in found if isinstance(one, Pair)]
    aside = [one for one in found if isinstance(one, SetAside)]
    if not pairs:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in aside[:3])
        raise SourceError(f"'{a.title}' and '{b.title}' have no clip that can be compared ({reasons}); name others")
    return pairs, aside


def _pair(name: str, a: SideOfTest, b: SideOfTest) -> Pair | SetAside:
    files = []
    for side in (a, b):
        path = side.clips.get(name)
        if path is None:
            return SetAside(name, f"no clip of '{side.title}' was kept" if side.report else f"not in '{side.title}'")
        files.append(path)
    (one, one_hz), (two, two_hz) = (decode(path) for path in files)
    rate = max(one_hz, two_hz)  # one rate for both: nothing but the sound tells them apart
    one, two = resample(one, one_hz, rate), resample(two, two_hz, rate)
    for side, waveform in ((a, one), (b, two)):
        if not np.isfinite(loudness_lufs(waveform, rate)):
            return SetAside(name, f"silent in '{side.title}'")
    if np.array_equal(one, two):
        return SetAside(name, "the same audio on both sides, sample by sample: there is nothing to hear")
    return Pair(name, a.contexts.get(name, ""), one, two, rate)
