"""Scores groups of the targets of a run, such as those of women and of men."""

from collections.abc import Sequence

import pandas as pd

from conversation_emotion.evaluation.groups import GroupScore, score_groups
from conversation_emotion.tasks.task import Task


def add_columns(
    predictions: pd.DataFrame, utterances: pd.DataFrame, columns: Sequence[str]
) -> pd.DataFrame:
    """Returns the predictions on test with columns of the utterance table."""
    test = predictions[predictions["part"] == "test"]
    given = utterances.set_index("utterance_id")
    return test.assign(**{name: test["utterance_id"].map(given[name]) for name in columns})


def score_by(task: Task, predictions: pd.DataFrame, columns: Sequence[str]) -> list[GroupScore]:
    """Scores the groups of the targets on test, see `score_groups`.

    Args:
        task: What was trained.
        predictions: Those of its trainings.
        columns: What makes groups, columns of the utterance table.
    """
    table = add_columns(predictions, task.dataset.utterances, columns)
    return score_groups(table, columns, task.group_measure())
