"""Models whose true difference is known enter, how often the verdict's statistics err leaves: benchmarks/comparison.md.

    python benchmarks/comparison.py > benchmarks/comparison.md      # about ten minutes on one thread

Every trial draws new speakers, each with an effect of their own on both models and another on their difference, and new
turns with a difficulty that both models share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import CompareSettings
from omni_core.bootstrap import clusters_of, draw, percentiles, precision, ratios
from omni_core.compare import decide
from omni_core.metrics import Figure
from omni_core.paired_scores import compare_scores, corrected
from omni_core.power import growth, power
from omni_core.scores import FIRST_AUDIO, Sample, Scores
from omni_core.sequential import passes

REPLICATES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class World:
    """What the trials are drawn from. Spreads are standard deviations of the logarithm (MOS: of points)."""

    name: str
    figure: str
    """wer, accuracy, mos or p95."""
    speakers: int
    turns_each: int
    uneven: float = 0.0
    """Spread of the number of turns of a speaker."""
    speaker: float = 0.5
    """Spread of what a speaker is for both models."""
    difference: float = 0.3
    """Spread of what a speaker is for one model alone."""
    tail: float = 0.5
    """Shape of a turn's difficulty (gamma): small is rare and heavy."""
    new: float = 0.15
    old: float = 0.15


@dataclass(frozen=True)
class Trial:
    """One test of two models: (turns,) each."""

    speakers: np.ndarray
    new: tuple[np.ndarray, np.ndarray]
    old: tuple[np.ndarray, np.ndarray]


