"""What every test gets: the product's environment, no hub, one thread; one Prefect server a session for those that ask."""

import os
import tempfile
from pathlib import Path

import pytest

from flows.environment import DEFAULTS

for name, value in {**DEFAULTS, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}.items():
    os.environ.setdefault(name, value)
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="omnirefit-prefect-")
os.environ.pop("MLFLOW_TRACKING_URI", None)

LONGEST_FIRST = (
    "flows/test_every_day.py", "flows/test_retrain.py", "tasks/test_champion.py", "flows/test_killed.py",
    "flows/test_parallel.py", "flows/test_pairs.py", "tasks/test_caching.py", "flows/test_cli.py",
    "omni_core/language_models/test_language_models.py", "tasks/test_side_by_side.py",
)  # fmt: skip
"""Files of more than 25 s: of two processes that take file after file, none may be left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which `make test` hands out files."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session")
def prefect_server():
    """A Prefect server with its own database; starting it takes 10 to 30 s."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield
