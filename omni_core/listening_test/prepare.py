"""Two sides and settings enter, a ListeningTest leaves: clips at one loudness, under names that betray nothing.

    clips/0003-a.wav  clips/0003-b.wav       the two sides of a pair
    clips/check-00-a.wav  check-00-b.wav     an attention check: a is clean, b the same clip drowned in noise

The same sides with the same settings are the same artifact, so a test that is started again finds its raters' answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.base import Artifact
from data_contracts.listening_test import ListeningTest, ListeningTestSettings
from omni_core.audio import encode_wav
from omni_core.listening_test.loudness import drowned, matched
from omni_core.listening_test.pairs import Pair, SetAside, SideOfTest, open_side, pair_up
from omni_core.store import ArtifactStore


def prepare(store: ArtifactStore, a: str, b: str, settings: ListeningTestSettings) -> ListeningTest:
    """Make (or find again) the test of two references. Errors are those of open_side and pair_up."""
    sides = open_side(store, a), open_side(store, b)
    pairs, aside = pair_up(*sides)
    with store.scratch(ListeningTest.kind) as folder:
        (folder / "clips").mkdir()
        items = [_write_pair(folder, number, pair, settings.loudness_lufs) for number, pair in enumerate(pairs)]
        checks = _write_checks(folder, pairs, settings)
        listed: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "items": items, "checks": checks,
                  "set_aside": [asdict(one) for one in aside]}  # fmt: skip
        (folder / "test.json").write_text(json.dumps(listed, indent=1))
        return store.commit(
            ListeningTest, folder, inputs=_inputs(sides), settings=listed["settings"], facts=_facts(sides, pairs, aside)
        )


def _inputs(sides: Sequence[SideOfTest]) -> dict[str, Artifact]:
    return {role: side.report for role, side in zip("ab", sides, strict=True) if side.report}


def _facts(sides: Sequence[SideOfTest], pairs: Sequence[Pair], aside: Sequence[SetAside]) -> dict[str, Any]:
    a, b = sides
    listening_s = sum((len(pair.a) + len(pair.b)) / pair.sample_rate_hz for pair in pairs) / len(pairs)
    return {"a": a.title, "b": b.title, "pairs": len(pairs), "set_aside": len(aside), "seconds_a_pair": listening_s}


def _write_pair(folder: Path, number: int, pair: Pair, target_lufs: float) -> dict[str, str]:
    item = f"{number:04d}"
    _write_clips(folder, item, matched([pair.a, pair.b], pair.sample_rate_hz, target_lufs), pair.sample_rate_hz)
    return {"item": item, "name": pair.name, "context": pair.context}


def _write_checks(folder: Path, pairs: Sequence[Pair], settings: ListeningTestSettings) -> list[dict[str, str]]:
    """Made of pairs spread over the test, of its two sides in turn."""
    rng = np.random.default_rng(settings.seed)
    chosen = np.linspace(0, len(pairs) - 1, settings.attention_checks).round().astype(int)
    checks = []
    for number, index in enumerate(chosen):
        pair, item = pairs[index], f"check-{number:02d}"
        clean = pair.b if number % 2 else pair.a
        clips = matched([clean, drowned(clean, rng)], pair.sample_rate_hz, settings.loudness_lufs)
        _write_clips(folder, item, clips, pair.sample_rate_hz)
        checks.append({"item": item, "name": pair.name, "context": pair.context})
    return checks


def _write_clips(folder: Path, item: str, clips: Sequence[np.ndarray], sample_rate_hz: int) -> None:
    # wav, as not every phone's browser plays ogg
    for side, clip in zip("ab", clips, strict=True):
        (folder / "clips" / f"{item}-{side}.wav").write_bytes(encode_wav(clip, sample_rate_hz))
