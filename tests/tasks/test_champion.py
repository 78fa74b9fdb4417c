"""Promotion as a transaction, with real registries, real models and real kills."""

import base64
import importlib.util
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from data_contracts.errors import ArtifactError, PromotionError
from omni_core.audio import encode_wav
from omni_core.promotion_history import champions, trouble
from tasks import champion, registry, tracking
from tasks.champion import promote_version, roll_back

REPOSITORY = Path(__file__).resolve().parent.parent.parent
spec = importlib.util.spec_from_file_location("small_registry", Path(__file__).with_name("small_registry.py"))
small = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small)
NAMES = (f"model-{number}" for number in itertools.count())
QUESTION = base64.b64encode(encode_wav(0.3 * np.ones(800, np.float32), 16_000)).decode()
KILLS = 100
KILLS_THROUGH_A_SERVER = 15
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def small_models(monkeypatch):
    monkeypatch.setattr(registry, "SERVED_MODEL", small.PARROT)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A home with its own database and four registered versions, for all tests; each takes a name of its own."""
    home = tmp_path_factory.mktemp("house")
    small.register_all(home)
    yield str(home)
    registry.SERVED_MODEL = REPOSITORY / "tasks" / "served_model.py"


@dataclass(frozen=True)
class Place:
    """A registered model of one test: version 1 is champion, 2 and 4 could be, 3 could after 2."""

    home: str
    name: str

    @property
    def settings(self):
        return small.settings(self.name)

    @property
    def client(self):
        return tracking.connect(self.home)

    @property
    def standing(self):
        return registry.standing(self.home, self.name, "champion")

    def current(self):
        return champion.current(self.home, self.settings)

    def promote(self, number: str):
        return promote_version(self.home, number, self.settings)

    def roll_back(self, to: str = ""):
        return roll_back(self.home, self.settings, to)

    def package(self, number: str) -> Path:
        with registry.package_of(self.home, f"models:/{self.name}/{number}") as folder:
            return folder

    def the_one_champion(self) -> str:
        """The version behind the alias, read without the history; it must be there, whole, and the only one."""
        aliases = self.client.get_registered_model(self.name).aliases
        assert [alias for alias in aliases if alias.lower() == "champion"] == ["champion"]
        number = str(aliases["champion"])
        champion._check_files(self.home, registry.versions(self.home, self.name)[number], self.settings)
        return number


@pytest.fixture
def place(house):
    return Place(house, small.copy(house, next(NAMES)))


@pytest.fixture
def place_on_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "USERS_SERVER", server)
    if tracking.connect(str(tmp_path)).search_registered_models() == []:
        small.register_all(tmp_path)
    return Place(str(tmp_path), small.copy(tmp_path, next(NAMES)))


class Promoter:
    """The process that promotes and kills."""

    def __init__(self, uri: str = ""):
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
        environment |= {"MLFLOW_TRACKING_URI": uri} if uri else {}
        command = [sys.executable, str(Path(small.__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)  # fmt: skip
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()

    def __call__(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def refusal(self) -> str:
        """The one sentence that it has said to a person; MLflow's warnings apart."""
        self.process.stdin.close()
        (said,) = [line for line in self.process.stderr if line.startswith("omni: ")]
        return said


@pytest.fixture
def promoter():
    made = []
    yield lambda *words: made.append(Promoter(*words)) or made[-1]
    for one in made:
        one.process.kill()
        one.process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An MLflow server with its own database; starting it takes about ten seconds."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/server.db",
               "--artifacts-destination", str(folder / "files"), "--port", str(port), "--workers", "1"]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    uri = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.2)
    yield uri
    process.terminate()
    process.wait(20)


