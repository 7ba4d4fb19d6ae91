"""Pictures of representations with their numbers: drawn, printed, kept."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.evaluation.separation import project_to_plane
from conversation_emotion.figures.clips import encode_clips
from conversation_emotion.figures.pages import make_plane_figure, write_page
from conversation_emotion.figures.planes import Colouring, Plane, draw_planes
from conversation_emotion.splits.protocols import Fold
from conversation_emotion.utterances.arousal import LEVELS, find_arousal_levels
from experiments import _heard, _report
from experiments import commandline as _cli
from experiments._report import Row
from experiments._stages import AROUSAL, EMOTION, Represented, read_units
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.visualise import VisualiseConfig

_TITLES = {
    "uar": "UAR",
    "silhouette_arousal": "silhouette, arousal",
    "compactness_arousal": "compactness, arousal",
    "silhouette_emotion": "silhouette, emotion",
    "compactness_emotion": "compactness, emotion",
}


class _Shown(NamedTuple):
    """The fold that is drawn: its N utterances, what colours them, and each encoder's plane."""

    fold: Fold
    rows: NDArray[np.int64]
    colourings: list[Colouring]
    planes: list[Plane]


def report(
    config: "VisualiseConfig", found: Sequence[Represented], fold: Fold, runs: Sequence[ParentRun]
) -> None:
    """Prints the numbers of all folds, draws one fold, and keeps all with the runs and on disk."""
    folder = config.picture.out or Path("mlruns") / "visualise" / config.data.corpus
    folder.mkdir(parents=True, exist_ok=True)
    shown = _lay_out(config, found, fold)
    numbers = pd.concat(map(_measure, found), ignore_index=True)
    points = pd.concat([_tabulate(shown, plane, found[0]) for plane in shown.planes])
    captions, rows = list(_captions(config, found[0], shown)), list(_rows(numbers))
    _report.print_table(
        f"How the first linear layer parts held-out utterances; {config.data.corpus}",
        rows,
        captions,
        runs,
        columns=tuple(_TITLES.values()),
        unit="UAR in percent",
        commands=[_cli.command_of(config.of_run(one.encoder)) for one in found],
    )
    title = _title(config, found[0], shown)
    draw_planes(shown.planes, shown.colourings, title).savefig(folder / "planes.png", dpi=150)
    notes = [title, *map(_say, rows), *captions]
    said = _write_page(config, found[0], shown, notes, folder / "planes.html")
    numbers.to_csv(folder / "separation.csv", index=False)
    for run in runs:
        run.log_table(points, "planes.parquet")
        for file in ("planes.png", "planes.html", "separation.csv"):
            run.log_file(folder / file)
    for one, run in zip(found, runs, strict=True):
        means = numbers[numbers["encoder"] == one.encoder][list(_TITLES)].mean()
        run.log_metrics({f"test/{name}": mean for name, mean in means.dropna().items()})
    print(f"pictures: {folder / 'planes.png'}, {folder / 'planes.html'} ({said})")


def _lay_out(config: "VisualiseConfig", found: Sequence[Represented], fold: Fold) -> _Shown:
    """Places what seed 0 made of the fold; every encoder has the same utterances in one order."""
    corpus = found[0].prepared.corpus
    tables = [one.tables[fold.name, 0] for one in found]
    rows = tables[0]["row"].to_numpy()
    levels, _ = find_arousal_levels(corpus.utterances, fold.train)
    colourings = [
        Colouring(AROUSAL, LEVELS, levels[rows]),
        Colouring(EMOTION, corpus.label_map.labels, corpus.classes()[rows]),
    ]
    planes = []
    for one, table in zip(found, tables, strict=True):
        assert (table["row"].to_numpy() == rows).all(), "utterances out of order"
        points = project_to_plane(read_units(table), num_neighbors=config.picture.neighbors)
        planes.append(Plane(_shorten(one.encoder), points, one.separate(fold, 0)))
    return _Shown(fold, rows, colourings, planes)


def _measure(one: Represented) -> pd.DataFrame:
    """Measures each fold and seed: recall of the probe, and how its first layer parts classes."""
    corpus = one.prepared.corpus
    folds = {fold.name: fold for fold in corpus.split.folds}
    measured = []
    for (name, seed), table in one.tables.items():
        targets = corpus.classes()[table["row"].to_numpy()]
        confusions = count_confusions(
            targets, table["predicted"].to_numpy(), len(corpus.label_map.labels)
        )
        numbers: dict[str, object] = {"encoder": one.encoder, "fold": name, "seed": seed}
        numbers["uar"] = 100 * float(unweighted_average_recall(confusions))
        for what, separation in one.separate(folds[name], seed).items():
            numbers[f"silhouette_{what}"] = separation.silhouette
            numbers[f"compactness_{what}"] = separation.compactness
            numbers[f"num_{what}"] = separation.num_judged
        measured.append(numbers)
    return pd.DataFrame(measured)


