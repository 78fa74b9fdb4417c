"""A flow that is killed (SIGKILL, as by the kernel out of memory) and started again, in processes of its own.

    start, killed in ingest -> start, killed in features -> start, killed in train speak -> start, killed in evaluate
        -> start, ends: one champion, every artifact whole, nothing finished made twice

Kills within a promotion have a test of their own beside the registry's.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from data_contracts.base import Artifact
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.promote import Promotion
from data_contracts.retrain import RetrainSettings
from data_contracts.train import Checkpoint, FittedCodec
from omni_core.store import CARD, ArtifactStore, sha256_of
from tests.flows import tiny
from tests.flows.forked import FLOW, Forked

SPEAK_STEPS, CHECKPOINT_EVERY = 120, 5
SECONDS_A_START = 240
A = TypeVar("A", bound=Artifact)
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Start:
    """One process of the flow: what it said, and the store as it left it."""

    said: str
    artifacts: dict[str, int]
    """kind/digest -> when its content was last written, of everything visible in the store. The card is left out: an
    artifact that was placed but not yet recorded when the kill came is made again, and its card then replaced whole."""
    broken: list[str]
    returncode: int

    def progress(self, stage: str) -> list[tuple[int, int]]:
        """(done, total) of a stage's lines."""
        lines = re.findall(rf"^{stage}[^:\n]*: .*? (\d+)/(\d+)", self.said, re.MULTILINE)
        return [(int(done), int(total)) for done, total in lines]

    def table(self) -> dict[str, tuple[int, int]]:
        """Stage -> (tasks, of which from the cache), as the closing table has it."""
        rows = re.findall(r"^│ (.+?) +│ (\d+) +│ [\d.]+ +│ (?:(\d+) of \d+)? +│$", self.said, re.MULTILINE)
        return {name: (int(tasks), int(cached or 0)) for name, tasks, cached in rows}

    def shards(self) -> list[str]:
        """Shards whose encoder features were begun, in order."""
        return re.findall(r"^encoder features (\S+):", self.said, re.MULTILINE)


@dataclass(frozen=True)
class Chain:
    """All starts in one home, by the stage in which they were killed; the last one ended by itself."""

    settings: RetrainSettings
    starts: dict[str, Start]

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(f"{self.settings.home}/store")


def visible(home: Path) -> Iterator[Path]:
    """Folders that a reader of the store would find."""
    return (folder for folder in (home / "store").glob("[!.]*/*") if not folder.name.startswith("."))


def written_at(folder: Path) -> int:
    """Latest change of any file of an artifact but its card, nanoseconds."""
    return max(file.stat().st_ctime_ns for file in folder.rglob("*") if file.is_file() and file.name != CARD)


def broken(home: Path) -> list[str]:
    """Folders in the store that lack their card, or a file of it, or hold another content than the card says."""
    found = []
    for folder in visible(home):
        try:
            card = Artifact.model_validate_json((folder / CARD).read_text())
            whole = all(sha256_of(folder / name) == entry.sha256 for name, entry in card.files.items())
        except OSError:
            whole = False
        found += [] if whole else [str(folder)]
    return found


def start(omni: Forked, settings_file: Path, home: Path, until: Callable[[str], bool] | None) -> Start:
    """Run `omni run` in a group of its own and kill the group as soon as `until`(what it said) is true."""
    log = settings_file.with_suffix(".log")
    log.unlink(missing_ok=True)
    log.touch()
    process = omni.start("run", str(settings_file), folder=settings_file.parent, out=log, err=log)
    code, deadline = None, time.monotonic() + SECONDS_A_START
    try:
        while code is None and time.monotonic() < deadline and not (until and until(log.read_text())):
            code = omni.returncode(wait_s=0.005)
    finally:
        if code is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process, signal.SIGKILL)
            code = omni.returncode(wait_s=60)
    made = {f"{folder.parent.name}/{folder.name}": written_at(folder) for folder in visible(home)}
    return Start(log.read_text(), made, broken(home), code)


@contextmanager
def forked_omni(home: Path, api_url: str) -> Iterator[Forked]:
    """`omni` as a user of this home and this Prefect server starts it, but for its imports, which take seconds."""
    environment = {**os.environ, "PREFECT_API_URL": api_url, "PREFECT_HOME": str(home / "prefect")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    omni = Forked(environment, FLOW)
    try:
        yield omni
    finally:
        omni.close()


@pytest.fixture(scope="module")
def chain(tmp_path_factory, prefect_server) -> Chain:
    from prefect.settings import PREFECT_API_URL

    folder = tmp_path_factory.mktemp("killed")
    settings = tiny.settings(folder)
    speak = settings.train.speak.model_copy(update={"steps": SPEAK_STEPS, "checkpoint_every_steps": CHECKPOINT_EVERY})
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"speak": speak})})
    home, settings_file = Path(settings.home), folder / "mine.yaml"
    settings_file.write_text(settings.model_dump_json())  # JSON is YAML
    moments: dict[str, Callable[[str], bool] | None] = {
        "ingest": lambda said: any((home / "work").glob("ingest-*/*.parquet")),
        "features": lambda said: (
            len(re.findall("^encoder features", said, re.MULTILINE)) > 2
        ),  # in the third shard: the first is surely on record
        "train speak": lambda said: any((home / "work").glob("speak-*/*.pt")),
        "evaluate": lambda said: bool(re.search("^evaluate: ", said, re.MULTILINE)),
        "": None,
    }
    with forked_omni(home, PREFECT_API_URL.value()) as omni:
        return Chain(settings, {name: start(omni, settings_file, home, until) for name, until in moments.items()})


