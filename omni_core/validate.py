"""Tables and expectation suites enter, the rows that fail and why leave, and Data Docs for people to read.

Great Expectations (1.24) decides which records are set aside; the suites are in data_contracts/expectations.py.
The context is ephemeral: nothing is written but the pages, and those are the same bytes for the same data. A table of many
rows comes in parts, so that memory is bounded by a part; omni_core/suite_result.py makes one result of theirs.
"""

from __future__ import annotations

import gc
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.errors import MetricError
from omni_core import parts
from omni_core.suite_result import SuiteResult, crashes, over_rows

if TYPE_CHECKING:
    import pandas
    from great_expectations import ExpectationSuite

# The Manifest is named by its content, so the pages must not tell the time: a fixed one stands in their names.
RUN_NAME, RUN_TIME = "ingest", datetime(2000, 1, 1, tzinfo=UTC)
RUN_STAMP = RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ")
TIMESTAMP = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
RANDOM_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True)
class Failure:
    """Why a row is set aside: the rule's short name and one sentence."""

    rule: str
    reason: str


class Validator:
    """An ephemeral context that runs suites over pandas tables and keeps their results for the Data Docs."""

    def __init__(self) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._tables = self._context.data_sources.add_pandas("ingest")
        self._definitions: dict[str, Any] = {}

    def failures(self, suite: ExpectationSuite, table: pandas.DataFrame) -> dict[int, Failure]:
        """Row label -> the first expectation of the suite that the row fails, as its `meta` words it."""
        return {label: failure for label, _, failure in self.failing(suite, [table])}

    def failing(
        self, suite: ExpectationSuite, tables: Iterable[pandas.DataFrame]
    ) -> Iterator[tuple[int, int, Failure]]:
        """(row label, number of the first expectation that it fails, why) of a table that comes in parts."""
        pages = SuiteResult(suite)
        for table in _filled(tables):
            results, found = self._run(suite, table, complete=True), set[int]()
            for number, result in _failed(suite, results):
                for label in _labels(suite.name, result):
                    if label not in found:
                        found.add(label)
                        row, meta = table.loc[label].to_dict(), _meta(result)
                        yield label, number, Failure(meta["rule"].format(**row), meta["reason"].format(**row))
            pages.add(results)
            _let_go(len(table))
        self._keep(pages)

    def broken(self, suite: ExpectationSuite, table: pandas.DataFrame) -> list[dict[str, Any]]:
        """The expectations that a table does not meet as a whole, as their `meta`; empty when all hold."""
        return self.broken_by_parts(suite, [table])

    def broken_by_parts(
        self, suite: ExpectationSuite, tables: Iterable[pandas.DataFrame], whole: pandas.DataFrame | None = None
    ) -> list[dict[str, Any]]:
        """The same of a table that comes in parts. `whole` has the columns that must not repeat, of all rows, in which
        equal cells may be equal numbers."""
        pages = SuiteResult(suite)
        for table in _filled(tables):
            pages.add(self._run(suite, table, complete=False))
            _let_go(len(table))
        if pages.parts > 1 and whole is not None:
            pages.replace(self._run_aside(over_rows(suite), whole))
        self._keep(pages)
        failed = _failed(suite, pages.merged()) if pages.parts else []
        for _, result in failed:
            _stop_if_crashed(suite.name, result)
        return [_meta(result) for _, result in failed]

    def _run(self, suite: ExpectationSuite, table: pandas.DataFrame, complete: bool) -> Any:
        """GX's result of a suite over a table."""
        from great_expectations.core.run_identifier import RunIdentifier

        # Labels of all failing rows are asked for only where they are read: COMPLETE is slow on many failures.
        form = {"result_format": "COMPLETE" if complete else "SUMMARY", "return_unexpected_index_query": False}
        return self._definition(suite).run(
            batch_parameters={"dataframe": table},
            result_format=form,
            run_id=RunIdentifier(run_name=RUN_NAME, run_time=RUN_TIME),
        )

    def _definition(self, suite: ExpectationSuite) -> Any:
        if suite.name not in self._definitions:
            batch = self._tables.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
            self._definitions[suite.name] = self._context.validation_definitions.add(
                self._gx.ValidationDefinition(name=suite.name, data=batch, suite=self._context.suites.add(suite))
            )
        return self._definitions[suite.name]

    def _run_aside(self, suite: ExpectationSuite, table: pandas.DataFrame) -> Any:
        """The same without a page of its own."""
        results = self._run(suite, table, complete=False)
        self._context.validation_results_store.remove_key(self._key(suite.name))
        self._context.validation_definitions.delete(suite.name)
        self._context.suites.delete(suite.name)
        return results

    def _keep(self, pages: SuiteResult) -> None:
        """GX keeps the result of the last part for the pages; that of them all takes its place."""
        if pages.parts > 1:
            self._context.validation_results_store.set(self._key(pages.suite.name), pages.merged())

    def _key(self, suite: str) -> Any:
        keys: list[Any] = self._context.validation_results_store.list_keys()
        (key,) = [key for key in keys if key.expectation_suite_identifier.name == suite]
        return key

    def write_docs(self, folder: Path) -> None:
        """Write the pages of every suite run so far: folder/index.html."""
        site: Any = {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        }
        self._context.add_data_docs_site(folder.name, site)
        self._context.build_data_docs(site_names=[folder.name])
        for clip in folder.glob("static/images/*.gif"):
            clip.unlink()  # 3 MB of help animations
        for page in sorted(folder.rglob("*.html")):
            page.write_text(without_chance(page.read_text(encoding="utf-8")), encoding="utf-8")


def without_chance(page: str) -> str:
    """A page with its times set to RUN_TIME and its random ids numbered, so that equal data gives equal bytes."""
    numbers: dict[str, str] = {}
    count = itertools.count()
    page = RANDOM_ID.sub(lambda found: numbers.setdefault(found[0], f"part-{next(count)}"), page)
    return TIMESTAMP.sub(RUN_STAMP, page)


def _filled(tables: Iterable[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
    """An empty table meets everything."""
    return (table for table in tables if len(table))


def _let_go(rows: int) -> None:
    """GX ties tables and results in cycles, and Python's own collection comes late: 1 kB a row waited for it."""
    if rows > parts.ROWS // 2:  # 0.2 s are little beside such a part, and much beside a small table
        gc.collect()


def _failed(suite: ExpectationSuite, results: Any) -> list[tuple[int, Any]]:
    """(number in the suite, result) of each failed expectation, in the suite's order; one without meta comes first."""
    order = [expectation.meta for expectation in suite.expectations]
    found = [(_meta(result), result) for result in results.results if not result.success]
    numbered = [(order.index(meta) if meta in order else -1, result) for meta, result in found]
    return sorted(numbered, key=lambda item: item[0])


def _meta(result: Any) -> dict[str, Any]:
    return result.expectation_config.meta or {"rule": result.expectation_config.type, "reason": ""}


def _labels(suite: str, result: Any) -> list[int]:
    """Labels of the failing rows."""
    _stop_if_crashed(suite, result)
    return [int(label) for label in result.result.get("unexpected_index_list") or []]


def _stop_if_crashed(suite: str, result: Any) -> None:
    """An expectation that crashed is our fault and stops the run."""
    for crash in crashes(result):
        raise MetricError(
            f"expectation {result.expectation_config.type} of suite '{suite}' could not be computed: "
            f"{crash.get('exception_message')}"
        )