def trials(world: World, count: int, seed: int) -> Iterator[Trial]:
    """Independent trials."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        share = rng.lognormal(0, world.uneven, world.speakers)
        turns = np.maximum(1, np.round(share / share.sum() * world.speakers * world.turns_each)).astype(int)
        owner = np.repeat(np.arange(world.speakers), turns)
        yield Trial(owner, *_models(world, owner, rng))


def _models(world: World, owner: np.ndarray, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    n, common = len(owner), world.speaker * rng.standard_normal(world.speakers)
    words = rng.integers(4, 10, n).astype(float)
    hard = rng.gamma(world.tail, 1 / world.tail, n)
    normal = rng.standard_normal(n)
    found = []
    for base in (world.new, world.old):
        own = (common + world.difference * rng.standard_normal(world.speakers))[owner]
        spread = (world.speaker**2 + world.difference**2) / 2
        if world.figure == "wer":  # the mean of each factor of `rate` but `base` is 1, so base is the true rate
            rate = base * np.exp(own - spread) * (hard + rng.gamma(world.tail, 1 / world.tail, n)) / 2
            found.append((rng.poisson(words * rate).astype(float), words))
        elif world.figure == "accuracy":
            level = ndtri(base) * np.sqrt(2 + 2 * spread) + own + normal + rng.standard_normal(n)
            found.append(((level > 0).astype(float), np.ones(n)))
        elif world.figure == "mos":
            found.append((base + own + 0.3 * normal + 0.2 * rng.standard_normal(n), np.ones(n)))
        else:
            found.append((600 * np.exp(0.3 * own + 0.2 * normal + 0.1 * rng.standard_normal(n)), np.ones(n)))
    return found


Bounds = dict[str, tuple[float, float]]


def bounds(world: World, trial: Trial, seed: int) -> Bounds:
    """Method -> lower and upper bound of new - old (p95: of new / old - 1)."""
    clusters = clusters_of(trial.speakers)
    drawn = draw(clusters, REPLICATES, seed)
    if world.figure == "p95":
        return _bounds_of_p95(trial, clusters, drawn)
    (a1, b1), (a0, b0) = trial.new, trial.old
    t1, t0 = a1.sum() / b1.sum(), a0.sum() / b0.sum()
    estimate = t1 - t0
    influence = (a1 - t1 * b1) / b1.sum() - (a0 - t0 * b0) / b0.sum()
    r1, r0 = ratios(drawn, clusters, a1, b1), ratios(drawn, clusters, a0, b0)
    known = precision(r1 - r0, clusters, (b1 / b1.sum() + b0 / b0.sum()) / 2, influence)
    found = _common(estimate, r1 - r0, len(np.unique(clusters)))
    found["bootstrap-t"] = _bootstrap_t(estimate, (a1, b1, a0, b0), r1, r0, clusters, drawn)
    found["this one"] = known.bounds(estimate, CONFIDENCE)
    return found


def _bounds_of_p95(trial: Trial, clusters: np.ndarray, drawn: np.ndarray) -> Bounds:
    new, old = trial.new[0], trial.old[0]
    q1, q0 = (float(np.quantile(x, 0.95, method="inverted_cdf")) for x in (new, old))
    values = percentiles(drawn, clusters, new, 0.95) / percentiles(drawn, clusters, old, 0.95) - 1
    influence = (new > q1).astype(float) - (old > q0)
    known = precision(values, clusters, np.ones(len(new)), influence / len(new))
    return _common(q1 / q0 - 1, values, drawn.shape[1]) | {"this one": known.bounds(q1 / q0 - 1, CONFIDENCE)}


def _common(estimate: float, values: np.ndarray, count: int) -> Bounds:
    low, high = np.quantile(values, [1 - CONFIDENCE, CONFIDENCE])
    reach = np.sqrt(count / (count - 1)) * values.std() * stdtrit(count - 1, CONFIDENCE)
    return {"percentiles": (low, high), "t, G - 1": (estimate - reach, estimate + reach)}


def _bootstrap_t(
    estimate: float,
    sums: tuple[np.ndarray, ...],
    r1: np.ndarray,
    r0: np.ndarray,
    clusters: np.ndarray,
    drawn: np.ndarray,
) -> tuple[float, float]:
    """Studentized by the linearized cluster-robust standard error of each replicate."""
    totals = [np.bincount(clusters, part) for part in sums]
    a1, b1, a0, b0 = totals

    def error(counts: np.ndarray, t1: np.ndarray, t0: np.ndarray) -> np.ndarray:
        below1, below0 = counts @ b1, counts @ b0
        influence = (a1 - t1[:, None] * b1) / below1[:, None] - (a0 - t0[:, None] * b0) / below0[:, None]
        return np.sqrt((counts * influence**2).sum(1) * len(a1) / (len(a1) - 1))

    own = error(np.ones((1, len(a1))), np.array([a1.sum() / b1.sum()]), np.array([a0.sum() / b0.sum()]))[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num((r1 - r0 - estimate) / error(drawn, r1, r0))
    low, high = np.quantile(t, [1 - CONFIDENCE, CONFIDENCE])
    return estimate - high * own, estimate - low * own


def coverage(world: World, count: int, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Method -> share of trials whose lower bound is under the truth, upper bound over it, and the median width."""
    truth = 0.0 if world.figure == "p95" else world.new - world.old
    rows: dict[str, list[tuple[bool, bool, float]]] = {}
    for number, trial in enumerate(trials(world, count, seed)):
        for method, (low, high) in bounds(world, trial, number).items():
            rows.setdefault(method, []).append((low <= truth, high >= truth, high - low))
    return {
        method: (*(float(np.mean([r[i] for r in found])) for i in (0, 1)), float(np.median([r[2] for r in found])))
        for method, found in rows.items()
    }


WORLDS = [
    replace(world, speakers=speakers, turns_each=each)
    for world in (
        World("WER", "wer", 0, 0),
        World("WER, uneven", "wer", 0, 0, uneven=0.7),
        World("WER, heavy tail", "wer", 0, 0, tail=0.1),
        World("WER 30 % to 10 %", "wer", 0, 0, new=0.1, old=0.3),
        World("WER, speakers matter", "wer", 0, 0, speaker=1.0, difference=0.8),
        World("accuracy 20 %", "accuracy", 0, 0, new=0.2, old=0.2),
        World("accuracy 98 %", "accuracy", 0, 0, new=0.98, old=0.98),
        World("MOS, uneven", "mos", 0, 0, uneven=0.7, new=3.5, old=3.5),
        World("p95", "p95", 0, 0, new=1, old=1),
    )
    for speakers, each in ((4, 30), (7, 21), (15, 20), (40, 10))
]


