"""Keeps the model of each training that is better on valid than all before it, as a folder."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pandas as pd

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.encoder_families import find_family
from conversation_emotion.evaluation.calibration import (
    Sets,
    fit_calibration,
    score_calibration,
)
from conversation_emotion.evaluation.decisions import rank_part, score_part, score_pooled
from conversation_emotion.evaluation.groups import correct
from conversation_emotion.features.sources import list_sources, load_encoders
from conversation_emotion.inference.card import (
    FORMAT,
    PACKAGES,
    CalibrationTest,
    Card,
    GroupResult,
    Novelty,
    Part,
    Training,
    find_target,
    name_task,
)
from conversation_emotion.inference.saved_model import save_model
from conversation_emotion.models.domain import SHARE, Domain, fit_domains
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.splits.folds import Rows
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion
from conversation_emotion.tracker import Tracker
from conversation_emotion.training.calibration import calibrate_test
from conversation_emotion.training.cross_validation import OnTrained, Trained
from conversation_emotion.training.groups import score_by
from conversation_emotion.training.on_all import ALL, pool_folds

FOLDER = "saved_model"
"""Artifact of a training's run that holds its model."""

Families = Mapping[str, Mapping[str, Path]]
"""Encoder of each fold, by the name of the folder that holds one for each."""


