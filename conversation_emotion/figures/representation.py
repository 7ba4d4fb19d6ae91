"""The first linear layer of probes on held-out utterances: numbers, planes, pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.evaluation.metrics import (
    Interval,
    count_confusions,
    describe_metric,
    unweighted_average_recall,
)
from conversation_emotion.evaluation.rendering import format_interval
from conversation_emotion.evaluation.separation import (
    Separation,
    measure_separation,
    project_to_plane,
)
from conversation_emotion.figures.clips import encode_clips
from conversation_emotion.figures.pages import make_plane_figure, write_page
from conversation_emotion.figures.planes import Colouring, Plane, draw_planes
from conversation_emotion.settings.probes import PictureSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.utterances.arousal import LEVELS, find_arousal_levels

EMOTION, AROUSAL = "emotion", "arousal"
"""What utterances are coloured and separated by."""

COLUMNS = (
    "uar",
    *("silhouette_arousal", "compactness_arousal"),
    *("silhouette_emotion", "compactness_emotion"),
)
"""Metrics of a representation."""

MEASURES = (
    "silhouette: -1 to 1; compactness: distance between centres of classes over the distance of an "
    "utterance from its own; of the layer itself, not of the plane; higher is better"
)


@dataclass(frozen=True, eq=False)
class Represented:
    """The layer of an encoder's probes on the test part of each fold and seed.

    A table has a row per test utterance: its ``row`` in the corpus, the class that was
    ``predicted``, and the units of the layer, ``h0``, ``h1``, ...
    """

    encoder: str
    dataset: Dataset
    tables: dict[tuple[str, int], pd.DataFrame]

    def separate(self, fold: Fold, seed: int) -> dict[str, Separation]:
        """Measures how well the classes separate in one fold, by emotion and by arousal."""
        table = self.tables[fold.name, seed]
        values, rows = read_units(table), table["row"].to_numpy()
        levels, _ = find_arousal_levels(self.dataset.utterances, fold.train)
        return {
            AROUSAL: measure_separation(values, levels[rows]),
            EMOTION: measure_separation(values, self.dataset.classes()[rows]),
        }

    def predictions(self) -> pd.DataFrame:
        """Returns targets and predictions of all test parts."""
        tables = []
        for (fold, seed), table in self.tables.items():
            rows = table["row"].to_numpy()
            utterances = self.dataset.utterances.iloc[rows][["utterance_id", "dialogue_id"]]
            classes, predicted = self.dataset.classes()[rows], table["predicted"].to_numpy()
            outputs = utterances.reset_index(drop=True).assign(target=classes, predicted=predicted)
            tables.append(outputs.assign(fold=fold, seed=seed, part="test"))
        return pd.concat(tables, ignore_index=True)

    def measure(self) -> pd.DataFrame:
        """Measures each fold and seed: recall of the probe, and how its layer separates classes."""
        dataset = self.dataset
        folds = {fold.name: fold for fold in dataset.split.folds}
        measured = []
        for (name, seed), table in self.tables.items():
            targets = dataset.classes()[table["row"].to_numpy()]
            predicted = table["predicted"].to_numpy()
            confusions = count_confusions(targets, predicted, len(dataset.labels))
            numbers: dict[str, object] = {"encoder": self.encoder, "fold": name, "seed": seed}
            numbers["uar"] = float(unweighted_average_recall(confusions))
            for what, separation in self.separate(folds[name], seed).items():
                numbers[f"silhouette_{what}"] = separation.silhouette
                numbers[f"compactness_{what}"] = separation.compactness
                numbers[f"num_{what}"] = separation.num_labelled
            measured.append(numbers)
        return pd.DataFrame(measured)


def read_units(table: pd.DataFrame) -> NDArray[np.float32]:
    """Returns the units of the layer of each utterance: (N, H)."""
    return table.filter(regex=r"^h\d+$").to_numpy(dtype=np.float32)


def summarise_measures(numbers: pd.DataFrame, n: int) -> dict[str, Interval]:
    """Returns mean, lowest, highest and deviation over folds and seeds by metric.

    A metric that is undefined in every fold is left out.
    """
    found = {}
    for name in COLUMNS:
        values = numbers[name].dropna().to_numpy(dtype=np.float64)
        if len(values):
            deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            found[name] = Interval(
                float(values.mean()), float(values.min()), float(values.max()), deviation, n
            )
    return found


class Picture(NamedTuple):
    """The fold of a corpus whose test part is drawn, and the epochs of every probe."""

    corpus: str
    fold: Fold
    settings: PictureSettings
    epochs: int

    def title(self, dataset: Dataset, rows: NDArray[np.int64]) -> str:
        """Describes the utterances that are shown, and the training of the layer."""
        speakers = dataset.utterances["speaker"]
        train, test = (speakers.iloc[part].nunique() for part in (self.fold.train, rows))
        return (
            f"{self.corpus}: {len(rows):,} held-out utterances of {test} speaker(s), "
            f"{dataset.split.name}, fold {self.fold.name}\n"
            f"UMAP of the first linear layer after {self.epochs} epochs on {train} speaker(s)"
        )


def draw_representations(
    measured: Mapping[Represented, dict[str, Interval]],
    picture: Picture,
    notes: Sequence[str],
    folder: Path,
) -> tuple[list[Path], pd.DataFrame, str]:
    """Draws the planes of one fold, seed 0, as a picture and as a page that plays the clips.

    The folder gets ``planes.png``, ``planes.html`` and ``separation.csv``; notes are lines of the
    page.

    Returns:
        The files, the points of all planes, and how much sound the page holds, in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found, fold = list(measured), picture.fold
    dataset = found[0].dataset
    tables = [one.tables[fold.name, 0] for one in found]
    rows = tables[0]["row"].to_numpy()
    levels, _ = find_arousal_levels(dataset.utterances, fold.train)
    colourings = [
        Colouring(AROUSAL, LEVELS, levels[rows]),
        Colouring(EMOTION, dataset.labels, dataset.classes()[rows]),
    ]
    planes = []
    for one, table in zip(found, tables, strict=True):
        assert (table["row"].to_numpy() == rows).all(), "utterances out of order"
        points = project_to_plane(read_units(table), num_neighbors=picture.settings.neighbors)
        planes.append(Plane(_shorten(one.encoder), points, one.separate(fold, 0)))
    drawing, page, numbers = (folder / f for f in ("planes.png", "planes.html", "separation.csv"))
    title = picture.title(dataset, rows)
    draw_planes(planes, colourings, title).savefig(drawing, dpi=150)
    shown = _describe_points(dataset, rows, levels[rows])
    limit = int(picture.settings.audio_mib * 2**20)
    clips = encode_clips(dataset.utterances, rows, limit)
    sound = clips.describe(limit)
    lines = [title, *(describe_measures(x.encoder, found) for x, found in measured.items()), *notes]
    lines.append(f"This page holds recordings of the corpus, under its licence: {sound}.")
    figure = make_plane_figure(planes, colourings, shown)
    write_page(page, f"How encoders lay out {picture.corpus}", lines, figure, clips.sounds)
    pd.concat([one.measure() for one in found], ignore_index=True).to_csv(numbers, index=False)
    points = [shown.assign(encoder=p.encoder, x=p.points[:, 0], y=p.points[:, 1]) for p in planes]
    return [drawing, page, numbers], pd.concat(points), sound


def describe_measures(encoder: str, measures: dict[str, Interval]) -> str:
    """Describes the measures of an encoder in a line of text."""
    cells = (
        f"{describe_metric(name).title} {format_interval(found, name)}"
        for name, found in measures.items()
    )
    return f"{encoder}: {'; '.join(cells)}"


def _describe_points(
    dataset: Dataset, rows: NDArray[np.int64], levels: NDArray[np.int64]
) -> pd.DataFrame:
    """Returns the id, speaker, emotion and arousal of each utterance."""
    table = dataset.utterances.iloc[rows][["utterance_id", "speaker", "emotion"]]
    names = ["unknown" if level < 0 else LEVELS[level] for level in levels]
    return table.reset_index(drop=True).assign(arousal=names)


def _shorten(encoder: str) -> str:
    """Leaves the last part of a folder's name, so that no picture shows anyone's folders."""
    path = Path(encoder).expanduser()
    return path.name if path.is_absolute() or path.exists() else encoder
