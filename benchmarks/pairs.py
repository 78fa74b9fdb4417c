"""Tiny models of every class enter, docs/pairs.md leaves: every pair of language model, encoder, codec and head through the flow.

nice .venv/bin/python benchmarks/pairs.py [--home /tmp/pairs] [--only TEXT] [--rest]     # in a home that it empties first
"""

from __future__ import annotations

import argparse
import re
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.retrain import RetrainSettings

PASSED = "passed"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "pairs.md"
HEAD = """# Every pair, through the flow

Language model class x encoder x codec x speech head. {rows} runs of the real flow (`flows.retrain`) in which each value of
every column meets each value of every other column at least once: {pairs} pairs. All components are real classes at a size of
kilobytes, with random weights (the language model is taught the answers for seconds), written by `save_pretrained` and
loaded from local folders; {turns} turns, a handful of steps. *Passed* means: under a name of its own, in a home that was empty before the first row, the parts
fit (`check consistency`), the model was served and answered within its context, scored, judged and promoted, and the registered
version answered its probes as before. It says nothing of quality: a model of a handful of steps speaks noise, so these bounds
are open here (their defaults in brackets): {open}. What stays closed: rates, widths, codebooks and vocabularies along the
chain, codes that decode, the length of the longest question. Written by `python benchmarks/pairs.py`; one row is in the test suite
(`tests/flows/test_pairs.py`). Rows in `SEEDS` of `tests/flows/pairs.py` were run again with another seed: what their untrained head
spoke was shorter than a registered model's answer may be.

| language model | encoder | codec | speech head | outcome | seconds |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Result:
    """One row of the page."""

    row: tuple[str, ...]
    outcome: str
    seconds: float

    @property
    def passed(self) -> bool:
        """The flow ended with this row's model as champion."""
        return self.outcome == PASSED


def run(row: tuple[str, ...], folder: Path) -> Result:
    """One run of the flow; what goes wrong is the row's outcome."""
    from flows.retrain import retrain
    from tests.flows import pairs

    started = time.monotonic()
    try:
        outcome = outcome_of(retrain(pairs.settings_of(row, folder)))
    except Exception as error:
        traceback.print_exc()
        outcome = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
    return Result(row, outcome, time.monotonic() - started)


def outcome_of(done: Any) -> str:
    """Passed is a model that this very run promoted."""
    promotion, consistency = done.promotion.facts, done.consistency.facts
    if not consistency["passed"]:
        return f"not consistent: {'; '.join(consistency['reasons'])}"
    return PASSED if promotion["promoted"] else f"not promoted: {promotion['reason']}"


def open_bounds(tiny: RetrainSettings) -> str:
    """Bounds of consistency, gates and latency that these settings have other than the defaults, as "name value (default)"."""
    plain = RetrainSettings()
    found = []
    for group in (lambda s: s.consistency, lambda s: s.compare.gates, lambda s: s.benchmark):
        mine, usual = group(tiny).model_dump(), group(plain).model_dump()
        bounds = [name for name in mine if name.startswith(("max_", "min_")) and mine[name] != usual[name]]
        found += [
            f"`{name}` {mine[name]:g} ({'none' if usual[name] is None else f'{usual[name]:g}'})" for name in bounds
        ]
    return ", ".join(found)


def write_page(results: list[Result], pairs: int, turns: int, opened: str) -> None:
    """The page, whole."""
    text = HEAD.format(rows=len(results), pairs=pairs, turns=turns, open=opened)
    lines = [f"| {' | '.join(result.row)} | {result.outcome} | {result.seconds:.0f} |" for result in results]
    PAGE.write_text(text + "\n".join(lines) + "\n")


def passed_before() -> dict[tuple[str, ...], Result]:
    """Rows that the page has as passed."""
    found = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \| (\S+) \| passed \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    return {tuple(row): Result(tuple(row), PASSED, float(seconds)) for *row, seconds in found}


def main() -> int:
    """0 when every row has passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("var/pairs"), help="where components and runs go (var/pairs)")
    parser.add_argument("--only", default="", help="rows that hold all of these words; the page is not written")
    parser.add_argument("--rest", action="store_true", help="keep the rows that the page has as passed, run the others")
    arguments = parser.parse_args()
    from flows.environment import prepare

    shutil.rmtree(arguments.home / "home", ignore_errors=True)  # nothing of another run: no cache, no champion
    prepare(arguments.home.absolute() / "home")
    from tests.flows import pairs, tiny

    rows = pairs.covering_rows(pairs.FACTORS)
    wanted = [row for row in rows if set(arguments.only.split()) <= set(row)]
    results, known = [], passed_before() if arguments.rest else {}
    for number, row in enumerate(wanted, start=1):
        results.append(known.get(row) or run(row, arguments.home.absolute()))
        print(
            f"{number}/{len(wanted)} {' '.join(row)}: {results[-1].outcome} ({results[-1].seconds:.0f} s)", flush=True
        )
        if not arguments.only:  # after each row: what was found is kept, whenever it is stopped
            met = len(set().union(*map(pairs.pairs_in, wanted[:number])))
            write_page(results, met, len(tiny.turns()), open_bounds(pairs.settings_of(row, arguments.home.absolute())))
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
