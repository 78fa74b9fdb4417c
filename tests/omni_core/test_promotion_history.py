import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.promote import HistoryEntry
from omni_core.promotion_history import Standing, champions, clock_trouble, previous, trouble

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def lines(*moves: str) -> tuple[HistoryEntry, ...]:
    """ "+2" promotes version 2, "-1" rolls back to version 1, "-" to none."""
    made, was = [], ""
    for number, move in enumerate(moves, 1):
        action = "promote" if move[0] == "+" else "rollback"
        made.append(HistoryEntry(number=number, action=action, version=move[1:], was=was, at=NOON, token=str(number)))
        was = move[1:]
    return tuple(made)


def standing(*moves: str, settled: bool = True, versions: str = "123456", **aliases: str) -> Standing:
    history = lines(*moves)
    done = range(1, len(history) + 1) if settled else range(1, len(history))
    return Standing("m", "champion", history, frozenset(done), aliases, frozenset(versions))


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ((), []),
        (("+1", "+2", "+3"), ["1", "2", "3"]),
        (("+1", "+2", "+3", "-2"), ["1", "2"]),
        (("+1", "+2", "+3", "-2", "-1"), ["1"]),
        (("+1", "+2", "-1", "+3"), ["1", "3"]),
        (("+1", "+2", "-1", "-2"), ["1", "2"]),
        (("+1", "-"), []),
        (("+1", "+2", "+1"), ["2", "1"]),
    ],
)
def test_a_rollback_takes_back_what_came_after_its_version(moves, expected):
    assert champions(lines(*moves)) == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9, unique=True), st.data())
def test_promotions_and_as_many_rollbacks_are_nothing(versions, data):
    kept = data.draw(st.integers(1, len(versions)))
    moves = [f"+{version}" for version in versions]
    undone = [f"-{versions[at]}" for at in range(len(versions) - 2, kept - 2, -1)]
    assert champions(lines(*moves, *undone)) == [str(version) for version in versions[:kept]]


def test_the_one_before_is_the_latest_that_still_exists():
    assert previous(standing("+1", "+2", "+3", champion="3")) == "2"
    assert previous(standing("+1", "+2", "+3", champion="3", versions="13")) == "1"
    assert previous(standing("+1", champion="1")) == previous(standing()) == ""


def test_aliases_that_follow_the_history_are_no_trouble():
    assert trouble(standing()) is None
    assert trouble(standing("+1", "+2", champion="2", previous="1")) is None
    assert trouble(standing("+1", "-")) is None


@pytest.mark.parametrize("pointed", ["1", "2"])
def test_a_line_whose_aliases_have_not_moved_yet_is_no_trouble(pointed):
    assert trouble(standing("+1", "+2", settled=False, champion=pointed)) is None
    assert trouble(standing("+1", settled=False)) is None


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (standing(champion="3"), "its history is empty: the alias was set by hand; delete the alias"),
        (standing("+1", "+2", champion="3"), "two champions: its history says version 2 .* `omni rollback --to 2`"),
        (standing("+1", "+2", settled=False, champion="3"), "two champions"),
        (standing("+1", "+2", champion="2", Champion="1"), "two champions: .* delete the alias 'Champion'"),
        (standing("+1", "+2"), "was deleted by hand; `omni rollback --to 2` puts it back"),
        (standing("+1", "+2", versions="1"), "version 2 of m, the champion, was deleted .* goes back to version 1"),
        (standing("+2", versions="1"), "notes that there is no champion, and the next run starts anew"),
        (Standing("m", "champion", lines("+1", "+2", "+3")[::2], frozenset(), {}, frozenset()), "has a gap"),
    ],
)
def test_what_a_hand_has_done_is_one_sentence_with_its_mend(found, sentence):
    assert re.search(sentence, trouble(found))


def test_a_clock_before_the_last_line_or_before_the_version_is_trouble():
    history, hour = lines("+1"), timedelta(hours=1)
    assert clock_trouble(history, NOON, NOON + hour) is None
    assert clock_trouble(history, NOON, NOON - timedelta(seconds=30)) is None
    assert "before line 1 of the history" in clock_trouble(history, NOON - 3 * hour, NOON - hour)
    assert "before the version was registered" in clock_trouble((), NOON, NOON - hour)
