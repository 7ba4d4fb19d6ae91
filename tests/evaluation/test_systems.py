"""Many systems on the same targets: joined, scored, and compared with the model."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.evaluation.metrics import score_predictions
from conversation_emotion.evaluation.systems import (
    describe_systems,
    join_systems,
    name_columns,
    score_kinds,
    score_systems,
)

LABELS = ("no", "yes")


def make_table(predicted: np.ndarray, targets: np.ndarray) -> pd.DataFrame:
    numbers = np.arange(len(targets))
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    return pd.DataFrame(
        {
            "utterance_id": numbers.astype(str),
            "dialogue_id": [f"d{n}" for n in numbers // 5],
            **{"fold": "only", "seed": 0, "part": "test"},
            "target": targets,
            "predicted": predicted,
            "p_no": probabilities[:, 0],
            "p_yes": probabilities[:, 1],
        }
    )


@pytest.fixture
def table() -> pd.DataFrame:
    """The model is wrong in each tenth, what lacks order in each fifth, the last words always."""
    targets, numbers = np.arange(100) % 2, np.arange(100)
    model = make_table(np.where(numbers % 10 == 0, 1 - targets, targets), targets)
    other = make_table(np.where(numbers % 5 == 0, 1 - targets, targets), targets)
    priors = np.repeat([[0.9, 0.1]], 100, axis=0)
    columns = name_columns("majority", LABELS, priors) | {"last_words": 1 - targets}
    joined = join_systems(model, {"order": other.sample(frac=1, random_state=0)})
    return joined.assign(**columns, last=(numbers // 2) % 2)


def test_a_system_is_scored_by_its_own_predictions_and_by_how_it_differs(table):
    found = score_systems(table, LABELS, is_balanced=True)
    assert [*found] == ["", "order", "majority", "last_words"]
    assert found[""].metrics["uar"].score == pytest.approx(0.9)
    assert found["order"].metrics["difference"].score == pytest.approx(-0.1)
    assert found["last_words"].metrics["uar"].score == 0.0
    assert found["order"].per_class["no"].support == 50
    p_values = {name: one.values for name, one in found.items() if name}
    smallest = min(one["p_value"] for one in p_values.values())
    assert min(one["p_holm"] for one in p_values.values()) == pytest.approx(min(1, 3 * smallest))


def test_shifts_are_rated_with_the_classes_as_frequent_as_in_train(table):
    balanced, natural = (score_systems(table, LABELS, is_balanced=one) for one in (True, False))
    rated = [one[""].metrics["shift_auc"].score for one in (balanced, natural)]
    assert rated[0] != rated[1]
    assert balanced["majority"].metrics["shift_auc"] == natural["majority"].metrics["shift_auc"]
    assert "shift_auc" not in balanced["last_words"].metrics


def test_what_predicts_other_targets_is_not_joined(table):
    with pytest.raises(ValueError, match="gold predicts 99 targets, expected the 100 of the model"):
        join_systems(table, {"gold": table.iloc[1:]})


def test_a_table_of_very_many_systems_still_takes_columns_without_a_warning(table):
    for number in range(40):  # as trainings with many systems of their own leave it
        table[f"at_test_{number}"] = 0
        table[f"changed_{number}"] = 0.0
    joined = join_systems(table, dict.fromkeys(("gold", *"abcdefgh"), table))
    assert len(joined.assign(one_more=1).columns) == len(table.columns) + 28


def test_kinds_of_targets_are_scored_alone_with_how_many_they_are(table):
    numbers = np.arange(100)
    described = table.assign(
        turn_number=np.where(numbers < 20, 2, 5),
        context_size=1,
        next_speaker=np.where(numbers < 40, "same", "listener"),
        last_emotion=table["last_words"],
    )
    found = dict(score_kinds(described, 2))
    assert [*found] == [
        "turn 2 (n = 20)",
        "turn 5 to 8 (n = 80)",
        "utterances before: 1 (n = 100)",
        "next speaker: listener (n = 60)",
        "next speaker: same (n = 40)",
    ]
    alone = found["turn 2 (n = 20)"]
    assert alone["uar"] == score_predictions(described[numbers < 20], 2)["uar"]
    assert alone["last_emotion_uar"].score == 0.0
    assert alone["difference"].score == pytest.approx(alone["uar"].score)


def test_rows_that_are_missing_are_named(table):
    notes = " ".join(describe_systems(table.drop(columns="last_words")))
    assert "--recognition-weight 0: the model predicts no emotion" in notes
    assert "no words of the last turn: train has no text" in notes
