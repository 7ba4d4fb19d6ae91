"""Integrated gradients of what a model reads, and what each frame or token has of them.

The way goes from a baseline, the mean of train, to what the model reads (Sundararajan et al.,
2017). Of sources that were pooled before the model, the gradients are those of the pooled features,
and each frame gets its part of how far these are from the baseline: of a mean that is the same as
integrated gradients of the frames through the mean.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import measure_clip
from conversation_emotion.datasets.group_statistics import Statistics
from conversation_emotion.features.extract import pool_frames
from conversation_emotion.features.key import Pooling
from conversation_emotion.inference.explanation.scoring import WindowCase, copy_window
from conversation_emotion.models.perception import Standardisation

NUM_STEPS = (32, 128, 512)
"""Points of the way; more are tried while attributions do not add up."""

TOLERANCE = 0.01
"""By how much sums may miss the difference of log-probabilities, as a share of it; or in nats."""

_GATHERED = 2**25
"""Most numbers of states that are computed on at once, of float32."""


def find_baselines(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Returns the mean of the features of train, (L, D), of each source.

    Of an ensemble it is the mean over its members; where features are not standardised, it is zero.

    Raises:
        ValueError: The model does not standardise a source.
    """
    found: dict[str, Tensor] = {}
    for name in names:
        centres = [
            module.centre
            for path, module in model.named_modules()
            if isinstance(module, Standardisation) and name in path.split(".")
        ]
        if not centres:
            raise ValueError(
                f"a model of {type(model).__name__} cannot be explained: it has no standardisation "
                f"of {name!r}, whose mean would be the baseline"
            )
        found[name] = torch.stack(centres).mean(dim=0)
    return found


def integrate(
    case: WindowCase, baselines: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], float, float]:
    """Returns the mean gradient of some sources on the way from their baselines.

    Args:
        case: What is explained.
        baselines: Of the sources that go this way, (L, D) each; the others stay as they are.

    Returns:
        Mean gradients, (M, L, T, D) of each source, whose product with the way that was gone adds
        up to the difference of log-probabilities; by how much it misses that; and the difference,
        in nats.
    """
    from captum.attr import IntegratedGradients  # takes a second, and only explanations need it

    names = list(baselines)
    states = tuple(case.batch.states[name][None] for name in names)
    starts = tuple(
        baselines[name][None, None, :, None].expand_as(one)
        for name, one in zip(names, states, strict=True)
    )

    def score(*given: Tensor) -> Tensor:
        copied = copy_window(case.batch, dict(zip(names, given, strict=True)))
        return case.scorer(copied)[:, case.label]

    method = IntegratedGradients(score, multiply_by_inputs=False)
    with torch.no_grad():
        difference = float(score(*states) - score(*starts))
    at_once = max(1, _GATHERED // sum(one.numel() for one in states))
    gradients, missed = (), float("inf")
    for num_steps in NUM_STEPS:
        gradients = method.attribute(
            states,
            starts,
            n_steps=num_steps,
            internal_batch_size=min(at_once, num_steps),
        )
        ways = zip(gradients, states, starts, strict=True)
        total = sum(float((one * (to - start)).sum()) for one, to, start in ways)
        missed = total - difference
        if abs(missed) <= TOLERANCE * max(abs(difference), 1.0):
            break
    found = {name: one[0].detach() for name, one in zip(names, gradients, strict=True)}
    return found, missed, difference


def share_frames(
    frames: NDArray[np.floating],
    pooling: Pooling,
    baseline: NDArray[np.floating],
    *,
    normalise_clips: bool = False,
    statistics: Statistics | None = None,
) -> NDArray[np.floating]:
    """Returns what each frame adds to how far the features of a clip are from a baseline.

    Over all frames it adds up to just that. Of deviations a frame's part is that of its squared
    distance from the mean, and the baseline is taken off evenly.

    Args:
        frames: Hidden states as the encoder gives them: (L, T, D).
        pooling: How they became what the model reads.
        baseline: In the features that the model reads: (L, D').
        normalise_clips: Whether these were normalised, see `ModalityArrays`.
        statistics: What these were standardised by before, if by those of a group.

    Returns:
        (L, T, D'), where D' is 2 D of means and deviations, else D.
    """
    values = np.array(frames, dtype=np.float32)  # a copy, for stored frames are read-only
    num_frames = values.shape[1]
    given = torch.from_numpy(values)[None], torch.tensor([num_frames])
    (pooled,) = (one.numpy() for one in pool_frames(*given, pooling))
    if pooling == "statistics":
        mean, deviation = np.split(pooled, 2, axis=-1)
        squares = np.square(values - mean) / np.where(deviation > 0, deviation, 1.0)
        values = np.concatenate([values, squares], axis=-1)
    centre, scale = 0.0, 1.0
    if normalise_clips:
        centre, scale = (one.transpose(1, 0, 2) for one in measure_clip(pooled.transpose(1, 0, 2)))
    if statistics is not None:
        centre, scale = statistics.centre[:, None], statistics.scale[:, None]
    distances = (values - baseline[:, None] * scale - centre) / scale
    return distances if pooling == "frames" else distances / num_frames


def attribute_frames(gradients: Tensor, shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns what each frame has of a difference: (L, T or 1, D'), (L, T, D') -> (T,)."""
    real = gradients.numpy()[:, : shares.shape[1]]  # utterances next to it may be longer
    return (real * shares).sum(axis=(0, 2), dtype=np.float64)