def _rows(numbers: pd.DataFrame) -> Iterator[Row]:
    for encoder, measured in numbers.groupby("encoder", sort=False):
        cells = []
        for name in _TITLES:
            values, digits = measured[name].dropna(), 1 if name == "uar" else 2
            deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            figures = (values.mean(), deviation, values.min(), values.max())
            mean, spread, low, high = (f"{figure:.{digits}f}" for figure in figures)
            cells.append(f"{mean} ± {spread} [{low}, {high}]" if len(values) else "undefined")
        yield Row(str(encoder), tuple(cells))


def _say(row: Row) -> str:
    """Says a row of the table in a line of text."""
    numbers = zip(_TITLES.values(), row.cells, strict=True)
    return f"{row.system}: " + "; ".join(f"{name} {cell}" for name, cell in numbers)


def _captions(config: "VisualiseConfig", one: Represented, shown: _Shown) -> Iterator[str]:
    corpus = one.prepared.corpus
    stage, count = config.stage, len(corpus.split.folds)
    judged = sum(len(one.tables[fold.name, 0]) for fold in corpus.split.folds)
    _, by_what = find_arousal_levels(corpus.utterances, shown.fold.train)
    yield (
        f"mean ± deviation [lowest, highest] over {count} fold(s) x {stage.seeds} seed(s), "
        f"n = {judged:,}; every probe after {stage.epochs} epochs on train, none selected"
    )
    yield f"protocol {corpus.split.name}; the picture is of fold {shown.fold.name}, seed 0"
    yield from (f"note: {note}" for note in corpus.split.notes)
    yield (
        "silhouette: -1 to 1; compactness: distance between centres of classes over the distance "
        "of an utterance from its own; of the layer itself, not of the plane; higher is better"
    )
    yield f"arousal: {by_what}"
    yield from _heard.describe_heard(stage.encoders, [config.data.corpus])
    yield from _report.describe_failures(one.prepared.failures)


def _title(config: "VisualiseConfig", one: Represented, shown: _Shown) -> str:
    corpus = one.prepared.corpus
    train, test = (
        corpus.utterances["speaker"].iloc[part].nunique() for part in (shown.fold.train, shown.rows)
    )
    return (
        f"{config.data.corpus}: {len(shown.rows):,} held-out utterances of {test} speaker(s), "
        f"{corpus.split.name}, fold {shown.fold.name}\n"
        f"UMAP of the first linear layer, trained on {train} speaker(s) for "
        f"{config.stage.epochs} epochs"
    )


def _tabulate(shown: _Shown, plane: Plane, one: Represented) -> pd.DataFrame:
    table = _describe_points(shown, one)
    return table.assign(encoder=plane.encoder, x=plane.points[:, 0], y=plane.points[:, 1])


def _describe_points(shown: _Shown, one: Represented) -> pd.DataFrame:
    """Returns what is known of each utterance: its id first."""
    told = one.prepared.corpus.utterances.iloc[shown.rows]
    table = told[["utterance_id", "speaker", "emotion"]].reset_index(drop=True)
    levels = shown.colourings[0].classes
    names = ["unknown" if level < 0 else LEVELS[level] for level in levels]
    return table.assign(arousal=names)


def _write_page(
    config: "VisualiseConfig",
    one: Represented,
    shown: _Shown,
    notes: Sequence[str],
    path: Path,
) -> str:
    """Writes the page with its clips and says how much sound it holds."""
    limit = int(config.picture.audio_mib * 2**20)
    utterances = one.prepared.corpus.utterances
    clips = encode_clips(utterances, shown.rows, limit)
    said = clips.describe(limit)
    figure = make_plane_figure(shown.planes, shown.colourings, _describe_points(shown, one))
    notes = [*notes, f"This page holds recordings of the corpus, under its licence: {said}."]
    write_page(path, f"How encoders lay out {config.data.corpus}", notes, figure, clips.sounds)
    return said


def _shorten(encoder: str) -> str:
    """Leaves the last part of a folder's name, so that no picture tells of somebody's disk."""
    path = Path(encoder).expanduser()
    return path.name if path.is_absolute() or path.exists() else encoder
