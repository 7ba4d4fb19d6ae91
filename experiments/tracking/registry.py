"""The model registry: registers the best model of an experiment, to be used by its name.

Of an experiment's many trainings the model is that of the one which is best on valid. It is kept as
a folder with the run of its training (`_kept_models`), and registered from there as a pyfunc
(`_pyfunc`) that takes recordings and texts.
"""

import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from conversation_emotion.inference.best_model import FOLDER, valid_uar
from conversation_emotion.inference.card import Card, describe, name_speakers
from conversation_emotion.inference.predictor import CONTENT, CONVERSATION, Judge
from conversation_emotion.inference.saved_model import CONFIG, load_model
from experiments._folds import Prepared, training_name
from experiments.tracking.runs import ParentRun
from experiments.tracking.store import find_store

_PYFUNC = "pyfunc"
"""What is registered; of another name than the folder, or MLflow joins the two."""

_TOLERANCE = 1e-3
"""Probabilities of a model that is loaded back differ by less from those of its training."""

_CHECKED = 50
"""Judgements, in whole dialogues, that are compared before a model is registered."""


def register(name: str, prepared: Prepared, predictions: pd.DataFrame, parent: ParentRun) -> str:
    """Registers the model that is best on valid, once it is seen to judge as in its training.

    Args:
        name: Of the registered model, which gets a new version if it exists.
        prepared: What was trained on.
        predictions: All predictions of `run_folds` by the recipe of `keep_best`.
        parent: The run of the command.

    Returns:
        Where to load it from, such as ``models:/NAME/1``.

    Raises:
        RuntimeError: Loaded back, it judges otherwise than in its training.
    """
    tables = [table for _, table in predictions.groupby(["fold", "seed"], sort=False)]
    best = max(tables, key=lambda table: valid_uar(table, prepared))
    run_id = parent.find_finished(training_name(best["fold"].iloc[0], best["seed"].iloc[0]))
    assert run_id is not None, "every training of the predictions has a run"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(parent.client.download_artifacts(run_id, FOLDER, place))
        judge = Judge(load_model(folder))
        _check(judge, prepared.corpus.utterances, best[best["part"] == "test"])
        uri = _log(name, folder, judge.saved.card, parent, run_id)
    print(f"registered as {uri}: the model of {best['fold'].iloc[0]}, seed {best['seed'].iloc[0]},")
    print("  which is the best on valid; load it with mlflow.pyfunc.load_model, or use it with:")
    print(f"  python -m experiments.judge --model {uri} --root RECORDINGS")
    return uri


def _check(judge: Judge, utterances: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compares some judgements from recordings and texts with those of the training."""
    num_judged = expected.groupby("dialogue_id", sort=False).size()
    chosen = num_judged.index[num_judged.cumsum().shift(fill_value=0) < _CHECKED]
    rows = utterances[utterances["dialogue_id"].isin(chosen)].set_index("utterance_id")
    expected = expected[expected["dialogue_id"].isin(chosen)].set_index("utterance_id")
    judged = judge.judge(rows).loc[expected.index]
    judged = judged[judged["emotion"].notna()]  # the training judges silence too
    columns = [f"p_{label}" for label in judge.saved.card.labels]
    differences = (judged[columns] - expected.loc[judged.index, columns]).abs().max(axis=1)
    if not (differences <= _TOLERANCE).any() or differences.max() > _TOLERANCE:
        raise RuntimeError(
            f"the saved model judges {int((differences > _TOLERANCE).sum())} of {len(expected)} "
            f"utterances otherwise than in its training, by up to {differences.max():.3f}; it is "
            "not registered"
        )


def _log(name: str, folder: Path, card: Card, parent: ParentRun, run_id: str) -> str:
    """Logs a folder as a pyfunc of the run of its training, and registers that.

    The client is asked step by step, since MLflow's fluent functions would change which store and
    experiment are active, and would give the model its run's metrics of the first epoch.
    """
    client, facts = parent.client, _facts(card)
    logged = client.create_logged_model(parent.experiment_id, _PYFUNC, run_id, tags=facts)
    with tempfile.TemporaryDirectory() as place:
        _write_pyfunc(
            Path(place) / _PYFUNC, folder, card, Model(run_id=run_id, model_id=logged.model_id)
        )
        client.log_model_artifacts(logged.model_id, str(Path(place) / _PYFUNC))
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
    """What the registry shows beside a model."""
    training = card.training
    return {
        "task": card.task,
        "corpus": card.corpus,
        "labels": ", ".join(card.labels),
        "protocol": training.protocol,
        "fold": training.fold,
        "seed": str(training.seed),
        "valid_uar": f"{training.valid.uar:.4f}",
        "test_uar": f"{training.test.uar:.4f}",
        "test_speakers": name_speakers(training.test.speakers),
    }


def _signature(card: Card) -> ModelSignature:
    texts = ("audio", "text", "dialogue_id", "speaker")
    kinds = {"order": DataType.long, **dict.fromkeys(texts, DataType.string)}
    needed = CONVERSATION if "horizon" in card.settings else ()
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(kinds.get(name, DataType.double), name, required=name in needed)
        for name in (*needed, *CONTENT)
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "emotion"),
        *(ColSpec(DataType.double, f"p_{label}") for label in card.labels),
        ColSpec(DataType.string, "problem"),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def find_model(name: str) -> Path:
    """Finds the folder of a saved model.

    Args:
        name: That folder; or a registered model, ``NAME`` for its latest version, ``NAME/VERSION``
            or ``models:/NAME/VERSION``.

    Raises:
        FileNotFoundError: There is neither such a folder nor such a registered model.
    """
    if (Path(name) / CONFIG).is_file():
        return Path(name)
    registered, _, version = name.removeprefix("models:/").partition("/")
    client = MlflowClient(find_store())
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
    return Path(
        download_artifacts(
            artifact_uri=f"{source}/artifacts/{FOLDER}", tracking_uri=client.tracking_uri
        )
    )
