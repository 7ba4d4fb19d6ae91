"""Joined decisions: weights found on valid, probabilities that follow from them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from conversation_emotion.evaluation.decisions import (
    choose_by_valid,
    fit_weights,
    pool_decisions,
    resolve_metric,
    score_pooled,
)

LABELS = ("low", "mid", "high")


def say(targets: np.ndarray, sharpness: float, noise: float, seed: int) -> np.ndarray:
    """Probabilities of (N, C) that lean to the targets."""
    logits = np.random.default_rng(seed).normal(scale=noise, size=(len(targets), 3))
    logits[np.arange(len(targets)), targets] += 1
    return np.exp(log_softmax(sharpness * logits, axis=1))


def table_of(targets: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    half = len(targets) // 2
    table = pd.DataFrame(
        {
            "utterance_id": [f"u{number}" for number in range(len(targets))],
            "fold": "one",
            "seed": 0,
            "part": ["valid"] * half + ["test"] * (len(targets) - half),
            "target": targets,
            "predicted": probabilities.argmax(axis=1),
            "majority": 0,
        }
    )
    for number, label in enumerate(LABELS):
        table[f"p_{label}"] = probabilities[:, number].astype(np.float32)
    return table


@pytest.fixture
def targets() -> np.ndarray:
    return np.random.default_rng(0).integers(3, size=600)


def recall(table: pd.DataFrame) -> float:
    test = table[table["part"] == "test"]
    return float((test["target"] == test["predicted"]).groupby(test["target"]).mean().mean())


def test_two_that_err_apart_are_better_together(targets):
    one = table_of(targets, say(targets, 1, 0.8, 1))
    other = table_of(targets, say(targets, 1, 0.8, 2))
    pool = pool_decisions([one, other], LABELS)
    assert recall(pool.predictions) > max(recall(one), recall(other)) + 0.05
    probabilities = pool.predictions[[f"p_{label}" for label in LABELS]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (probabilities.to_numpy().argmax(axis=1) == pool.predictions["predicted"]).all()
    assert (pool.predictions["majority"] == 0).all()


def test_a_system_at_chance_gets_no_weight_and_who_is_too_sure_a_small_one(targets):
    good = say(targets, 1, 0.5, 1)
    sure = say(targets, 20, 0.5, 1)  # the same opinion, said with certainty
    nothing = say(np.zeros_like(targets), 1, 1, 3)
    with_nothing = fit_weights(np.log([good, nothing]), targets)
    assert with_nothing[1] < 0.05 * with_nothing[0]
    (modest,) = fit_weights(np.log(good[None]), targets)
    (humbled,) = fit_weights(np.log(sure[None]), targets)
    assert humbled == pytest.approx(modest / 20, rel=1e-2)


def test_weights_are_the_best_on_a_grid_with_every_class_counting_alike():
    targets = np.array([0] * 40 + [1] * 5 + [2] * 5)
    said = np.log([say(targets, 1, 1.0, 1), say(targets, 1, 1.5, 2)])

    def loss(weights) -> float:
        pooled = log_softmax(weights[0] * said[0] + weights[1] * said[1], axis=1)
        each = pooled[np.arange(len(targets)), targets]
        return -float(np.mean([each[targets == label].mean() for label in range(3)]))

    grid = np.linspace(0, 4, 81)
    best = min(((a, b) for a in grid for b in grid), key=loss)
    found = fit_weights(said, targets)
    assert loss(found) <= loss(best) + 1e-9
    np.testing.assert_allclose(found, best, atol=0.06)


def test_the_targets_of_test_change_nothing(targets):
    one, other = (table_of(targets, say(targets, 1, 1, seed)) for seed in (1, 2))
    before = pool_decisions([one, other], LABELS).predictions
    for table in (one, other):
        table.loc[table["part"] == "test", "target"] = 0
    after = pool_decisions([one, other], LABELS).predictions
    pd.testing.assert_frame_equal(before.drop(columns="target"), after.drop(columns="target"))


def test_each_fold_and_seed_has_weights_of_its_own(targets):
    good, nothing = say(targets, 1, 0.5, 1), say(np.zeros_like(targets), 1, 1, 3)
    one = pd.concat([table_of(targets, p).assign(fold=f) for f, p in (("a", good), ("b", nothing))])
    two = pd.concat([table_of(targets, p).assign(fold=f) for f, p in (("a", nothing), ("b", good))])
    pool = pool_decisions([one, two], LABELS)
    assert pool.weights["fold"].tolist() == ["a", "b"]
    first, second = pool.weights[["system_0", "system_1"]].to_numpy()
    assert first[0] > 10 * first[1]
    assert second[1] > 10 * second[0]


def test_systems_of_other_utterances_are_refused(targets):
    one = table_of(targets, say(targets, 1, 1, 1))
    with pytest.raises(ValueError, match="the same utterances in the same order"):
        pool_decisions([one, one[::-1]], LABELS)


def predictions_of(valid: list[int], test: int) -> pd.DataFrame:
    """Two utterances of valid in each of two folds, as many of them right, and one of test."""
    rows = []
    for fold, right in zip(("a", "b"), valid, strict=True):
        outputs = [0] * right + [1] * (2 - right)
        rows += [("valid", fold, f"v{n}", 0, predicted) for n, predicted in enumerate(outputs)]
        rows.append(("test", fold, "t", 0, test))
    table = pd.DataFrame(rows, columns=["part", "fold", "utterance_id", "target", "predicted"])
    return table.assign(seed=0)


def test_valid_chooses_a_system_in_each_fold_and_test_has_no_say():
    # "ten" is best on valid of fold a, "nine" on that of b; "two" equals "ten" in a.
    nine, ten, two = (
        predictions_of([1, 2], 9),
        predictions_of([2, 0], 10),
        predictions_of([2, 0], 2),
    )
    chosen, counts = choose_by_valid({"nine": nine, "ten": ten})
    tested = chosen[chosen["part"] == "test"].set_index("fold")["predicted"]
    assert tested.to_dict() == {"a": 10, "b": 9}
    assert counts == {"nine": 1, "ten": 1}
    _, counts = choose_by_valid({"two": two, "nine": nine, "ten": ten})
    assert counts == {"two": 1, "nine": 1, "ten": 0}


@pytest.mark.parametrize(("metric", "best"), [("uar", "rare"), ("wa", "common")])
def test_the_metric_chooses(metric, best):
    # Of three and one utterances: "common" has all of the three right, "rare" one and the other.
    targets = {"utterance_id": ["a", "b", "c", "d"], "target": [0, 0, 0, 1]}
    table = pd.DataFrame({**targets, "fold": "one", "seed": 0, "part": "valid"})
    systems = {
        "common": table.assign(predicted=[0, 0, 0, 0]),
        "rare": table.assign(predicted=[0, 1, 1, 1]),
    }
    _, counts = choose_by_valid(systems, metric=metric)
    assert [name for name, count in counts.items() if count] == [best]


def test_the_weights_of_a_pool_follow_the_metric(targets):
    targets = np.where(targets == 0, 0, np.where(np.arange(600) % 10 == 0, targets, 0))
    one, other = (table_of(targets, say(targets, 1, 1, seed)) for seed in (1, 2))
    alike, by_class = (
        pool_decisions([one, other], LABELS, metric=metric).weights for metric in ("wa", "uar")
    )
    logs = np.log([table.filter(like="p_").to_numpy()[:300] for table in (one, other)])
    expected = fit_weights(logs, targets[:300], is_balanced=False)
    np.testing.assert_allclose(alike[["system_0", "system_1"]].to_numpy()[0], expected, rtol=1e-6)
    assert not np.allclose(alike["system_0"], by_class["system_0"], rtol=0.01)


def test_weights_where_every_utterance_counts_alike_are_the_best_on_a_grid():
    targets = np.array([0] * 40 + [1] * 5 + [2] * 5)
    logs = np.log([say(targets, 1, 1.0, 1), say(targets, 1, 1.5, 2)])

    def loss(weights) -> float:
        pooled = log_softmax(weights[0] * logs[0] + weights[1] * logs[1], axis=1)
        return -float(np.mean(pooled[np.arange(len(targets)), targets]))

    grid = np.linspace(0, 4, 81)
    best = min(((a, b) for a in grid for b in grid), key=loss)
    np.testing.assert_allclose(fit_weights(logs, targets, is_balanced=False), best, atol=0.06)


def test_auto_is_uar_and_what_scores_no_classes_is_refused():
    assert [resolve_metric(name) for name in ("auto", "wa", "jsd")] == ["uar", "wa", "jsd"]
    with pytest.raises(ValueError, match="--select-by ccc scores no classes; choose from uar, "):
        resolve_metric("ccc")


def test_systems_of_other_utterances_are_not_chosen_from():
    table = predictions_of([1, 2], 0)
    with pytest.raises(ValueError, match="different targets: two and one; train both"):
        choose_by_valid({"one": table, "two": table.assign(fold="c")})


def test_of_divergences_from_votes_the_least_is_chosen_and_those_without_votes_do_not_count():
    far = pd.DataFrame({"fold": "a", "seed": 0, "part": "valid", "utterance_id": [*"xyz"]})
    far = far.assign(target=0, predicted=0, cluster=[*"xyz"], jsd=[0.2, 0.4, np.nan])
    _, counts = choose_by_valid({"far": far, "near": far.assign(jsd=0.1)}, metric="jsd")
    assert counts == {"far": 0, "near": 1}
    found = score_pooled(far, 1, "jsd")
    assert (found.score, found.n) == (pytest.approx(0.3), 2)
    assert found.low < 0.3 < found.high