def coverage_table(count: int) -> str:
    """Lower/upper coverage in percent, median width relative to this one's."""
    lines = [
        "| world | speakers x turns | percentiles | bootstrap-t | t, G - 1 | this one |",
        "|---|---|---|---|---|---|",
    ]
    for world in WORLDS:
        found = coverage(world, count)
        width = found["this one"][2]
        cells = [
            f"{100 * found[m][0]:.1f} / {100 * found[m][1]:.1f} ({min(9.99, found[m][2] / width):.2f})"
            if m in found
            else ""
            for m in ("percentiles", "bootstrap-t", "t, G - 1", "this one")
        ]
        lines.append(f"| {world.name} | {world.speakers} x {world.turns_each} | {' | '.join(cells)} |")
    return "\n".join(lines)


def power_table(count: int) -> str:
    """Planned power against how often the bound really clears, for equal models."""
    lines = ["| speakers x turns | margin, WER points | planned power, median | cleared | turns for 80 %, median |",
             "|---|---|---|---|---|"]  # fmt: skip
    for speakers, each, margin in ((7, 21, 0.005), (7, 21, 0.05), (20, 50, 0.02), (40, 50, 0.02), (100, 50, 0.01)):
        world = World("", "wer", speakers, each)
        planned, cleared, needed = [], [], []
        for number, trial in enumerate(trials(world, count, 1)):
            (a1, b1), (a0, b0) = trial.new, trial.old
            clusters = clusters_of(trial.speakers)
            drawn = draw(clusters, REPLICATES, number)
            t1, t0 = a1.sum() / b1.sum(), a0.sum() / b0.sum()
            influence = (a1 - t1 * b1) / b1.sum() - (a0 - t0 * b0) / b0.sum()
            values = ratios(drawn, clusters, a1, b1) - ratios(drawn, clusters, a0, b0)
            known = precision(values, clusters, b1, influence)
            planned.append(power(known, margin, CONFIDENCE))
            cleared.append(known.bounds(t1 - t0, CONFIDENCE)[1] < margin)
            needed.append(len(clusters) * growth(known, margin, CONFIDENCE, 0.8))
        lines.append(
            f"| {speakers} x {each} | {100 * margin:g} | {np.median(planned):.0%} | {np.mean(cleared):.0%} | {np.median(needed):,.0f} |"
        )
    return "\n".join(lines)


MARGINS = {
    "so wide that all guards hold": CompareSettings(replicates=200, wer_margin=2, accuracy_margin=1, mos_margin=4),
    "5 points, 15 points, 0.2": CompareSettings(replicates=200, wer_margin=0.05, accuracy_margin=0.15, mos_margin=0.2),
    "defaults": CompareSettings(replicates=200),
}
FIGURES = {
    "own_speech_wer": Figure("own_speech_wer", "fraction", "lower", "", "wer", "words"),
    "answer_accuracy": Figure("answer_accuracy", "fraction", "higher", "", "accuracy"),
    "distill_mos": Figure("distill_mos", "MOS", "higher", "", "mos"),
}


