"""What people heard is one more guard of the verdict, which can stop a promotion; as a target it can make one."""

import numpy as np
import pytest

from data_contracts.compare import CompareSettings
from data_contracts.errors import ArtifactError, MetricError
from data_contracts.listening_test import ListeningResult, ListeningTestSettings
from omni_core.compare import compare
from omni_core.listening_test.analysis import tally
from omni_core.listening_test.result import outcome
from omni_core.listening_test.verdict import (
    NAME,
    check_nobody_listened,
    heard_by_people,
    is_preferred,
    listened,
    preference_of,
)

CHALLENGER, CHAMPION = "c" * 32, "d" * 32


@pytest.fixture
def listening(store, make_test, session):
    """listening(hits for b of 20, a rater each, challenger=, of=) -> ListeningResult of a challenger and a champion."""

    def make(hits, challenger="b", design="ab", raters=8, of=(CHALLENGER, CHAMPION)) -> ListeningResult:
        settings = ListeningTestSettings(raters=raters, design=design)
        sides = dict(zip("ba" if challenger == "b" else "ab", of, strict=True))
        test = make_test(raters=raters, design=design).model_copy(update={"inputs": sides})
        tallies = [tally(session("b" * h + "a" * (20 - h), rater=f"r{i}"), 0) for i, h in enumerate(hits)]
        with store.scratch(ListeningResult.kind) as folder:
            return store.commit(ListeningResult, folder, facts=outcome(test, settings, tallies))

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
def test_the_rule(store, listening, before, hits, after, words):
    settings = CompareSettings(listening_result=listening(hits).digest)
    heard = heard_by_people(store, CHALLENGER, CHAMPION, settings)
    decision, (sentence,) = listened(before, heard, CHALLENGER, CHAMPION, settings)
    assert decision == after and words in sentence and "Holm" not in sentence
    assert heard.challenger == sum(hits) / 160 and not is_preferred(heard, settings)


def test_the_raters_that_are_missing_are_counted_with_the_power_of_the_settings(store, listening):
    digest, more = listening(UNSURE).digest, {}
    for power in (0.0, 0.5, 0.9):
        settings = CompareSettings(listening_result=digest, power=power)
        heard = heard_by_people(store, CHALLENGER, CHAMPION, settings)
        _, (sentence,) = listened("PROMOTE", heard, CHALLENGER, CHAMPION, settings)
        more[power] = int(sentence.split("about ")[1].split(" more")[0])
        assert f"({power:.0%} power): plan a new test with `--set raters={8 + more[power]}`" in sentence
    assert more[0.0] <= more[0.5] < more[0.9]


def test_which_side_the_challenger_was_does_not_matter(listening):
    as_b = preference_of(listening(GOOD), CHALLENGER, CHAMPION, 0.1)
    as_a = preference_of(listening([20 - h for h in GOOD], challenger="a"), CHALLENGER, CHAMPION, 0.1)
    for name in ("challenger", "champion", "gain", "lower", "upper", "standard_error", "p_value"):
        assert getattr(as_a, name) == pytest.approx(getattr(as_b, name))
    assert as_b.lower < as_b.gain < as_b.upper and as_b.gain == pytest.approx(0.25)


def test_without_a_listening_test_the_decision_is_left_alone(store):
    assert heard_by_people(store, CHALLENGER, CHAMPION, CompareSettings()) is None
    assert listened("PROMOTE", None, CHALLENGER, CHAMPION, CompareSettings()) == ("PROMOTE", [])


def test_a_required_listening_test_holds_the_promotion_and_says_what_to_run():
    decision, (sentence,) = listened("PROMOTE", None, CHALLENGER, CHAMPION, CompareSettings(listening_required=True))
    assert decision == "INCONCLUSIVE" and f"run `omni listen {CHAMPION} {CHALLENGER}`" in sentence
    decision, (sentence,) = listened("PROMOTE", None, CHALLENGER, CHAMPION, CompareSettings(targets=(NAME,)))
    assert decision == "PROMOTE" and "not asked yet" in sentence


