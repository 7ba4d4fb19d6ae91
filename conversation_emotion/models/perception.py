"""Perception: from the hidden states of an utterance to one vector per modality.

Standardisation and principal components are fitted on the train part and live inside the model as
buffers, so that a saved model needs no other statistics.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.models.ecapa import EcapaPooling
from conversation_emotion.settings.features import Aggregator

TINY = 1e-5

ROWS_AT_ONCE = 64
"""Utterances whose frames are perceived together beforehand."""


class Frames(NamedTuple):
    """Frames of B utterances: states (B, T, D), and a mask of those that are real (B, T)."""

    states: Tensor
    mask: Tensor


class Standardisation(nn.Module):
    """Centres, projects where components are given, and scales, with numbers fixed before training.

    ``centre`` (L, D) is the mean of the train frames; ``components`` (L D, E) are principal
    components of all layers together, which make one layer of them; ``scale`` is the deviation of
    the train frames after projection, (L, D) or (1, E).
    """

    centre: Tensor
    components: Tensor | None
    scale: Tensor

    def __init__(self, centre: Tensor, components: Tensor | None, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("components", components)
        self.register_buffer("scale", scale)

    @property
    def num_layers(self) -> int:
        """Layers afterwards: L, or one of components."""
        return self.scale.size(0)

    @property
    def output_size(self) -> int:
        """Features per frame afterwards (D or E)."""
        return self.scale.size(-1)

    def forward(self, states: Tensor) -> Tensor:
        """Standardises every frame: (..., L, T, D) -> (..., L, T, D) or (..., 1, T, E)."""
        centred = states - self.centre.unsqueeze(-2)
        if self.components is not None:
            centred = join_layers(centred).unsqueeze(-3) @ self.components
        return centred / self.scale.unsqueeze(-2)


def fit_standardisation(
    frames: NDArray[np.float32], num_components: int | None = None
) -> Standardisation:
    """Fits mean, deviation and principal components on frames of the train part: (N, L, D).

    The components of one layer are those of its features as they are (Shi et al., 2023); of several
    layers, whose ranges differ, those of standardised features.

    Raises:
        ValueError: More components than frames or features.
    """
    centre, components = frames.mean(axis=0), None
    scale = _as_divisor(frames.std(axis=0))
    if num_components is not None:
        num_frames, num_layers, size = frames.shape
        most = min(num_frames, num_layers * size)
        if num_components > most:
            raise ValueError(
                f"{num_components} principal components of {num_frames} train frames with "
                f"{num_layers * size} features; {most} is the most there can be"
            )
        from sklearn.decomposition import PCA  # takes a second

        units = scale if num_layers > 1 else np.ones_like(scale)
        joined = ((frames - centre) / units).reshape(num_frames, -1)
        directions = np.asarray(PCA(num_components, random_state=0).fit(joined).components_).T
        scale = _as_divisor((joined @ directions).std(axis=0))[None]
        components = torch.from_numpy((directions / units.reshape(-1, 1)).astype(np.float32))
    return Standardisation(
        torch.from_numpy(centre.astype(np.float32)),
        components,
        torch.from_numpy(scale.astype(np.float32)),
    )


def fit_on_rows(
    arrays: ModalityArrays, rows: NDArray[np.int64], num_components: int | None = None
) -> Standardisation:
    """Fits a standardisation on all frames of some utterances, see `fit_standardisation`.

    Frames that memory should not hold at once are read piece by piece, and principal components
    then found by incremental singular value decomposition (Ross et al., 2008).

    Raises:
        ValueError: No utterance has the modality, or as `fit_standardisation`.
    """
    pieces = arrays.pieces(rows)
    if len(pieces) <= 1:
        return fit_standardisation(arrays.stack_frames(rows), num_components)
    from sklearn.decomposition import IncrementalPCA  # takes a second
    from sklearn.preprocessing import StandardScaler

    shape = arrays.num_layers, arrays.size
    scaler = StandardScaler()
    for piece in pieces:
        scaler.partial_fit(_join(arrays.stack_frames(piece)))
    centre, scale = np.asarray(scaler.mean_), _as_divisor(np.sqrt(np.asarray(scaler.var_)))
    components = None
    if num_components is not None:
        units = scale if arrays.num_layers > 1 else np.ones_like(scale)
        found, projected = IncrementalPCA(num_components), StandardScaler()
        for piece in pieces:
            found.partial_fit((_join(arrays.stack_frames(piece)) - centre) / units)
        directions = np.asarray(found.components_).T
        for piece in pieces:
            joined = (_join(arrays.stack_frames(piece)) - centre) / units
            projected.partial_fit(joined @ directions)
        scale = _as_divisor(np.sqrt(np.asarray(projected.var_)))
        shape = 1, num_components
        components = torch.from_numpy((directions / units[:, None]).astype(np.float32))
    return Standardisation(
        torch.from_numpy(centre.astype(np.float32)).view(arrays.num_layers, arrays.size),
        components,
        torch.from_numpy(scale.astype(np.float32)).view(shape),
    )


def _join(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Concatenates layers: (N, L, D) -> (N, L D)."""
    return frames.reshape(len(frames), -1)


