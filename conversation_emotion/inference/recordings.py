"""What is to be predicted: the turns of recordings, or the rows of a table; and the summary."""

import glob
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from conversation_emotion.corpora.manifest import load_manifest
from conversation_emotion.features.clips import BAR, Advance, AudioBar
from conversation_emotion.inference.card import Card
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.turns import (
    Turn,
    find_turns,
    name_speakers,
    read_turns,
    tabulate_turns,
)
from conversation_emotion.inference.turns.read import READERS
from conversation_emotion.inference.words import mark_words
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.utterances.audio import AudioError, measure_seconds
from conversation_emotion.utterances.labels import SENTIMENTS
from conversation_emotion.utterances.sound_files import (
    SUFFIXES,
    count_suffixes,
    find_sound,
    printable,
)

LONGEST_CLIP = 30.0
"""Seconds up to which a recording is taken for a single turn; longer ones are cut into turns."""

MANIFESTS = ("manifest.csv", "manifest.jsonl", "manifest.parquet")
"""Names of a table within a folder that stands for the folder."""

_SHOWN = (
    *("utterance_id", "dialogue_id", "order", "recording", "start", "end", "speaker"),
    *("channel", "audio", "text", "language"),
)
"""Columns of the input that the table of predictions takes over, where there are any."""


def read_rows(
    paths: Sequence[Path],
    settings: TurnSettings,
    *,
    is_conversation: bool,
    audio: Path | None = None,
) -> pd.DataFrame:
    """Reads tables, annotation, and the turns of recordings, a row for each turn.

    A table with the column ``utterance_id``, or a folder with one of `MANIFESTS`, is a manifest as
    experiments read it; another one, and annotation, gives turns, see `read_turns`. A recording of
    up to `LONGEST_CLIP` seconds is one turn; of a longer one voice activity finds the turns.

    Args:
        paths: Files, folders that are searched with all their subfolders, or patterns such as
            ``*.wav``.
        settings: Where the turns of a recording begin and end, and whose channels they are.
        is_conversation: Whether the rows must make conversations.
        audio: Recording, or folder of recordings, of annotation; None looks next to it.

    Raises:
        FileNotFoundError: There is no such file or folder, or no recording in it.
        TurnError: A table or file of annotation is broken.
        ValueError: Who speaks is not known, and the model is one of conversations.
    """
    found = [one for path in paths for one in _expand(path)]
    manifests = [one for one in found if is_manifest(one)]
    if manifests and (len(found) > 1):
        raise ValueError(
            f"{manifests[0]} is a manifest, and is predicted alone; got {len(found)} paths"
        )
    if manifests:
        return load_manifest(manifests[0])
    annotated = [one for one in found if one.suffix.lower() in READERS]
    if audio is not None and not annotated:
        raise ValueError("--audio names the recordings of annotation, and none is given")
    rows = tabulate_turns(_list_turns(found, settings, audio))
    if is_conversation and (is_unknown := rows["speaker"].isna() & (rows["problem"] == "")).any():
        raise ValueError(
            f"{rows.loc[is_unknown, 'recording'].iloc[0]}: it is not known who speaks when, and "
            "the model is one of conversations; pass a table or annotation with speakers, or a "
            "recording whose channels are speakers"
        )
    return rows


def find_recordings(root: Path) -> list[Path]:
    """Returns a recording itself, or every recording under a folder; counts the files passed over.

    Raises:
        FileNotFoundError: There is no recording.
    """
    found = find_sound(root)
    others = f"passed over: {count_suffixes(found.others)}" if found.others else ""
    if not found.sound:
        looked = f"; looked for {', '.join(SUFFIXES)}"
        raise FileNotFoundError(
            f"no recording under {root}{looked}{'; ' if others else ''}{others}"
        )
    if others:
        print(others)
    return found.sound


def _expand(path: Path) -> list[Path]:
    """Returns the files that a path or pattern stands for, a folder's manifest in its place.

    Raises:
        FileNotFoundError: There is none.
    """
    if not path.exists():
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise FileNotFoundError(f"no file or folder {path}")
        return [one for match in matches for one in _expand(Path(match))]
    if path.is_dir():
        manifest = next((path / name for name in MANIFESTS if (path / name).is_file()), None)
        return [manifest] if manifest else find_recordings(path)
    return [path]


def is_manifest(path: Path) -> bool:
    """Whether a table names utterances, as experiments read it."""
    if path.name in MANIFESTS:
        return True
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet

        with suppress(pyarrow.ArrowException, OSError):  # which its reader explains
            return "utterance_id" in pyarrow.parquet.read_schema(path).names
        return False
    if path.suffix.lower() not in (".csv", ".jsonl"):
        return False
    with path.open("rb") as file:
        return b"utterance_id" in file.readline()


