"""CMU's files of labelled segments (.csd) and of standard folds, which MOSI and MOSEI share.

A .csd file is HDF5: a group with the name of the sequence, in it ``data``, in it a group for each
video with ``features``, a row of labels for each segment, and ``intervals``, its begin and end in
seconds. The folds are lists of videos in a Python file of the CMU Multimodal SDK, such as
``cmu_mosi_std_folds.py``; it is parsed here, never run.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from conversation_emotion.corpora.annotations import find_files
from conversation_emotion.utterances.table import SPLITS, Utterances, build_utterances


class Segment(NamedTuple):
    """A labelled stretch of a video, in seconds."""

    start: float
    end: float
    labels: tuple[float, ...]


Describe = Callable[[Path, str, list[Segment]], Iterable[tuple[Segment, dict[str, object]]]]
"""From the folder Raw, a video and its segments to these in their order, each with the columns that
the label file does not give."""


def load_segments(
    root: Path, *, corpus: str, labels: str, sequence: str, folds: str, describe: Describe
) -> Utterances:
    """Reads the labelled segments under ``root`` into the utterance table.

    Args:
        root: The folder that holds ``Raw`` and the label file, or the latter's folder ``labels``.
        corpus: Name of the corpus.
        labels: Name of the label file.
        sequence: The sequence in it; the first label of a segment is its sentiment.
        folds: Name of the file of folds.
        describe: Columns of each segment of a video.

    Raises:
        FileNotFoundError: There is no label file.
        ModuleNotFoundError: The package h5py is not installed.
        ValueError: The label file or the lists of the split are not what they should be.
    """
    wanted = "the folder into which the CMU Multimodal SDK fetches it"
    path = find_files(root, [labels, f"labels/{labels}"], corpus, wanted)[0]
    segments = _read_segments(path, sequence, corpus)
    splits = _read_folds(root / folds, corpus)
    rows = _list_rows(root / "Raw", segments, splits, describe)
    return build_utterances(rows, corpus)


def _list_rows(
    raw: Path, segments: dict[str, list[Segment]], splits: Mapping[str, str], describe: Describe
) -> Iterator[dict[str, object]]:
    """Yields the row of each segment of each video."""
    for video, entries in segments.items():
        for order, (segment, columns) in enumerate(describe(raw, video, entries)):
            yield {
                "utterance_id": f"{video}_{order}",
                "dialogue_id": video,
                "order": order,
                "start": segment.start,
                "end": segment.end,
                "speaker": video,
                "language": "en",
                "sentiment": f"{segment.labels[0]:.4g}",
                "split": splits.get(video),
                **columns,
            }


def _read_segments(path: Path, name: str, corpus: str) -> dict[str, list[Segment]]:
    """Reads the segments of each video, in the order of the file."""
    try:
        import h5py
        import numpy as np
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{corpus}: reading {path.name} needs the package h5py: "
            "pip install 'conversation-emotion[csd]'"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            videos = file[f"{name}/data"]
            if not isinstance(videos, h5py.Group):
                raise KeyError(f"{name}/data is no group")
            return {
                str(video): [
                    Segment(round(float(start), 3), round(float(end), 3), tuple(map(float, row)))
                    for (start, end), row in zip(
                        np.asarray(videos[f"{video}/intervals"]),
                        np.asarray(videos[f"{video}/features"]),
                        strict=True,
                    )
                ]
                for video in videos
            }
    except OSError as error:
        raise ValueError(f"{corpus}: {path} is no .csd file: {error}") from error
    except KeyError as error:
        raise ValueError(f"{corpus}: {path} lacks {error}, expected {name}/data/VIDEO") from error


def _read_folds(path: Path, corpus: str) -> dict[str, str]:
    """Reads the split of each video, nothing where the file is missing."""
    if not path.is_file():
        return {}
    lists = {
        statement.targets[0].id: statement.value
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    names = {f"standard_{split}_fold": split for split in SPLITS}
    if missing := [name for name in names if name not in lists]:
        raise ValueError(f"{corpus}: {path} lacks the lists {missing}, it has {sorted(lists)}")
    splits: dict[str, str] = {}
    for name, split in names.items():
        for video in ast.literal_eval(lists[name]):
            if splits.setdefault(str(video), split) != split:
                raise ValueError(f"{corpus}: {path} has {video!r} in {splits[video]} and {split}")
    return splits
