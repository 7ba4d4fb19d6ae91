"""What is explained: the log-probability of a class, as a function of what the model reads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch, leave_out
from conversation_emotion.datasets.windows import PADDING


class Scorer(NamedTuple):
    """A model with the temperature of its card, among the classes to choose from.

    Attributes:
        model: From batches to logits.
        temperature: That divides its log-probabilities.
        chosen: Classes that may be predicted: (C,).
    """

    model: nn.Module
    temperature: float
    chosen: Tensor

    def __call__(self, batch: Batch) -> Tensor:
        """Returns log-probabilities, as predictions have them: (B, C)."""
        logits = self.model(batch).logits.float().log_softmax(dim=-1) / self.temperature
        return logits.masked_fill(~self.chosen, -torch.inf).log_softmax(dim=-1)


@dataclass(frozen=True, kw_only=True)
class WindowCase:
    """A target with its context, and the class that is explained.

    Attributes:
        scorer: The model.
        batch: One window, whose M utterances are there once: `Batch` with B = 1.
        rows: Row number of each of them in the utterance table: (M,).
        label: Number of the class.
    """

    scorer: Scorer
    batch: Batch
    rows: NDArray[np.int64]
    label: int

    @torch.no_grad()
    def score(self) -> float:
        """Returns the log-probability of the class."""
        return float(self.scorer(self.batch)[0, self.label])

    def without_utterance(self, place: int) -> "WindowCase":
        """Leaves the content of one of the M utterances out, and keeps its speaker."""
        is_out = torch.arange(len(self.rows)) == place
        return self._leave_out(is_out, tuple(self.batch.states))

    def without_sources(self, names: Sequence[str]) -> "WindowCase":
        """Lets all utterances lack some sources."""
        return self._leave_out(torch.ones(len(self.rows), dtype=torch.bool), names)

    def with_states(self, name: str, place: int, found: Tensor | None) -> "WindowCase":
        """Gives one utterance other states (L, T, D) of a source, or none of it."""
        if found is None:
            is_out = torch.arange(len(self.rows)) == place
            return self._leave_out(is_out, (name,))
        length, width = found.size(1), max(found.size(1), self.batch.frames[name].size(1))
        extra = width - self.batch.frames[name].size(1)
        states = nn.functional.pad(self.batch.states[name], (0, 0, 0, extra))
        frames = nn.functional.pad(self.batch.frames[name], (0, extra))
        states[place], frames[place] = 0.0, torch.arange(width) < length
        states[place, :, :length] = found
        return self._replace({name: (states, frames)})

    def _leave_out(self, is_out: Tensor, names: Sequence[str]) -> "WindowCase":
        batch = self.batch
        return self._replace(
            {name: leave_out(batch.states[name], batch.frames[name], is_out) for name in names}
        )

    def _replace(self, found: dict[str, tuple[Tensor, Tensor]]) -> "WindowCase":
        states = self.batch.states | {name: states for name, (states, _) in found.items()}
        frames = self.batch.frames | {name: frames for name, (_, frames) in found.items()}
        return replace(self, batch=self.batch._replace(states=states, frames=frames))


def copy_window(batch: Batch, states: dict[str, Tensor]) -> Batch:
    """Returns S copies of one window that differ in the states of some sources, (S, M, L, T, D)."""
    count, num_utterances = next(iter(states.values())).shape[:2]
    first = num_utterances * torch.arange(count)[:, None]
    is_padding = batch.places == PADDING

    def repeat(value: Tensor) -> Tensor:
        return value.repeat(count, *(1 for _ in value.shape[1:]))

    return batch._replace(
        states={name: repeat(value) for name, value in batch.states.items() if name not in states}
        | {name: value.flatten(0, 1) for name, value in states.items()},
        frames={name: repeat(value) for name, value in batch.frames.items()},
        places=torch.where(is_padding, PADDING, batch.places + first),
        **{
            name: repeat(getattr(batch, name))
            for name in batch._fields
            if name not in ("states", "frames", "vectors", "places")
        },
    )
