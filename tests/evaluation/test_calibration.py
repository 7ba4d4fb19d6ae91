"""Calibration: planted temperatures are found, and sets cover speakers never seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.evaluation.calibration import (
    Calibration,
    apply_calibration,
    bin_confidences,
    calibrate_by_others,
    calibrate_by_valid,
    find_class_thresholds,
    find_threshold,
    fit_calibration,
    fit_temperature,
    score_calibration,
)

LABELS = ("x", "y", "z")
SETS = Calibration(temperature=1.0, threshold=0.3, coverage=0.9, num_targets=9, num_speakers=3)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def draw(number: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets of given probabilities, and what a model says that is too sure by a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(number, 3))
    targets = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(temperature * logits), targets


def tabulate(probabilities, targets, speakers, part: str = "test") -> pd.DataFrame:
    table = pd.DataFrame(dict(zip(("p_x", "p_y", "p_z"), np.transpose(probabilities), strict=True)))
    names = pd.Series(np.asarray(speakers)).astype(str)
    ids = [f"{part}{number}" for number in range(len(table))]
    return table.assign(
        target=targets, predicted=table.to_numpy().argmax(axis=1), speaker=names, part=part,
        cluster="speaker " + names, utterance_id=ids, dialogue_id=ids, fold="f", seed=0,
    )  # fmt: skip


def draw_speakers(number: int, seed: int = 0) -> pd.DataFrame:
    """Speakers of 4 to 80 utterances, who are more or less hard."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(4, 81, number)
    speakers = np.repeat(np.arange(number), lengths)
    _, targets = draw(len(speakers), 0.0, seed + 1)
    clarity = generator.uniform(0.5, 3, number)[speakers, None]
    logits = 2 * (clarity * np.eye(3)[targets] + generator.normal(size=(len(speakers), 3)))
    return tabulate(softmax(logits), targets, speakers)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_planted_temperature_is_found(temperature):
    assert fit_temperature(*draw(20_000, temperature)) == pytest.approx(temperature, rel=0.03)


def test_predictions_that_are_all_right_are_not_made_certain():
    probabilities = np.tile([0.8, 0.1, 0.1], (20, 1))
    temperature = fit_temperature(probabilities, np.zeros(20, dtype=int))
    # 20 targets of the class and a third of one: the most probable share is 20 1/3 of 21.
    calibration = Calibration(
        temperature=temperature, threshold=0.0, coverage=0.9, num_targets=1, num_speakers=1
    )
    assert calibration.temper(probabilities)[0, 0] == pytest.approx((20 + 1 / 3) / 21, abs=1e-4)


def test_a_temperature_of_one_leaves_float32_probabilities_as_they_are():
    probabilities = np.array([[1.0, 0.0, 1e-30], [0.2, 0.5, 0.3]], dtype=np.float32)
    np.testing.assert_allclose(SETS.temper(probabilities), probabilities, rtol=1e-6, atol=1e-37)


def test_the_threshold_counts_each_speaker_alike():
    # One speaker of eight clear utterances, one of two that are not: each is half of the whole.
    true = np.array([0.9] * 8 + [0.4, 0.2])
    speakers = pd.Series(["a"] * 8 + ["b"] * 2)
    assert [find_threshold(true, speakers, share) for share in (0.5, 0.75, 0.9)] == [0.9, 0.4, 0.2]


def test_sets_hold_the_stated_share_of_speakers_never_seen():
    calibration = fit_calibration(draw_speakers(300), LABELS, 0.9)
    found = apply_calibration(draw_speakers(300, seed=5), LABELS, calibration)
    by_speaker = found.groupby("speaker")["is_covered"].mean()
    assert by_speaker.mean() == pytest.approx(0.9, abs=0.02)
    assert score_calibration(found, LABELS)["coverage"].score == pytest.approx(by_speaker.mean())
    assert calibration.num_speakers == 300


def test_a_set_always_holds_the_most_probable_class():
    tempered = np.array([[0.5, 0.3, 0.2], [0.29, 0.26, 0.25]])
    assert SETS.find_sets(tempered).tolist() == [[True, True, False], [True, False, False]]


