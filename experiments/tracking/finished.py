"""Reads finished runs back: their classes, their predictions, their metric, and names for them."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from conversation_emotion.evaluation.decisions import resolve_metric
from conversation_emotion.evaluation.metrics import METRICS, count_confusions
from conversation_emotion.evaluation.results import ResultsTable
from conversation_emotion.figures.comparison_page import Candidate, Comparison
from conversation_emotion.figures.run_page import RunRecord
from conversation_emotion.tracker import PREDICTIONS, UTTERANCES, training_name
from experiments.tracking.runs import read_table
from experiments.tracking.store import open_client, tracking_uri

_OLD_METRICS = {"accuracy": "wa"}
"""Names of metrics that older runs recorded."""


class Systems(NamedTuple):
    """Finished runs that predict the same classes (C).

    By their names: the predictions on valid and test, and the metric that selected.
    """

    predictions: dict[str, pd.DataFrame]
    labels: tuple[str, ...]
    metrics: dict[str, str]


def find_tested(sweep: str) -> tuple[str, ...]:
    """Returns the runs that scored the settings of a sweep on test.

    Raises:
        ValueError: The run is no sweep, or it tested fewer than two settings.
    """
    client = open_client()
    tags = _find(client, sweep).data.tags
    if tags.get("sweep") != "parent":
        raise ValueError(f"run {sweep} is no sweep; name two runs or more to choose among")
    experiments = [str(one.experiment_id) for one in client.search_experiments()]
    wanted = f"tags.tested_for = '{tags['sweep_id']}' and attributes.status = 'FINISHED'"
    found = client.search_runs(experiments, wanted, order_by=["attributes.start_time ASC"])
    if len(found) < 2:
        raise ValueError(f"sweep {sweep} scored {len(found)} of its settings on test; raise --top")
    return tuple(str(run.info.run_id) for run in found)


def read_systems(run_ids: Sequence[str]) -> Systems:
    """Reads the predictions of runs, which are named by the settings in which they differ.

    Raises:
        ValueError: A run is not there or not finished, keeps no predictions, or predicts other
            classes.
    """
    client = open_client()
    params = [_find(client, run_id).data.params for run_id in run_ids]
    maps = [_read_label_map(client, run_id) for run_id in run_ids]
    labels = [tuple(one["labels"]) for one in maps]
    for run_id, found in zip(run_ids, labels, strict=True):
        if found != labels[0]:
            raise ValueError(
                f"run {run_id} predicts {', '.join(found)}, run {run_ids[0]} {', '.join(labels[0])}"
            )
    names = name_runs(params, run_ids)
    tables = [_download(client, run_id) for run_id in run_ids]
    recorded = [
        one.get("select_by") or settings.get("select_by") or "auto"
        for one, settings in zip(maps, params, strict=True)
    ]
    metrics = [resolve_metric(_OLD_METRICS.get(metric, metric)) for metric in recorded]
    return Systems(
        dict(zip(names, tables, strict=True)), labels[0], dict(zip(names, metrics, strict=True))
    )


def read_run(run_id: str) -> RunRecord:
    """Reads what a finished run of a whole command keeps.

    Raises:
        ValueError: The run is not there, not finished, or keeps no table of results.
    """
    client = open_client()
    run = _find(client, run_id)
    kept = {file.path for file in client.list_artifacts(run_id)}
    if "results.json" not in kept:
        raise ValueError(
            f"run {run_id} keeps no results.json; name the run of a whole command, as its table "
            "does, not that of a training, a sweep or a pre-training"
        )
    further = sorted(name for name in kept if _is_table(name, kept) and name != "results.json")
    labels = _read_json(client, run_id, "label_map.json") if "label_map.json" in kept else {}
    predictions = read_table(client, run_id, PREDICTIONS) if PREDICTIONS in kept else None
    if predictions is not None and not {"part", "target", "predicted"} <= set(predictions.columns):
        labels = {}
    versions = {
        name: value
        for name, value in run.data.tags.items()
        if name == "commit" or name.startswith("version/")
    }
    return RunRecord(
        experiment=client.get_experiment(run.info.experiment_id).name,
        name=str(run.info.run_name),
        run_id=run_id,
        command=run.data.tags.get("command", ""),
        params=dict(sorted({**run.data.params, **versions}.items())),
        metrics=run.data.metrics,
        tables=[
            ResultsTable.from_json(_read_text(client, run_id, name), f"{name} of run {run_id}")
            for name in ("results.json", *further)
        ],
        labels=tuple(labels.get("labels", ())),
        predictions=predictions,
        utterances=read_table(client, run_id, UTTERANCES) if UTTERANCES in kept else None,
    )


def _is_table(name: str, kept: set[str]) -> bool:
    """Whether a file is a results table, which `ResultsTable.write` keeps as Parquet as well."""
    return name.endswith(".json") and f"{name.removesuffix('.json')}.parquet" in kept


def compare_runs(run_ids: Sequence[str]) -> Comparison:
    """Compares finished runs by their scores on test, training by training.

    Raises:
        ValueError: As of `read_systems`, or the runs were scored on other utterances.
    """
    client, systems = open_client(), read_systems(run_ids)
    metrics = {*systems.metrics.values()}
    metric = metrics.pop() if len(metrics) == 1 and metrics <= {*METRICS} else "uar"
    runs = [_find(client, run_id) for run_id in run_ids]
    differing = _list_differing([run.data.params for run in runs])
    return Comparison(
        title=f"{len(run_ids)} runs compared",
        metric=metric,
        part="test",
        candidates=[
            Candidate(
                name=name,
                strategy=_name_strategy(run.data.params) or name,
                varied={flag: _read_number(run.data.params.get(flag, "")) for flag in differing},
                scores=_score_trainings(systems.predictions[name], len(systems.labels), metric),
                command=run.data.tags.get("command", ""),
                seconds=(int(run.info.end_time or 0) - int(run.info.start_time or 0)) / 1000,
            )
            for name, run in zip(systems.predictions, runs, strict=True)
        ],
        importances={},
        notes=(
            "Scores on test: who picks the best by them has used test to choose. "
            "python -m experiments.choose nests the choice in the folds.",
        ),
    )


def _score_trainings(predictions: pd.DataFrame, num_classes: int, metric: str) -> dict[str, float]:
    """Scores each training on test, by fold and seed."""
    test = predictions[predictions["part"] == "test"]
    scores = {}
    for (fold, seed), rows in test.groupby(["fold", "seed"]):
        pairs = rows["target"].to_numpy(), rows["predicted"].to_numpy()
        score = METRICS[metric](count_confusions(*pairs, num_classes))
        scores[training_name(str(fold), int(str(seed)))] = float(score)
    return scores


def _name_strategy(params: Mapping[str, str]) -> str | None:
    """Names modality and fusion; None for a run without modalities."""
    modality = params.get("modality")
    if modality is None or "fusion" not in params:
        return None
    return modality if "+" not in modality else f"{modality}, {params['fusion']}"


def _read_number(value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


def _shorten(value: str) -> str:
    number = _read_number(value)
    return f"{number:.3g}" if isinstance(number, float) and "." in value else value


def _find(client: MlflowClient, run_id: str) -> Run:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise ValueError(
            f"no run {run_id} in {tracking_uri()}; the tables and the pages of "
            "python -m experiments.ui name the ids"
        ) from error
    if run.info.status != "FINISHED":
        raise ValueError(f"run {run_id} is {run.info.status}; the same command resumes it")
    return run


def _download(client: MlflowClient, run_id: str) -> pd.DataFrame:
    table = read_table(client, run_id, PREDICTIONS)
    if missing := {"part", "target", "predicted"} - set(table.columns):
        raise ValueError(f"run {run_id} predicts no classes: its table lacks {min(missing)}")
    return table


def _read_label_map(client: MlflowClient, run_id: str) -> dict[str, Any]:
    kept = {file.path for file in client.list_artifacts(run_id)}
    if missing := {PREDICTIONS, "label_map.json"} - kept:
        raise ValueError(
            f"run {run_id} keeps no {min(missing)}; name the run of a whole table's row, which "
            "predicts classes, not that of a training"
        )
    return _read_json(client, run_id, "label_map.json")


def _read_json(client: MlflowClient, run_id: str, name: str) -> dict[str, Any]:
    return json.loads(_read_text(client, run_id, name))


def _read_text(client: MlflowClient, run_id: str, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run_id, name, folder)).read_text("utf-8")


def _list_differing(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Lists the settings in which runs differ."""
    found = {flag for one in settings for flag in one if "version/" not in flag}
    flags = sorted(found - {"commit", "register"})
    return [flag for flag in flags if len({one.get(flag) for one in settings}) > 1]


def name_runs(settings: Sequence[Mapping[str, str]], run_ids: Sequence[str]) -> list[str]:
    """Names runs by the settings in which they differ, by their ids where that tells none apart.

    Fractions have three digits; the name under which a model was registered is no setting.
    """
    differing = _list_differing(settings)
    names = [
        ", ".join(f"{flag} {_shorten(one.get(flag, ''))}" for flag in differing) for one in settings
    ]
    if len(set(names)) == len(names):
        return names
    return [f"{name} {run_id[:8]}".strip() for name, run_id in zip(names, run_ids, strict=True)]
