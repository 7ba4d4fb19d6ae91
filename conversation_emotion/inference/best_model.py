"""Keeps the model of each training that is better on valid than all before it, as a folder."""

import dataclasses
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pandas as pd
from torch import nn

from conversation_emotion.evaluation.decisions import score_part
from conversation_emotion.features.sources import list_sources, load_encoders
from conversation_emotion.inference.card import (
    FORMAT,
    PACKAGES,
    Card,
    Part,
    Training,
    name_task,
)
from conversation_emotion.inference.saved_model import save_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ModelSettings
from conversation_emotion.splits.folds import Split
from conversation_emotion.tracker import Tracker
from conversation_emotion.utterances.labels import LabelMap

FOLDER = "saved_model"
"""Artifact of a training's run that holds its model."""

Families = Mapping[str, Mapping[str, Path]]
"""Encoder of each fold, by the name of the folder that holds one for each."""


@dataclass(kw_only=True)
class KeepBest:
    """Keeps each model that is better on valid than all before it with the run of its training.

    The first of all that are best is thus kept, also where a command that was interrupted reads
    others back.
    """

    model: ModelSettings

    features: FeatureSettings
    """Inputs of the models."""

    label_map: LabelMap

    emotions: tuple[str, ...]
    """All emotions that the corpus names (R)."""

    split: Split

    num_trainings: int
    """Folds x seeds."""

    select_by: str
    """Name of the metric of classes that selects."""

    families: Families = field(default_factory=dict)
    """Fine-tuned encoders of the features, where each fold has its own."""

    _best: float = field(default=-math.inf, init=False)

    _identities: dict[FeatureSettings, dict[str, str]] = field(default_factory=dict, init=False)

    def __call__(self, run: Tracker, model: nn.Module, predictions: pd.DataFrame) -> None:
        """Keeps a model if it is the best so far.

        Args:
            run: The run of its training.
            model: The model, fitted.
            predictions: Its predictions on valid and test, with the columns ``part``, ``fold``,
                ``seed``, ``speaker``, ``target`` and ``predicted``.
        """
        score = score_part(predictions, "valid", self.select_by)
        if score <= self._best:
            return
        self._best = score
        features = locate_encoders(self.features, self.families, str(predictions["fold"].iloc[0]))
        card = Card(
            format=FORMAT,
            task=name_task(self.model),
            corpus=self.label_map.corpus,
            label_set=self.label_map.label_set,
            labels=self.label_map.labels,
            emotions=self.emotions,
            model=self.model,
            features=features,
            encoders=self._identify(features),
            training=self._describe(predictions),
            versions={package: metadata.version(package) for package in PACKAGES},
        )
        with tempfile.TemporaryDirectory() as folder:
            save_model(Path(folder), model, card)
            run.log_folder(Path(folder), FOLDER)

    def _identify(self, features: FeatureSettings) -> dict[str, str]:
        if features not in self._identities:
            encoders = load_encoders(features)
            self._identities[features] = {
                name: encoder.identity for name, encoder in encoders.items()
            }
        return self._identities[features]

    def _describe(self, predictions: pd.DataFrame) -> Training:
        def describe_part(part: str) -> Part:
            rows = predictions[predictions["part"] == part]
            return Part(
                speakers=tuple(sorted(map(str, rows["speaker"].unique()))),
                num_targets=len(rows),
                score=score_part(predictions, part, self.select_by),
            )

        return Training(
            protocol=self.split.name,
            notes=self.split.notes,
            fold=str(predictions["fold"].iloc[0]),
            seed=int(predictions["seed"].iloc[0]),
            num_trainings=self.num_trainings,
            select_by=self.select_by,
            valid=describe_part("valid"),
            test=describe_part("test"),
        )


def locate_encoders(features: FeatureSettings, families: Families, fold: str) -> FeatureSettings:
    """Returns the settings with the encoders of a fold, folders as absolute paths."""

    def locate(name: str) -> str:
        if name in families:
            return str(families[name][fold].resolve())
        folder = Path(name).expanduser()
        # A folder without these is no encoder, though it may have the name of one that is built in.
        is_encoder = any((folder / file).is_file() for file in ("config.json", "modules.json"))
        return str(folder.resolve()) if is_encoder else name

    located: dict[str, list[str]] = {}
    for source in list_sources(features).values():
        located.setdefault(f"{source.modality}_encoder", []).append(locate(source.encoder))
    return dataclasses.replace(
        features, **{flag: "+".join(names) for flag, names in located.items()}
    )
