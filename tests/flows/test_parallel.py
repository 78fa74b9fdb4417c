"""Speech head parallel through the whole flow at a size of seconds: Mini-Omni's recipe, served, promoted; imported models too."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

pytestmark = pytest.mark.timeout(900)


def parallel_settings(folder, head=None, **components):
    """Tiny settings with the parallel head and few steps."""
    settings = tiny.settings(folder)
    parts = settings.components
    changed = {"speech_head": parts.speech_head.model_copy(update={"name": "parallel", **(head or {})}), **components}
    recipe = {
        stage: group.model_copy(update={"steps": 2, "batch": 4, "micro_batch": 2})
        for stage, group in settings.train.parallel
    }
    train = settings.train.model_copy(update={"parallel": settings.train.parallel.model_copy(update=recipe)})
    benchmark = settings.benchmark.model_copy(
        update={"max_real_time_factor": 100.0, "max_time_to_first_audio_p95_ms": 1e5}
    )
    return settings.model_copy(
        update={"components": parts.model_copy(update=changed), "train": train, "benchmark": benchmark}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prefect_server):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def first(folder):
    """Settings and outcome of a first run."""
    from flows.retrain import retrain

    settings = parallel_settings(folder)
    return settings, retrain(settings)


def test_the_recipe_runs_through_the_flow_and_its_model_is_champion(first):
    _, outcome = first
    assert outcome.promotion.facts["promoted"], outcome.verdict.facts["reasons"]
