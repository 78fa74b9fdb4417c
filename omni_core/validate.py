"""Tables and expectation suites enter, the rows that fail and why leave, and Data Docs for people to read.

Great Expectations (1.24) decides which records are set aside; the suites are in data_contracts/expectations.py.
The context is ephemeral: nothing is written but the pages, and those are the same bytes for the same data.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.errors import MetricError

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

    def failures(self, suite: ExpectationSuite, table: pandas.DataFrame) -> dict[int, Failure]:
        """Row label -> the first expectation of the suite that the row fails, as its `meta` words it."""
        found: dict[int, Failure] = {}
        for meta, labels in self._run(suite, table, complete=True):
            for label in labels:
                if int(label) not in found:
                    row = table.loc[label].to_dict()
                    found[int(label)] = Failure(meta["rule"].format(**row), meta["reason"].format(**row))
        return found

    def broken(self, suite: ExpectationSuite, table: pandas.DataFrame) -> list[dict[str, Any]]:
        """The expectations that a table does not meet as a whole, as their `meta`; empty when all hold."""
        return [meta for meta, _ in self._run(suite, table, complete=False)]

    def _run(self, suite: ExpectationSuite, table: pandas.DataFrame, complete: bool) -> list[tuple[dict, list]]:
        """(meta, failing labels) of each failed expectation, in the suite's order; an empty table meets everything."""
        if not len(table):
            return []
        from great_expectations.core.run_identifier import RunIdentifier

        order = [expectation.meta for expectation in suite.expectations]
        batch = self._tables.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
        definition = self._context.validation_definitions.add(
            self._gx.ValidationDefinition(name=suite.name, data=batch, suite=self._context.suites.add(suite))
        )
        # Labels of all failing rows are asked for only where they are read: COMPLETE is slow on many failures.
        form = {"result_format": "COMPLETE" if complete else "SUMMARY", "return_unexpected_index_query": False}
        results = definition.run(
            batch_parameters={"dataframe": table},
            result_format=form,
            run_id=RunIdentifier(run_name=RUN_NAME, run_time=RUN_TIME),
        ).results
        failed = [(_meta(result), _labels(suite.name, result)) for result in results if not result.success]
        return sorted(failed, key=lambda item: order.index(item[0]) if item[0] in order else -1)

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


def _meta(result: Any) -> dict[str, Any]:
    return result.expectation_config.meta or {"rule": result.expectation_config.type, "reason": ""}


def _labels(suite: str, result: Any) -> list:
    """Labels of the failing rows; an expectation that crashed is our fault and stops the run."""
    info = result.exception_info or {}
    crashes = [info] if "raised_exception" in info else list(info.values())
    for crash in crashes:
        if crash.get("raised_exception"):
            raise MetricError(
                f"expectation {result.expectation_config.type} of suite '{suite}' could not be computed: "
                f"{crash.get('exception_message')}"
            )
    return list(result.result.get("unexpected_index_list") or [])
