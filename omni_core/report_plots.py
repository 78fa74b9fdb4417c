"""Numbers and waveforms enter, pictures inside HTML leave: SVG that takes the page's colours, PNG as data URIs.

Text stays text and takes `currentColor`, so that one picture reads in a light and in a dark page, and in print.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from omni_core.audio import resample

INK = "#010203"
"""Stands for the page's own text colour while matplotlib draws."""
CHALLENGER, CHAMPION = "#3b82d0", "#d9822b"
SPECTROGRAM_RATE_HZ, FFT, HOP = 16_000, 512, 160
RANGE_DB = 70.0
SHADES = 48


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """(figure, axes) without a window or a global state, in inches; both see-through."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(INK)
    return figure, axes


def _svg(figure: Any, what: str) -> str:
    """An <svg> element for the page, `what` is read aloud by screen readers."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": what}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    label = what.replace("&", "and").replace('"', "'").replace("<", "")
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)  # the page's own font
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).replace(INK, "currentColor")


def loss_curve(name: str, points: Sequence[tuple[int, float]]) -> str:
    """(step, value) pairs: every value faint, and their running mean."""
    figure, axes = _figure(3.6, 2.1)
    steps, values = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    axes.plot(steps, values, color=CHALLENGER, alpha=0.25, linewidth=0.8)
    axes.plot(steps, running_mean(values, max(1, len(values) // 25)), color=CHALLENGER, linewidth=1.6)
    axes.set_xlabel("step", color=INK, fontsize=8)
    axes.set_title(f"{name.replace('_', ' ')}, last {values[-1]:.3g}", color=INK, fontsize=9, loc="left")
    axes.grid(axis="y", color=INK, alpha=0.12)
    return _svg(figure, f"{name} over training steps")


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over the last `width` values, fewer at the start; (n,) -> (n,)."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return (sums[ends] - sums[starts]) / (ends - starts)


def latency_plot(
    name: str, values: Sequence[float], gate: float | None, gated: str, champion: Sequence[float] = ()
) -> str:
    """Every answer as a dot over its rank, p50 and p95 marked, the gate dashed. `gated` says what the gate bounds."""
    figure, axes = _figure(3.6, 2.1)
    if champion:
        old = np.sort(np.asarray(champion, float))
        axes.plot(old, (np.arange(len(old)) + 0.5) / len(old), "o", markersize=3, color=CHAMPION, alpha=0.6)
    ordered = np.sort(np.asarray(values, float))
    axes.plot(ordered, (np.arange(len(ordered)) + 0.5) / len(ordered), "o", markersize=3, color=CHALLENGER)
    for share in (0.5, 0.95):
        value = float(np.quantile(ordered, share))
        axes.plot([value, value], [0, share], color=CHALLENGER, linewidth=0.8, alpha=0.6)
        axes.annotate(f"p{share * 100:.0f} {value:,.4g}" if value >= 1000 else f"p{share * 100:.0f} {value:.3g}", (value, share), (4, -9), textcoords="offset points", fontsize=8,
                      color=INK)  # fmt: skip
    if gate is not None:
        axes.axvline(gate, color=CHAMPION, linestyle="--", linewidth=1)
        axes.annotate(f"gate of {gated}: {gate:g}", (gate, 0), (-3, 4), textcoords="offset points", fontsize=8, color=INK,
                      ha="right", rotation=90)  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share of answers", color=INK, fontsize=8)
    beside = "  (orange: champion)" if champion else ""
    axes.set_title(name.replace("_", " ") + beside, color=INK, fontsize=9, loc="left")
    return _svg(figure, f"{name}: share of answers under each value")


def gain_plot(rows: Sequence[tuple[str, float, float, float, float]]) -> str:
    """(label, gain, lower, upper, margin) in units of the margin: right of 0 is better, left of -1 is too much worse."""
    figure, axes = _figure(6.4, 0.5 + 0.42 * len(rows))
    for place, (_, gain, lower, upper, margin) in enumerate(rows):
        axes.plot([lower / margin, upper / margin], [-place, -place], color=CHALLENGER, linewidth=2)
        axes.plot([gain / margin], [-place], "o", color=CHALLENGER)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.axvline(-1, color=CHAMPION, linestyle="--", linewidth=1)
    axes.set_xscale("symlog", linthresh=2)  # one large gain must not hide the others' distance to their margins
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks([-place for place in range(len(rows))], [row[0] for row in rows])
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -1.6), max(right, 1.6))
    axes.set_xlabel(
        "gain over the champion, in margins (logarithmic beyond 2); dashed: the margin", color=INK, fontsize=8
    )
    return _svg(figure, "gain over the champion with one-sided bounds, in units of the margin")


def spectrogram(waveform: np.ndarray, sample_rate_hz: int) -> str:
    """(samples,) -> data URI of a PNG: 0 to 8 kHz upwards, a column 10 ms, 70 dB from black to white."""
    import matplotlib
    from PIL import Image

    level = spectrum_db(waveform, sample_rate_hz)
    shade = np.clip((level - level.max() + RANGE_DB) / RANGE_DB, 0, 1) * (SHADES - 1)
    picture = Image.fromarray(np.flipud(shade.T).round().astype(np.uint8), "P")
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, SHADES))[:, :3]
    picture.putpalette((colours * 255).round().astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return data_uri(file.getvalue(), "image/png")


def spectrum_db(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Power in dB, (columns of 10 ms, 128 bands of 62.5 Hz): neighbouring pairs of FFT bins are joined."""
    samples = resample(waveform, sample_rate_hz, SPECTROGRAM_RATE_HZ)
    samples = np.pad(samples, (0, max(0, FFT - len(samples))))
    columns = np.lib.stride_tricks.sliding_window_view(samples, FFT)[::HOP] * np.hanning(FFT)
    power = np.abs(np.fft.rfft(columns)[:, : FFT // 2]) ** 2
    return 10 * np.log10(power.reshape(len(power), -1, 2).sum(2) + 1e-10)


def data_uri(data: bytes, media_type: str) -> str:
    """Bytes inside an address."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