def test_each_start_but_the_last_was_killed_and_the_last_one_ends(chain):
    codes = [one.returncode for one in chain.starts.values()]
    assert codes == [-signal.SIGKILL] * 4 + [0], chain.starts[""].said


def test_no_kill_leaves_a_half_written_artifact_in_the_store(chain):
    assert {name: one.broken for name, one in chain.starts.items()} == {name: [] for name in chain.starts}


def test_what_killed_starts_had_begun_is_cleared_away(chain):
    home = Path(chain.settings.home)
    assert list((home / "store" / ".tmp").iterdir()) == list((home / "work").iterdir()) == []


def test_what_was_finished_before_a_kill_stays_and_is_not_made_again(chain):
    before: dict[str, int] = {}
    for one in chain.starts.values():
        assert before.items() <= one.artifacts.items()
        before = one.artifacts
    stages = chain.starts[""].table()
    computed = {name for name, (tasks, cached) in stages.items() if cached < tasks}
    assert computed == {"evaluate", "current champion", "compare", "report", "promote"}
    assert {"ingest", "encoder features", "train listen", "train speak", "quantize", "benchmark"} < stages.keys()


def test_ingest_goes_on_after_its_finished_shards_and_loses_no_record(chain, tmp_path):
    from omni_core.ingest import ingest

    manifest = only(chain, Manifest)
    (done_at_first, total), *_ = chain.starts["features"].progress("ingest")
    assert 8 < done_at_first <= total
    facts = manifest.facts
    assert facts["accepted"] + facts["rejected"] == facts["read"] == len(tiny.turns()) and facts["rejected"] == 0
    whole = ingest(ArtifactStore(tmp_path / "store"), chain.settings.ingest, tmp_path / "home")
    assert manifest.digest == whole.digest


def test_features_go_on_with_the_shards_that_were_not_finished(chain):
    """The one at work when the kill came may have ended meanwhile: then its artifact is there, its cache record perhaps."""
    killed, again = chain.starts["features"], set(chain.starts["train speak"].shards())
    finished, *_, at_work = killed.shards()
    encoded = [card for card in cards(chain, FeatureShard) if card.facts["kind"] == "encoder"]
    lacking = {card.facts["shard"] for card in encoded if f"{card.kind_name}/{card.digest}" not in killed.artifacts}
    assert finished not in again and len(encoded) > 2
    assert lacking <= again <= lacking | {at_work}


def test_training_goes_on_from_its_checkpoint_and_ends_as_if_it_had_not_been_killed(chain, tmp_path):
    from omni_core.precision import threads
    from omni_core.train import train_speak

    assert chain.starts["train speak"].progress("train speak")[0] == (1, SPEAK_STEPS)
    (first_step, _), *_ = chain.starts["evaluate"].progress("train speak")
    assert first_step > CHECKPOINT_EVERY and first_step % CHECKPOINT_EVERY == 1
    shards = sorted(cards(chain, FeatureShard), key=lambda shard: shard.facts["shard"])
    targets, states = ([s for s in shards if s.facts["kind"] == kind] for kind in ("speech", "language_model"))
    parts, settings = chain.settings.components, chain.settings.train.speak
    (resumed,) = [card for card in cards(chain, Checkpoint) if card.facts["stage"] == "speak"]
    with threads(1):  # as the killed ones had; a test before may have served a model with two, and sums round otherwise
        whole = train_speak(chain.store, targets, states, only(chain, FittedCodec), parts.codec, parts.speech_head, "en",
                            settings, "", tmp_path)  # fmt: skip
    assert whole.digest == resumed.digest and len(cards(chain, Checkpoint)) == 2


def test_one_champion_is_promoted(chain):
    from tasks.tracking import connect

    name = chain.settings.promote.registered_model
    client = connect(chain.settings.home)
    assert [version.version for version in client.search_model_versions(f"name = '{name}'")] == [1]
    assert client.get_registered_model(name).aliases == {"champion": 1}
    assert only(chain, Promotion).facts["promoted"]


def cards(chain: Chain, kind: type[A]) -> list[A]:
    """Every artifact of a kind."""
    names = (folder.name for folder in visible(Path(chain.settings.home)) if folder.parent.name == kind.kind)
    return [chain.store.load(kind, name) for name in sorted(names)]


def only(chain: Chain, kind: type[A]) -> A:
    """The one artifact of a kind."""
    (card,) = cards(chain, kind)
    return card
