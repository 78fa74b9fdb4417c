"""The verdict: what promotes, what rejects, what stays open, and how often chance alone promotes."""

import time

import numpy as np
import pytest

from data_contracts.compare import CompareSettings
from data_contracts.errors import ArtifactError, MetricError
from omni_core.compare import compare, decide
from omni_core.metrics import Figure
from omni_core.paired_scores import Scores, compare_scores

FAST = CompareSettings(replicates=200)
FIGURES = {
    "own_speech_wer": Figure("own_speech_wer", "fraction", "lower", "", "errors", "reference_words"),
    "answer_accuracy": Figure("answer_accuracy", "fraction", "higher", "", "correct"),
    "distill_mos": Figure("distill_mos", "MOS", "higher", "", "mos"),
}


def columns(turns=100, wer=0.1, accuracy=0.8, mos=3.5, seed=0, scored=None):
    """What a model with these true figures might have done."""
    rng = np.random.default_rng(seed)
    words = rng.integers(4, 9, turns)
    quality = rng.normal(mos, 0.2, turns)
    quality[scored or turns :] = np.nan
    return {"errors": rng.binomial(words, wer).astype(float), "reference_words": words.astype(float),
            "correct": (rng.random(turns) < accuracy).astype(float), "mos": quality}  # fmt: skip


@pytest.fixture
def judge_pair(store, make_report, make_latency):
    def verdict(new, old, settings=FAST, passed=True, **kinds):
        champion = make_report(**old, **kinds) if old else None
        return compare(store, make_report(**new, **kinds), champion, make_latency(passed), settings).facts

    return verdict


def test_identical_reports_never_promote(judge_pair):
    for seed in range(5):
        facts = judge_pair(columns(seed=seed), columns(seed=seed))
        assert facts["decision"] == "INCONCLUSIVE"
        assert all(
            c["gain"] == c["lower"] == c["upper"] == 0 and c["p_value"] == 1 for c in facts["comparisons"].values()
        )
        assert "more turns will not do" in facts["reasons"][-1]


def test_a_better_model_is_promoted_and_the_reasons_name_estimate_interval_n_and_rule(judge_pair):
    facts = judge_pair(columns(wer=0.02, seed=1), columns(wer=0.3, seed=1))
    assert facts["decision"] == "PROMOTE"
    sentence = facts["reasons"][0]
    for part in ("own_speech_wer:", "against the champion's", "gain +", "95 % one-sided bounds", "n = 100 turns of 5 speakers",
                 "better: Holm-adjusted p"):  # fmt: skip
        assert part in sentence


def test_a_worse_model_is_rejected_even_when_another_figure_is_better(judge_pair):
    facts = judge_pair(columns(accuracy=0.5, mos=4.5), columns(accuracy=0.95, mos=3.5))
    assert facts["decision"] == "REJECT"
    assert any(
        "answer_accuracy" in reason and "beyond the margin of 3.0 points" in reason for reason in facts["reasons"]
    )


def test_noise_is_inconclusive_and_says_how_many_more_turns_would_tell(judge_pair):
    facts = judge_pair(columns(turns=20, accuracy=0.8, seed=1, mos=3.6), columns(turns=20, accuracy=0.8, seed=2))
    assert facts["decision"] == "INCONCLUSIVE"
    assert any("more turns" in reason for reason in facts["reasons"])


def test_more_turns_are_counted_from_the_standard_error(judge_pair):
    new, old = columns(turns=60, seed=3), columns(turns=60, seed=3)
    new["correct"] = old["correct"].copy()
    new["correct"][:6], old["correct"][:6] = [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]  # no net change, some spread
    facts = judge_pair(new, old, speaker=["one"] * 60)
    error = facts["comparisons"]["answer_accuracy"]["standard_error"]
    assert error == pytest.approx(np.sqrt(6 / 60 / 60), rel=0.15)
    needed = 60 * ((1.645 + 0.842) * error / 0.03) ** 2
    (sentence,) = [r for r in facts["reasons"] if "show that answer_accuracy is no worse" in r]
    assert int(sentence.split("about ")[1].split(" more")[0].replace(",", "")) == pytest.approx(needed - 60, abs=2)


def test_a_model_that_is_too_slow_is_rejected_however_good(judge_pair):
    facts = judge_pair(columns(wer=0.0), columns(wer=0.3), passed=False)
    assert facts["decision"] == "REJECT" and facts["reasons"][0].startswith(
        "latency gate failed: real-time factor is 1.50"
    )


def test_without_a_champion_the_gates_decide(judge_pair):
    assert judge_pair(columns(), None)["decision"] == "PROMOTE"
    facts = judge_pair(columns(accuracy=0.2), None)
    assert facts["decision"] == "REJECT"
    assert any("answer_accuracy" in r and "at least 50.0 %: failed" in r for r in facts["reasons"])
    assert judge_pair(columns(), None, passed=False)["decision"] == "REJECT"


def test_different_sealed_sets_or_judges_are_refused(store, make_report, make_latency):
    ours, theirs = make_report(**columns()), make_report(**columns(seed=1), sealed_set="b" * 32)
    with pytest.raises(
        ArtifactError, match=r"different sealed sets.*evaluate the champion on the manifest of this run"
    ):
        compare(store, ours, theirs, make_latency(), FAST)
    with pytest.raises(ArtifactError, match=r"different evaluate\.judge"):
        compare(store, ours, make_report(**columns(seed=1), settings={"judge": "another"}), make_latency(), FAST)


def test_a_guard_that_was_not_measured_is_refused(store, make_report, make_latency):
    report = make_report(**columns())
    report.facts["metrics"].pop("distill_mos")
    with pytest.raises(MetricError, match=r"distill_mos was not measured.*evaluate\.metrics"):
        compare(store, report, None, make_latency(), FAST)


def test_figures_scored_on_a_part_count_that_part_alone(judge_pair):
    new, old = columns(mos=4.0, scored=30), columns(mos=3.0, seed=1, scored=30)
    mos = judge_pair(new, old)["comparisons"]["distill_mos"]
    assert mos["n"] == 30 and mos["challenger"] == pytest.approx(np.nanmean(new["mos"]))
    assert mos["gain"] == pytest.approx(np.nanmean(new["mos"]) - np.nanmean(old["mos"]))


def scores(data, speakers):
    names = {name: np.asarray(values, float) for name, values in data.items()}
    turn_ids = [str(i) for i in range(len(speakers))]
    return Scores(turn_ids, speakers, FIGURES, {name: figure.sums(names) for name, figure in FIGURES.items()})


def test_chance_alone_promotes_in_at_most_five_percent_of_cases(make_latency):
    trials, turns = 300, 60
    speakers, latency = np.array([f"voice-{i % 6}" for i in range(turns)]), make_latency()
    generous = CompareSettings(
        replicates=200, wer_margin=1.0, accuracy_margin=1.0, mos_margin=4.0
    )  # guards always hold
    promoted = 0
    for trial in range(trials):
        pair = [scores(columns(turns, seed=2 * trial + side), speakers) for side in (0, 1)]
        promoted += decide(compare_scores(*pair, generous), latency, generous)[0] == "PROMOTE"
    slack = 2.33 * np.sqrt(0.05 * 0.95 / trials)
    assert promoted / trials <= 0.05 + slack


def test_two_thousand_replicates_of_150_turns_take_under_two_seconds(judge_pair):
    started = time.perf_counter()
    judge_pair(columns(150), columns(150, seed=1), settings=CompareSettings())
    assert time.perf_counter() - started < 2
