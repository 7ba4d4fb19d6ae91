"""Recordings of any length: windows of 30 s with context on both sides, memory flat in the length.

Attention and its bias grow with the square of the length, so a long recording is read in windows:

- The waveform is normalised once, over the whole recording, as a short clip is.
- A window is the model's plain forward on the samples of its frames. The feature extractor has no
  padding and its frames fall on the same samples, so its frames are exactly those of the recording.
- Positional convolutions and attention are limited to the window and the learned tokens. Windows
  overlap by twice the context, and each gives only its middle: a frame has at least the context on
  both sides, except at the recording's own ends. The context is longer than the reach of the
  positional convolutions (0.9 s); only attention beyond the window is lost.
- All windows of a recording have the same size, at most 30 s, so none is mostly overlap.

A recording of one window is the plain forward, to the bit. `iterate_windows` yields one window at a
time, so that only what the caller keeps grows with the recording.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from speech_encoders.emotion2vec.front_end import HOP, RECEPTIVE_FIELD, count_frames
from speech_encoders.emotion2vec.modeling import Emotion2vecModel

WINDOW_FRAMES = 1_500
"""Frames of the longest window."""

CONTEXT_FRAMES = 125
"""Frames at an inner border of a window that only serve as context (2.5 s)."""

_NORM_EPS = 1e-5


class Window(NamedTuple):
    """Frames ``start`` to ``stop`` are computed, ``first`` to ``last`` returned; ends exclusive."""

    start: int
    stop: int
    first: int
    last: int


class WindowStates(NamedTuple):
    """The states of a window.

    Attributes:
        first_frame: Number of its first frame in the recording.
        states: Hidden states, (L, t, D), or frames of the last layer alone, (1, t, D).
    """

    first_frame: int
    states: Tensor


def normalize(waveform: Tensor) -> Tensor:
    """Normalises a whole recording to zero mean and unit variance: (S,) -> (S,)."""
    return F.layer_norm(waveform, waveform.shape, eps=_NORM_EPS)


def plan_windows(
    num_frames: int,
    *,
    window_frames: int = WINDOW_FRAMES,
    context_frames: int = CONTEXT_FRAMES,
) -> list[Window]:
    """Divides a recording into the fewest windows, all of the same size.

    Args:
        num_frames: Frames of the recording.
        window_frames: Most frames of a window.
        context_frames: Context at each inner border of a window.

    Raises:
        ValueError: The window is no longer than the context on its two sides, or that is negative.
    """
    inner = window_frames - 2 * context_frames
    if inner < 1 or context_frames < 0:
        raise ValueError(
            f"a window of {window_frames} frames has no middle between two contexts of "
            f"{context_frames}; make it longer than both, and the context 0 or more"
        )
    if num_frames <= window_frames:
        return [Window(0, num_frames, 0, num_frames)]
    num_windows = -(-(num_frames - 2 * context_frames) // inner)
    size = -(-(num_frames - 2 * context_frames) // num_windows) + 2 * context_frames
    windows: list[Window] = []
    for number in range(num_windows):
        start = min(number * (size - 2 * context_frames), num_frames - size)
        is_last = number == num_windows - 1
        first = windows[-1].last if windows else 0
        last = num_frames if is_last else start + size - context_frames
        windows.append(Window(start, start + size, first, last))
    return windows


@torch.inference_mode()
def iterate_windows(
    model: Emotion2vecModel,
    waveform: Tensor,
    *,
    all_layers: bool = False,
    window_frames: int = WINDOW_FRAMES,
    context_frames: int = CONTEXT_FRAMES,
) -> Iterator[WindowStates]:
    """Encodes a recording window by window; together the windows give every frame once.

    Args:
        model: Encoder in evaluation mode.
        waveform: The normalised recording, shape (S,).
        all_layers: Whether to return the states of all layers, not of the last alone.
        window_frames: Most frames of a window.
        context_frames: Context at each inner border of a window.

    Raises:
        ValueError: The recording is shorter than a frame, or the window than its contexts.
    """
    num_frames = count_frames(len(waveform))
    plan = plan_windows(num_frames, window_frames=window_frames, context_frames=context_frames)
    for window in plan:
        samples = waveform[window.start * HOP :]
        if window.stop < num_frames:
            samples = samples[: (window.stop - window.start - 1) * HOP + RECEPTIVE_FIELD]
        output = model(samples[None], output_hidden_states=all_layers)
        layers = output.hidden_states if all_layers else (output.last_hidden_state,)
        middle = slice(window.first - window.start, window.last - window.start)
        yield WindowStates(window.first, torch.cat([layer[:, middle] for layer in layers]))
