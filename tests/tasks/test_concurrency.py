import threading
import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

from flows.services.deploy import make_pool_and_limits
from tasks.concurrency import PROMOTION_LIMIT, one_at_a_time

inside: list[int] = []
most: list[int] = []


@flow
def promotes(number: int) -> None:
    with one_at_a_time():
        inside.append(number)
        most.append(len(inside))
        time.sleep(0.3)
        inside.remove(number)


def both() -> None:
    threads = [threading.Thread(target=promotes, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_two_runs_on_one_server_promote_one_after_the_other(prefect_server):
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=PROMOTION_LIMIT, limit=5))
    make_pool_and_limits()  # as `omni up` does over what an earlier one has left
    make_pool_and_limits()
    both()
    assert most == [1, 1]


def test_outside_of_a_flow_and_without_a_server_nothing_is_waited_for(monkeypatch):
    monkeypatch.setattr("tasks.concurrency.concurrency", pytest.fail)
    with one_at_a_time():
        pass
