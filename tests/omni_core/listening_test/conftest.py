"""What tests of the listening test share: two folders of short real speech, and sessions made of what raters did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_contracts.listening_test import ListeningTestSettings
from omni_core.audio import decode, encode_wav
from omni_core.listening_test.answers import Answer, Session
from omni_core.listening_test.prepare import prepare
from omni_core.listening_test.trials import Trial

RECORDINGS = Path(__file__).resolve().parents[3] / "examples" / "quickstart" / "recordings" / "audio"


@pytest.fixture
def sides(tmp_path) -> tuple[Path, Path]:
    """Six recordings of 0.6 s: a as spoken, b in 4 bits and three times louder."""
    for number, path in enumerate(sorted(RECORDINGS.glob("*.ogg"))[:6]):
        waveform, rate = decode(path)
        begin = int(np.abs(waveform).argmax()) - int(0.1 * rate)
        clip = waveform[max(0, begin) :][: int(0.6 * rate)] / 4
        for side, samples in (("a", clip), ("b", np.round(clip * 32) / 32 * 3)):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / f"clip-{number}.wav").write_bytes(encode_wav(samples, rate))
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def make_test(store, sides):
    """make_test(**settings) -> ListeningTest of the two folders."""
    return lambda **settings: prepare(store, *map(str, sides), ListeningTestSettings(**settings))


@pytest.fixture
def session():
    """session("abba", checks="..x", x="") -> Session: what was picked, and of each check whether it was passed (.)."""

    def make(picked: str, checks: str = "", x: str = "", unanswered: int = 0, rater: str = "r") -> Session:
        plan = [Trial(f"{i:04d}", "a", x[i] if x else None, False) for i in range(len(picked))]
        given = [Answer(side, 900, 1, 1) for side in picked]
        plan += [Trial(f"check-{i:02d}", "b", "b" if x else None, True) for i in range(len(checks))]
        wrong, right = ("a", "b") if x else ("b", "a")
        given += [Answer(right if passed == "." else wrong, 900, 1, 1) for passed in checks]
        plan += [Trial("check-99", "a", "a" if x else None, True)] * unanswered
        return Session(rater, 0, tuple(plan), tuple(given))

    return make
