"""A talker goes on from another one's weights, but for what another codec or language model makes void, if that is better."""

from dataclasses import replace

import pytest
import torch

from data_contracts.train import SpeakSettings
from omni_core import speak
from omni_core.speech_heads.talker import Talker, TalkerConfig
from omni_core.training_loop import Curve
from omni_core.warm_talker import start_talker, with_weights_of


def talker(seed: int, state_width: int = 6, streams: int = 2, codec: int = 99, rate_hz: float = 10.0) -> Talker:
    torch.manual_seed(seed)
    made = Talker(TalkerConfig(7, 3, state_width, streams, 11, rate_hz, 40.0, 5, width=32, num_layers=1, num_heads=2))
    torch.manual_seed(codec)
    made.set_code_vectors(torch.randn(streams, 11, 5))
    return made


@pytest.fixture(scope="module")
def answers():
    generator = torch.Generator().manual_seed(0)
    return [
        speak.SpokenAnswer(
            torch.randint(21, (4,), generator=generator), torch.arange(4) // 2, torch.tensor([4, 6, 8, 2]),
            5 + torch.rand(4, generator=generator), torch.rand(4, generator=generator) - 3,
            torch.randint(11, (2, 5), generator=generator), torch.randn(2, 6, generator=generator),
        )
        for _ in range(6)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(answers, tmp_path_factory):
    old = talker(0)
    speak.train(old, answers, SpeakSettings(batch=6, decoded=6), 40, tmp_path_factory.mktemp("work"), Curve())
    return old


def prepared(made: Talker, answers) -> Talker:
    speak.set_prosody_scale(made, answers)
    return made


def test_the_trained_talker_is_where_the_next_one_starts(trained, answers):
    random, curve = prepared(talker(1), answers), Curve()
    start = start_talker(trained, random, answers, curve)
    assert start is not random and curve.last("start_warm") == 1
    assert curve.last("start_loss_warm") < curve.last("start_loss_random")
    loss = speak.validate(start, answers)["validation_loss"]
    assert loss == pytest.approx(
        min(curve.last("start_loss_warm"), curve.last("start_loss_warm_other_states")), abs=1e-4
    )


def test_a_talker_that_is_worse_than_random_is_left(trained, answers):
    import copy

    broken, random, curve = copy.deepcopy(trained), prepared(talker(1), answers), Curve()
    for value in broken.parameters():
        value.data.mul_(-3)
    assert start_talker(broken, random, answers, curve) is random and curve.last("start_warm") == 0
    assert curve.last("start_loss_warm") > curve.last("start_loss_random")


def test_of_another_language_model_s_width_only_the_states_are_new(trained):
    random = talker(1, state_width=10)
    made = with_weights_of(trained, random)
    state, old = dict(made.named_parameters()), dict(trained.named_parameters())
    assert torch.equal(state["state.1.weight"], dict(random.named_parameters())["state.1.weight"])
    assert torch.equal(state["heads.weight"], old["heads.weight"])
    assert torch.equal(
        state["decoder.layers.0.self_attn.q_proj.weight"], old["decoder.layers.0.self_attn.q_proj.weight"]
    )


@pytest.mark.parametrize("other", [{"codec": 5}, {"rate_hz": 12.0}, {"streams": 3}])
def test_after_a_swap_of_the_codec_all_goes_on_but_what_knows_its_codes(trained, answers, other):
    random, curve = prepared(talker(1, **other), answers), Curve()
    if "streams" in other:
        answers = [replace(a, codes=torch.cat([a.codes, a.codes[:1]])) for a in answers]
    start = start_talker(trained, random, answers, curve)
    assert curve.last("start_warm") == 1 and curve.last("start_loss_warm") < curve.last("start_loss_random")
    old, new, fresh = (dict(one.named_parameters()) for one in (trained, start, random))
    for name in ("encoder.0.conv.weight", "variance.out.weight", "condition.weight"):
        assert torch.equal(new[name], old[name]), name
    for name in ("codes.weight", "heads.weight", "latent.1.weight", "prior.sharpness"):
        assert torch.equal(new[name], fresh[name]), name
    assert torch.equal(start.prior.vectors, random.prior.vectors)


def test_without_validation_answers_nothing_is_believed(trained):
    random = talker(1)
    assert start_talker(trained, random, [], Curve()) is random
