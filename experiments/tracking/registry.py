"""The model registry: registers the best model of an experiment, to be used by its name.

Of an experiment's many trainings the model is that of the one which is best on valid. It is kept as
a folder with the run of its training (`conversation_emotion.inference.best_model`), and registered
from there as a pyfunc (`experiments.tracking.pyfunc`) that takes recordings and texts.
"""

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from conversation_emotion.evaluation.decisions import rank_part
from conversation_emotion.evaluation.metrics import rank_score
from conversation_emotion.inference.best_model import FOLDER
from conversation_emotion.inference.card import Card, describe, name_speakers
from conversation_emotion.inference.columns import Column, list_inputs, list_outputs
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import CONFIG, read_card
from conversation_emotion.tracker import training_name
from experiments.tracking.runs import ParentRun, find_children
from experiments.tracking.store import find_store, open_client

_PYFUNC = "pyfunc"
"""Name of what is registered; other than the folder's, or MLflow joins the two."""

_TOLERANCE = 1e-3
"""Probabilities of a model that is loaded back differ by less from those of its training."""

_CHECKED = 50
"""Predictions, in whole dialogues, that are compared before a model is registered."""

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def register(
    name: str,
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    parent: ParentRun,
    *,
    select_by: str,
) -> None:
    """Registers the model that is best on valid, after a check that it predicts as in its training.

    Args:
        name: Name of the registered model, which gets a new version if it exists.
        predictions: Those of all folds and seeds on valid and test, whose models were kept by
            `KeepBest`.
        utterances: The utterance table.
        parent: The run of the command.
        select_by: Name of the metric that selects.

    Raises:
        RuntimeError: Loaded back, it predicts otherwise than in its training.
    """
    tables = [table for _, table in predictions.groupby(["fold", "seed"], sort=False)]
    best = max(tables, key=lambda table: rank_part(table, "valid", select_by))
    fold, seed = best["fold"].iloc[0], best["seed"].iloc[0]
    run_id = parent.find_finished(training_name(fold, seed))
    assert run_id is not None, "every training of the predictions has a run"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(parent.client.download_artifacts(run_id, FOLDER, place))
        predictor = Predictor.load(folder)
        _check(predictor, utterances, best[best["part"] == "test"])
        uri = _log(name, folder, predictor.saved.card, parent, run_id)
    which = f"{fold}, seed {seed}, which is the best on valid by {select_by}"
    if predictor.saved.card.training.on_all:
        which = "all targets; the table says how good models of the folds are"
    print(f"registered as {uri}: the model of {which};")
    print("  load it with mlflow.pyfunc.load_model, or use it with:")
    print(f"  python -m experiments.predict RECORDINGS --model {uri}")


@contextmanager
def fetch_members(parent: ParentRun, predictions: pd.DataFrame) -> Iterator[list[Path]]:
    """Provides the folders of the models of all trainings, in the order of their predictions."""
    with tempfile.TemporaryDirectory() as place:
        folders = []
        trainings = predictions[["fold", "seed"]].drop_duplicates().itertuples(index=False)
        for number, (fold, seed) in enumerate(trainings):
            run_id = parent.find_finished(training_name(str(fold), int(seed)))
            assert run_id is not None, "every training of the predictions has a run"
            target = Path(place) / str(number)
            target.mkdir()
            folders.append(Path(parent.client.download_artifacts(run_id, FOLDER, str(target))))
        yield folders


