"""Promotion as a transaction, with real registries, real models and real kills."""

import base64
import random
from contextlib import nullcontext

import numpy as np
import pytest

from data_contracts.errors import PromotionError
from omni_core.audio import encode_wav
from omni_core.promotion_history import champions, trouble
from tasks import champion, registry, tracking
from tasks.champion import promote_version
from tests.tasks.registered import Place, Promoter

KILLS = 100
KILLS_THROUGH_A_SERVER = 15
QUESTION = base64.b64encode(encode_wav(0.3 * np.ones(800, np.float32), 16_000)).decode()
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("small_models")]


def kill_often(place: Place, promoter: Promoter, kills: int, seed: int, **where: str) -> dict[str, int]:
    """Promote and kill at random moments; how often the kill fell before the line, before its aliases, and after."""
    rng, fell = random.Random(seed), {"before the line": 0, "before it was settled": 0, "after": 0}
    order = {"home": place.home, "name": place.name, **where}
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
    promoter(home=place.home, name=place.name, rehearse=True)
    fell = kill_often(place, promoter, KILLS, seed=0)
    print(f"kills fell {fell}")
    assert sum(fell.values()) == KILLS and fell["before the line"] > 10 and fell["after"] > 5
    last = place.standing.champion
    line = place.promote("3" if last == "2" else "2")
    assert place.the_one_champion() == line.version
    assert place.standing.aliases["previous"] == last


def test_kills_of_a_client_of_a_server_leave_one_valid_champion_each(place_on_server, promoter, server):
    fell = kill_often(place_on_server, promoter, KILLS_THROUGH_A_SERVER, seed=1, server=server)
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
    ended = promoter(home=place.home, name=place.name, versions=["2", "4"])["codes"]
    assert sorted(ended) == [0, 2]
    assert place.the_one_champion() == ("2" if ended[0] == 0 else "4")
    refusal = promoter.refusal()
    assert f"another promotion of {place.name} is under way" in refusal or "was compared with model" in refusal


def test_of_two_machines_on_one_server_one_wins_and_one_is_refused(place_on_server, promoter, server, tmp_path):
    place = place_on_server
    homes = [str(tmp_path / "one"), str(tmp_path / "other")]
    ended = promoter(homes=homes, name=place.name, versions=["2", "4"], server=server)["codes"]
    assert sorted(ended) == [0, 2]
    assert place.the_one_champion() == ("2" if ended[0] == 0 else "4")
    refusal = promoter.refusal()
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


def test_files_of_this_machine_are_read_where_they_lie_also_behind_a_server(place, monkeypatch):
    """A copy of a model of gigabytes would cost a rollback its seconds."""
    monkeypatch.setattr(tracking, "USERS_SERVER", tracking.tracking_uri(place.home))
    assert place.package("1").is_relative_to(place.home) and place.package("1").is_dir()


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
