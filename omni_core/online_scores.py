"""A table of live answers enters, one sentence leaves: is the challenger better, worse, or is it open still?

    challenger,champion          a row a request that both models answered (or a person's mean), in order of arrival;
    1,0                          scores from 0 to 1: right or wrong, thumbs up or down, a mark
    0.5,1

The sentence holds however often it is asked for while traffic goes on; see omni_core.sequential.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from data_contracts.errors import SettingsError, SourceError
from omni_core.sequential import lower_bounds, paired_worth, stands, upper_bounds

COLUMNS = ("challenger", "champion")
LOW, HIGH = -1.0, 1.0
"""Of what a pair of scores from 0 to 1 is worth."""
SAID = {
    "BETTER": "the challenger is better",
    "WORSE": "the challenger is worse",
    "OPEN": "open: neither is shown yet",
}


def read_paired(path: Path) -> np.ndarray:
    """(answers,) of -1..1. Raises SourceError, with the line, for what is not two scores from 0 to 1."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise SourceError(
                    f"'{path}' has no column {' and no column '.join(missing)}; its first line names them"
                )
            scores = np.array([[_score(row[name], path, rows.line_num) for name in COLUMNS] for row in rows])
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read '{path}': {error}") from error
    if not len(scores):
        raise SourceError(f"'{path}' holds no answer yet")
    return paired_worth(*scores.T)


def _score(text: str | None, path: Path, line: int) -> float:
    try:
        score = float(text or "")
    except ValueError:
        score = np.nan
    if not 0 <= score <= 1:
        raise SourceError(f"line {line} of '{path}': '{text}' is no score from 0 to 1")
    return score


def sentence(worth: np.ndarray, confidence: float, margin: float = 0.0) -> str:
    """What stands after these answers, the mean gain with its bounds, and how many they are."""
    if not 0.5 < confidence < 1:
        raise SettingsError(f"--confidence {confidence:g} must lie over 0.5 and under 1")
    if not 0 <= margin < 1:
        raise SettingsError(f"--margin {margin:g} must lie from 0 to under 1")
    standing = stands(worth, LOW, HIGH, confidence, margin)
    lower, upper = (find(worth, LOW, HIGH, confidence)[-1] for find in (lower_bounds, upper_bounds))
    return (
        f"{SAID[standing]} (gain {worth.mean():+.3f} of a score from 0 to 1; one-sided {confidence:.0%} bounds {lower:+.3f} "
        f"and {upper:+.3f}, valid at every look; {len(worth)} answers)"
    )
