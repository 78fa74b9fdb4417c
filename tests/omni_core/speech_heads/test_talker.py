"""The talker: training and stepping are the same function, and the condition follows the durations."""

import torch

from omni_core.speech_heads.talker import Conditioning, Talker, TalkerConfig


def small_talker():
    torch.manual_seed(0)
    talker = Talker(TalkerConfig(7, 3, 6, 3, 11, 10.0, 40.0, 5, width=32, num_layers=2, num_heads=2))
    talker.set_code_vectors(torch.randn(3, 11, 5))
    for weight in (talker.latent[1].weight, talker.correction.weight):  # zero at first; a test needs their say
        torch.nn.init.normal_(weight, std=0.2)
    return talker.eval()


def answer(durations=(4, 6, 8, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(durations)
    return Conditioning(
        torch.randint(21, (1, n), generator=generator),
        torch.arange(n)[None] // 2,
        torch.randn(1, n, 6, generator=generator),
        torch.ones(1, n),
        torch.tensor([durations]),
        5 + torch.rand(1, n, generator=generator),
        -3 + torch.rand(1, n, generator=generator),
    )


def test_frames_are_the_duration_times_the_rate():
    talker, c = small_talker(), answer()
    conditions = talker.frame_conditions(talker.encode(c), talker.normalised_prosody(c), c.durations)
    assert conditions.shape == (1, 5, 32)  # 20 aligner frames at 40 Hz are 0.5 s, 5 codec frames at 10 Hz


@torch.no_grad()
def test_stepping_gives_what_teacher_forcing_predicts():
    """Greedy codes fed back through the parallel pass must be its own argmax: cache, delays and shifts agree."""
    talker, c = small_talker(), answer()
    conditions = talker.frame_conditions(talker.encode(c), talker.normalised_prosody(c), c.durations)
    codes = torch.stack(list(talker.speak(conditions)), 1)[None]
    best = talker.logits(
        conditions, talker.latent(conditions), talker.prior.of_codes(codes), talker.layout.delay(codes)
    ).argmax(-1)
    assert torch.equal(best, codes)


@torch.no_grad()
def test_padding_a_batch_changes_no_conditions():
    talker, c = small_talker(), answer()
    wide = Conditioning(
        *(torch.nn.functional.pad(v, (0, 0, 0, 3) if v.dim() == 3 else (0, 3)) for v in vars(c).values())
    )
    alone = talker.frame_conditions(talker.encode(c), talker.normalised_prosody(c), c.durations)
    padded = talker.frame_conditions(talker.encode(wide), talker.normalised_prosody(wide), wide.durations)
    assert torch.allclose(alone, padded, atol=1e-5)


def test_a_few_steps_learn_one_answer_by_heart():
    talker, c = small_talker().train(), answer()
    codes = torch.randint(11, (1, 3, 5), generator=torch.Generator().manual_seed(4))
    optimizer = torch.optim.Adam(talker.parameters(), lr=5e-3)
    for _ in range(80):
        loss = talker.losses(c, codes, torch.tensor([5]))["codes"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    talker.eval()
    conditions = talker.frame_conditions(talker.encode(c), talker.normalised_prosody(c), c.durations)
    assert (torch.stack(list(talker.speak(conditions)), 1) == codes[0]).float().mean() > 0.9
