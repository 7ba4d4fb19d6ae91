"""Lets the folds of a command keep and register models, until cross-validation does it itself."""

import dataclasses

import pandas as pd

from conversation_emotion.evaluation.decisions import resolve_metric
from conversation_emotion.features.sources import list_sources
from conversation_emotion.inference.best_model import KeepBest
from conversation_emotion.models.tuned import find_family
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from experiments._folds import Prepared, Recipe
from experiments.tracking import registry
from experiments.tracking.runs import ParentRun


def keep_best(
    recipe: Recipe, config: object, features: FeatureSettings, prepared: Prepared
) -> Recipe:
    """Returns the recipe that also keeps each model that is better on valid than all before it."""
    is_conversation = hasattr(config, "horizon")
    kind = ConversationModelSettings if is_conversation else UtteranceModelSettings
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(kind)}
    if values.get("learn_from") == "judged":
        values["learn_from"] = "targets"
    families = {
        source.encoder: find_family(source.encoder, prepared.corpus)
        for source in list_sources(features).values()
    }
    keep = KeepBest(
        model=kind(**values),
        features=features,
        label_map=prepared.corpus.label_map,
        emotions=prepared.corpus.heard_labels,
        split=prepared.corpus.split,
        num_trainings=len(prepared.corpus.split.folds) * recipe.training.seeds,
        select_by=resolve_metric(recipe.training.select_by),
        families={name: family for name, family in families.items() if family},
    )
    return recipe._replace(
        on_trained=lambda trained, run: keep(run, trained.model, trained.predictions)
    )


def register(
    name: str, recipe: Recipe, prepared: Prepared, predictions: pd.DataFrame, parent: ParentRun
) -> None:
    """Registers the best model of the folds."""
    select_by = resolve_metric(recipe.training.select_by)
    registry.register(name, predictions, prepared.corpus.utterances, parent, select_by=select_by)
