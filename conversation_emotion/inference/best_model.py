"""Keeps the model of each training that is better on valid than all before it, as a folder."""

import dataclasses
import functools
import tempfile
from importlib import metadata
from pathlib import Path

import pandas as pd
from experiments._encoders import list_sources, load_encoders
from experiments._folds import Prepared, Recipe, Trained

import speech_encoders
from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.inference.card import FORMAT, Card, Part, Training
from conversation_emotion.inference.saved_model import dump_settings, save_model
from conversation_emotion.models.tuned import find_family
from conversation_emotion.settings.features import FeatureSettings
from experiments.tracking.runs import PACKAGES, TrackedRun

FOLDER = "saved_model"
"""Artifact of a training's run that holds its model."""


def keep_best(
    recipe: Recipe,
    experiment: str,
    config: object,
    features: FeatureSettings,
    prepared: Prepared,
) -> Recipe:
    """Returns the recipe that also keeps each model that is better on valid than all before it.

    The first of all that are best is thus kept, also where a command that was interrupted reads
    others back.

    Args:
        recipe: How models come to be.
        experiment: Name of the experiment, one of `_saved_model.CONFIGS`.
        config: Its settings, a dataclass.
        features: What its models hear and read.
        prepared: What is trained on.
    """

    @functools.cache
    def identify(settings: FeatureSettings) -> dict[str, str]:
        return {name: encoder.identity for name, encoder in load_encoders(settings).items()}

    best: list[float] = []

    def keep(trained: Trained, run: TrackedRun) -> None:
        uar = valid_uar(trained.predictions, prepared)
        if best and uar <= best[-1]:
            return
        best.append(uar)
        heard = _features_of(features, str(trained.predictions["fold"].iloc[0]), prepared)
        num_trainings = len(prepared.corpus.split.folds) * recipe.training.seeds
        card = Card(
            format=FORMAT,
            experiment=experiment,
            task=_describe_task(config),
            corpus=prepared.corpus.label_map.corpus,
            label_set=prepared.corpus.label_map.label_set,
            labels=prepared.corpus.label_map.labels,
            emotions=prepared.corpus.emotion_labels,
            settings=dump_settings(config),
            features=heard,
            encoders=identify(heard),
            training=_describe_training(prepared, trained.predictions, num_trainings),
            versions={package: metadata.version(package) for package in PACKAGES},
        )
        with tempfile.TemporaryDirectory() as folder:
            save_model(Path(folder), trained.model, card)
            run.client.log_artifacts(run.run_id, folder, FOLDER)

    return recipe._replace(on_trained=keep)


def valid_uar(predictions: pd.DataFrame, prepared: Prepared) -> float:
    """Scores a training on valid, by which the best is chosen."""
    return _uar(predictions, "valid", prepared)


def _features_of(features: FeatureSettings, fold: str, prepared: Prepared) -> FeatureSettings:
    """Names the encoders that a fold hears, of a family its own, so that they are found again."""

    def find(name: str) -> str:
        family = find_family(name, prepared.corpus)
        if name in speech_encoders.BUILDERS or not (family or Path(name).is_dir()):
            return name
        return str((family[fold] if family else Path(name)).resolve())

    heard: dict[str, list[str]] = {}
    for source in list_sources(features).values():
        heard.setdefault(f"{source.modality}_encoder", []).append(find(source.encoder))
    return dataclasses.replace(features, **{flag: "+".join(found) for flag, found in heard.items()})


def _describe_task(config: object) -> str:
    horizon = getattr(config, "horizon", None)
    if horizon is None:
        return "Emotion of single utterances"
    if horizon == 0:
        return "Emotion of the utterance just heard"
    return "Emotion of the next turn" if horizon == 1 else f"Emotion {horizon} turns ahead"


def _describe_training(
    prepared: Prepared, predictions: pd.DataFrame, num_trainings: int
) -> Training:
    def describe_part(part: str) -> Part:
        rows = predictions[predictions["part"] == part]
        speakers = tuple(sorted(map(str, rows["speaker"].unique())))
        return Part(speakers=speakers, num_judged=len(rows), uar=_uar(predictions, part, prepared))

    return Training(
        protocol=prepared.corpus.split.name,
        notes=prepared.corpus.split.notes,
        fold=str(predictions["fold"].iloc[0]),
        seed=int(predictions["seed"].iloc[0]),
        num_trainings=num_trainings,
        valid=describe_part("valid"),
        test=describe_part("test"),
    )


def _uar(predictions: pd.DataFrame, part: str, prepared: Prepared) -> float:
    rows = predictions[predictions["part"] == part]
    confusions = count_confusions(
        rows["target"].to_numpy(),
        rows["predicted"].to_numpy(),
        len(prepared.corpus.label_map.labels),
    )
    return float(unweighted_average_recall(confusions))
