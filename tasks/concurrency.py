"""Nothing enters, the right to move a champion leaves: one flow run at a time has it, the others wait for it.

Prefect's global concurrency limit `promotion` (made by `omni up`). A tag's limit would do the same with less, but a task
that is killed keeps a tag's slot for a hundred years (Prefect 3.8.8); a lease is free again after a minute.
Without a server there is no limit, and the registry's transaction refuses the second (tasks.champion.exclusive).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext

PROMOTION_LIMIT = "promotion"
LEASE_S = 60


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for the slot; outside of a flow there is none."""
    if FlowRunContext.get() is None:
        yield
        return
    with concurrency(PROMOTION_LIMIT, occupy=1, lease_duration=LEASE_S):
        yield
