"""Input rows of a saved model from files, and the table of its predictions."""

from pathlib import Path

import pandas as pd

from conversation_emotion.corpora.manifest import load_manifest
from conversation_emotion.inference.card import Card
from conversation_emotion.utterances.sound_files import (
    SUFFIXES,
    count_suffixes,
    find_sound,
    printable,
)

_SHOWN = ("utterance_id", "dialogue_id", "order", "speaker", "audio", "text")
"""Columns of the input that the table of predictions takes over, where there are any."""


def read_rows(root: Path, *, is_conversation: bool) -> pd.DataFrame:
    """Reads a manifest, or takes every recording under a folder as an utterance by itself.

    Raises:
        FileNotFoundError: There is no such file or folder, or no recording in it.
        ValueError: The model is one of conversations, and recordings alone are none.
    """
    if not root.exists():
        raise FileNotFoundError(f"--root: no file or folder {root}")
    is_manifest = root.is_file() and root.suffix.lower() not in SUFFIXES
    names = [f"manifest{suffix}" for suffix in (".csv", ".jsonl", ".parquet")]
    if is_manifest or any((root / name).is_file() for name in names):
        return load_manifest(root)
    if is_conversation:
        raise ValueError(
            f"{root} holds no manifest: a model of conversations needs to be given who speaks "
            "when; --root takes a table with the columns utterance_id, audio or text, dialogue_id "
            "and speaker, in the order of speaking"
        )
    return pd.DataFrame({"audio": [printable(path) for path in find_recordings(root)]})


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


def write_table(rows: pd.DataFrame, predictions: pd.DataFrame, output: Path) -> None:
    """Writes the predictions next to their rows."""
    shown = rows[[name for name in _SHOWN if name in rows]]
    output.parent.mkdir(parents=True, exist_ok=True)
    pd.concat([shown, predictions], axis=1).to_csv(
        output, index=False, float_format="%.6f", errors="backslashreplace"
    )


def summarise(card: Card, predictions: pd.DataFrame, output: Path) -> None:
    """Prints how often each class was predicted, the problems, and where the model is from."""
    counts = predictions["emotion"].value_counts()
    found = ", ".join(f"{counts.get(label, 0):,} {label}" for label in card.labels)
    print(
        f"{card.task}, {len(predictions):,} rows: {found}; "
        f"{int(predictions['emotion'].isna().sum()):,} not predicted"
    )
    problems = predictions.loc[predictions["problem"] != "", "problem"]
    for problem, count in problems.value_counts()[:5].items():
        print(f"  {count:,} x {problem}")
    test = card.training.test
    print(
        f"the model was trained on {card.corpus}; on {test.num_targets:,} targets held out there "
        f"its {card.training.select_by} was {test.score:.1%}; other voices, rooms and languages "
        "may give another"
    )
    print(f"written: {output}")
