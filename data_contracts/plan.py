"""What `omni check` takes and returns: a Plan, said before any compute is spent; the flow logs the same one at its start."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value of the plan."""

    model_config = ConfigDict(frozen=True)


class Derived(Frozen):
    """One quantity that a component states, or that follows from several."""

    part: str
    quantity: str
    value: str


class PlanRow(Frozen):
    """One part of the model: what changed against the champion, and what that costs."""

    part: str
    changed: str
    """"no", "first run", or what it was and is."""
    retrain: str
    """"no", "yes, because ...", "refit", or "no, frozen"."""
    warm_start: str
    data_needed: str


class Estimate(Frozen):
    """Seconds of one training stage, and the number of its steps."""

    stage: str
    steps: int
    seconds: float


class Plan(Frozen):
    """Everything known before the run."""

    title: str
    champion: str
    """Sentence: the registered version that this is compared with, or that there is none."""
    derived: tuple[Derived, ...]
    rows: tuple[PlanRow, ...]
    stages_to_run: tuple[str, ...]
    """Names of the flow's tasks; the content cache may find still more of them done."""
    starts: dict[str, str] = {}
    """Training stage -> what it starts from: a model's digest, a folder, or empty for random weights. The flow hands it on."""
    stages_kept: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    estimated_for: str
    """What the estimate rests on: threads, and where its constants were measured."""
    notes: tuple[str, ...] = ()
    """Sentences about what is allowed and yet worth knowing."""
