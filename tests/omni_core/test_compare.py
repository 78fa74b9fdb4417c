"""The verdict: what promotes, what rejects, what stays open, and how often chance alone promotes."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.benchmark import ANSWER_TIMES, LatencyReport
from data_contracts.compare import CompareSettings
from data_contracts.errors import ArtifactError, MetricError
from omni_core.compare import absolute, compare, decide
from omni_core.metrics import Figure
from omni_core.paired_scores import compare_scores, corrected
from omni_core.scores import FIRST_AUDIO, Sample, Scores, timed_together

FAST = CompareSettings(
    replicates=200, wer_margin=0.02, accuracy_margin=0.03, mos_margin=0.1,
    unguarded=("speaker_similarity", "cascade_retention"),
)  # fmt: skip
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
        assert all(c["gain"] == c["standard_error"] == 0 and c["p_value"] == 1 for c in facts["comparisons"].values())
        assert "more turns will not do" in facts["reasons"][-2]


def test_turns_that_agree_may_hide_what_the_rule_of_three_allows(judge_pair):
    found = judge_pair(columns(turns=100), columns(turns=100))["comparisons"]
    words = columns(turns=100)["reference_words"].sum()
    assert found["answer_accuracy"]["lower"] == pytest.approx(-(1 - 0.05 ** (1 / 100)))
    assert found["own_speech_wer"]["upper"] == pytest.approx(1 - 0.05 ** (1 / words))
    assert found["distill_mos"]["lower"] == 0  # counts no events
    sparse = judge_pair(columns(turns=60, wer=0.02, seed=1), columns(turns=60, wer=0.3, seed=1))
    assert sparse["decision"] == "INCONCLUSIVE"
    (sentence,) = [r for r in sparse["reasons"] if "show that answer_accuracy is no worse" in r]
    assert int(sentence.split("about ")[1].split(" more")[0]) + 60 == np.ceil(np.log(0.05) / np.log(0.97))


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
    assert int(sentence.split("about ")[1].split(" more")[0].replace(",", "")) == pytest.approx(needed - 60, abs=4)
    assert "if the models are equal (80% power)" in sentence and "speakers" not in sentence


def luck(turns=60):
    """Right answers that differ in 12 of 60 turns, 7 to 5 for the challenger; better speech; MOS alike."""
    new, old = columns(turns, wer=0.02, seed=3), columns(turns, wer=0.3, seed=3)
    new["correct"], old["correct"] = np.ones(turns), np.ones(turns)
    new["correct"][[1, 7, 18, 24, 50]], old["correct"][[2, 5, 14, 23, 31, 40, 46]] = 0, 0
    return new, old


def test_too_little_data_never_promotes_though_it_is_within_the_margin(judge_pair):
    wide = FAST.model_copy(update={"accuracy_margin": 0.05})
    few = judge_pair(*luck(), settings=wide)
    accuracy = few["comparisons"]["answer_accuracy"]
    assert few["decision"] == "INCONCLUSIVE" and -0.05 < accuracy["lower"] <= 0 and 0.2 < accuracy["power"] < 0.8
    assert "too little data: it is within the margin of 5.0 points" in accuracy["rule"]
    assert any("show that answer_accuracy is no worse, about" in r and "more speakers" in r for r in few["reasons"])
    unplanned = judge_pair(*luck(), settings=wide.model_copy(update={"power": 0.0}))
    assert unplanned["decision"] == "PROMOTE"


def test_a_figure_that_is_shown_to_be_better_needs_no_power_for_its_margin(judge_pair):
    facts = judge_pair(columns(wer=0.02, seed=1), columns(wer=0.3, seed=1),
                       settings=FAST.model_copy(update={"wer_margin": 0.001}))  # fmt: skip
    wer = facts["comparisons"]["own_speech_wer"]
    assert wer["power"] < 0.2 and wer["lower"] > 0 and facts["decision"] == "PROMOTE"


def test_twenty_turns_or_three_speakers_are_too_few_however_clear(judge_pair):
    few = judge_pair(columns(20, wer=0.0, mos=4.5), columns(20, wer=0.5, accuracy=0.1, mos=2.0))
    assert few["decision"] == "INCONCLUSIVE"
    assert "at least 30 turns of 4 speakers are needed" in few["comparisons"]["distill_mos"]["rule"]
    assert any("at least 10 more turns and 0 more speakers are needed" in r for r in few["reasons"])
    speaker = [f"voice-{i % 3}" for i in range(100)]
    few = judge_pair(columns(wer=0.0, mos=4.5), columns(wer=0.5, accuracy=0.1, mos=2.0), speaker=speaker)
    assert few["decision"] == "INCONCLUSIVE"
    assert any("at least 0 more turns and 1 more speakers are needed" in r for r in few["reasons"])


def test_a_slower_p95_in_one_session_rejects_and_a_faster_one_does_not(make_report, store, make_latency):
    better, worse = make_report(**columns(wer=0.02, seed=1)), make_report(**columns(wer=0.3, seed=1))
    facts = compare(store, better, worse, make_latency(challenger_ms=500.0), FAST).facts
    p95 = facts["comparisons"]["time_to_first_audio_p95_ms"]
    assert (p95["challenger"], p95["champion"]) == (pytest.approx(500 * 1.37), pytest.approx(400 * 1.37))
    assert p95["gain"] == pytest.approx(-0.25) and (p95["n"], p95["clusters"]) == (40, 5)
    assert facts["decision"] == "REJECT" and "beyond the margin of 5.0 %" in p95["rule"]
    assert compare(store, better, worse, make_latency(champion_ms=500.0), FAST).facts["decision"] == "PROMOTE"


def test_times_of_another_session_or_of_another_champion_are_refused(make_report, store, make_latency):
    new, old = make_report(**columns()), make_report(**columns(seed=1))
    with pytest.raises(
        MetricError, match=r"time_to_first_audio_p95_ms cannot be computed: .* no question both with sound"
    ):
        compare(store, new, old, make_latency(champion_ms=None), FAST)
    other = make_latency(inputs={"champion": new})
    with pytest.raises(ArtifactError, match=r"did not time the champion .* beside the other; run the flow again"):
        compare(store, new, old, other, FAST)


def test_a_questions_time_is_the_median_of_its_rounds_and_silence_is_left_out(store, make_report):
    waits = {"challenger": [[0.4, 0.9, 0.5], [0.3, 0.3, 0.3]], "champion": [[0.2, 0.2, 0.8], [0.0, 0.3, 0.3]]}
    rows = [
        {"who": who, "round": turn, "question_id": f"q{number}", "source": "s", "speaker": "v", "time_to_first_audio_s": s}
        for who, questions in waits.items() for number, times in enumerate(questions) for turn, s in enumerate(times)
    ]  # fmt: skip
    with store.scratch("latency") as folder:
        pq.write_table(pa.Table.from_pylist(rows, schema=ANSWER_TIMES), folder / "per_answer.parquet")
        latency = store.commit(LatencyReport, folder)
    report = make_report(**columns())
    ours, theirs = timed_together(store, latency, report, report)
    assert (list(ours.values), list(theirs.values), list(ours.speakers)) == ([500.0], [200.0], ["s/v"])


def test_more_targets_make_each_one_harder_to_show(judge_pair):
    pair = columns(wer=0.15, seed=5), columns(wer=0.2, seed=6)
    three = judge_pair(*pair)["comparisons"]["own_speech_wer"]["p_value"]
    one = judge_pair(*pair, settings=FAST.model_copy(update={"targets": ("own_speech_wer",)}))
    assert three < 1 and three == pytest.approx(3 * one["comparisons"]["own_speech_wer"]["p_value"])


def test_a_speaker_of_two_sources_is_two_speakers(judge_pair):
    source = [f"set-{i % 2}" for i in range(100)]
    facts = judge_pair(columns(), columns(seed=1), source=source)
    assert facts["comparisons"]["answer_accuracy"]["clusters"] == 10


def test_a_model_that_is_too_slow_is_rejected_however_good(judge_pair):
    facts = judge_pair(columns(wer=0.0), columns(wer=0.3), passed=False)
    assert facts["decision"] == "REJECT" and facts["reasons"][0].startswith(
        "latency gate failed: real-time factor is 1.50"
    )


@pytest.mark.parametrize(("turns", "voices", "lacks"), [(20, 5, "10 more turns and 0"), (60, 3, "0 more turns and 1")])
def test_a_first_model_is_not_promoted_on_few_turns_or_speakers_however_good(judge_pair, turns, voices, lacks):
    facts = judge_pair(columns(turns, wer=0, accuracy=1, mos=5), None, speaker=[f"v{i % voices}" for i in range(turns)])
    assert facts["decision"] == "INCONCLUSIVE"
    assert any(
        f"to judge answer_accuracy at all, at least {lacks} more speakers are needed" in r for r in facts["reasons"]
    )
    alone = judge_pair(columns(60, wer=0, accuracy=1, mos=5), None, speaker=["one"] * 60)
    assert alone["decision"] == "PROMOTE"  # one speaker's assistant: turns are what a new test would draw


def test_a_first_model_passes_a_gate_by_the_unfavourable_bound_and_not_by_luck(judge_pair):
    near = judge_pair(columns() | {"correct": (np.arange(100) % 20 < 11).astype(float)}, None)
    lower, upper = near["intervals"]["challenger"]["answer_accuracy"]
    assert lower < 0.5 < 0.55 < upper and near["decision"] == "INCONCLUSIVE"
    assert any("answer_accuracy is" in r and "gate at least 50.0 %: open" in r for r in near["reasons"])
    needed = [r for r in near["reasons"] if r.startswith("to show that answer_accuracy passes its gate")]
    assert len(needed) == 1 and "more speakers are needed if the estimate holds (80% power)" in needed[0]
    low = FAST.model_copy(update={"gates": FAST.gates.model_copy(update={"max_own_speech_wer": 0.001})})
    unseen = judge_pair(columns(wer=0), None, low)  # no error in some 600 words: the rule of three
    assert (
        unseen["decision"] == "INCONCLUSIVE" and 0.004 < unseen["intervals"]["challenger"]["own_speech_wer"][1] < 0.006
    )
    (needed,) = [r for r in unseen["reasons"] if r.startswith("to show that own_speech_wer passes its gate")]
    assert 350 < int(needed.split("about ")[1].split(" more")[0]) < 550


def test_equal_first_models_at_the_gate_are_promoted_in_at_most_five_percent(make_latency):
    """A model just outside of one gate, on 60 turns of 7 speakers: what point estimates would promote every second time."""
    settings, latency, promoted = FAST.model_copy(update={"min_turns": 5}), make_latency(), 0
    rng, owner = np.random.default_rng(1), np.arange(60) % 7
    for _ in range(400):
        right = rng.random(60) < np.clip(0.5 + rng.normal(0, 0.1, 7), 0, 1)[owner]
        side = {"errors": np.zeros(60), "reference_words": np.full(60, 6.0), "correct": right, "mos": np.full(60, 4.0)}
        promoted += absolute(scores(side, owner.astype(str)), latency, settings)[0] == "PROMOTE"
    assert 0.01 < promoted / 400 < 0.08


def test_without_a_champion_the_gates_decide(judge_pair):
    assert judge_pair(columns(), None)["decision"] == "PROMOTE"
    facts = judge_pair(columns(accuracy=0.2), None)
    assert facts["decision"] == "REJECT"
    assert any("answer_accuracy" in r and "at least 50.0 %: failed" in r for r in facts["reasons"])
    assert judge_pair(columns(), None, passed=False)["decision"] == "REJECT"


def test_different_sealed_sets_or_judges_are_refused(store, make_report, make_latency):
    ours, theirs = make_report(**columns()), make_report(**columns(seed=1), sealed_set="b" * 32)
    with pytest.raises(ArtifactError, match=r"different sealed sets.*run the flow again, or the deployment `compare`"):
        compare(store, ours, theirs, make_latency(), FAST)
    with pytest.raises(ArtifactError, match=r"different evaluate\.judge"):
        compare(store, ours, make_report(**columns(seed=1), settings={"judge": "another"}), make_latency(), FAST)
    with pytest.raises(ArtifactError, match=r"heard by different judges, though both are called bundled:whisper_base"):
        compare(store, ours, make_report(**columns(seed=1), judge="e" * 64), make_latency(), FAST)


def test_a_guard_that_was_not_measured_is_refused(store, make_report, make_latency):
    report = make_report(**columns(), without=("distill_mos",))
    with pytest.raises(
        MetricError, match=r"distill_mos was not measured.*evaluate\.metrics, or name it in compare\.unguarded"
    ):
        compare(store, report, None, make_latency(), FAST)
    with pytest.raises(MetricError, match=r"speaker_similarity, cascade_retention was not measured"):
        compare(store, make_report(**columns()), None, make_latency(), CompareSettings(replicates=200))


def with_all_guards(turns=400, similarity=0.85, retained=1.0, **changes):
    """Right answers to every written question, and to a share of them when they are spoken."""
    heard = np.ones(turns)
    heard[round(retained * turns) :] = 0
    likeness = np.random.default_rng(9).normal(similarity, 0.02, turns)
    return columns(turns, **changes) | {"similarity": likeness, "heard_right": heard, "read_right": np.ones(turns)}


@pytest.mark.parametrize(
    ("worse", "figure", "margin"),
    [({"similarity": 0.8}, "speaker_similarity", "0.01"), ({"retained": 0.9}, "cascade_retention", "1.0 points")],
)
def test_voice_and_retention_are_guarded_unless_the_settings_name_them_and_the_verdict_says_so(
    judge_pair, worse, figure, margin
):
    usual, champion = CompareSettings(replicates=200), with_all_guards(wer=0.3, seed=1)
    assert judge_pair(with_all_guards(wer=0.02, seed=1), champion, usual)["decision"] == "PROMOTE"
    lost = judge_pair(with_all_guards(wer=0.02, seed=1, **worse), champion, usual)
    assert lost["decision"] == "REJECT" and lost["unguarded"] == []
    assert f"beyond the margin of {margin}" in lost["comparisons"][figure]["rule"]
    freed = judge_pair(
        with_all_guards(wer=0.02, seed=1, **worse), champion, usual.model_copy(update={"unguarded": (figure,)})
    )
    assert freed["decision"] == "PROMOTE" and freed["unguarded"] == [figure]
    assert freed["comparisons"][figure]["margin"] is None and f"nothing guards {figure}" in freed["reasons"][-1]


def test_figures_scored_on_a_part_count_that_part_alone(judge_pair):
    new, old = columns(mos=4.0, scored=30), columns(mos=3.0, seed=1, scored=30)
    mos = judge_pair(new, old)["comparisons"]["distill_mos"]
    assert mos["n"] == 30 and mos["challenger"] == pytest.approx(np.nanmean(new["mos"]))
    assert mos["gain"] == pytest.approx(np.nanmean(new["mos"]) - np.nanmean(old["mos"]))


@pytest.mark.parametrize(
    ("spoil", "error", "what"),
    [
        ({"mos": [float("nan")] * 3 + [3.0] * 97}, MetricError, "'mos' of turn turn-000 is nan"),
        ({"mos": ["good"] * 100}, MetricError, "distill_mos cannot be read: its column 'mos' holds string"),
        (
            {"reference_words": [0.0] * 100},
            MetricError,
            "own_speech_wer cannot be computed: no turn has reference_words",
        ),
        ({"mos": [None] * 3 + [3.0] * 97}, MetricError, "distill_mos of turn turn-000 was scored for one of"),
    ],
)
def test_an_unreadable_metric_is_named_with_its_turn(store, make_report, make_latency, spoil, error, what):
    spoiled = {name: pa.array(values, from_pandas=False) for name, values in spoil.items()}
    with pytest.raises(error, match=what):
        compare(store, make_report(**(columns() | spoiled)), make_report(**columns(seed=1)), make_latency(), FAST)


def test_a_table_without_the_column_and_a_torn_table_are_refused(store, make_report, make_latency):
    lacking = columns()
    del lacking["mos"]
    with pytest.raises(MetricError, match=r"distill_mos cannot be read: per_utterance\.parquet has no column 'mos'"):
        compare(store, make_report(**lacking), None, make_latency(), FAST)
    report = make_report(**columns(seed=3), without=("sealed_set",))
    with pytest.raises(ArtifactError, match=r"says nothing of sealed_set; evaluate the model again"):
        compare(store, report, None, make_latency(), FAST)
    with store.scratch("evaluation") as folder:
        (folder / "per_utterance.parquet").write_bytes(b"PAR1 torn")
        torn = store.commit(type(report), folder, facts=make_report(**columns()).facts)
    with pytest.raises(ArtifactError, match=r"per_utterance\.parquet of evaluation .* cannot be read"):
        compare(store, torn, None, make_latency(), FAST)


def test_a_report_altered_by_hand_since_it_was_measured_is_refused(store, make_report, make_latency):
    new, old, latency = make_report(**columns()), make_report(**columns(seed=1)), make_latency()
    for report, name in (
        (new, "per_utterance.parquet"),
        (old, "per_utterance.parquet"),
        (latency, "per_answer.parquet"),
    ):
        path = store.folder(report) / name
        whole = path.read_bytes()
        path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])  # as long: only the hash tells
        with pytest.raises(ArtifactError, match=rf"'{name}' was altered after it was written .* run the flow again"):
            compare(store, new, old, latency, FAST)
        path.write_bytes(whole)
    assert compare(store, new, old, latency, FAST).facts["decision"]


def test_a_target_that_nobody_measured_is_refused(judge_pair):
    with pytest.raises(MetricError, match=r"naturalness of compare\.targets was not measured"):
        judge_pair(columns(), columns(seed=1), settings=FAST.model_copy(update={"targets": ("naturalness",)}))


def test_a_guard_that_one_report_lacks_is_refused(store, make_report, make_latency):
    new, old = make_report(**with_all_guards()), make_report(**with_all_guards(seed=1), without=("speaker_similarity",))
    with pytest.raises(MetricError, match=rf"speaker_similarity was not measured for evaluation {old.digest[:12]}"):
        compare(store, new, old, make_latency(), CompareSettings(replicates=200))


# ---------------------------------------------------------------- chance alone


def scores(data, speakers):
    names = {name: np.asarray(values, float) for name, values in data.items()}
    turn_ids = [str(i) for i in range(len(speakers))]
    times = {FIRST_AUDIO: Sample(np.full(len(speakers), 400.0), speakers)}
    return Scores(turn_ids, speakers, FIGURES, {name: figure.sums(names) for name, figure in FIGURES.items()}, times)


def clustered(rng, speakers, turns):
    """Two equal models: what a speaker is like for both, and for each of them."""
    owner = np.arange(turns) % speakers
    words = rng.integers(4, 9, turns).astype(float)
    hard, common = rng.gamma(0.5, 2, turns), rng.normal(0, 0.5, speakers)
    sides = []
    for _ in range(2):
        own = common + rng.normal(0, 0.4, speakers)
        sides.append({
            "errors": rng.poisson(words * 0.1 * np.exp(own[owner]) * hard).astype(float), "reference_words": words,
            "correct": (rng.random(turns) < 1 / (1 + np.exp(-1 - own[owner]))).astype(float),
            "mos": rng.normal(3.5 + 0.2 * own[owner], 0.3),
        })  # fmt: skip
    names = np.array([f"voice-{i}" for i in owner])
    return [scores(side, names) for side in sides]


def test_equal_models_are_promoted_in_at_most_five_percent_of_2000_comparisons(make_latency):
    guards_always_hold = CompareSettings(
        replicates=200, wer_margin=2, accuracy_margin=1, mos_margin=4
    )  # the worst case
    rng, latency, promoted = np.random.default_rng(0), make_latency(), 0
    for _ in range(2000):
        comparisons, _ = corrected(
            compare_scores(*clustered(rng, 7, 105), guards_always_hold), None, guards_always_hold
        )
        promoted += decide(comparisons, latency, guards_always_hold)[0] == "PROMOTE"
    assert 0.02 < promoted / 2000 <= 0.05  # three targets come near the level, not far under it


def test_two_thousand_replicates_of_150_turns_take_under_two_seconds(judge_pair):
    started = time.perf_counter()
    judge_pair(columns(150), columns(150, seed=1), settings=FAST.model_copy(update={"replicates": 2000}))
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("with_champion", [False, True])
def test_a_model_whose_text_and_speech_differ_is_rejected_whatever_its_scores(
    store, make_report, make_latency, make_consistency, with_champion
):
    better, worse = (
        make_report(**columns(wer=0.02, seed=1)),
        make_report(**columns(wer=0.3, seed=1)) if with_champion else None,
    )
    verdicts = [compare(store, better, worse, make_latency(), FAST, make_consistency(wer)).facts for wer in (0.1, 0.7)]
    assert [verdict["decision"] for verdict in verdicts] == ["PROMOTE", "REJECT"]
    assert any("consistency gate passed: the parts fit" in reason for reason in verdicts[0]["reasons"])
    assert any(
        "consistency gate failed: in 3 validation answers the judge hears 70% of the words otherwise" in reason
        for reason in verdicts[1]["reasons"]
    )