def decision_table(count: int) -> str:
    """The whole rule on two equal models: three figures that are guards and targets, equal latency."""
    lines = [
        "| speakers x turns | margins (WER, accuracy, MOS) | PROMOTE | REJECT | INCONCLUSIVE |",
        "|---|---|---|---|---|",
    ]
    facts = {"passed": True, "reasons": [], "time_to_first_audio_ms": {"p95": 0.0}, "real_time_factor": {"p50": 0.0}}
    latency = LatencyReport(digest="", kind_name="latency", facts=facts)
    for speakers, each in ((4, 15), (7, 21), (20, 15)):
        for margins, settings in MARGINS.items():
            rng = np.random.default_rng(0)
            made = [
                decide(
                    corrected(compare_scores(*_pair(speakers, each, rng), settings), None, settings)[0],
                    latency,
                    settings,
                )[0]
                for _ in range(count)
            ]
            shares = [f"{made.count(what) / count:.1%}" for what in ("PROMOTE", "REJECT", "INCONCLUSIVE")]
            lines.append(f"| {speakers} x {each} | {margins} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _pair(speakers: int, each: int, rng: np.random.Generator) -> list[Scores]:
    """Scores of two equal models, each figure from its world."""
    owner = np.repeat(np.arange(speakers), each)
    bases = {"own_speech_wer": ("wer", 0.15), "answer_accuracy": ("accuracy", 0.7), "distill_mos": ("mos", 3.5)}
    made = {
        name: _models(World("", kind, speakers, each, new=base, old=base), owner, rng)
        for name, (kind, base) in bases.items()
    }
    names, turns = np.array([f"voice-{i}" for i in owner]), [str(i) for i in range(len(owner))]
    times = {FIRST_AUDIO: Sample(np.full(len(owner), 400.0), names)}
    return [Scores(turns, names, FIGURES, {name: sides[i] for name, sides in made.items()}, times) for i in (0, 1)]


def sequential_table(count: int, longest: int) -> str:
    """Stop at the first bound over 0, looked at after every answer; a fixed-sample t test looked at as often beside it."""
    lines = ["| answers that differ | true gain | stopped, always-valid | median answers | stopped, t test at every look |",
             "|---|---|---|---|---|"]  # fmt: skip
    rng = np.random.default_rng(0)
    for differ, gain in ((0.3, 0.0), (0.1, 0.0), (0.02, 0.0), (0.3, 0.05), (0.1, 0.05), (0.1, 0.02)):
        values = rng.choice(
            [-1.0, 0.0, 1.0], (count, longest), p=[(differ - gain) / 2, 1 - differ, (differ + gain) / 2]
        )
        stops = [_first(passes(row, 0, -1, 1, CONFIDENCE)) for row in values]
        seen = np.arange(1, longest + 1)
        mean = np.cumsum(values, 1) / seen
        spread = np.sqrt(np.maximum(np.cumsum(values**2, 1) / seen - mean**2, 1e-12) / seen)
        naive = ((mean > stdtrit(np.maximum(1, seen - 1), CONFIDENCE) * spread) & (seen >= 30)).any(1)
        found = [s for s in stops if s is not None]
        middle = f"{np.median(found):,.0f}" if gain else ""
        lines.append(f"| {differ:.0%} | {gain:.0%} | {len(found) / count:.1%} | {middle} | {naive.mean():.1%} |")
    return "\n".join(lines)


def _first(crossed: np.ndarray) -> int | None:
    return int(crossed.argmax()) + 1 if crossed.any() else None


READING = """
What was chosen and why. The plain percentiles miss up to three times as often as they should with few speakers.
Bootstrap-t is better there but misses rare events and heavy tails, and with 4 speakers it is over twice as wide. Student's
t with G - 1 degrees of freedom misses when speakers talk unevenly; the correction in omni_core/bootstrap.py mends that.
Where it leaves 95 +- 1 it errs to the wide side (few speakers that matter much or talk very unevenly, very rare errors),
with one exception: models that differ grossly (30 % to 10 %), where the bound of the *larger* difference is too near in
9 to 14 % of trials. No decision reads that bound there: whether the difference is one at all is read from the other
bound, which holds in 98 %. Corrections for skewness (Johnson 1978, Hall 1992) were tried and dropped: they mend up to half of
that and break the case of equal models (84 to 95 %).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate the comparison's error rates; prints Markdown.")
    parser.add_argument("--trials", type=int, default=4000)
    chosen = parser.parse_args()
    tables: list[tuple[str, str, Callable[[], str]]] = [
        ("Coverage of one-sided 95 % bounds", f"{chosen.trials} trials a row, {REPLICATES} replicates: lower / upper bound in percent of trials (median width over this one's, at most 9.99). Bounds are of new minus old. One standard error of a cell is {100 * np.sqrt(0.95 * 0.05 / chosen.trials):.2f}.",
         lambda: coverage_table(chosen.trials)),
        ("The whole rule", f"Two equal models; {chosen.trials // 2} comparisons a row.", lambda: decision_table(chosen.trials // 2)),
        ("Planned power", f"Two equal models of 15 % WER; {chosen.trials // 8} trials a row.", lambda: power_table(chosen.trials // 8)),
        ("Online: stopping at will", f"{chosen.trials // 4} streams of 3 000 paired answers, each 1 (better), 0 or -1; stopped at the first bound over 0.",
         lambda: sequential_table(chosen.trials // 4, 3000)),
    ]  # fmt: skip
    print("# How often the comparison errs\nMade by `python benchmarks/comparison.py`.")
    print(READING.rstrip())
    for title, text, table in tables:
        print(f"\n## {title}\n{text}\n\n{table()}", flush=True)


if __name__ == "__main__":
    main()
