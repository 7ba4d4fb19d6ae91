"""Forecasts of the next turns, from the turns that have ended."""

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.inference.forecast import (
    Forecaster,
    Regression,
    describe_history,
    find_forecaster,
    fit_regression,
    read_forecaster,
)
from conversation_emotion.inference.saved_model import find_model, read_card

LABELS = ("calm", "glad")


def copy_feature(first: int) -> Regression:
    """A regression whose logits are the two features from the first on."""
    weights = np.zeros((11, 2))
    weights[[first, first + 1], [0, 1]] = 1.0
    return Regression(weights=tuple(map(tuple, weights.tolist())), bias=(0.0, 0.0), temperature=0.5)


# The same speaker is forecast from the present turn, others from the last turn of others.
FORECASTER = Forecaster(labels=LABELS, outputs=LABELS, same=copy_feature(0), other=copy_feature(4))


def make_rows(speakers: str, **columns: object) -> pd.DataFrame:
    order = range(len(speakers))
    return pd.DataFrame({"dialogue_id": "d", "order": order, "speaker": [*speakers], **columns})


def test_a_history_has_the_turn_the_last_of_either_and_their_means():
    glad = np.array([0.1, 0.2, 0.6, 0.9])
    same, other = describe_history(np.column_stack([1 - glad, glad]), np.array([*"abba"], object))
    expected = [0.9, 0.1, 0.6, (0.9 + 0.1) / 2, (0.2 + 0.6) / 2]
    assert same[3, 1:10:2].tolist() == pytest.approx(expected)
    assert same[3, 10] == 1
    assert same[0].tolist() == pytest.approx([0.9, 0.1, 0, 0, 0, 0, 0.9, 0.1, 0, 0, 0])
    assert np.isnan(other[0]).all()
    assert np.array_equal(other[1:], same[1:])


def test_a_turn_that_still_goes_on_is_no_history():
    soft = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]])
    speakers, ends = np.array([*"aba"], object), np.array([9.0, 3.0, 5.0])
    same, other = describe_history(soft, speakers, ends)
    assert same[1, 10] == 0
    assert np.isnan(other[1]).all()
    assert same[2].tolist() == pytest.approx([0.4, 0.6, 0, 0, 0.5, 0.5, 0.4, 0.6, 0.5, 0.5, 0])


def test_forecasts_are_of_the_speaker_and_of_others():
    soft = np.array([[0.2, 0.8], [0.7, 0.3]])
    found = FORECASTER.forecast(make_rows("ab"), soft)
    assert found["next_same"].tolist() == ["glad", "calm"]
    assert found["next_other"].tolist() == [None, "glad"]
    # A softmax of 0.2 and 0.8 at the temperature 0.5.
    expected = 1 / (1 + np.exp(-(0.8 - 0.2) / 0.5))
    assert found["forecast_same_glad"][0] == pytest.approx(expected)
    assert found["forecast_other_glad"][1] == pytest.approx(expected)
    assert found["forecast_turns"].tolist() == [1, 1]


def test_what_comes_later_changes_no_forecast():
    generator = np.random.default_rng(0)
    soft = generator.dirichlet([1, 1], 12)
    rows = make_rows("abbabaabcabb", end=np.arange(12.0))
    changed = soft.copy()
    changed[7:] = changed[7:, ::-1]
    one, two = (pd.DataFrame(FORECASTER.forecast(rows, p)) for p in (soft, changed))
    pd.testing.assert_frame_equal(one[:7], two[:7])
    assert not one[7:].equals(two[7:])
    short = pd.DataFrame(FORECASTER.forecast(rows[:7], soft[:7]))
    pd.testing.assert_frame_equal(one[:7], short)


def test_rows_in_any_order_keep_their_places():
    soft = np.random.default_rng(0).dirichlet([1, 1], 6)
    rows = make_rows("ababba")
    order = np.array([3, 0, 5, 1, 4, 2])
    straight = pd.DataFrame(FORECASTER.forecast(rows, soft)).iloc[order]
    mixed = pd.DataFrame(FORECASTER.forecast(rows.iloc[order], soft[order]))
    pd.testing.assert_frame_equal(mixed, straight.reset_index(drop=True))


def test_turns_without_emotion_or_speaker_have_no_forecast_and_are_no_history():
    soft = np.array([[0.2, 0.8], [np.nan, np.nan], [0.6, 0.4], [0.5, 0.5]])
    found = FORECASTER.forecast(make_rows("abca").replace("c", None), soft)
    assert np.isnan(found["forecast_same_glad"]).tolist() == [False, True, True, False]
    assert np.isnan(found["forecast_turns"]).tolist() == [False, True, True, False]
    assert found["next_other"].tolist() == [None] * 4
    assert FORECASTER.forecast(make_rows("ab").assign(speaker=None), soft[:2]) == {}


def test_chosen_classes_share_the_probability():
    soft = np.array([[0.2, 0.8], [0.7, 0.3]])
    found = FORECASTER.forecast(make_rows("ab"), soft, ["calm"])
    assert found["forecast_same_calm"].tolist() == [1.0, 1.0]
    assert found["next_same"].tolist() == ["calm", "calm"]
    assert FORECASTER.forecast(make_rows("ab"), soft, ["fear"])["next_same"].tolist() == [None] * 2


def test_a_fit_finds_the_rule_and_its_certainty():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(2_000, 11))
    chance = 1 / (1 + np.exp(-2 * features[:, 3]))
    targets = (generator.random(2_000) < chance).astype(np.int64)
    half = slice(1_000), slice(1_000, None)
    model = fit_regression(*((features[part], targets[part]) for part in half), num_outputs=3)
    found = model.predict(features)
    assert np.abs(found[:, 1] - chance).mean() < 0.05
    assert found[:, 2].max() < 1e-6  # a class that never came


def test_the_forecaster_of_the_package_fits_the_default_model(tmp_path):
    labels = read_card(find_model("default") / "config.json").labels
    shipped = find_forecaster(labels)
    assert shipped is not None
    assert find_forecaster(LABELS) is None
    sad = np.full((2, len(labels)), 0.02)
    sad[:, labels.index("sadness")] = 1 - 0.02 * (len(labels) - 1)
    glad = sad[:, np.roll(np.arange(len(labels)), 2)]
    by_mood = [
        shipped.forecast(make_rows("ab"), p)["forecast_same_sadness"][1] for p in (sad, glad)
    ]
    assert by_mood[0] > by_mood[1]
    shipped.write(tmp_path / "f.json")
    assert read_forecaster(tmp_path / "f.json") == shipped


def test_a_broken_forecaster_is_named(tmp_path):
    (tmp_path / "f.json").write_text('{"labels": ["a"]}')
    with pytest.raises(ValueError, match=r"f.json: is no forecaster \(outputs Field required"):
        read_forecaster(tmp_path / "f.json")
