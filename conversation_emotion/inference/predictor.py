"""Judges recordings and texts by a saved model: rows in, the probability of each emotion out.

A row is an utterance: ``audio`` (a path) or ``text`` or both, and for a conversation
``dialogue_id``, ``order`` and ``speaker``. ``offset``, ``duration`` and ``channel`` choose a part
of the audio as in the utterance table. A model that predicts judges a turn from what was said
before it, never from what it holds: the turn to come is a row that only names who will speak.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from experiments._encoders import encode, load_encoders
from numpy.typing import NDArray

from conversation_emotion.datasets.batches import ModalityArrays, make_loader
from conversation_emotion.datasets.windows import (
    PADDING,
    Windows,
    build_windows,
    single_utterances,
    split_into_turns,
)
from conversation_emotion.features.extract import Features
from conversation_emotion.inference.saved_model import SavedModel
from conversation_emotion.training.fit import predict
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.table import build_utterances
from experiments.ser import SERConfig

CONTENT = ("audio", "text", "offset", "duration", "channel")
"""Columns that say what is heard and read."""

CONVERSATION = ("dialogue_id", "order", "speaker")
"""Columns that make a conversation."""

_LIBRARIES = ("torch", "torchaudio", "transformers", "sentence-transformers")
"""Versions in an encoder's identity that may differ; all else has to be the same."""


