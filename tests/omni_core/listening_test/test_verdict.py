"""What people heard is one more guard of the verdict: it can stop a promotion, never make one."""

import pytest

from data_contracts.compare import CompareSettings, Verdict
from data_contracts.errors import ArtifactError, MetricError
from data_contracts.listening_test import ListeningResult, ListeningTestSettings
from omni_core.listening_test.analysis import tally
from omni_core.listening_test.result import outcome
from omni_core.listening_test.verdict import NAME, preference_of, with_listening

CHALLENGER, CHAMPION = "c" * 32, "d" * 32


@pytest.fixture
def listening(store, make_test, session):
    """listening(hits for b of 20, a rater each, challenger=) -> ListeningResult of CHALLENGER and CHAMPION."""

    def make(hits, challenger="b", design="ab", raters=8) -> ListeningResult:
        settings = ListeningTestSettings(raters=raters, design=design)
        sides = {"b": CHALLENGER, "a": CHAMPION} if challenger == "b" else {"a": CHALLENGER, "b": CHAMPION}
        test = make_test(raters=raters, design=design).model_copy(update={"inputs": sides})
        tallies = [tally(session("b" * h + "a" * (20 - h), rater=f"r{i}"), 0) for i, h in enumerate(hits)]
        with store.scratch(ListeningResult.kind) as folder:
            (folder / "result.json").write_text(f"{hits} {challenger} {design}")
            return store.commit(ListeningResult, folder, facts=outcome(test, settings, tallies))

    return make


@pytest.fixture
def verdict(store):
    def make(decision, champion=True) -> Verdict:
        with store.scratch(Verdict.kind) as folder:
            (folder / "verdict.json").write_text(decision)
            card = store.commit(
                Verdict, folder, facts={"decision": decision, "reasons": ["r"], "comparisons": {"x": {}}}
            )
        return card.model_copy(
            update={"inputs": {"challenger": CHALLENGER} | ({"champion": CHAMPION} if champion else {})}
        )

    return make


GOOD, BAD, UNSURE = [13, 12, 14, 11, 13, 12, 12, 13], [3, 5, 2, 4, 3, 6, 4, 5], [12, 6, 15, 8, 10, 4, 13, 9]


@pytest.mark.parametrize(
    ("before", "hits", "after", "words"),
    [
        ("PROMOTE", GOOD, "PROMOTE", "no worse: the unfavourable bound is within the margin of 10.0 points"),
        ("PROMOTE", UNSURE, "INCONCLUSIVE", "more raters are needed"),
        ("PROMOTE", BAD, "REJECT", "worse: even the favourable bound is a loss"),
        ("INCONCLUSIVE", GOOD, "INCONCLUSIVE", "no worse"),
        ("INCONCLUSIVE", BAD, "REJECT", "worse"),
        ("REJECT", GOOD, "REJECT", "no worse"),
        ("REJECT", UNSURE, "REJECT", "open"),
    ],
)  # fmt: skip
def test_the_rule(store, listening, verdict, before, hits, after, words):
    result = listening(hits)
    heard = with_listening(store, verdict(before), CompareSettings(listening_result=result.digest))
    assert heard.facts["decision"] == after and words in heard.facts["reasons"][-1]
    assert heard.inputs["listening"] == result.digest and heard.inputs["verdict"] == verdict(before).digest
    assert heard.facts["comparisons"][NAME]["challenger"] == sum(hits) / 160
    assert store.load(Verdict, heard.digest).facts == heard.facts


def test_which_side_the_challenger_was_does_not_matter(listening):
    as_b = preference_of(listening(GOOD), CHALLENGER, CHAMPION, 0.1)
    as_a = preference_of(listening([20 - h for h in GOOD], challenger="a"), CHALLENGER, CHAMPION, 0.1)
    for name in ("challenger", "champion", "gain", "lower", "upper", "standard_error", "p_value"):
        assert getattr(as_a, name) == pytest.approx(getattr(as_b, name))
    assert as_b.lower < as_b.gain < as_b.upper and as_b.gain == pytest.approx(0.25)


def test_without_a_listening_test_the_verdict_is_left_alone(store, verdict):
    assert with_listening(store, verdict("PROMOTE"), CompareSettings()) == verdict("PROMOTE")


def test_a_required_listening_test_holds_the_promotion_and_says_what_to_run(store, verdict):
    settings = CompareSettings(listening_required=True)
    held = with_listening(store, verdict("PROMOTE"), settings)
    assert held.facts["decision"] == "INCONCLUSIVE"
    assert f"run `omni listen {CHAMPION} {CHALLENGER}`" in held.facts["reasons"][-1]
    assert with_listening(store, verdict("PROMOTE", champion=False), settings).facts["decision"] == "PROMOTE"


def test_results_that_do_not_fit_are_refused(store, listening, verdict):
    with pytest.raises(ArtifactError, match=r"not the reports eeeeeeee and cccccccc of this verdict"):
        preference_of(listening(GOOD), CHALLENGER, "e" * 32, 0.1)
    with pytest.raises(MetricError, match="a verdict needs design=ab"):
        preference_of(listening(GOOD, design="abx"), CHALLENGER, CHAMPION, 0.1)
    with pytest.raises(MetricError, match="has 8 of 9 planned raters; invite the rest"):
        preference_of(listening(GOOD, raters=9), CHALLENGER, CHAMPION, 0.1)
    with pytest.raises(ArtifactError, match="no listening_result with digest"):
        with_listening(store, verdict("PROMOTE"), CompareSettings(listening_result="f" * 32))
    with pytest.raises(ArtifactError, match="there is no champion yet"):
        with_listening(store, verdict("PROMOTE", champion=False), CompareSettings(listening_result="f" * 32))
