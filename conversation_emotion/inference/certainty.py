"""Runs a saved model on windows, with what tells how far its predictions can be trusted."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.datasets.batches import Batch, ModalityArrays, WindowLoader
from conversation_emotion.datasets.group_statistics import GroupSums
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


Sums = Mapping[str, GroupSums]
"""What the features of each source are standardised by, where that is their speaker's or corpus'
own statistics; of all rows that are predicted, of which a call may have a part."""


def add_up(
    saved: SavedModel, pieces: Iterable[tuple[pd.DataFrame, Mapping[str, Features]]]
) -> Sums:
    """Adds up the features of the groups of pieces of a table; nothing where none is needed."""
    sums = {name: GroupSums() for name in saved.statistics}
    for utterances, features in pieces if sums else ():
        groups = _group(saved, utterances)
        for name, one in sums.items():
            one.add(features[name].states, groups)
    return sums


def arrange(
    saved: SavedModel, features: Mapping[str, Features], utterances: pd.DataFrame, sums: Sums
) -> dict[str, ModalityArrays]:
    """Lays features out as the model was trained with them."""
    groups = _group(saved, utterances)
    return {
        name: ModalityArrays(
            found,
            name,
            normalise_clips=saved.card.features.standardise == "clip",
            statistics=sums[name].settle(groups, saved.statistics[name]) if sums else None,
            shape=saved.shapes[name],
        )
        for name, found in features.items()
    }


def _group(saved: SavedModel, utterances: pd.DataFrame) -> pd.Series:
    """Returns what each row is standardised with: its speaker if known, or all rows together."""
    if saved.card.features.standardise == "corpus":
        return pd.Series("rows", utterances.index)
    if "voice" not in utterances:
        return pd.Series(None, utterances.index, dtype=object)
    return utterances["voice"].replace("", None)


def run_by_voice(
    saved: SavedModel,
    windows: Windows,
    arrays: Mapping[str, ModalityArrays],
    utterances: pd.DataFrame,
) -> Iterator[tuple[NDArray[np.int64], Ran]]:
    """Predicts windows, each by the model of who speaks in it; yields target rows with theirs.

    Args:
        saved: The model, with those that are adapted to a speaker.
        windows: What is predicted; there may be none.
        arrays: Features of each source, as of `arrange`.
        utterances: The table, with the column ``voice`` if it is known who speaks.
    """
    voices = utterances["voice"] if "voice" in utterances else pd.Series("", utterances.index)
    own = voices.where(voices.isin(list(saved.voices)), "").to_numpy()
    for voice in dict.fromkeys(own[windows.target_rows]):
        part = windows.select(np.flatnonzero(own == voice))
        model = saved.voices.get(voice, saved.model)
        yield part.target_rows, run_arrays(saved._replace(model=model), part, arrays)


def run_windows(
    saved: SavedModel, windows: Windows, features: Mapping[str, Features], num_rows: int
) -> Ran:
    """Predicts windows of people of whom nothing is known, in their order.

    Args:
        saved: The model.
        windows: What is predicted, with its context.
        features: Of each source, ``num_rows`` rows.
        num_rows: Rows of the utterance table.
    """
    nobody = pd.DataFrame(index=range(num_rows))
    sums = add_up(saved, [(nobody, features)])
    return run_arrays(saved, windows, arrange(saved, features, nobody, sums))


def run_arrays(saved: SavedModel, windows: Windows, arrays: Mapping[str, ModalityArrays]) -> Ran:
    """Predicts windows, in their order, from features as of `arrange`."""
    num_rows = len(next(iter(arrays.values())).num_frames)
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