class Judge:
    """A saved model with its encoders.

    Args:
        saved: The model.

    Raises:
        ValueError: An encoder is not the one that the model was trained on.
    """

    def __init__(self, saved: SavedModel) -> None:
        self.saved = saved
        self.encoders = load_encoders(saved.card.features)
        for source, encoder in self.encoders.items():
            _check_identity(source, encoder.identity, saved.card.encoders[source])

    def judge(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Judges all rows that can be judged, in their order and under their index.

        Returns:
            ``emotion``, the most probable class; the probability of each class as ``p_`` and its
            name; ``problem``, which says why a clip cannot be heard or why a row is not judged, and
            is empty elsewhere. What is not judged is missing.

        Raises:
            ValueError: A column is missing, or the rows make no conversation.
        """
        utterances = self._tabulate(rows)
        windows = self._find_windows(utterances)
        labels = self.saved.card.labels
        probabilities = np.full((len(utterances), len(labels)), np.nan)
        problems = _explain_gaps(utterances, windows)
        with tempfile.TemporaryDirectory() as cache:
            found = encode(utterances, self.saved.card.features, self.encoders, Path(cache))
            audible = windows.select(windows.target_rows[_hears(windows, found)])
            problems[np.setdiff1d(windows.target_rows, audible.target_rows)] = (
                "nothing to hear or read"
            )
            if len(audible):
                probabilities[audible.target_rows] = self._predict(audible, found, len(utterances))
        for features in found.values():
            for utterance_id, why in features.failures.items():
                problems[utterances.index[utterances["utterance_id"] == utterance_id]] = why
        places = utterances["utterance_id"].astype(int).argsort().to_numpy()
        probabilities, problems = probabilities[places], problems[places]
        most = [None if np.isnan(row[0]) else labels[row.argmax()] for row in probabilities]
        columns = {f"p_{label}": probabilities[:, number] for number, label in enumerate(labels)}
        return pd.DataFrame({"emotion": most, **columns, "problem": problems}, index=rows.index)

    def _tabulate(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Makes the utterance table; an utterance's id is the number of its row."""
        is_conversation = not isinstance(self.saved.config, SERConfig)
        given = ", ".join(map(str, rows.columns))
        if is_conversation and (missing := [name for name in CONVERSATION if name not in rows]):
            raise ValueError(f"a conversation needs the column {missing[0]}, got {given}")
        if not {"audio", "text"} & set(rows.columns):
            raise ValueError(f"a column audio or text is needed, got {given}")
        table = pd.DataFrame({"utterance_id": [str(number) for number in range(len(rows))]})
        for name in (*CONTENT, *(CONVERSATION if is_conversation else ())):
            if name in rows:
                cells = rows[name].astype(object)
                table[name] = cells.where(cells.notna(), None).to_numpy()
        if is_conversation:
            table["order"] = _rank(table)
        else:
            table = table.assign(
                dialogue_id=table["utterance_id"], speaker=table["utterance_id"], order=0
            )
        records = table.to_dict("records")
        return build_utterances(
            ({str(name): cell for name, cell in row.items()} for row in records), "input"
        )

    def _find_windows(self, utterances: pd.DataFrame) -> Windows:
        """Finds what is to be judged and what may be heard for it; it may be nothing."""
        config, classes = self.saved.config, np.zeros(len(utterances), dtype=np.int64)
        if isinstance(config, SERConfig):
            return single_utterances(classes)
        turns = _number_turns(utterances)
        if turns.max() < config.horizon:
            return single_utterances(classes).select(np.array([], dtype=np.int64))
        return build_windows(utterances, classes, history=config.history, horizon=config.horizon)

    def _predict(
        self, windows: Windows, found: Mapping[str, Features], num_rows: int
    ) -> NDArray[np.float32]:
        """Returns the probabilities of the windows, in their order: (N, C)."""
        arrays = {
            name: ModalityArrays(
                features,
                name,
                normalise_clips=self.saved.card.features.standardise == "clip",
                shape=self.saved.shapes[name],
            )
            for name, features in found.items()
        }
        unknown = np.full(num_rows, IGNORED)
        loader = make_loader(windows, arrays, unknown, batch_size=256)
        return predict(self.saved.model, loader).probabilities


def _check_identity(source: str, found: str, expected: str) -> None:
    """Makes sure that an encoder is the one of the training, but for versions of libraries."""

    def essence(identity: str) -> list[str]:
        return [word for word in identity.split() if word.split("=")[0] not in _LIBRARIES]

    if essence(found) != essence(expected):
        raise ValueError(
            f"the {source} encoder is another than in training: got {found!r}, "
            f"expected {expected!r}"
        )


def _rank(table: pd.DataFrame) -> pd.Series:
    """Turns any increasing numbers into 0, 1, 2, ... within each dialogue."""
    orders = pd.to_numeric(table["order"], errors="coerce")
    for name, values in (("order", orders), ("dialogue_id", table["dialogue_id"])):
        if values.isna().any():
            raise ValueError(f"row {int(values.isna().argmax())} has no {name}")
    keys = table["dialogue_id"].astype(str)
    repeated = pd.DataFrame({"dialogue": keys, "order": orders}).duplicated()
    if repeated.any():
        row = int(repeated.argmax())
        raise ValueError(f"dialogue {keys[row]!r} has the order {orders[row]:g} twice (row {row})")
    return orders.groupby(keys).rank().astype(int) - 1


def _number_turns(utterances: pd.DataFrame) -> NDArray[np.int64]:
    """Numbers each utterance's turn within its dialogue, from 0: (rows,)."""
    numbers = np.zeros(len(utterances), dtype=np.int64)
    speakers = utterances["speaker"].to_numpy()
    for rows in utterances.groupby("dialogue_id", sort=False).indices.values():
        for number, turn in enumerate(split_into_turns(np.asarray(rows), speakers)):
            numbers[turn] = number
    return numbers


def _explain_gaps(utterances: pd.DataFrame, windows: Windows) -> NDArray[np.object_]:
    """Says of every row that has no window why; a model of single utterances leaves none."""
    problems = np.full(len(utterances), "", dtype=object)
    gaps = np.setdiff1d(np.arange(len(utterances)), windows.target_rows)
    problems[gaps] = "not judged: too few turns before it, or not the first utterance of its turn"
    return problems


def _hears(windows: Windows, found: Mapping[str, Features]) -> NDArray[np.bool_]:
    """Marks the windows in which something can be heard or read: (N,)."""
    present = np.any([features.is_present() for features in found.values()], axis=0)
    return (present[windows.rows.clip(min=0)] & (windows.rows != PADDING)).any(axis=1)
