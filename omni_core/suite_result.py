"""Great Expectations' results of a suite over the parts of a table enter, the result over all its rows leaves.

Counts and percentages are those of all rows. Of the rows that fail, whose values the pages show, the first MAX_SHOWN of an
expectation are kept: the pages call them a sample where there are more.
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

MAX_SHOWN = 1_000
MAX_PARTIAL = 20  # GX's own: values in its partial lists
LISTS = {
    "unexpected_list": MAX_SHOWN,
    "unexpected_index_list": MAX_SHOWN,
    "partial_unexpected_list": MAX_PARTIAL,
    "partial_unexpected_index_list": MAX_PARTIAL,
}
OVER_ROWS = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
"""Expectations that a part alone cannot answer."""


def over_rows(suite: ExpectationSuite) -> ExpectationSuite:
    """Those expectations of a suite, under a name of their own."""
    from great_expectations import ExpectationSuite

    kept = [copy.copy(one) for one in suite.expectations if one.expectation_type in OVER_ROWS]
    return ExpectationSuite(name=f"{suite.name} over all rows", expectations=kept)


class SuiteResult:
    """Grows by a part; a suite's result over a single part stays as GX made it."""

    def __init__(self, suite: ExpectationSuite):
        self.suite, self.parts = suite, 0
        self._result: Any = None

    def add(self, result: Any) -> None:
        """The next part's result, of the same suite."""
        self.parts += 1
        if self._result is None:
            self._result = result
            return
        for ours, theirs in zip(self._result.results, result.results, strict=True):
            _add(ours, theirs)
        seen = [one.meta["batch_markers"]["pandas_data_fingerprint"] for one in (self._result, result)]
        self._result.meta["batch_markers"]["pandas_data_fingerprint"] = hashlib.md5("".join(seen).encode()).hexdigest()

    def replace(self, whole: Any) -> None:
        """Results over all rows take the place of those that were found in parts."""
        for result in whole.results:
            (ours,) = [one for one in self._result.results if _is_same(one, result)]
            ours.result, ours.success = result.result, result.success

    def merged(self) -> Any:
        """GX's ExpectationSuiteValidationResult over all parts."""
        good = sum(bool(result.success) for result in self._result.results)
        count = len(self._result.results)
        self._result.success = good == count
        self._result.statistics = {
            "evaluated_expectations": count,
            "successful_expectations": good,
            "unsuccessful_expectations": count - good,
            "success_percent": good / count * 100 if count else None,
        }
        return self._result


def _is_same(one: Any, other: Any) -> bool:
    """Equal but for the id that GX gives to an expectation."""
    kwargs = [{key: value for key, value in result.expectation_config.kwargs.items() if key != "batch_id"}
              for result in (one, other)]  # fmt: skip
    return one.expectation_config.type == other.expectation_config.type and kwargs[0] == kwargs[1]


def _add(ours: Any, theirs: Any) -> None:
    ours.success = ours.success and theirs.success
    if crashes(theirs):
        ours.exception_info = theirs.exception_info
    if "element_count" not in ours.result or "element_count" not in theirs.result:
        return  # of the columns, not of rows; or one that crashed
    merged = dict(ours.result)
    for count in ("element_count", "unexpected_count", "missing_count"):
        if count in merged:
            merged[count] += theirs.result[count]
    for rows, most in LISTS.items():
        if rows in merged or rows in theirs.result:
            merged[rows] = [*(merged.get(rows) or []), *(theirs.result.get(rows) or [])][:most]
    if "partial_unexpected_counts" in merged:
        counted = [result.get("partial_unexpected_counts", []) for result in (ours.result, theirs.result)]
        merged["partial_unexpected_counts"] = _commonest(merged.get("unexpected_list"), counted)
    ours.result = merged | _percentages(merged)


def crashes(result: Any) -> list[dict[str, Any]]:
    """What GX tells of an expectation that could not be computed; empty for one that could."""
    info = result.exception_info or {}
    found = [info] if "raised_exception" in info else list(info.values())
    return [crash for crash in found if crash.get("raised_exception")]


def _commonest(values: list[Any] | None, counted: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """As GX's `_format_map_output` counts them; where it kept no values, of what it counted in the parts."""
    counts = Counter(values)
    for one in counted if values is None else []:
        counts.update({entry["value"]: entry["count"] for entry in one})
    common = counts.most_common(MAX_PARTIAL)
    return [{"value": value, "count": count} for value, count in sorted(common, key=lambda item: (-item[1], item[0]))]


def _percentages(result: dict[str, Any]) -> dict[str, float | None]:
    """As GX's `_format_map_output` has them: of the rows, and of those that are not missing."""
    rows, bad = result["element_count"], result["unexpected_count"]
    of_all = bad / rows * 100 if rows else None
    if "missing_count" not in result:
        return {"unexpected_percent": of_all}
    present = rows - result["missing_count"]
    of_present = bad / present * 100 if present else None
    return {
        "unexpected_percent": of_present,
        "missing_percent": result["missing_count"] / rows * 100 if rows else None,
        "unexpected_percent_total": of_all,
        "unexpected_percent_nonmissing": of_present,
    }