def test_each_class_gets_the_threshold_that_a_share_of_its_targets_reach():
    true = np.array([0.9, 0.8, 0.7, 0.6, 0.5] + [0.4] * 9 + [0.3])
    targets = np.repeat([0, 1], [5, 10])
    speakers = pd.Series([f"s{number}" for number in range(15)])
    # Of 5 targets a share of 0.6 is 0.6 x 6 / 5 = 0.72 and four of them; of 10 it is seven.
    found = find_class_thresholds(true, targets, speakers, 0.6, 3)
    assert found == (0.6, 0.4, 0.0)  # nothing is known of the third class
    assert find_class_thresholds(true, targets, speakers, 0.9, 3) == (0.0, 0.3, 0.0)


def test_sets_by_class_hold_a_hard_class_as_often_as_the_others():
    generator = np.random.default_rng(0)
    targets, speakers = generator.integers(0, 3, 6_000), np.arange(6_000) % 60
    clarity = np.array([3.0, 3.0, 0.5])[targets, None]  # the third class is hard to tell
    logits = clarity * np.eye(3)[targets] + generator.normal(size=(6_000, 3))
    table = tabulate(softmax(logits), targets, speakers)
    rates = {}
    for sets in ("speaker", "class"):
        found = calibrate_by_others(table, LABELS, 0.9, sets=sets)
        rates[sets] = found.groupby("target")["is_covered"].mean()
    assert rates["speaker"][2] < 0.8
    assert rates["class"][2] == pytest.approx(0.9, abs=0.02)
    assert rates["class"].min() > 0.88  # the most probable class alone is right more often


def test_the_error_is_the_mean_gap_of_the_bins():
    # Bin of 0.7: confidence 0.7, half right; bin of 0.9: confidence 0.9, all right.
    probabilities = [[0.7, 0.2, 0.1]] * 2 + [[0.9, 0.1, 0.0]] * 2
    table = tabulate(probabilities, [0, 1, 0, 0], ["a", "b", "a", "b"])
    assert score_calibration(table, LABELS)["ece"].score == pytest.approx((0.2 + 0.1) / 2)
    expected = [(0.7, 0.5, 0.5), (0.9, 1.0, 0.5)]
    np.testing.assert_allclose(list(bin_confidences(table, LABELS)), expected)


def test_temperature_mends_the_planted_error():
    valid, test = (
        tabulate(*draw(3000, 3.0, seed), np.arange(3000) % 30, part)
        for seed, part in ((1, "valid"), (2, "test"))
    )
    after = calibrate_by_valid(pd.concat([valid, test], ignore_index=True), LABELS, 0.9)
    before, ece = (score_calibration(table, LABELS)["ece"] for table in (test, after))
    assert before.low > 0.15
    assert ece.score < 0.03
    assert ece.low <= ece.score <= ece.high < before.low
    assert after["predicted"].tolist() == after.filter(like="p_").to_numpy().argmax(1).tolist()


@pytest.mark.parametrize("number", [4, 23])
def test_a_speaker_has_no_part_in_its_own_calibration(number):
    table = draw_speakers(number)
    changed = table.assign(target=table["target"].where(table["speaker"] != "0", 0))
    columns = ["p_x", "p_y", "p_z", "set_size"]
    found, again = (calibrate_by_others(one, LABELS, 0.8) for one in (table, changed))
    own = table["speaker"] == "0"
    pd.testing.assert_frame_equal(found.loc[own, columns], again.loc[own, columns])
    assert not found.loc[~own, columns].equals(again.loc[~own, columns])
    assert found["utterance_id"].equals(table["utterance_id"])


@pytest.mark.parametrize(("number", "is_few"), [(8, True), (9, False)])
def test_nine_speakers_are_enough_to_hold_nine_tenths(number, is_few):
    assert replace(SETS, coverage=0.9, num_speakers=number).has_few_speakers is is_few


def test_one_speaker_alone_is_refused():
    with pytest.raises(ValueError, match="two of them or more, got 1 on test"):
        calibrate_by_others(draw_speakers(1), LABELS, 0.9)
