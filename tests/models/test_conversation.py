"""The model of a conversation: what must not change a prediction, and what must."""

import dataclasses
from itertools import product

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import Batch, ModalityArrays, gather_batch
from conversation_emotion.datasets.windows import PADDING
from conversation_emotion.features.extract import Features
from conversation_emotion.models.perception import find_fixed, perceive_rows
from tests.conversations import (
    make_dialogues,
    make_features,
    make_framed_features,
    make_model,
    make_windows,
)

KINDS = list(
    product(
        ["hierarchical", "two-role", "single"],
        ["early", "late", "gated", "cross-attention"],
        ["mean", "attention"],
    )
)


@pytest.fixture
def table():
    return make_dialogues(4, 9, num_speakers=3)


@pytest.fixture
def classes(table):
    return np.random.default_rng(0).integers(0, 2, len(table))


@pytest.fixture
def arrays(table):
    return {
        "speech": ModalityArrays(make_framed_features(len(table)), "speech"),
        "text": ModalityArrays(make_framed_features(len(table), seed=1), "text"),
    }


def predict(model, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(batch).logits


@pytest.mark.parametrize(("dialogue", "fusion", "aggregator"), KINDS)
def test_a_window_is_predicted_alike_alone_and_in_any_batch(
    table, classes, arrays, dialogue, fusion, aggregator
):
    torch.manual_seed(0)
    model = make_model(
        arrays, np.arange(len(table)), dialogue=dialogue, fusion=fusion, aggregator=aggregator
    )
    windows = make_windows(table, classes)
    together = predict(model, gather_batch(windows, arrays, classes, np.arange(len(windows))))
    for number in (0, 5, len(windows) - 1):
        alone = predict(model, gather_batch(windows, arrays, classes, np.array([number])))
        torch.testing.assert_close(alone[0], together[number], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("horizon", [1, 2])
def test_prediction_never_touches_the_target_turn_or_anything_after_it(
    table, classes, arrays, horizon
):
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(len(table)))
    windows = make_windows(table, classes, horizon)
    number = 3
    target = int(windows.target_rows[number])
    later = set(range(target - horizon + 1, len(table)))
    changed = {name: ModalityArrays(_change(array, later), name) for name, array in arrays.items()}
    before = predict(model, gather_batch(windows, arrays, classes, np.array([number])))
    after = predict(model, gather_batch(windows, changed, classes, np.array([number])))
    assert torch.equal(before, after)
    earlier = {
        name: ModalityArrays(_change(array, {target - horizon}), name)
        for name, array in arrays.items()
    }
    changed_context = predict(model, gather_batch(windows, earlier, classes, np.array([number])))
    assert not torch.allclose(before, changed_context)


def _change(array: ModalityArrays, rows: set[int]) -> Features:
    return Features(
        [
            states + 3 if row in rows and states is not None else states
            for row, states in enumerate(array._states)
        ],
        {},
    )


@pytest.mark.parametrize(("dialogue", "fusion", "aggregator"), KINDS)
def test_nothing_but_the_speaker_of_a_masked_utterance_reaches_a_prediction(
    table, classes, arrays, dialogue, fusion, aggregator
):
    torch.manual_seed(0)
    kind = {"dialogue": dialogue, "fusion": fusion, "aggregator": aggregator}
    model = make_model(arrays, np.arange(len(table)), gold=True, **kind)
    windows, number = make_windows(table, classes), np.array([3])
    row = int(windows.rows[3, 2])
    changed = {name: ModalityArrays(_change(array, {row}), name) for name, array in arrays.items()}
    lies = np.where(np.arange(len(table)) == row, 1 - classes, classes)
    for hides in (False, True):
        shown = dataclasses.replace(windows, masked=hides & (windows.rows == row))
        before, after = (
            predict(model, gather_batch(shown, *given, number))
            for given in ((arrays, classes), (changed, lies))
        )
        assert torch.equal(before, after) == hides


@pytest.mark.parametrize("horizon", [0, 1])
def test_gold_emotions_reach_only_a_model_that_is_given_them(table, classes, arrays, horizon):
    windows = make_windows(table, classes, horizon)
    batch = gather_batch(windows, arrays, classes, np.arange(len(windows)))
    lies = batch._replace(
        context_emotions=torch.where(batch.mask, 1 - batch.context_emotions, batch.context_emotions)
    )
    for gold in (False, True):
        torch.manual_seed(0)
        model = make_model(arrays, np.arange(len(table)), gold=gold)
        assert torch.equal(predict(model, batch), predict(model, lies)) == (not gold)


def test_the_target_emotion_itself_is_given_to_no_model(table, classes, arrays):
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(len(table)), gold=True)
    windows = make_windows(table, classes, horizon=0)
    batch = gather_batch(windows, arrays, classes, np.arange(len(windows)))
    assert (batch.is_target.sum(dim=1) == 1).all()
    lie = torch.where(batch.is_target, 1 - batch.context_emotions, batch.context_emotions)
    assert torch.equal(predict(model, batch), predict(model, batch._replace(context_emotions=lie)))