class KeepBest:
    """Keeps each model that is better on valid than all before it with the run of its training.

    The first of all that are best is thus kept, in whatever order trainings end, also where a
    command that was interrupted reads others back.

    Args:
        task: Task of the models, whose metric selects.
        coverage: Share of a speaker's targets whose class a prediction set has to hold.
        sets: Whether it is that of a speaker's targets or of a class's.
    """

    def __init__(
        self,
        task: UtteranceEmotion | TurnEmotion,
        coverage: float = 0.9,
        sets: Sets = "speaker",
    ) -> None:
        self.task = task
        self.coverage = coverage
        self.sets: Sets = sets
        names = [source.encoder for source in list_sources(task.features).values()]
        families = {name: find_family(name, task.dataset) for name in names}
        self._families = {name: family for name, family in families.items() if family}
        self._best = -math.inf, 0
        self._identities: dict[FeatureSettings, dict[str, str]] = {}

    def __call__(self, trained: Trained, run: Tracker) -> None:
        """Keeps a model with the run of its training, if it is the best so far."""
        task, predictions = self.task, trained.predictions
        fold, seed = str(predictions["fold"].iloc[0]), int(predictions["seed"].iloc[0])
        number = [(one.name, other) for one, other in task.trainings()].index((fold, seed))
        rank = rank_part(predictions, "valid", task.select_by), -number
        if rank > self._best:
            self._best = rank
            self.keep(trained, run, self.describe(predictions), predictions)

    def keep_on_all(self, predictions: pd.DataFrame) -> OnTrained:
        """Returns what keeps a model of all targets, with scores and calibration of the folds."""
        training = replace(self.describe(predictions), fold=ALL, seed=0, on_all=True)
        return lambda trained, run: self.keep(trained, run, training, predictions)

    def keep(
        self,
        trained: Trained,
        run: Tracker,
        training: Training,
        unseen: pd.DataFrame,
        *,
        num_members: int = 0,
    ) -> None:
        """Keeps a model with a run.

        Args:
            trained: The model, with its predictions.
            run: The run.
            training: How it came about.
            unseen: Predictions on valid and test, to calibrate and to test it.
            num_members: Models of an ensemble.
        """
        task, dataset, predictions = self.task, self.task.dataset, trained.predictions
        features = locate_encoders(task.features, self._families, str(predictions["fold"].iloc[0]))
        labels, on_all = dataset.label_map.labels, training.on_all
        arrays, rows, domains = self._find_domains(training)
        fitting = unseen[unseen["part"] == ("test" if on_all else "valid")]
        card = Card(
            format=FORMAT,
            task=name_task(task.model, find_target(labels)),
            corpus=name_corpora(dataset),
            label_set=dataset.label_map.label_set,
            labels=labels,
            emotions=dataset.emotion_labels,
            model=task.model,
            features=features,
            encoders=self._identify(features),
            training=training,
            versions={package: metadata.version(package) for package in PACKAGES},
            calibration=fit_calibration(fitting, labels, self.coverage, sets=self.sets),
            calibration_test=self._test_calibration(unseen, on_all=on_all),
            groups=self._score_groups(unseen),
            num_members=num_members,
            novelty=describe_domain(dataset, rows) if domains else None,
            languages=tuple(sorted(map(str, dataset.utterances["language"].dropna().unique()))),
        )
        fitted = {name: one.statistics for name, one in arrays.items()}
        whole = {name: one.whole for name, one in fitted.items() if one is not None}
        with tempfile.TemporaryDirectory() as folder:
            save_model(Path(folder), trained.model, card, domains, statistics=whole)
            run.log_folder(Path(folder), FOLDER)

    def _test_calibration(self, unseen: pd.DataFrame, *, on_all: bool) -> CalibrationTest | None:
        labels = self.task.dataset.label_map.labels
        after = calibrate_test(unseen, labels, self.coverage, on_all=on_all, sets=self.sets)
        if after is None:
            return None
        before = score_calibration(unseen[unseen["part"] == "test"], labels)
        scores = {name: found.score for name, found in score_calibration(after, labels).items()}
        return CalibrationTest(ece_before=before["ece"].score, **scores)

    def _find_domains(
        self, training: Training
    ) -> tuple[Mapping[str, ModalityArrays], Rows, dict[str, Domain]]:
        """Finds features, the rows that a model learned from, and where their features lie."""
        inputs, split = self.task.inputs, self.task.dataset.split
        fold = pool_folds(self.task) if training.on_all else split.fold(training.fold)
        arrays = inputs.arrays[split.folds[0].name if training.on_all else fold.name]
        if not arrays:
            return arrays, fold.train, {}
        speakers = self.task.dataset.utterances["speaker"]
        return arrays, fold.train, fit_domains(arrays, fold.train, speakers)

    def _score_groups(self, unseen: pd.DataFrame) -> tuple[GroupResult, ...]:
        """Scores the groups that the settings ask for on test."""
        by = self.task.training.by
        if not by:
            return ()
        (scores,) = correct([score_by(self.task, unseen, by)])
        metric = self.task.group_measure().metric
        found = []
        for one in scores:
            score, ece = one.metrics[metric], one.metrics.get("ece")
            difference = one.metrics.get("difference")
            found.append(
                GroupResult(
                    name=one.group.name,
                    metric=metric,
                    **{name: getattr(score, name) for name in ("score", "low", "high")},
                    ece=None if ece is None else ece.score,
                    difference=None if difference is None else difference.score,
                    p_holm=one.values.get("p_holm"),
                )
            )
        return tuple(found)

    def _identify(self, features: FeatureSettings) -> dict[str, str]:
        if features not in self._identities:
            encoders = load_encoders(features)
            self._identities[features] = {
                name: encoder.identity for name, encoder in encoders.items()
            }
        return self._identities[features]

    def describe(self, predictions: pd.DataFrame) -> Training:
        """Describes a training, or all, by its predictions on valid and test."""
        task, split = self.task, self.task.dataset.split
        num_classes = len(task.dataset.label_map.labels)

        def describe_part(part: str) -> Part:
            rows = predictions[predictions["part"] == part]
            pooled = score_pooled(rows, num_classes, task.select_by)
            low, high = (None if math.isnan(bound) else bound for bound in pooled[1:3])
            return Part(
                speakers=tuple(sorted(map(str, rows["speaker"].unique()))),
                num_targets=len(rows) // rows["seed"].nunique(),
                score=score_part(predictions, part, task.select_by),
                low=low,
                high=high,
            )

        return Training(
            protocol=split.name,
            notes=split.notes,
            fold=str(predictions["fold"].iloc[0]),
            seed=int(predictions["seed"].iloc[0]),
            num_trainings=len(split.folds) * task.training.seeds,
            select_by=task.select_by,
            valid=describe_part("valid"),
            test=describe_part("test"),
        )


def describe_domain(dataset: Dataset, rows: Rows) -> Novelty:
    """Counts the utterances and speakers whose features others are compared with."""
    speakers = dataset.utterances["speaker"].iloc[rows].nunique()
    return Novelty(num_utterances=len(rows), num_speakers=speakers, share=SHARE)


def name_corpora(dataset: Dataset) -> str:
    """Returns the name of the corpus, of joint ones those of all."""
    if "source" not in dataset.utterances:
        return dataset.label_map.corpus
    return "+".join(map(str, dataset.utterances["source"].unique()))


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
    return replace(features, **{flag: "+".join(names) for flag, names in located.items()})
