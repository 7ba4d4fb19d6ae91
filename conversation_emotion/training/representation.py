"""Trains probes to the same stage, and reads their first linear layer on test."""

from collections.abc import Iterable

import pandas as pd
from torch import Tensor, nn
from tqdm import tqdm

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.figures.representation import Represented
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.task import collect_outputs
from conversation_emotion.tracker import ParentTracker, training_name
from conversation_emotion.training.cross_validation import train_fold

REPRESENTATIONS = "representations.parquet"


def represent(encoder: str, task: UtteranceEmotion, tracker: ParentTracker) -> Represented:
    """Trains each fold and seed to the stage, or reads the trainings of an interrupted run."""
    tables = {}
    for fold, seed in tqdm(task.trainings(), encoder, unit="training", leave=False):
        name = training_name(fold.name, seed)
        table = tracker.read_finished(name, REPRESENTATIONS)
        if table is None:
            with tracker.open_child(name, {"fold": fold.name, "seed": seed}) as run:
                trained = train_fold(task, fold, seed, run=run)
                table = _read_layer(trained.model, task.batches(fold, seed).test)
                run.log_table(table, REPRESENTATIONS)
        tables[fold.name, seed] = table
    return Represented(encoder, task.dataset, tables)


def _read_layer(model: nn.Module, batches: Iterable[Batch]) -> pd.DataFrame:
    """Reads the first linear layer, averaged over frames, for each utterance of the batches."""
    assert isinstance(model, UtteranceModel)

    def read(batch: Batch) -> tuple[Tensor, ...]:
        units = model.projection(model.perceive(batch))
        return units.float(), model.head(units).float().softmax(dim=-1), batch.target_rows

    units, probabilities, rows = collect_outputs(model, batches, read)
    columns = {f"h{number}": column for number, column in enumerate(units.T)}
    return pd.DataFrame({"row": rows, "predicted": probabilities.argmax(axis=1), **columns})
