"""Choosing among finished runs: reads what they said, lets valid choose, scores on test."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from conversation_emotion.evaluation.decisions import choose_by_valid
from conversation_emotion.evaluation.metrics import Interval, score_predictions
from experiments import _report
from experiments._folds import PREDICTIONS
from experiments.tracking.runs import ParentRun, tracking_uri

CHOSEN = "chosen by valid in each fold"


class Systems(NamedTuple):
    """What finished runs said.

    Attributes:
        predictions: Of each on valid and test, by name.
        labels: The classes (C).
    """

    predictions: dict[str, pd.DataFrame]
    labels: tuple[str, ...]


def read_systems(run_ids: Sequence[str]) -> Systems:
    """Reads the predictions of runs, which get the name of their encoder and what else differs.

    Raises:
        ValueError: A run is not there or not finished, keeps no judgements, or judges other
            classes.
    """
    client = MlflowClient(tracking_uri=tracking_uri())
    runs = [_find(client, run_id) for run_id in run_ids]
    labels = [_read_labels(client, run_id) for run_id in run_ids]
    for run_id, found in zip(run_ids, labels, strict=True):
        if found != labels[0]:
            raise ValueError(
                f"run {run_id} judges {', '.join(found)}, run {run_ids[0]} {', '.join(labels[0])}"
            )
    names = _name([run.data.params for run in runs], run_ids)
    tables = [_download(client, run_id) for run_id in run_ids]
    return Systems(dict(zip(names, tables, strict=True)), labels[0])


def report(systems: Systems, num_resamples: int, run: ParentRun) -> dict[str, Interval]:
    """Lets valid choose, prints and keeps the table, and returns the choice's scores on test."""
    chosen, counts = choose_by_valid(systems.predictions)
    run.log_table(chosen, PREDICTIONS)
    scores = {
        name: score_predictions(
            table[table["part"] == "test"], len(systems.labels), num_resamples=num_resamples
        )
        for name, table in {**systems.predictions, CHOSEN: chosen}.items()
    }
    run.log_metrics(_report.name_metrics("test", scores[CHOSEN]))
    _report.print_table(
        "Selection nested in the folds, on test",
        [_report.scored_row(name, found) for name, found in scores.items()],
        _captions(chosen, counts, scores[CHOSEN]["uar"].num_judged, systems.labels),
        [run],
    )
    return scores[CHOSEN]


def _captions(
    chosen: pd.DataFrame, counts: Mapping[str, int], num_judged: int, labels: Sequence[str]
) -> Iterator[str]:
    folds, seeds = chosen["fold"].nunique(), chosen["seed"].nunique()
    yield (
        f"mean ± deviation over {folds} fold(s) x {seeds} seed(s) [95 % bootstrap interval over "
        f"dialogues], n = {num_judged:,}"
    )
    yield f"classes: {', '.join(labels)}"
    often = sorted(((count, name) for name, count in counts.items() if count), reverse=True)
    yield "chosen: " + "; ".join(f"{count} x {name}" for count, name in often)
    yield "the other rows are not chosen by anything: the best of them leans upwards"


def _find(client: MlflowClient, run_id: str) -> Run:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise ValueError(
            f"no run {run_id} in {tracking_uri()}; the tables and the pages of "
            "python -m experiments.ui name the ids"
        ) from error
    if run.info.status != "FINISHED":
        raise ValueError(f"run {run_id} is {run.info.status}; the same command takes it up again")
    return run


def _download(client: MlflowClient, run_id: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        table = pd.read_parquet(client.download_artifacts(run_id, PREDICTIONS, folder))
    if missing := {"part", "target", "predicted"} - set(table.columns):
        raise ValueError(f"run {run_id} judges no classes: its predictions lack {min(missing)}")
    return table


def _read_labels(client: MlflowClient, run_id: str) -> tuple[str, ...]:
    kept = {file.path for file in client.list_artifacts(run_id)}
    if missing := {PREDICTIONS, "label_map.json"} - kept:
        raise ValueError(
            f"run {run_id} keeps no {min(missing)}; name the run of a whole table's row, which "
            "judges classes, not that of a training"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(run_id, "label_map.json", folder))
        return tuple(json.loads(file.read_text("utf-8"))["labels"])


def _name(settings: Sequence[Mapping[str, str]], run_ids: Sequence[str]) -> list[str]:
    """Names runs by the settings in which they differ, by their ids where they do not."""
    flags = sorted(
        {flag for one in settings for flag in one if "version/" not in flag} - {"commit"}
    )
    differing = [flag for flag in flags if len({one.get(flag) for one in settings}) > 1]
    names = [", ".join(f"{flag} {one.get(flag, '')}" for flag in differing) for one in settings]
    if len(set(names)) == len(names):
        return names
    return [f"{name} {run_id[:8]}".strip() for name, run_id in zip(names, run_ids, strict=True)]
