"""Adapts a saved model to speakers, from the turns of theirs that somebody labelled."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from conversation_emotion.datasets.batches import Batch, WindowLoader
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.extract import Features
from conversation_emotion.features.sources import encode
from conversation_emotion.inference.card import Adaptation, Card
from conversation_emotion.inference.certainty import add_up, arrange
from conversation_emotion.inference.rows import (
    find_windows,
    has_input,
    measure_rows,
    tabulate_rows,
)
from conversation_emotion.inference.saved_model import SavedModel, build_network
from conversation_emotion.models.adaptation import METHODS, adapt_weights
from conversation_emotion.models.committees import ThinnedNetworks
from conversation_emotion.settings.cache import writable_cache
from conversation_emotion.settings.prediction import AdaptationMethod
from conversation_emotion.utterances.labels import IGNORED, name_by_noun

_BATCH = 64


class Turns(NamedTuple):
    """Labelled turns with their features.

    Attributes:
        loaders: Batches of the turns of each speaker; of all under the name "" together.
        num_turns: How many they are.
    """

    loaders: Mapping[str, Sequence[Batch]]
    num_turns: Mapping[str, int]


def adapt(
    saved: SavedModel,
    encoders: Mapping[str, Encoder],
    rows: pd.DataFrame,
    method: AdaptationMethod = "classes",
    *,
    by_speaker: bool = False,
) -> SavedModel:
    """Returns a model that is adapted to labelled rows; the given one stays as it is.

    Turns that cannot be used are counted with the reason. Speakers all of whose turns have the same
    class are named and left to the model itself: how often a class occurs is not learned.

    Args:
        saved: The model; of an ensemble all members are adapted at once, and networks that are
            drawn from a model are drawn again from the adapted one.
        encoders: Those of the model.
        rows: Utterances as `Predictor.predict` takes them, with a column ``emotion`` (of a model of
            sentiment ``sentiment``), empty where a row is context alone.
        method: How, see `conversation_emotion.models.adaptation`.
        by_speaker: Whether to adapt to each ``speaker`` alone, and leave others the model itself.

    Raises:
        ValueError: The model is adapted already; there is no such method; the rows have no label,
            one that the model does not know, or no speaker where one is needed; none can be used,
            or those that can are of one class.
    """
    card = saved.card
    if card.adaptation is not None:
        raise ValueError(
            f"the model is adapted already, to {card.adaptation.whom}; adapt the one that it is of"
        )
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    turns = _prepare(saved, encoders, rows, by_speaker=by_speaker)
    temperature = 1.0 if card.calibration is None else card.calibration.temperature
    thinned = saved.model if isinstance(saved.model, ThinnedNetworks) else None
    plain = build_network(card, (thinned.model if thinned else saved.model).state_dict())
    adapted: dict[str, nn.Module] = {}
    for name, batches in turns.loaders.items():
        model = build_network(card, adapt_weights(plain, batches, temperature, method))
        adapted[name] = ThinnedNetworks(model, thinned.num_members).eval() if thinned else model
    described = Adaptation(
        method=method,
        speakers=tuple(name for name in adapted if name),
        num_turns=tuple(turns.num_turns.values()),
    )
    card = replace(card, adaptation=described)
    if by_speaker:
        return saved._replace(card=card, voices=adapted)
    return saved._replace(card=card, model=adapted[""])


def _prepare(
    saved: SavedModel,
    encoders: Mapping[str, Encoder],
    rows: pd.DataFrame,
    *,
    by_speaker: bool,
) -> Turns:
    """Encodes the rows and puts those with a label into batches, by speaker where that is asked."""
    card = saved.card
    classes = read_classes(rows, card)
    utterances = tabulate_rows(rows, is_conversation=card.is_conversation)
    numbers = utterances["utterance_id"].astype(int).to_numpy()
    utterances, too_long = measure_rows(utterances)
    with writable_cache() as cache:
        features = encode(utterances, card.features, encoders, cache)
    windows = find_windows(utterances, card.model)
    is_target = np.isin(np.arange(len(numbers)), windows.target_rows[has_input(windows, features)])
    labelled = classes[numbers]
    is_used = is_target & (labelled != IGNORED)
    _report_unused(utterances, features, too_long, is_used, labelled != IGNORED)
    names = np.full(len(numbers), "", dtype=object)
    if by_speaker:
        names = _name_speakers(rows, classes)[numbers]
    sums = add_up(saved, [(utterances, features)])
    arrays = arrange(saved, features, utterances, sums)
    windows = replace(windows, targets=labelled[windows.target_rows])
    loaders, num_turns = {}, {}
    for name in dict.fromkeys(names[is_used]):
        chosen = np.flatnonzero(is_used & (names == name))
        if len(found := np.unique(labelled[chosen])) == 1:
            whose = f"{name}: all {len(chosen)}" if name else f"all {len(chosen)}"
            print(
                f"{whose} turns to adapt to are {card.labels[found[0]]}; turns of one class teach "
                "nothing, label some of another"
            )
            continue
        loader = WindowLoader(windows.select(chosen), arrays, labelled, batch_size=_BATCH)
        loaders[name], num_turns[name] = list(loader), len(chosen)
    if not loaders:
        raise ValueError(
            "there are no turns of two classes or more to adapt to; label some of another class"
        )
    return Turns(loaders, num_turns)


def read_classes(rows: pd.DataFrame, card: Card) -> NDArray[np.int64]:
    """Returns the class of each row, `IGNORED` where there is none: (N,).

    Raises:
        ValueError: There is no column of labels, none is given, or the model does not know one.
    """
    name, labels = card.target, card.labels
    if name not in rows:
        given = ", ".join(map(str, rows.columns))
        raise ValueError(f"turns to adapt to need the column {name}, got {given}")
    known = {name_by_noun(label): number for number, label in enumerate(labels)}
    known |= {label.lower(): number for number, label in enumerate(labels)}
    classes = np.full(len(rows), IGNORED)
    for row, cell in enumerate(rows[name]):
        if pd.isna(cell) or not (word := str(cell).strip()):
            continue
        number = known.get(word.lower(), known.get(name_by_noun(word)))
        if number is None:
            raise ValueError(
                f"turn {row + 1} to adapt to has the {name} {word!r}, which the model does not "
                f"know; it has {', '.join(labels)}; leave the cell empty to pass the turn over"
            )
        classes[row] = number
    if (classes == IGNORED).all():
        raise ValueError(f"none of {len(rows)} turns to adapt to has {name} filled in")
    return classes


def _name_speakers(rows: pd.DataFrame, classes: NDArray[np.int64]) -> NDArray[np.object_]:
    """Returns the speaker of each row: (N,); one with a label has to have one."""
    if "speaker" not in rows:
        raise ValueError("turns to adapt to each speaker by need the column speaker")
    names = rows["speaker"].astype(object).where(rows["speaker"].notna(), "").to_numpy()
    is_unknown = (names == "") & (classes != IGNORED)
    if is_unknown.any():
        raise ValueError(
            f"turn {int(is_unknown.argmax()) + 1} to adapt to names no speaker, and others do; "
            "fill in the column, or leave it out"
        )
    return np.array([str(name) for name in names], dtype=object)


def _report_unused(
    utterances: pd.DataFrame,
    features: Mapping[str, Features],
    too_long: Mapping[str, str],
    is_used: NDArray[np.bool_],
    is_labelled: NDArray[np.bool_],
) -> None:
    """Counts the labelled turns that cannot be used, by reason.

    Raises:
        ValueError: There is no other.
    """
    why = dict(too_long)
    for found in features.values():
        why |= found.failures
    unused = utterances.loc[is_labelled & ~is_used, "utterance_id"]
    other = "no audio or text to use, or too few turns before it, or not the first of its turn"
    reasons = Counter(why.get(name, other) for name in unused)
    listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    if not is_used.any():
        raise ValueError(
            f"none of {int(is_labelled.sum())} labelled turns can be used to adapt to: {listed}"
        )
    if len(unused):
        print(f"{len(unused)} of {int(is_labelled.sum())} labelled turns cannot be used: {listed}")