def _check(predictor: Predictor, utterances: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compares some predictions from recordings and texts with those of the training."""
    num_targets = expected.groupby("dialogue_id", sort=False).size()
    chosen = num_targets.index[num_targets.cumsum().shift(fill_value=0) < _CHECKED]
    rows = utterances[utterances["dialogue_id"].isin(chosen)].set_index("utterance_id")
    expected = expected[expected["dialogue_id"].isin(chosen)].set_index("utterance_id")
    # A temperature below 1 would make differences larger than those of the models.
    card = replace(predictor.saved.card, calibration=None)
    plain = Predictor(predictor.saved._replace(card=card), predictor.encoders)
    found = plain.predict(rows).loc[expected.index]
    found = found[found[card.target].notna()]  # the training predicts utterances without input too
    columns = [f"p_{label}" for label in predictor.saved.card.labels]
    differences = (found[columns] - expected.loc[found.index, columns]).abs().max(axis=1)
    if not (differences <= _TOLERANCE).any() or differences.max() > _TOLERANCE:
        raise RuntimeError(
            f"loaded back, the model predicts {int((differences > _TOLERANCE).sum())} of "
            f"{len(expected)} utterances otherwise than in its training, by up to "
            f"{differences.max():.3f}; it is not registered"
        )


def _log(name: str, folder: Path, card: Card, parent: ParentRun, run_id: str) -> str:
    """Logs a folder as a pyfunc of the run of its training, and registers that.

    The client is asked step by step, since MLflow's fluent functions would change which store and
    experiment are active, and would give the model its run's metrics of the first epoch.
    """
    client, facts = parent.client, _facts(card)
    logged = client.create_logged_model(parent.experiment_id, _PYFUNC, run_id, tags=facts)
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / _PYFUNC
        _write_pyfunc(target, folder, card, Model(run_id=run_id, model_id=logged.model_id))
        client.log_model_artifacts(logged.model_id, str(target))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name,
        logged.artifact_location,
        run_id,
        facts,
        description=describe(card),
        model_id=logged.model_id,
    )
    return f"models:/{name}/{version.version}"


def _write_pyfunc(target: Path, folder: Path, card: Card, model: Model) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*An input example was not provided")
        mlflow.pyfunc.save_model(
            target,
            mlflow_model=model,
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={FOLDER: str(folder)},
            signature=_signature(card),
            pip_requirements=[f"conversation-emotion=={metadata.version('conversation-emotion')}"],
        )


def _facts(card: Card) -> dict[str, str]:
    """Returns the tags of a model in the registry."""
    training = card.training
    return {
        "task": card.task,
        "corpus": card.corpus,
        "labels": ", ".join(card.labels),
        "protocol": training.protocol,
        "fold": training.fold,
        "seed": str(training.seed),
        f"valid_{training.select_by}": f"{training.valid.score:.4f}",
        f"test_{training.select_by}": f"{training.test.score:.4f}",
        "test_speakers": name_speakers(training.test.speakers),
    }


def _signature(card: Card) -> ModelSignature:
    kinds = {"text": DataType.string, "number": DataType.double, "integer": DataType.long}

    def describe_columns(columns: list[Column]) -> Schema:
        return Schema([ColSpec(kinds[one.kind], one.name, one.is_always) for one in columns])

    return ModelSignature(
        inputs=describe_columns(list_inputs(card)), outputs=describe_columns(list_outputs(card))
    )


def find_model(name: str) -> Path:
    """Returns the folder of a saved model.

    Args:
        name: That folder; or a registered model, ``NAME`` for its latest version, ``NAME/VERSION``
            or ``models:/NAME/VERSION``; or a run that kept its model, its id or ``runs:/ID``, of a
            whole command the model of all targets, or the best of its trainings.

    Raises:
        FileNotFoundError: There is no such folder, registered model or run.
    """
    if (Path(name) / CONFIG).is_file():
        return Path(name)
    find_store()
    client = open_client()
    if name.startswith("runs:/") or _RUN_ID.fullmatch(name):
        return _find_in_run(client, name.removeprefix("runs:/").partition("/")[0])
    registered, _, version = name.removeprefix("models:/").partition("/")
    versions = {
        str(found.version)
        for found in client.search_model_versions(max_results=1000)
        if found.name == registered
    }
    version = version or max(versions, key=int, default="")
    if version not in versions:
        known = ", ".join(sorted(model.name for model in client.search_registered_models()))
        raise FileNotFoundError(
            f"{name!r} is neither the folder of a saved model nor a registered one; registered "
            f"are: {known or 'none'}; an experiment registers its model with --register NAME"
        )
    source = client.get_model_version_download_uri(registered, version)
    return _fetch(client, f"{source}/artifacts/{FOLDER}")


def _find_in_run(client: MlflowClient, run_id: str) -> Path:
    """Returns the model that a run kept, of a whole command that of all targets or the best."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise FileNotFoundError(f"no run {run_id} in {client.tracking_uri}") from error
    children = find_children(client, run.info.experiment_id, run_id)
    folders = [
        _fetch(client, f"{found.info.artifact_uri}/{FOLDER}")
        for found in [run, *children[::-1]]  # the children oldest first
        if any(file.path == FOLDER for file in client.list_artifacts(found.info.run_id))
    ]
    if not folders:
        raise FileNotFoundError(f"run {run_id} kept no model; train with --register NAME")
    trainings = {folder: read_card(folder / CONFIG).training for folder in folders}

    def rank(folder: Path) -> tuple[bool, float]:
        training = trainings[folder]
        return training.on_all, rank_score(training.select_by, training.valid.score)

    return max(folders, key=rank)


def _fetch(client: MlflowClient, uri: str) -> Path:
    """Returns the local folder of an artifact, downloaded where it is not on this computer."""
    return Path(download_artifacts(artifact_uri=uri, tracking_uri=client.tracking_uri))
