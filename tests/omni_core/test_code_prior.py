"""The prior prefers what residual quantization would choose, whatever the width of the latent."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_core.code_prior import MAX_LATENT_WIDTH, CodePrior, latent_loss, project
from omni_core.speech_heads.talker import Talker, TalkerConfig


def prior_of(vectors):
    prior = CodePrior(*vectors.shape)
    prior.set_vectors(vectors)
    return prior


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_with_silent_free_logits_the_best_code_is_the_nearest_vector(seed):
    torch.manual_seed(seed)
    talker = Talker(TalkerConfig(7, 3, 6, 3, 11, 10.0, 40.0, 5, width=16, num_layers=1, num_heads=1))
    talker.set_code_vectors(torch.randn(3, 11, 5))
    torch.nn.init.zeros_(talker.heads.weight)
    torch.nn.init.zeros_(talker.heads.bias)
    rest = torch.randn(2, 3, 4, 5)
    best = talker.code_logits(torch.randn(2, 3, 4, 16), rest).argmax(-1)
    distances = (rest[:, :, :, None] - talker.prior.vectors[:, None]).square().sum(-1)
    assert torch.equal(best, distances.argmin(-1))


def test_vectors_of_codes_are_looked_up_stream_by_stream():
    prior = prior_of(torch.randn(3, 11, 5))
    codes = torch.randint(11, (2, 3, 4))
    assert torch.equal(prior.of_codes(codes)[1, 2, 3], prior.vectors[2, codes[1, 2, 3]])


def test_projection_keeps_the_distances_of_a_flat_cloud():
    """Vectors that lie in a plane of MAX_LATENT_WIDTH dimensions lose nothing."""
    torch.manual_seed(0)
    plane = torch.linalg.qr(torch.randn(MAX_LATENT_WIDTH + 40, MAX_LATENT_WIDTH))[0]
    vectors = torch.randn(2, 300, MAX_LATENT_WIDTH) @ plane.T
    small = project(vectors)
    assert small.shape[2] == MAX_LATENT_WIDTH
    assert torch.allclose(torch.cdist(small[0], small[1]), torch.cdist(vectors[0], vectors[1]), rtol=1e-3)


def test_padding_does_not_count_in_the_latent_loss():
    guess, latent = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
    latent[0, 2] = 100.0
    assert latent_loss(guess, latent, torch.tensor([[1.0, 1.0, 0.0]])) == 2.0