def _as_divisor(deviations: NDArray[np.floating]) -> NDArray[np.floating]:
    """Lets a feature that is constant stay zero."""
    return np.where(deviations < TINY, 1.0, deviations)


def identity(num_layers: int, size: int) -> Standardisation:
    """Leaves L layers of D features as they are."""
    shape = (num_layers, size)
    return Standardisation(torch.zeros(shape), None, torch.ones(shape))


class LayerSum(nn.Module):
    """A learned weighted sum of an encoder's L layers of D features (Yang et al., 2021).

    The weights are equal at first.
    """

    def __init__(self, num_layers: int, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size
        self.scores = nn.Parameter(torch.zeros(num_layers), requires_grad=num_layers > 1)

    def forward(self, states: Tensor) -> Tensor:
        """Sums the layers: (..., L, T, D) -> (..., T, D)."""
        if self.scores.numel() == 1:
            return states.squeeze(-3)
        return torch.einsum("...ltd,l->...td", states, self.scores.softmax(dim=0))


class LayerJoin(nn.Module):
    """An encoder's L layers of D features, concatenated."""

    def __init__(self, num_layers: int, input_size: int) -> None:
        super().__init__()
        self.output_size = num_layers * input_size

    def forward(self, states: Tensor) -> Tensor:
        """Concatenates the layers: (..., L, T, D) -> (..., T, L D)."""
        return join_layers(states)


def join_layers(states: Tensor) -> Tensor:
    """Concatenates layers: (..., L, T, D) -> (..., T, L D)."""
    return states.transpose(-3, -2).flatten(-2)


LAYER_MIXTURES = {"sum": LayerSum, "join": LayerJoin}


class MeanPooling(nn.Module):
    """Averages the real frames; an utterance without any becomes zero."""

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Averages: (..., T, D), (..., T) -> (..., D)."""
        return _average(frames, mask.to(frames.dtype))


class StatisticsPooling(nn.Module):
    """Mean and deviation of the real frames, concatenated (Snyder et al., 2018)."""

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = 2 * input_size

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pools: (..., T, D), (..., T) -> (..., 2 D)."""
        weights = mask.to(frames.dtype)
        mean = _average(frames, weights)
        variance = _average((frames - mean.unsqueeze(-2)).square(), weights)
        deviation = torch.where(variance > 0, variance, 1.0).sqrt() * (variance > 0)
        return torch.cat([mean, deviation], dim=-1)


class AttentionPooling(nn.Module):
    """Averages the real frames with learned weights of one head (Lin et al., 2017).

    A hidden layer of ``hidden_size`` units scores each frame.
    """

    def __init__(self, input_size: int, hidden_size: int = 128) -> None:
        super().__init__()
        self.output_size = input_size
        self.score = nn.Sequential(
            nn.Linear(input_size, hidden_size), nn.Tanh(), nn.Linear(hidden_size, 1)
        )

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Averages with weights: (..., T, D), (..., T) -> (..., D)."""
        scores = self.score(frames).squeeze(-1).masked_fill(~mask, torch.finfo(frames.dtype).min)
        return _average(frames, scores.softmax(dim=-1) * mask)


AGGREGATORS: dict[str, Callable[..., nn.Module]] = {
    "mean": MeanPooling,
    "statistics": StatisticsPooling,
    "attention": AttentionPooling,
    "ecapa": EcapaPooling,
}


def make_aggregator(name: Aggregator, input_size: int, hidden_size: int | None) -> nn.Module:
    """Builds one of `AGGREGATORS`; those with units of their own take `hidden_size` if given."""
    sizes = [input_size] if hidden_size is None else [input_size, hidden_size]
    return AGGREGATORS[name](*sizes)


class FrameProjection(nn.Module):
    """A linear map to H units and a ReLU on every frame (Ma et al., 2024)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.linear = nn.Linear(input_size, hidden_size)

    def forward(self, frames: Tensor) -> Tensor:
        """Maps: (..., T, D) -> (..., T, H)."""
        return self.linear(frames).relu()


class FrameGRU(nn.Module):
    """Two GRU layers of H units over the frames, for tasks on sequences (Ma et al., 2024).

    They read forward, so that padding behind the real frames does not reach them.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.gru = nn.GRU(input_size, hidden_size, num_layers=2, batch_first=True)

    def forward(self, frames: Tensor) -> Tensor:
        """Reads: (..., T, D) -> (..., T, H)."""
        read, _ = self.gru(frames.flatten(0, -3))
        return read.unflatten(0, frames.shape[:-2])


FRAME_MAPS = {"emotion2vec": FrameProjection, "gru": FrameGRU}
"""Heads that change the frames before they are pooled."""


class Perception(nn.Module):
    """One modality of an utterance as one vector and a flag of its presence.

    An utterance without the modality becomes the train mean (zero) with the flag down; its
    content is masked, not invented. ``mixture`` makes one layer of the encoder's, ``frame_map`` is
    one of `FRAME_MAPS`, and ``aggregator`` pools the frames.
    """

    def __init__(
        self,
        standardisation: Standardisation,
        mixture: nn.Module,
        aggregator: nn.Module,
        frame_map: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.standardisation = standardisation
        self.mixture = mixture
        self.frame_map = frame_map or nn.Identity()
        self.aggregator = aggregator
        self.output_size = int(aggregator.output_size) + 1  # type: ignore[arg-type]

    @property
    def is_fixed(self) -> bool:
        """Whether training changes nothing of what is perceived."""
        return not any(weights.requires_grad for weights in self.parameters())

    def forward(self, states: Tensor, frames: Tensor) -> Tensor:
        """Perceives: (..., L, T, D), real frames (..., T) -> (..., D' + 1)."""
        is_present = frames.any(dim=-1, keepdim=True)
        mapped = self.frame_map(self.mixture(self.standardisation(states)))
        pooled = self.aggregator(mapped, frames)
        return torch.cat([pooled * is_present, is_present.to(pooled.dtype)], dim=-1)


def find_fixed(model: nn.Module) -> dict[str, Perception]:
    """Returns the perceptions of a model that training does not change, by modality."""
    named = model.named_modules()
    found = {path.rpartition(".")[2]: one for path, one in named if isinstance(one, Perception)}
    return {name: perception for name, perception in found.items() if perception.is_fixed}


@torch.no_grad()
def perceive_rows(
    perception: Perception, arrays: ModalityArrays, rows: NDArray[np.int64]
) -> Tensor:
    """Perceives the given rows of a table beforehand: (all rows, D), zero elsewhere."""
    vectors = torch.zeros(len(arrays.num_frames), perception.output_size)
    for some in torch.from_numpy(rows).split(ROWS_AT_ONCE):
        vectors[some] = perception(*arrays.gather(some))
    return vectors


def _average(frames: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(dim=-1, keepdim=True).clamp(min=TINY)
    return (frames * weights.unsqueeze(-1)).sum(dim=-2) / total