def kill_often(place: Place, promoter: Promoter, kills: int, seed: int) -> dict[str, int]:
    """Promote and kill at random moments; how often the kill fell before the line, before its aliases, and after."""
    rng, fell = random.Random(seed), {"before the line": 0, "before it was settled": 0, "after": 0}
    order = {"home": place.home, "name": place.name}
    whole = min(promoter(**order, versions=[version])["seconds"] for version in ("2", "3", "2"))
    now = place.standing
    for kill in range(kills):
        before = now
        target = "2" if before.champion != "2" else "3"
        promoter(**order, versions=[target], kill_after_s=rng.uniform(0.0, whole))
        found, now = place.the_one_champion(), place.standing
        assert found in (before.champion, before.aliases["champion"], target) and trouble(now) is None
        if now.champion == before.champion:
            fell["before the line"] += 1
            whole *= 1.1  # how long a promotion takes changes with what else the machine does
        else:
            fell["after" if now.is_settled else "before it was settled"] += 1
            whole *= 0.9
        if kill % 25 == 0:
            answer = registry.load_version(place.home, place.name, "@champion").predict({"audio": [QUESTION]}).iloc[0]
            assert answer["text"].endswith("heard 800 samples")
    return fell


def test_a_hundred_kills_at_random_moments_leave_one_valid_champion_each(place, promoter):
    fell = kill_often(place, promoter(), KILLS, seed=0)
    print(f"kills fell {fell}")
    assert sum(fell.values()) == KILLS and fell["before the line"] > 10 and fell["after"] > 5
    last = place.standing.champion
    line = place.promote("3" if last == "2" else "2")
    assert place.the_one_champion() == line.version
    assert place.standing.aliases["previous"] == last


def test_kills_of_a_client_of_a_server_leave_one_valid_champion_each(place_on_server, promoter, server):
    fell = kill_often(place_on_server, promoter(server), KILLS_THROUGH_A_SERVER, seed=1)
    print(f"kills fell {fell}")
    assert sum(fell.values()) == KILLS_THROUGH_A_SERVER


def test_a_kill_between_the_line_and_its_aliases_is_mended_by_whoever_comes_next(place, monkeypatch):
    class Killed(BaseException):
        """As SIGKILL: nobody catches it."""

    def dies(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(registry, "settle", dies)
        place.promote("2")
    left = place.standing
    assert left.champion == "2" and not left.is_settled and left.aliases["champion"] == "1"
    assert place.current().number == "2"
    assert place.standing.aliases == {"champion": "2", "previous": "1"}


def test_of_two_promotions_at_once_one_wins_and_one_is_refused(place, promoter):
    promote = promoter()
    ended = promote(home=place.home, name=place.name, versions=["2", "4"])["codes"]
    assert sorted(ended) == [0, 2]
    assert place.the_one_champion() == ("2" if ended[0] == 0 else "4")
    refusal = promote.refusal()
    assert f"another promotion of {place.name} is under way" in refusal or "was compared with model" in refusal


def test_of_two_machines_on_one_server_one_wins_and_one_is_refused(place_on_server, promoter, server, tmp_path):
    place, promote = place_on_server, promoter(server)
    homes = [str(tmp_path / "one"), str(tmp_path / "other")]
    ended = promote(homes=homes, name=place.name, versions=["2", "4"])["codes"]
    assert sorted(ended) == [0, 2]
    assert place.the_one_champion() == ("2" if ended[0] == 0 else "4")
    refusal = promote.refusal()
    assert "was faster" in refusal or "was compared with model" in refusal
    assert not (tmp_path / "one" / "mlflow.db").exists()
    assert place.roll_back().version == place.the_one_champion() == "1"


def test_of_two_writers_of_one_line_the_second_is_refused(place):
    before, versions = place.standing, registry.versions(place.home, place.name)
    lines = [champion._line(before, "promote", versions[number], before.last.at, "") for number in ("2", "4")]
    registry.append(place.home, place.name, lines[0])
    with pytest.raises(PromotionError, match=rf"another promotion of {place.name} was faster \(line 2"):
        registry.append(place.home, place.name, lines[1])
    assert place.current().number == "2"


def test_a_writer_that_was_overtaken_settles_what_holds(place, monkeypatch):
    real, overtaken = registry.settle, []

    def slow(*words):
        if not overtaken:
            overtaken.append(True)
            promote_version(place.home, "3", place.settings)
        real(*words)

    monkeypatch.setattr(champion, "exclusive", lambda *_: nullcontext())  # as two machines on one server
    monkeypatch.setattr(registry, "settle", slow)
    place.promote("2")
    assert place.standing.is_settled and place.standing.aliases == {"champion": "3", "previous": "2"}


def test_a_rollback_goes_back_a_step_each_time_and_stops_at_the_first(place):
    place.promote("2")
    place.promote("3")
    assert place.roll_back().version == "2"
    assert place.standing.aliases == {"champion": "2", "previous": "1"}
    assert place.roll_back().version == "1"
    assert place.standing.aliases == {"champion": "1"} and champions(place.standing.history) == ["1"]
    with pytest.raises(PromotionError, match=r"version 1 of .* is its first champion"):
        place.roll_back()


def test_a_rollback_only_goes_to_what_was_champion(place):
    with pytest.raises(PromotionError, match=r"version 2 of .* was never champion; `omni promote 2` proves it"):
        place.roll_back("2")


# ---------------------------------------------------------------- bad input: refused, and nothing moved


@pytest.fixture
def refusing(place):
    """A place that must stand as before when the test is over."""
    before = place.standing
    yield place
    assert place.standing == before and place.the_one_champion() == "1"


def test_an_altered_weight_file_is_named(refusing):
    path = next(refusing.package("2").glob("artifacts/*/weights.txt"))
    text = path.read_text()
    path.write_text(text.replace("b", "x", 1))
    with pytest.raises(ArtifactError, match=r"version 2 of .* was altered .* 'weights.txt' .* restore .* run the flow"):
        refusing.promote("2")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"version 2 of .* has lost 'weights.txt'"):
        refusing.promote("2")
    path.write_text(text)


