"""The home folder enters, environment variables for Prefect and MLflow leave; must run before either is imported.

What the user has set is left alone: with PREFECT_API_URL the run goes to that server, with PREFECT_HOME to that folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from data_contracts.errors import StorageError

DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    # our bars are the only ones
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # a cold start of the local server took 17-28 s on two busy cores; the default allows 20
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # 49 -> 14 ms of the server's time a task
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    # the console shows our bars and sentences; Prefect's own lines go to its UI
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # MLflow and alembic tell every step of making a database
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # glibc gives a step's freed tensors back to the kernel, which hands them out again page by page: 9 000 page faults a step
    # of the talker, 320 with these (0.75 -> 0.52 s a step on one core of a virtual machine). Read when a process starts: by
    # the processes of the stages, and by the flow's own where the Makefile starts it.
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def prepare(home: Path) -> None:
    """Set what is not set; Prefect's database and results go below `home`. Raises StorageError if nothing can.

    While the services of `omni up` run for this home, theirs are the servers: two on one database would lock each other out.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    _join_services(home)
    if "PREFECT_API_URL" not in os.environ:
        os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        Path(os.environ.get("PREFECT_HOME", home)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to {home}: {error.strerror}; choose another home") from error


def _join_services(home: Path) -> None:
    from flows.services.layout import read, run_now

    services = read(str(home))
    if services and run_now(services) and "PREFECT_API_URL" not in os.environ:
        os.environ["PREFECT_API_URL"] = f"{services.prefect_url}/api"
        os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))  # the cache lies there
        os.environ.setdefault("MLFLOW_TRACKING_URI", services.mlflow_url)


if __name__ == "__main__":  # as arguments of `env`, for the Makefile
    print(" ".join(f"{name}={value}" for name, value in DEFAULTS.items() if name not in os.environ))
