"""Everything that the journey made enters, the HTML report leaves; MLflow gets it, and every stage that was cached."""

from __future__ import annotations

from typing import Any

from data_contracts.base import OMNI_CORE, Artifact
from data_contracts.report import Report, ReportSettings
from omni_core.store import sha256_of
from tasks import tracking
from tasks.home import store_of
from tasks.plan import announced
from tasks.progress import shown
from tasks.stage import flow_run, latest_journal, seconds_of_stages, stage


def _template(_inputs: dict[str, Any]) -> str:
    """The page's template: no import shows it, so the code digest does not hold it."""
    return sha256_of(OMNI_CORE / "report.html.jinja")


@stage("omni_core.report", also=_template)
def report(title: str, journey: dict[str, Artifact | None], settings: ReportSettings, home: str) -> Report:
    """One page: verdict, tables, plots, players. `journey` is task name -> what it made; see omni_core.report.

    Times and the plan are of this run and no inputs: a page that tells of the same artifacts is not written again.
    """
    from omni_core import report as core

    store, around = store_of(home), flow_run(home)
    made = {role: artifact for role, artifact in journey.items() if artifact is not None}
    kept = [run.name for run in latest_journal() if run.was_cached]
    run = core.Run(title, seconds_of_stages(), list(dict.fromkeys(kept)), announced(around.id) if around else None)
    with store.scratch(Report.kind) as folder, shown("report") as progress:
        progress(0, 1, "writing the page")
        core.write_report(store, folder, run, made, settings)
        page = store.commit(Report, folder, inputs=made, settings=settings.model_dump(mode="json"))
    if around:
        for role, artifact in made.items():
            tracking.log_stage(around, role, artifact)
        tracking.log_folder(around, store.folder(page), "report")
        tracking.log_texts(around, core.pictures(store, made), "plots")
    return page