def test_altered_code_and_an_altered_verdict_in_a_version_are_noticed(refusing):
    folder = refusing.package("2")
    for path in (folder / "parrot.py", folder / "artifacts" / "proof" / "verdict.json"):
        text = path.read_text()
        path.write_text(text + " ")
        with pytest.raises(PromotionError, match=r"version 2 of .* was altered .* nothing was promoted"):
            refusing.promote("2")
        path.write_text(text)


def test_a_version_whose_files_are_gone_is_refused(refusing):
    folder = refusing.package("2")
    folder.rename(folder.with_name("gone"))
    with pytest.raises(ArtifactError, match=r"models:/.*/2 has lost its artifacts .* backup"):
        refusing.promote("2")
    with pytest.raises(PromotionError, match="cannot be loaded"):
        registry.load_version(refusing.home, refusing.name, "2")
    folder.with_name("gone").rename(folder)


def test_a_version_that_answers_otherwise_than_it_was_evaluated_is_refused(refusing, monkeypatch):
    real = registry.load_package

    def other_voice(folder, what):
        loaded = real(folder, what)
        loaded.unwrap_python_model().voice = "somebody else"
        return loaded

    monkeypatch.setattr(registry, "load_package", other_voice)
    with pytest.raises(PromotionError, match="probe 1 with 'somebody else heard 8000 samples' instead of 'b heard"):
        refusing.promote("2")


def test_what_cannot_be_promoted_is_said(refusing):
    with pytest.raises(PromotionError, match=r"version 3 of .* was compared with model .* run the flow again"):
        refusing.promote("3")
    with pytest.raises(PromotionError, match=r"version 1 of .* is the champion already"):
        refusing.promote("1")
    with pytest.raises(PromotionError, match=r"there is no version 9 of .*; there are: 1, 2, 3, 4"):
        refusing.promote("9")


def test_a_verdict_tag_that_says_otherwise_is_refused(refusing):
    refusing.client.set_model_version_tag(refusing.name, "2", "decision", "REJECT")
    with pytest.raises(PromotionError, match=r"the verdict on version 2 of .* is REJECT; nothing was promoted"):
        refusing.promote("2")