@pytest.fixture
def reports(make_report, store):
    """Two reports of equal models in everything but their listeners' taste, and what times both: (new, old)."""

    def make(seed):
        rng = np.random.default_rng(0)
        return make_report(errors=np.ones(400), reference_words=np.full(400, 50.0), correct=np.ones(400),
                           mos=rng.normal(3.5, 0.05, 400), meaningless=np.full(400, seed),
                           similarity=rng.normal(0.85, 0.02, 400), heard_right=np.ones(400), read_right=np.ones(400))  # fmt: skip

    return make(1.0), make(2.0)


@pytest.mark.parametrize(("hits", "after"), [(GOOD, "PROMOTE"), (UNSURE, "INCONCLUSIVE"), (BAD, "REJECT")])
def test_a_preference_that_is_a_target_promotes_a_model_that_is_better_in_nothing_else(
    store, reports, listening, make_latency, hits, after
):
    new, old = reports
    result = listening(hits, of=(new.digest, old.digest))
    targets = ("own_speech_wer", "answer_accuracy", "distill_mos", NAME)
    settings = CompareSettings(replicates=200, targets=targets, listening_result=result.digest)
    verdict = compare(store, new, old, make_latency(), settings)
    assert verdict.facts["decision"] == after, verdict.facts["reasons"]
    assert verdict.inputs == {"challenger": new.digest, "champion": old.digest, "latency": make_latency().digest,
                              "listening": result.digest}  # fmt: skip
    asked = preference_of(result, new.digest, old.digest, 0.1).p_value
    assert verdict.facts["comparisons"][NAME]["p_value"] == pytest.approx(
        min(1.0, 4 * asked)
    )  # of four tests it is first
    guard_only = compare(store, new, old, make_latency(), settings.model_copy(update={"targets": targets[:3]}))
    assert guard_only.facts["decision"] == ("REJECT" if hits is BAD else "INCONCLUSIVE")


def test_a_target_that_nobody_was_asked_for_costs_its_place_in_the_family(store, make_report, make_latency):
    rng = np.random.default_rng(3)
    new, old = (make_report(errors=rng.binomial(8, p, 100).astype(float), reference_words=np.full(100, 8.0),
                            correct=np.ones(100), mos=np.full(100, 3.5)) for p in (0.16, 0.2))  # fmt: skip
    usual = CompareSettings(replicates=200, unguarded=("speaker_similarity", "cascade_retention"))
    alone, with_people = (
        compare(store, new, old, make_latency(), usual.model_copy(update={"targets": targets})).facts
        for targets in (("own_speech_wer",), ("own_speech_wer", NAME))
    )
    p = alone["comparisons"]["own_speech_wer"]["p_value"]
    assert 0 < p < 0.5 and with_people["comparisons"]["own_speech_wer"]["p_value"] == pytest.approx(2 * p)
    assert "not asked yet" in with_people["reasons"][-2] and NAME not in with_people["comparisons"]


def test_a_result_whose_card_was_edited_is_not_heard(store, listening):
    card = store.folder(result := listening(BAD)) / "card.json"
    for was, edited in (('"share": 0.', '"share": 0.9'), (f'"b": "{CHALLENGER}"', f'"b": "{"9" * 32}"')):
        whole = card.read_text()
        assert was in whole
        card.write_text(whole.replace(was, edited))
        with pytest.raises(ArtifactError, match=r"listening_result/.* was altered: its card says other .*result\.json"):
            heard_by_people(store, CHALLENGER, CHAMPION, CompareSettings(listening_result=result.digest))
        card.write_text(whole)


def test_results_that_do_not_fit_are_refused(store, listening):
    with pytest.raises(ArtifactError, match=r"not the reports eeeeeeee and cccccccc of this verdict"):
        preference_of(listening(GOOD), CHALLENGER, "e" * 32, 0.1)
    with pytest.raises(MetricError, match="a verdict needs design=ab"):
        preference_of(listening(GOOD, design="abx"), CHALLENGER, CHAMPION, 0.1)
    with pytest.raises(MetricError, match="has 8 of 9 planned raters; invite the rest"):
        preference_of(listening(GOOD, raters=9), CHALLENGER, CHAMPION, 0.1)
    with pytest.raises(ArtifactError, match="no listening_result with digest"):
        heard_by_people(store, CHALLENGER, CHAMPION, CompareSettings(listening_result="f" * 32))
    with pytest.raises(ArtifactError, match="there is no champion yet"):
        check_nobody_listened(CompareSettings(listening_result="f" * 32))
