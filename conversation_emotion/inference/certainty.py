"""Runs a saved model on windows, with what tells how far its predictions can be trusted."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.datasets.batches import Batch, ModalityArrays, WindowLoader
from conversation_emotion.datasets.windows import Windows
from conversation_emotion.features.extract import Features
from conversation_emotion.inference.saved_model import SavedModel
from conversation_emotion.models.committees import Committee, measure_disagreement
from conversation_emotion.models.domain import measure_novelty
from conversation_emotion.tasks.task import collect_outputs
from conversation_emotion.utterances.labels import IGNORED

_GATHERED = 2**25
"""Most numbers of hidden states in a batch, of float32."""


class Ran(NamedTuple):
    """What a model gives of N windows.

    Attributes:
        probabilities: Of the classes, (N, C).
        certainty: Columns that tell how far to trust them, (N,) each; none of many models.
    """

    probabilities: NDArray[np.floating]
    certainty: dict[str, NDArray[np.floating]]


def list_certainty(saved: SavedModel) -> list[str]:
    """Returns the names of the columns in `Ran.certainty`."""
    names = {"disagreement": isinstance(saved.model, Committee), "novelty": bool(saved.domains)}
    return [name for name, is_there in names.items() if is_there]


def lay_out(saved: SavedModel, features: Mapping[str, Features]) -> dict[str, ModalityArrays]:
    """Lays the features of some sources out as a model reads them."""
    return {
        name: ModalityArrays(
            found,
            name,
            normalise_clips=saved.card.features.standardise == "clip",
            shape=saved.shapes[name],
        )
        for name, found in features.items()
    }


def run_windows(
    saved: SavedModel, windows: Windows, features: Mapping[str, Features], num_rows: int
) -> Ran:
    """Predicts windows, in their order.

    Args:
        saved: The model.
        windows: What is predicted, with its context.
        features: Of each source, ``num_rows`` rows.
        num_rows: Rows of the utterance table.
    """
    arrays = lay_out(saved, features)
    longest = sum(int(one.num_frames.max()) * one.num_layers * one.size for one in arrays.values())
    most = _GATHERED // (longest * windows.rows.shape[1])
    unknown, size = np.full(num_rows, IGNORED), max(1, min(256, most))
    loader = WindowLoader(windows, arrays, unknown, batch_size=size)

    def read(batch: Batch) -> tuple[Tensor, ...]:
        outputs = saved.model(batch)
        members = outputs.members
        spread = () if members is None else (measure_disagreement(members),)
        return outputs.logits.float().softmax(dim=-1), *spread

    with torch.inference_mode():
        probabilities, *spread = collect_outputs(saved.model, loader, read)
    columns: dict[str, NDArray[np.floating]] = {}
    if spread:
        columns["disagreement"] = spread[0]
    if saved.domains:
        columns["novelty"] = measure_novelty(saved.domains, arrays, windows)
    return Ran(probabilities, columns)
