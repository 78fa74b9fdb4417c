"""A decoder's layers enter, the frames on which one frame's samples depend leave: derived from the geometry, not guessed.

Chunks of a recording that overlap by so many frames on both sides decode to the samples that the whole would have there.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def convolutions(decoder: nn.Module) -> list[nn.Module]:
    """Layers of a decoder that look around themselves, in order, where residual units stand one after another.

    That is so in SNAC and DAC: each unit's shortcut sees less than the unit, so the convolutions alone tell the reach.
    """
    return [m for m in decoder.modules() if isinstance(m, (nn.Conv1d, nn.ConvTranspose1d)) or hasattr(m, "window_size")]


def look_ahead_frames(layers: Sequence[nn.Module], samples_per_frame: int, steps_per_frame: int = 1, phases: int = 1):
    """Frames on either side, past which a frame has no say in another's samples.

    layers: from frames to samples; Conv1d, ConvTranspose1d, and attention inside fixed windows (`window_size`).
    steps_per_frame: steps of the first layer's input in a frame. phases: frames after which the windows repeat.
    """
    reach = 0
    for frame in range(phases):
        first, last = _steps_read(layers, frame * samples_per_frame, (frame + 1) * samples_per_frame - 1)
        reach = max(reach, frame - first // steps_per_frame, last // steps_per_frame - frame)
    return reach


def _steps_read(layers: Sequence[nn.Module], first: int, last: int) -> tuple[int, int]:
    """The input steps that the output steps first..last depend on, from the last layer back to the first."""
    for layer in reversed(layers):
        if isinstance(layer, nn.ConvTranspose1d):
            stride, padding = layer.stride[0], int(layer.padding[0])
            span = layer.dilation[0] * (layer.kernel_size[0] - 1)
            first, last = -((span - first - padding) // stride), (last + padding) // stride
        elif isinstance(layer, nn.Conv1d):
            stride, padding = layer.stride[0], int(layer.padding[0])
            first = first * stride - padding
            last = last * stride - padding + layer.dilation[0] * (layer.kernel_size[0] - 1)
        else:
            window = int(layer.window_size)  # type: ignore[arg-type]
            first, last = first // window * window, last // window * window + window - 1
    return first, last
