"""Labelled turns to adapt a model to: read from a table, and matched with what is predicted."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conversation_emotion.corpora.manifest import load_manifest, read_cells
from conversation_emotion.inference.card import Card
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.recordings import is_manifest
from conversation_emotion.inference.saved_model import SavedModel, save_model
from conversation_emotion.inference.turns import read_turns, tabulate_turns
from conversation_emotion.models.committees import ThinnedNetworks
from conversation_emotion.settings.prediction import AdaptationMethod
from conversation_emotion.settings.turns import TABLES

_SHOWN = 3
"""Problems that are shown of many."""


def read_labelled(path: Path, card: Card) -> pd.DataFrame:
    """Reads a table of turns with a column of labels: a manifest, or what `read_turns` reads.

    Turns with a problem are left out, counted and named.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no table, is broken, has no labels, or no turn of it can be used.
    """
    if not path.exists():
        raise FileNotFoundError(f"--adapt: no file {path}")
    if path.is_file() and path.suffix.lower() not in TABLES:
        raise ValueError(
            f"--adapt: {path} ends in {path.suffix!r}, expected a table: {', '.join(TABLES)}"
        )
    if path.is_dir() or is_manifest(path):
        return load_manifest(path)
    cells = read_cells(path).values()
    columns = list(dict.fromkeys(name for one in cells for name in one))
    if columns and card.target not in columns:
        raise ValueError(
            f"--adapt: {path} has no column {card.target}, it has {', '.join(columns)}"
        )
    rows = tabulate_turns(read_turns(path))
    labels = [one.get(card.target) for one in cells]
    rows[card.target] = pd.Series(labels, rows.index, dtype=object)
    broken = rows.loc[rows["problem"] != "", "problem"]
    listed = "; ".join(broken[:_SHOWN]) + (" ..." if len(broken) > _SHOWN else "")
    if len(broken) == len(rows):
        raise ValueError(f"--adapt: none of {len(rows)} turns of {path} can be used: {listed}")
    if len(broken):
        print(f"{len(broken)} of {len(rows)} turns to adapt to cannot be used: {listed}")
    return rows[rows["problem"] == ""].reset_index(drop=True)


def adapt_predictor(
    predictor: Predictor, labelled: pd.DataFrame, rows: pd.DataFrame, method: AdaptationMethod
) -> Predictor:
    """Adapts a predictor to labelled turns, for what it is to predict, and says to whom.

    Where both name speakers, each has an adaptation of their own, and others the model itself.

    Raises:
        ValueError: No speaker of the turns is among the rows; or there are several, and the rows
            name none; or the turns cannot be used, see `adaptation.adapt`.
    """
    taught, spoken = name_speakers(labelled, predictor), name_speakers(rows, predictor)
    if len(taught) > 1 and not spoken:
        raise ValueError(
            f"--adapt: the turns are of {len(taught)} speakers ({_list(taught)}), and it is not "
            "known who speaks in what is to be predicted; keep the turns of that one speaker"
        )
    by_speaker = bool(taught and spoken)
    if by_speaker and not set(taught) & set(spoken):
        raise ValueError(
            f"--adapt: no speaker of the turns ({_list(taught)}) is in what is to be predicted "
            f"({_list(spoken)}); use the same names, or leave the column speaker out"
        )
    adapted = predictor.adapt(labelled, method, by_speaker=by_speaker)
    found = adapted.saved.card.adaptation
    assert found is not None
    print(f"adapted by {method} to {found.whom}")
    if by_speaker:
        if others := [name for name in spoken if name not in found.speakers]:
            print(f"  without turns to adapt to, predicted by the model itself: {_list(others)}")
        if absent := [name for name in found.speakers if name not in spoken]:
            print(f"  adapted to, and not in what is predicted: {_list(absent)}")
    return adapted


def name_speakers(rows: pd.DataFrame, predictor: Predictor) -> list[str]:
    """Returns the speakers that rows name, each once; none where each is only a dialogue's id."""
    if "speaker" not in rows:
        return []
    is_unnamed = not predictor.saved.card.is_conversation and (
        "utterance_id" in rows and (rows["speaker"] == rows["dialogue_id"]).all()
    )
    return [] if is_unnamed else list(dict.fromkeys(rows["speaker"].dropna().astype(str)))


def save_adapted(folder: Path, saved: SavedModel) -> None:
    """Writes an adapted model as the folder of a saved model, which must not exist or be empty.

    Raises:
        FileExistsError: There is something in the folder.
    """
    check_free(folder)

    def take_whole(model: object) -> object:
        return model.model if isinstance(model, ThinnedNetworks) else model

    whole = saved.map_models(take_whole)  # type: ignore[arg-type]
    rest = {"voices": whole.voices, "statistics": whole.statistics}
    save_model(folder, whole.model, whole.card, whole.domains, **rest)
    print(f"the adapted model: {folder}; use it with --model {folder}")


def check_free(folder: Path) -> None:
    """Raises a `FileExistsError` where there is something at the place of a folder to write."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"--adapt-output: {folder} exists and is not empty; name another")


def _list(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