def test_the_content_of_a_missing_modality_is_masked(table, classes):
    values = np.random.default_rng(0).normal(size=(len(table), 4))
    whole = ModalityArrays(make_features(values), "speech")
    torch.manual_seed(0)
    model = make_model({"speech": whole}, np.arange(len(table)))
    windows = make_windows(table, classes)
    predictions = []
    for lost in (values, values * -5):
        lost = np.where(np.arange(len(table))[:, None] == 3, lost, values)
        arrays = {"speech": ModalityArrays(make_features(lost, missing=(3,)), "speech")}
        batch = gather_batch(windows, arrays, classes, np.array([3, 4]))
        predictions.append(predict(model, batch))
    assert torch.equal(*predictions)
    full = predict(model, gather_batch(windows, {"speech": whole}, classes, np.array([3, 4])))
    assert not torch.allclose(full, predictions[0])


def test_who_spoke_and_how_long_ago_changes_the_prediction(table, classes, arrays):
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(len(table)), dialogue="single")
    batch = gather_batch(make_windows(table, classes), arrays, classes, np.array([4]))
    before = predict(model, batch)
    swapped = torch.where(batch.roles == 0, 1, 0)
    assert not torch.allclose(before, predict(model, batch._replace(roles=swapped)))
    assert not torch.allclose(
        before, predict(model, batch._replace(turns_back=batch.turns_back + 1))
    )


def test_early_fusion_has_one_dialogue_model_and_late_fusion_one_each(table, arrays):
    rows = np.arange(len(table))
    assert len(make_model(arrays, rows, fusion="early").streams) == 1
    late = make_model(arrays, rows, fusion="late")
    assert [stream.modalities for stream in late.streams] == [("speech",), ("text",)]


def test_a_corpus_without_the_modality_is_an_error():
    with pytest.raises(ValueError, match="no utterance has usable speech; 2 clips failed"):
        ModalityArrays(Features([None, None], {"a": "x", "b": "y"}), "speech")


def test_padding_of_frames_is_marked_and_zero(arrays):
    states, frames = arrays["speech"].gather(torch.tensor([0, 2]))
    # Row 0 has one frame, row 2 three.
    assert frames.tolist() == [[True, False, False], [True, True, True]]
    assert (states[0, :, 1:] == 0).all()
    np.testing.assert_array_equal(states[1].numpy(), arrays["speech"]._states[2])


def test_a_batch_holds_each_utterance_once_and_once_more_where_it_is_masked(table, classes, arrays):
    windows = make_windows(table, classes)
    # The context of the first window is row 0, that of the fifth rows 0 to 4, of the sixth 0 to 5.
    hidden = dataclasses.replace(
        windows, masked=(windows.rows == 1) & (windows.target_rows[:, None] == 6)
    )
    batch = gather_batch(hidden, arrays, classes, np.array([0, 4, 5]))
    assert batch.mask.sum(dim=1).tolist() == [1, 5, 6]
    assert len(batch.states["speech"]) == 7
    assert batch.places[:, :3].tolist() == [[0, PADDING, PADDING], [0, 1, 3], [0, 2, 3]]
    assert batch.frames["speech"].any(dim=1).tolist() == [True, True, False, *4 * [True]]


def test_vectors_perceived_beforehand_give_the_same_predictions(table, classes, arrays):
    torch.manual_seed(0)
    model = make_model(arrays, np.arange(len(table)), aggregator="statistics")
    fixed = find_fixed(model)
    assert list(fixed) == ["speech", "text"]
    learned = make_model(arrays, np.arange(len(table)), aggregator="attention")
    assert not find_fixed(learned)
    used = np.arange(8)
    vectors = {"text": perceive_rows(fixed["text"], arrays["text"], used)}
    windows, some = make_windows(table, classes), np.arange(6)
    windows = dataclasses.replace(windows, masked=windows.rows == 2)
    plain = gather_batch(windows, arrays, classes, some)
    beforehand = gather_batch(windows, arrays, classes, some, vectors)
    assert list(beforehand.states) == ["speech"]
    torch.testing.assert_close(predict(model, beforehand), predict(model, plain))
