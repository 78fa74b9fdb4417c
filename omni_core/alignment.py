"""Which sound is heard when: phoneme log-probabilities and a phoneme sequence enter, durations leave.

    log-mel frames -> small convolutional recogniser -> forced alignment -> frames per phoneme

The recogniser starts from monophone Gaussians (flat_start.py): train on their alignment, align anew, train on that,
a few rounds. Its posteriors are divided by how often each phoneme is heard, as in hybrid models (Bourlard and Morgan
1994, section 7.3); without that a border is 45 instead of 38 ms off. CTC from scratch on the same speech had not found
the words after 240 steps (loss 2.2), this has after 100.

`forced_align` does what torchaudio.functional.forced_align does, in plain torch and for a whole batch, because
torchaudio's is compiled code that does not load beside a CPU-only torch (see torchaudio_on_cpu.py).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni_core.flat_start import first_durations
from omni_core.mel import FRAME_RATE_HZ, NUM_MELS
from omni_core.progress import Progress, silent

STRIDE = 2
ALIGNER_FRAME_RATE_HZ = FRAME_RATE_HZ / STRIDE
BLANK = 0
BLANK_COST = -10.0
ROUNDS = 4
UNREACHABLE = -1e30


class PhonemeRecogniser(nn.Module):
    """Log-mel (batch, 80, frames) -> log-likelihoods (batch, frames // 2, 1 + phonemes), class 0 the blank.

    The receptive field is 0.3 s, so that a phoneme is recognised where it is and not from the sentence. The blank is
    no class of its own: it costs BLANK_COST, so a path uses it only between two equal phonemes, where it must.
    """

    def __init__(self, num_phonemes: int, width: int = 192):
        super().__init__()
        self.layers = nn.ModuleList([
            nn.Conv1d(NUM_MELS, width, 5, stride=STRIDE, padding=2),
            nn.Conv1d(width, width, 5, padding=2),
            nn.Conv1d(width, width, 3, padding=1),
        ])  # fmt: skip
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.layers)
        self.out = nn.Linear(width, num_phonemes)
        self.log_prior: Tensor
        self.register_buffer("log_prior", torch.zeros(num_phonemes))

    def log_posteriors(self, mel: Tensor) -> Tensor:
        """(batch, 80, frames) -> (batch, frames // 2, phonemes)."""
        x = (mel[:, :, : mel.shape[2] // STRIDE * STRIDE] + 5) / 3
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(F.gelu(layer(x)).transpose(1, 2)).transpose(1, 2)
        return self.out(x.transpose(1, 2)).log_softmax(-1)

    def forward(self, mel: Tensor) -> Tensor:
        return F.pad(self.log_posteriors(mel) - self.log_prior, (1, 0), value=BLANK_COST)

    def set_prior(self, labels: Tensor) -> None:
        """Labels (frames,) of the training speech -> how often each phoneme is heard."""
        counts = torch.bincount(labels, minlength=len(self.log_prior)) + 1.0
        self.log_prior.copy_((counts / counts.sum()).log())


def forced_align(log_probs: Tensor, targets: Tensor, frame_counts: Tensor, target_counts: Tensor) -> Tensor:
    """Most probable CTC path through the targets (Graves et al. 2006, section 4.1, with max for sum).

    log_probs (batch, frames, classes), blank is class 0; targets (batch, length) without blanks
    -> (batch, frames): index into the blank-extended targets (2 i + 1 is target i, even is blank), -1 past the end.
    A row too short for its targets has no path: every frame is -1.
    """
    batch, frames, _ = log_probs.shape
    extended = torch.full((batch, 2 * targets.shape[1] + 1), BLANK)
    extended[:, 1::2] = targets
    states = extended.shape[1]
    emitted = log_probs.gather(2, extended[:, None].expand(-1, frames, -1))
    may_skip = torch.zeros(batch, states, dtype=torch.bool)
    may_skip[:, 3::2] = targets[:, 1:] != targets[:, :-1]
    best = torch.full((batch, states), UNREACHABLE)
    best[:, :2] = emitted[:, 0, :2]
    history, back = [best], []
    for frame in range(1, frames):
        one = torch.cat([torch.full((batch, 1), UNREACHABLE), best[:, :-1]], 1)
        two = torch.cat([torch.full((batch, 2), UNREACHABLE), best[:, :-2]], 1).masked_fill(~may_skip, UNREACHABLE)
        best, step = torch.stack([best, one, two]).max(0)
        best = best + emitted[:, frame]
        history.append(best)
        back.append(step)
    return _trace_back(torch.stack(history, 1), back, frame_counts, target_counts)


def _trace_back(scores: Tensor, back: list[Tensor], frame_counts: Tensor, target_counts: Tensor) -> Tensor:
    """Follow the stored steps from each row's last frame: scores (batch, frames, states) -> (batch, frames)."""
    rows = torch.arange(len(scores))
    last = scores[rows, frame_counts - 1]
    ends = torch.stack([2 * target_counts, (2 * target_counts - 1).clamp(min=0)], 1)
    choice = last.gather(1, ends)
    state = ends.gather(1, choice.argmax(1, keepdim=True))[:, 0]
    possible = choice.max(1).values > UNREACHABLE / 2
    path = torch.full(scores.shape[:2], -1)
    for frame in range(scores.shape[1] - 1, -1, -1):
        inside = (frame < frame_counts) & possible
        path[:, frame] = torch.where(inside, state, -1)
        if frame > 0:
            state = torch.where(frame < frame_counts, state - back[frame - 1][rows, state], state)
    return path


def durations_of_path(path: list[int], num_targets: int) -> list[int]:
    """A path of one utterance -> frames per target, which sum to the number of frames.

    CTC peaks are short and the blanks between two peaks belong to either, so the border is put halfway:
        path    a a - - - - b        durations a 4, b 3
    """
    spans = [(path.index(2 * i + 1), len(path) - 1 - path[::-1].index(2 * i + 1)) for i in range(num_targets)]
    borders = [0] + [(left[1] + 1 + right[0] + 1) // 2 for left, right in pairwise(spans)]
    borders.append(len(path))
    return [end - start for start, end in pairwise(borders)]


def pad_mels(mels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """List of (80, frames) -> (batch, 80, longest) padded with silence, and aligner frames of each."""
    longest = max(m.shape[1] for m in mels)
    padded = torch.stack([F.pad(m, (0, longest - m.shape[1]), value=-11.5) for m in mels])
    return padded, torch.tensor([m.shape[1] // STRIDE for m in mels])


def pad_targets(targets: list[Tensor]) -> tuple[Tensor, Tensor]:
    """List of (length,) phoneme ids -> (batch, longest) with 1 added (0 is the blank), and the lengths."""
    padded = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-1) + 1
    return padded, torch.tensor([len(t) for t in targets])


@torch.no_grad()
def align(
    model: Callable[[Tensor], Tensor], mels: list[Tensor], targets: list[Tensor], batch: int = 64
) -> list[list[int] | None]:
    """Durations in aligner frames of every phoneme of every utterance; None where there are fewer frames than phonemes.

    `model` is a PhonemeRecogniser, or anything that returns log-likelihoods of the same shape.
    """
    found: list[list[int] | None] = [None] * len(mels)
    order = sorted(range(len(mels)), key=lambda i: mels[i].shape[1])
    for rows in (order[at : at + batch] for at in range(0, len(order), batch)):
        mel, frame_counts = pad_mels([mels[i] for i in rows])
        wanted, counts = pad_targets([targets[i] for i in rows])
        paths = forced_align(model(mel), wanted, frame_counts, counts)
        for row, path, frames in zip(rows, paths, frame_counts, strict=True):
            if path[0] >= 0:
                found[row] = durations_of_path(path[:frames].tolist(), len(targets[row]))
    return found


def frame_labels(targets: Tensor, durations: list[int]) -> Tensor:
    """Phoneme ids (length,) and their durations -> the id of each frame."""
    return targets.repeat_interleave(torch.tensor(durations))


def fit(
    mels: list[Tensor],
    targets: list[Tensor],
    num_phonemes: int,
    *,
    steps: int = 240,
    batch: int = 24,
    seed: int = 0,
    progress: Progress = silent,
) -> PhonemeRecogniser:
    """Train a recogniser on utterances of one voice or many: log-mels (80, frames), phoneme ids (length,)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PhonemeRecogniser(num_phonemes)
    usable = [i for i, m in enumerate(mels) if m.shape[1] // STRIDE > len(targets[i]) >= 3]
    mels, targets = [mels[i] for i in usable], [targets[i] for i in usable]
    durations = first_durations(mels, targets, num_phonemes, STRIDE, lambda scores: align(scores, mels, targets))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        if step % max(1, steps // ROUNDS) == 0:
            if step:
                durations = [d or old for d, old in zip(align(model, mels, targets), durations, strict=True)]
            model.set_prior(torch.cat([frame_labels(t, d) for t, d in zip(targets, durations, strict=True)]))
        rows = torch.randint(len(mels), (batch,), generator=generator).tolist()
        mel, _ = pad_mels([mels[i] for i in rows])
        labels = [frame_labels(targets[i], durations[i]) for i in rows]
        wanted = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        log_probs = model.log_posteriors(mel)[:, : wanted.shape[1]]
        loss = F.nll_loss(log_probs.transpose(1, 2), wanted, ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress(step + 1, steps, f"aligner, loss {loss.item():.2f}")
    return model.eval()
