"""Real runs of two fusion strategies in the shape of a sweep, to look at in the browser."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.figures.confusions import draw_confusions
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import _conversation, _folds
from experiments.epc import EPCSettings
from experiments.tracking import runs as _tracking
from tests.small_corpus import write_corpus

EXPERIMENT = "sweeps"


class Setting(NamedTuple):
    """What the trials vary."""

    fusion: str
    hidden_size: int
    dropout: float


TRIALS = (
    Setting("early", 16, 0.2),
    Setting("late", 16, 0.3),
    Setting("early", 32, 0.4),
    Setting("late", 32, 0.1),
)


def track_trials(folder: Path) -> None:
    """Trains every trial on a small corpus; the store is that of the current folder."""
    write_corpus(folder, num_train=10, num_valid=4)
    config = EPCSettings(
        data=CorpusSettings(corpus="manifest", root=folder / "manifest.csv"),
        training=TrainingSettings(epochs=8),
    )
    prepared = _conversation.prepare(config)
    with _tracking.open_run(EXPERIMENT, config, prepared.fingerprint) as parent:
        for number, setting in enumerate(TRIALS):
            with parent.open_child(f"trial-{number}", setting._asdict()) as trial:
                _train(dataclasses.replace(config, **setting._asdict()), prepared, trial)


def _train(config: EPCSettings, prepared: _folds.Prepared, trial: _tracking.TrackedRun) -> None:
    """Trains the trial's folds under its run, and keeps how they did on valid."""
    folds = _tracking.ParentRun(trial.client, trial.run_id, trial.experiment_id)
    recipe = _conversation.make_recipe(config, prepared)
    _keep(_folds.run_folds(prepared, recipe, folds), prepared.corpus.label_map.labels, trial)


def _keep(predictions: pd.DataFrame, labels: tuple[str, ...], trial: _tracking.TrackedRun) -> None:
    valid = predictions[predictions["part"] == "valid"]
    confusions = count_confusions(
        valid["target"].to_numpy(), valid["predicted"].to_numpy(), len(labels)
    )
    trial.log_metrics({"valid/uar": float(unweighted_average_recall(confusions))})
    trial.log_figure(draw_confusions(confusions, labels, "valid"), "confusions.png")