def test_a_version_that_a_hand_registered_is_refused(refusing):
    source = refusing.client.get_model_version(refusing.name, "2").source
    tags = {"decision": "PROMOTE", "champion_before": registry.versions(refusing.home, refusing.name)["1"].model}
    number = str(refusing.client.create_model_version(refusing.name, source, tags=tags).version)
    with pytest.raises(PromotionError, match="was registered by hand, nothing proves it"):
        refusing.promote(number)
    refusing.client.delete_model_version(refusing.name, number)


def test_a_clock_before_the_last_promotion_is_refused(refusing, monkeypatch):
    real = champion._Clock.now
    monkeypatch.setattr(champion._Clock, "now", lambda clock: real(clock) - timedelta(hours=3))
    with pytest.raises(
        PromotionError, match=r"this machine's clock says .* before line 1 of the history .* set the clock"
    ):
        refusing.promote("2")


def test_a_clock_that_is_set_during_a_promotion_is_refused(refusing, monkeypatch):
    real = champion._prove

    def slow(*words):
        real(*words)
        monkeypatch.setattr(champion.time, "clock_gettime", lambda _: 1e9)

    monkeypatch.setattr(champion, "_prove", slow)
    with pytest.raises(PromotionError, match=r"the clock was set from .* see that it is right"):
        refusing.promote("2")


def test_a_registry_that_is_down_is_one_sentence_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "USERS_SERVER", "http://127.0.0.1:9")
    place, start = Place(str(tmp_path), "parrot"), time.monotonic()
    for attempt in (place.current, lambda: place.promote("1"), place.roll_back):
        with pytest.raises(
            PromotionError, match=r"registry http://127.0.0.1:9 does not answer .* nothing was promoted"
        ):
            attempt()
    assert time.monotonic() - start < 5


def test_a_database_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, it is a letter" * 100)
    with pytest.raises(PromotionError, match=r"refused to tell where parrot stands .* mend it"):
        Place(str(tmp_path), "parrot").current()


def test_a_champion_deleted_by_hand_is_noticed_and_a_rollback_goes_on_without_it(place):
    place.promote("2")
    place.client.delete_model_version(place.name, "2")
    for attempt in (place.current, lambda: place.promote("3")):
        with pytest.raises(
            PromotionError, match=r"version 2 .* deleted by hand; `omni rollback` goes back to version 1"
        ):
            attempt()
    assert place.roll_back().version == "1"
    place.client.delete_model_version(place.name, "1")
    with pytest.raises(PromotionError, match="deleted by hand; `omni rollback` notes that there is no champion"):
        place.current()
    assert place.roll_back().version == "" and place.current() is None


def test_an_alias_moved_or_deleted_by_hand_is_noticed_and_put_back(place):
    place.client.set_registered_model_alias(place.name, "champion", "3")
    with pytest.raises(PromotionError, match=r"two champions: its history says version 1 .* points to version 3"):
        place.promote("2")
    assert place.roll_back("1").version == place.the_one_champion() == "1"
    place.client.delete_registered_model_alias(place.name, "champion")
    with pytest.raises(PromotionError, match="was deleted by hand; `omni rollback --to 1` puts it back"):
        place.promote("2")
    assert place.roll_back("1").version == place.the_one_champion() == "1"


def test_two_aliases_that_differ_in_case_only_are_two_champions(refusing):
    refusing.client.set_registered_model_alias(refusing.name, "Champion", "2")
    for attempt in (lambda: refusing.promote("2"), refusing.roll_back):
        with pytest.raises(PromotionError, match=r"two champions: .* delete the alias 'Champion'"):
            attempt()
    refusing.client.delete_registered_model_alias(refusing.name, "Champion")


def test_a_history_deleted_by_hand_is_refused(refusing):
    run_id = refusing.client.get_registered_model(refusing.name).tags[registry.HISTORY_RUN]
    refusing.client.delete_run(run_id)
    with pytest.raises(PromotionError, match=r"history of .* was deleted by hand; restore that run"):
        refusing.promote("2")
    refusing.client.restore_run(run_id)
