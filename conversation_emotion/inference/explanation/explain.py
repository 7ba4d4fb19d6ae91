"""Explains predictions: a row for each moment, word, turn and modality that they rest on."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from conversation_emotion.features.clips import BAR, AudioBar
from conversation_emotion.features.sources import encode
from conversation_emotion.inference.certainty import add_up
from conversation_emotion.inference.columns import check_classes
from conversation_emotion.inference.explanation.explained import Explained, prepare
from conversation_emotion.inference.explanation.material import Material, encode_material
from conversation_emotion.inference.explanation.pieces import Piece, PieceKind
from conversation_emotion.inference.explanation.target import ExplainedTarget
from conversation_emotion.inference.rows import (
    as_table,
    cut_into_pieces,
    find_windows,
    measure_rows,
    tabulate_rows,
)
from conversation_emotion.inference.words import mark_words
from conversation_emotion.settings.cache import passing_cache, writable_cache

if TYPE_CHECKING:
    from conversation_emotion.inference.predictor import Predictor

COLUMNS = (
    *("row", "target", "kind", "source", "turn", "start", "end", "text"),
    *("attribution", "share", "method", "problem"),
)
"""Columns of explanations, see `Predictor.explain`."""

_OTHER_MODEL = (
    "; its words have a model of their own (--text-model), which explains them as --model"
)

Explanation = tuple[int, str | None, Piece]
"""Number of the given row, its class that is explained, and a piece."""


def explain(
    predictor: "Predictor",
    rows: pd.DataFrame | Sequence[str | Path] | str | Path,
    *,
    target: str | None = None,
    classes: Sequence[str] = (),
    kinds: Sequence[PieceKind] = (),
) -> pd.DataFrame:
    """Tells what each prediction rests on.

    Args:
        predictor: The model with its encoders.
        rows: As of `Predictor.predict`.
        target: Class to explain; the predicted one of each row if None.
        classes: As of `Predictor.predict`.
        kinds: ``time``, ``word``, ``turn``, ``modality``; all that the model has if empty.

    Returns:
        A row for each piece: ``row``, the number of the given row, from 0; ``target``, its
        class; ``kind``; ``source``; ``turn``, the number of the row that the piece is of, of
        conversations; ``start`` and ``end``, in seconds of the recording, and ``text``;
        ``attribution``, what the piece adds to the log-probability of the class, in nats;
        ``share``, that as a share of all of the row and kind, whose sizes add up to 1;
        ``method``; and ``problem``. A moment is 0.1 s, and adds what integrated gradients
        give its frames, each of which the encoder made of all that is around it. A word adds
        that of its tokens, or what is lost without it; a turn what is lost without it; a
        modality, or encoder, its Shapley value. What cannot be explained is a row with why.

    Raises:
        ValueError: As of `Predictor.predict`; or the model does not predict the class, or has
            nothing of a kind.
    """
    check_classes(predictor.saved.card, classes)
    rows, chosen = as_table(rows), {"target": target, "classes": classes, "kinds": kinds}
    model = prepare(predictor.saved, predictor.encoders, **chosen)
    if rows.empty:
        return _tabulate([])
    found = _explain_utterances(predictor, model, rows)
    return _note_words(predictor, rows, _tabulate(found))


def _explain_utterances(
    predictor: "Predictor", model: Explained, rows: pd.DataFrame
) -> list[Explanation]:
    """Explains a table, a piece at a time, as `Predictor.predict` predicts it."""
    settings, encoders = model.saved.card.features, model.encoders
    is_conversation = predictor.saved.card.is_conversation
    utterances, too_long = measure_rows(tabulate_rows(rows, is_conversation=is_conversation))
    num_speech = sum(one.modality == "speech" for one in model.sources.values())
    found: list[Explanation] = []
    with writable_cache() as cache, AudioBar(utterances["seconds"].sum()) as bar:

        def advance(seconds: float) -> None:
            bar.update(seconds / num_speech)

        read = partial(encode, settings=settings, encoders=encoders, cache=cache)
        sums = add_up(
            model.saved,
            ((some, read(some, advance=advance)) for some in cut_into_pieces(utterances)),
        )
        for some in cut_into_pieces(utterances):
            with passing_cache() as passing:
                material = encode_material(
                    some,
                    model.saved,
                    encoders,
                    sums,
                    framed=model.framed,
                    shortened=model.shortened,
                    cache=cache,
                    passing=passing,
                    advance=advance,
                )
                found += _explain_material(predictor, model, material, too_long)
    return found


def explain_rows(
    predictor: "Predictor", rows: pd.DataFrame, *, classes: Sequence[str] = ()
) -> pd.DataFrame:
    """Explains the rows that `recordings.read_rows` read, whose problems it takes over.

    Returns:
        As `Predictor.explain` does, ``row`` and ``turn`` counted in all rows.
    """
    problems = rows["problem"] if "problem" in rows else pd.Series("", index=rows.index)
    is_usable = (problems == "").to_numpy()
    numbers = np.flatnonzero(is_usable)
    table = explain(predictor, rows[is_usable], classes=classes)
    for name in ("row", "turn"):
        table[name] = table[name].map(lambda row: numbers[row], na_action="ignore").astype("Int64")
    found = [
        (int(row), None, Piece(None, problem=f"not predicted: {problems.iloc[row]}"))
        for row in np.flatnonzero(~is_usable)
    ]
    broken = _note_words(predictor, rows, _tabulate(found))
    whole = pd.concat([table, broken]) if len(broken) else table
    return whole.sort_values("row", kind="stable", ignore_index=True)


def _explain_material(
    predictor: "Predictor", model: Explained, material: Material, too_long: Mapping[str, str]
) -> Iterator[Explanation]:
    """Yields the pieces of every row; why, of one that has no prediction."""
    card, utterances = model.saved.card, material.utterances
    numbers = utterances["utterance_id"].astype(int).tolist()
    found = predictor.predict_utterances(utterances, material.features, material.sums, too_long)
    is_predicted = ~np.isnan(found.probabilities[:, 0])
    for row in np.flatnonzero(~is_predicted):
        yield numbers[row], None, Piece(None, problem=found.problems[row])
    windows = find_windows(utterances, card.model).select(np.flatnonzero(is_predicted))
    for number in tqdm(range(len(windows)), unit=" explained", **BAR):
        target = ExplainedTarget(model, material, windows, number, too_long)
        label, row = card.labels[target.case.label], numbers[windows.target_rows[number]]
        for piece in target.explain():
            turn = piece.turn if card.is_conversation else None
            yield row, label, piece._replace(turn=None if turn is None else numbers[turn])


def _note_words(predictor: "Predictor", rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Tells of rows without an answer whose words another model predicts."""
    card = predictor.saved.card
    if predictor.words is None or card.is_conversation or card.features.modality != "speech":
        return table
    has_words = pd.Series(mark_words(rows))
    is_noted = table["kind"].isna() & table["row"].map(has_words).astype(bool)
    table["problem"] += np.where(is_noted, _OTHER_MODEL, "")
    return table


def _tabulate(found: Sequence[Explanation]) -> pd.DataFrame:
    """Returns the table of explanations, by row."""
    table = pd.DataFrame([piece._asdict() for _, _, piece in found], columns=[*Piece._fields])
    table["row"], table["target"] = [row for row, _, _ in found], [one for _, one, _ in found]
    table[["row", "turn"]] = table[["row", "turn"]].astype("Int64")
    numbers = ["start", "end", "attribution"]
    table[numbers] = table[numbers].astype(np.float64)
    sums = table["attribution"].abs().groupby([table["row"], table["kind"]]).transform("sum")
    table["share"] = (table["attribution"] / sums.where(sums > 0, 1.0)).astype(np.float64)
    return table.sort_values("row", kind="stable", ignore_index=True)[[*COLUMNS]]
