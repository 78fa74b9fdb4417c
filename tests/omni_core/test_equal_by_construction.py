"""Models that share the parts that write: equal by construction where every turn is, left to the statistics where not."""

import numpy as np
import pytest

from data_contracts.compare import CompareSettings
from data_contracts.errors import ArtifactError
from omni_core.compare import compare
from omni_core.scores import FIRST_AUDIO

PARTS = {"encoder": "1", "listen": "2", "language_model": "3", "settings": "4", "code": "5"}
USUAL = CompareSettings(replicates=200)


def side(turns=90, wer=0.02, similarity=0.85):
    """What a model of all guards did: 90 % of its texts are right, whatever it sounds like."""
    rng = np.random.default_rng(1)
    words, right = rng.integers(4, 9, turns), (np.arange(turns) % 10 > 0).astype(float)
    return {"errors": rng.binomial(words, wer).astype(float), "reference_words": words.astype(float), "correct": right,
            "mos": np.random.default_rng(2).normal(3.5, 0.2, turns), "heard_right": right, "read_right": np.ones(turns),
            "similarity": np.random.default_rng(3).normal(similarity, 0.02, turns)}  # fmt: skip


def swapped_codec(turns=90, similarity=0.85, **old):
    """Another codec: better speech, and every text of challenger and champion the same."""
    return side(turns, similarity=similarity), side(turns, wer=0.3) | old


def judge_parts(store, make_report, make_latency, pair, ours=PARTS, theirs=PARTS, settings=USUAL):
    new, old = make_report(**pair[0], parts=ours), make_report(**pair[1], parts=theirs)
    return compare(store, new, old, make_latency(), settings).facts


def test_the_same_parts_and_turns_are_equal_by_construction_on_any_number_of_turns(store, make_report, make_latency):
    judged = store, make_report, make_latency
    facts = judge_parts(*judged, swapped_codec())
    assert facts["decision"] == "PROMOTE", facts["reasons"]
    for name in ("answer_accuracy", "cascade_retention"):
        found = facts["comparisons"][name]
        assert (
            found["same_parts"] == "equal"
            and found["lower"] == found["upper"] == found["gain"] == 0
            and found["n"] == 90
        )
        assert found["rule"] == "equal by construction: the same parts answered, and every turn came out the same"
        (sentence,) = [reason for reason in facts["reasons"] if reason.startswith(name)]
        assert sentence.endswith(found["rule"]) and "bounds" not in sentence
    few = judge_parts(*judged, swapped_codec(40))
    assert few["decision"] == "PROMOTE" and few["comparisons"]["cascade_retention"]["power"] == 1
    strict = USUAL.model_copy(update={"accuracy_margin": 0.0, "retention_margin": 0.0})
    assert judge_parts(*judged, swapped_codec(), settings=strict)["decision"] == "PROMOTE"


@pytest.mark.parametrize("part", [*PARTS, "head", "nothing told"])
def test_another_digest_of_one_part_leaves_it_to_the_statistics(store, make_report, make_latency, part):
    theirs = None if part == "nothing told" else PARTS | {part: "another"}
    facts = judge_parts(store, make_report, make_latency, swapped_codec(), theirs=theirs)
    assert facts["decision"] == "INCONCLUSIVE"
    assert any("to show that cascade_retention is no worse, about 209 more turns" in r for r in facts["reasons"])
    assert any("to show that answer_accuracy is no worse, about 9 more turns" in r for r in facts["reasons"])
    assert all(c["same_parts"] is None for c in facts["comparisons"].values())
    assert not any("same parts" in reason for reason in facts["reasons"])


@pytest.mark.parametrize(
    "differs",
    [{"correct": (np.arange(90) % 10 > 0).astype(float) * (np.arange(90) != 1)},
     {"spoken_text": ["Answer 0!", *(f"Answer {i}." for i in range(1, 90))]}],
    ids=["one score", "one text"],
)  # fmt: skip
def test_the_same_parts_that_answer_one_turn_otherwise_are_left_to_the_statistics_and_it_is_said(
    store, make_report, make_latency, differs
):
    facts = judge_parts(store, make_report, make_latency, swapped_codec(**differs))
    accuracy = facts["comparisons"]["answer_accuracy"]
    assert facts["decision"] == "INCONCLUSIVE" and accuracy["same_parts"] == "unequal" and accuracy["lower"] < -0.01
    assert not accuracy["rule"].startswith("equal") and "too few" not in accuracy["rule"]
    (sentence,) = [reason for reason in facts["reasons"] if reason.startswith("answer_accuracy")]
    assert "one-sided bounds" in sentence and "not deterministic and the statistics decide" in sentence


def test_what_sounds_is_never_equal_by_construction(store, make_report, make_latency):
    same = side()
    facts = judge_parts(store, make_report, make_latency, (same, same))
    for name in ("own_speech_wer", "distill_mos", "speaker_similarity", FIRST_AUDIO):
        assert facts["comparisons"][name]["same_parts"] is None
    assert facts["comparisons"]["own_speech_wer"]["lower"] < 0 and facts["decision"] == "INCONCLUSIVE"
    lost = judge_parts(store, make_report, make_latency, swapped_codec(similarity=0.8))
    assert lost["decision"] == "REJECT"  # text that is equal clears its own guards alone


def test_a_target_that_is_equal_by_construction_cannot_be_shown_to_be_better(store, make_report, make_latency):
    same = side()
    text = USUAL.model_copy(update={"targets": ("answer_accuracy",)})
    facts = judge_parts(store, make_report, make_latency, (same, same), settings=text)
    assert facts["reasons"][-1] == (
        "to show that answer_accuracy is better, no data will do: the same parts answered, it is equal by construction"
    )
    both = judge_parts(store, make_report, make_latency, (same, same))["reasons"][-1]
    assert "answer_accuracy" not in both and "more turns will not do" in both


def test_parts_that_are_claimed_in_a_card_or_by_hand_in_the_file_are_refused(store, make_report, make_latency):
    new, old = swapped_codec()
    ours, theirs = make_report(**new, parts=PARTS), make_report(**old, parts=PARTS | {"listen": "other"})
    claimed = store.keep_card(theirs.model_copy(update={"facts": theirs.facts | {"parts": PARTS}}))
    with pytest.raises(ArtifactError, match=r"was altered: its card says other parts, which metrics\.json does not"):
        compare(store, ours, claimed, make_latency(), USUAL)
    path = store.folder(theirs) / "metrics.json"
    path.write_text(path.read_text().replace("other", "22222"))  # as long: only the hash tells
    with pytest.raises(ArtifactError, match=r"'metrics\.json' was altered after it was written"):
        compare(store, ours, theirs, make_latency(), USUAL)
