"""A function that makes one artifact enters, a Prefect task leaves: cached by content, retried when that can help, tracked.

@stage("omni_core.quantize")
def quantize(model: ..., settings: QuantizeSettings, home: str) -> QuantizedModel: ...
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any
from uuid import UUID

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext

from data_contracts.base import Artifact
from data_contracts.features import FeatureShard
from tasks import tracking
from tasks.caching import ByContent, code_of, raise_trouble_with_key
from tasks.home import store_of
from tasks.network import is_network_fault
from tasks.side_by_side import run_stage

RETRY_DELAYS_S = [3, 15, 60]
"""A server that restarts is back within the last of them."""


@dataclass(frozen=True)
class StageRun:
    """How one task of a flow run ended."""

    name: str
    seconds: float
    was_cached: bool


_tracker = threading.Lock()
"""Two stages that end at the same time would both open the MLflow run."""
_journal: dict[UUID | None, list[StageRun]] = defaultdict(list)


def latest_journal() -> list[StageRun]:
    """The tasks of the flow run that this process began last, in the order in which they ended."""
    return list(list(_journal.values())[-1]) if _journal else []


def seconds_of_stages() -> dict[str, float]:
    """Stage -> seconds, of the stages that the flow run begun last has really computed."""
    seconds: dict[str, float] = defaultdict(float)
    for run in latest_journal():
        if not run.was_cached:
            seconds[run.name] += run.seconds
    return dict(seconds)


def stage(
    *modules: str,
    cached: bool = True,
    also: Callable[[dict[str, Any]], str] | None = None,
    beside_others: bool = False,
    alone: bool = False,
) -> Callable[[Callable[..., Any]], Task[..., Any]]:
    """Make a task of a function; the core `modules` belong to its cache key, and what `also` says of its inputs.

    `beside_others`: it may run in a process of its own while another stage runs; `alone`: it trains while nothing else
    runs, with all threads of the settings; see tasks/side_by_side.py.
    """

    def make(function: Callable[..., Any]) -> Task[..., Any]:
        caching = {
            "cache_policy": ByContent(modules=modules, also=also),
            "persist_result": True,
            "result_serializer": "json",
        }
        return task(
            name=function.__name__.replace("_", " "),
            retries=len(RETRY_DELAYS_S),
            retry_delay_seconds=RETRY_DELAYS_S,
            retry_condition_fn=may_pass,
            on_completion=[_note],
            **(caching if cached else {"persist_result": False}),
        )(_tracked(function, modules, beside_others, alone))

    return make


def flow_run(home: str) -> tracking.FlowRun | None:
    """The flow run around this call, for the tracker; None outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    settings = (context.parameters or {}).get("settings")
    return tracking.FlowRun(str(context.flow_run.id), home, settings, context.flow_run.name)


def close_tracking(_flow: Any, run: Any, state: State) -> None:
    """Flow hook: the MLflow run ends as the flow run did."""
    tracking.close_run(str(run.id), "FINISHED" if state.is_completed() else "FAILED")


def _tracked(
    function: Callable[..., Any], modules: tuple[str, ...], beside_others: bool, alone: bool
) -> Callable[..., Any]:
    """The function, the code on its artifact's card, and it in MLflow when it has really run (not one a shard: those are many)."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        task_run = TaskRunContext.get()
        if task_run:
            raise_trouble_with_key(task_run.task_run.id)
        given = signature(function).bind(*args, **kwargs).arguments
        around = flow_run(given["home"])
        made = run_stage(around, function, args, kwargs, alone) if beside_others or alone else function(*args, **kwargs)
        if modules and isinstance(made, Artifact):
            made = store_of(given["home"]).keep_card(made.model_copy(update={"code_digest": code_of(modules, given)}))
        if around and task_run and isinstance(made, Artifact) and not isinstance(made, FeatureShard):
            with _tracker:
                tracking.log_stage(around, task_run.task.name, made)
        return made

    return run


def may_pass(_task: Any, _run: TaskRun, state: State) -> bool:
    """True for faults of the network; what a person must mend, or we, is not tried again."""
    return is_network_fault(state.result(raise_on_failure=False))


def _note(task: Task[..., Any], run: TaskRun, state: State) -> None:
    start = run.start_time or state.timestamp
    seconds = (state.timestamp - start).total_seconds()
    _journal[run.flow_run_id].append(StageRun(task.name, seconds, state.name == "Cached"))
