"""Rows of per_utterance.parquet and figures enter, every figure of every slice leaves: where a model is good and where it is not.

    dimension   slices
    language    BCP 47 tags
    speaker     of the question
    topic       of the turn
    length      of the question: under 2 s, 2 to 4 s, 4 s and more
    noise       of the question, estimated signal-to-noise ratio: under 15 dB, 15 to 30 dB, 30 dB and more

A figure is formed anew from the sums of a slice's rows, never as a mean of means. Small slices are noisy: read the count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from omni_core.metrics import Figure

LENGTH_BOUNDS_S = (2.0, 4.0)
NOISE_BOUNDS_DB = (15.0, 30.0)


def length_slice(duration_s: float) -> str:
    """Name of the slice that a question of this duration is in."""
    return _between(duration_s, LENGTH_BOUNDS_S, "s")


def noise_slice(snr_db: float) -> str:
    """Name of the slice that a question of this signal-to-noise ratio is in."""
    return _between(snr_db, NOISE_BOUNDS_DB, "dB")


def _between(value: float, bounds: tuple[float, float], unit: str) -> str:
    low, high = (f"{bound:g}" for bound in bounds)
    names = (f"under {low} {unit}", f"{low} to {high} {unit}", f"{high} {unit} and more")
    return names[int(np.searchsorted(bounds, value, side="right"))]


def by_slice(
    figures: Sequence[Figure], columns: Mapping[str, np.ndarray], dimensions: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """dimension -> a slice's name a row; returns dimension, slice, figure, value, unit, better, count, sorted by name.

    A figure that no row of a slice was scored on is left out there.
    """
    return [
        {"dimension": dimension, "slice": name, "figure": figure.name, "value": figure.of(part), "unit": figure.unit,
         "better": figure.better, "count": figure.count(part)}
        for dimension, members in dimensions.items()
        for name, part in _parts(columns, members)
        for figure in figures if figure.sums(part)[1].sum() > 0
    ]  # fmt: skip


def _parts(columns: Mapping[str, np.ndarray], members: Sequence[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(slice, its rows of every column)."""
    owner = np.array(members)
    for name in sorted(set(members)):
        yield name, {column: np.asarray(values)[owner == name] for column, values in columns.items()}