def _list_turns(
    paths: Sequence[Path], settings: TurnSettings, audio: Path | None
) -> Iterator[Turn]:
    recordings = [path for path in paths if path.suffix.lower() not in READERS]
    lengths = {path: _measure(path) for path in tqdm(recordings, unit=" files", **BAR)}
    with AudioBar(sum(one for one in lengths.values() if isinstance(one, float))) as bar:
        for path in paths:
            if path in lengths:
                yield from _cut(path, lengths[path], settings, bar.update)
            else:
                yield from read_turns(path, audio)


def _measure(path: Path) -> float | str:
    """Returns the seconds of a recording, or why it has none."""
    try:
        return measure_seconds(path)
    except AudioError as error:
        return str(error).removeprefix(f"{printable(path)}: ")


def _cut(
    path: Path, seconds: float | str, settings: TurnSettings, advance: Advance
) -> Iterator[Turn]:
    """Yields the turns of a recording, and one that says why there are none, or no more."""
    recording = printable(path)
    if isinstance(seconds, str):
        yield Turn(recording=recording, problem=seconds)
        return
    if seconds <= LONGEST_CLIP:
        advance(seconds)
        yield Turn(recording=recording)
        return
    turns: list[Turn] = []
    problem = "nobody speaks"
    try:
        for turn in find_turns(path, settings, advance=advance):
            turns.append(turn)
            problem = ""
    except AudioError as error:
        problem = str(error).removeprefix(f"{recording}: ")
    yield from name_speakers(turns, settings)
    if problem:
        yield Turn(recording=recording, problem=problem)


def summarise(card: Card, predictions: pd.DataFrame, output: Path) -> None:
    """Prints how often each class was predicted, the problems, and where the model is from."""
    found = _count(predictions[card.target], card.labels)
    print(
        f"{card.task}, {len(predictions):,} rows: {found}; "
        f"{int(predictions[card.target].isna().sum()):,} not predicted"
    )
    if "modality" in predictions and (count := (predictions["modality"] == "text").sum()):
        print(f"  {count:,} by their words alone, without usable sound")
    if "sentiment" in predictions and card.target != "sentiment":
        print(f"sentiment of their words: {_count(predictions['sentiment'], SENTIMENTS)}")
    if "novelty" in predictions and (count := int((predictions["novelty"] > 1).sum())):
        print(
            f"  {count:,} have a novelty above 1: they are unlike what the model learned from, as "
            "music, noise, other languages and other microphones are"
        )
    problems = predictions.loc[predictions["problem"] != "", "problem"]
    for problem, count in problems.value_counts()[:5].items():
        print(f"  {count:,} x {problem}")
    test = card.training.test
    whose = "models trained the same way had" if card.training.on_all else "it had"
    print(
        f"the model was trained on {card.corpus}; on {test.num_targets:,} targets held out there "
        f"{whose} {card.training.select_by} {card.training.format(test.score)}; other voices, "
        "rooms and languages may give another"
    )
    print(f"written: {output}")


def _count(named: pd.Series, labels: Sequence[str]) -> str:
    """Returns how often each class is named."""
    counts = named.value_counts()
    return ", ".join(f"{counts.get(label, 0):,} {label}" for label in labels)


def predict_rows(
    predictor: Predictor, rows: pd.DataFrame, *, classes: Sequence[str], min_confidence: float
) -> pd.DataFrame:
    """Predicts the rows that `read_rows` read, and puts the predictions next to them.

    A row with a problem, such as a recording in which nobody speaks, is not read again; a model of
    single utterances is left its words.
    """
    given = rows["problem"] if "problem" in rows else pd.Series("", index=rows.index)
    is_broken = given != ""
    usable = rows[~is_broken]
    if not predictor.saved.card.is_conversation and is_broken.any():
        usable = rows.assign(audio=rows["audio"].mask(is_broken))[~is_broken | mark_words(rows)]
    target = predictor.saved.card.target
    predictions = pd.DataFrame({target: None, "problem": ""}, index=rows.index[:0])
    if len(usable):
        predictions = predictor.predict(usable, classes=classes, min_confidence=min_confidence)
    predictions = predictions.reindex(rows.index)
    predictions["problem"] = given.where(given != "", predictions["problem"])
    return show_rows(rows, predictions)


def show_rows(rows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Puts predictions next to what is shown of their rows."""
    shown = rows[[name for name in _SHOWN if name in rows]]
    if "recording" in shown:  # which turns have in place of the columns of a manifest
        shown = shown.drop(columns=["audio", "dialogue_id", "order"])
    return pd.concat([shown, predictions], axis=1)
