"""Real runs of two fusion strategies in the shape of a sweep, to look at in the browser."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.figures.confusions import draw_confusions
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.models import Fusion
from conversation_emotion.settings.recognition import EPCSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tracker import Memory
from conversation_emotion.training.cross_validation import cross_validate
from experiments import epc
from experiments.tracking import runs
from tests.small_corpus import write_corpus

EXPERIMENT = "sweeps"


class Setting(NamedTuple):
    """What the trials vary."""

    fusion: Fusion
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
    memory = Memory()
    task = epc.EXPERIMENT.task(config, memory)
    with runs.open_run(EXPERIMENT, config, task.fingerprint) as parent:
        for number, setting in enumerate(TRIALS):
            model = dataclasses.replace(config.model, **setting._asdict())
            task = epc.EXPERIMENT.task(dataclasses.replace(config, model=model), memory)
            with parent.open_child(f"trial-{number}", setting._asdict()) as trial:
                folds = runs.ParentRun(trial.client, trial.client.get_run(trial.run_id))
                _keep(cross_validate(task, folds), task.labels, trial)


def _keep(predictions: pd.DataFrame, labels: tuple[str, ...], trial: runs.TrackedRun) -> None:
    valid = predictions[predictions["part"] == "valid"]
    confusions = count_confusions(
        valid["target"].to_numpy(), valid["predicted"].to_numpy(), len(labels)
    )
    trial.log_metrics({"valid/uar": float(unweighted_average_recall(confusions))})
    trial.log_figure(draw_confusions(confusions, labels, "valid"), "confusions.png")
