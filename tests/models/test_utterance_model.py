"""The probe of single utterances: SUPERB's function, batch-independent, able to learn."""

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays, gather_batch
from conversation_emotion.datasets.windows import build_windows, single_utterances
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.models.perception import (
    AGGREGATORS,
    FRAME_MAPS,
    LAYER_MIXTURES,
    Perception,
    fit_standardisation,
)
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_features, make_framed_features
from tests.small_tasks import Planted, fit_task, make_utterances, score_valid

NUM_ROWS = 12


@pytest.fixture
def framed():
    """Utterances of one to three frames, two layers."""
    return {"speech": ModalityArrays(make_framed_features(NUM_ROWS), "speech")}


def make_probe(arrays, rows, *, aggregator: str = "mean", mixture: str = "sum", num_classes=3):
    torch.manual_seed(0)
    speech = arrays["speech"]
    mix = LAYER_MIXTURES[mixture](speech.num_layers, speech.size)
    perception = Perception(
        fit_standardisation(speech.stack_frames(rows)),
        mix,
        AGGREGATORS[aggregator](mix.output_size),
    )
    return UtteranceModel({"speech": perception}, 8, num_classes).eval()


def batch_of(arrays, numbers):
    classes = np.zeros(NUM_ROWS, dtype=np.int64)
    return gather_batch(single_utterances(classes), arrays, classes, np.asarray(numbers))


def make_headed(arrays, head: str):
    torch.manual_seed(0)
    speech = arrays["speech"]
    mix = LAYER_MIXTURES["sum"](speech.num_layers, speech.size)
    frame_map = FRAME_MAPS[head](mix.output_size, 8)
    standardisation = fit_standardisation(speech.stack_frames(np.arange(NUM_ROWS)))
    perception = Perception(standardisation, mix, AGGREGATORS["mean"](8), frame_map)
    return UtteranceModel({"speech": perception}, None, 3).eval()


@torch.inference_mode()
def test_the_head_of_emotion2vec_bends_every_frame_before_the_mean(framed):
    model = make_headed(framed, "emotion2vec")
    logits = model(batch_of(framed, range(NUM_ROWS))).logits
    perception = model.perceptions["speech"]
    assert isinstance(perception, Perception)
    linear = perception.frame_map.linear
    assert isinstance(linear, torch.nn.Linear)
    for row in range(NUM_ROWS):
        states, _ = framed["speech"].gather(torch.tensor([row]))
        frames = perception.mixture(perception.standardisation(states))[0]
        bent = torch.cat([linear(frames).clamp(min=0).mean(dim=0), torch.ones(1)])
        torch.testing.assert_close(logits[row], model.head(bent))


@pytest.mark.parametrize("head", list(FRAME_MAPS))
@torch.inference_mode()
def test_heads_on_frames_predict_alike_alone_and_in_any_batch(framed, head):
    model = make_headed(framed, head)
    together = model(batch_of(framed, range(NUM_ROWS))).logits
    for row in range(NUM_ROWS):
        alone = model(batch_of(framed, [row])).logits[0]
        torch.testing.assert_close(alone, together[row], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_it_is_what_superb_computes_frame_by_frame(framed):
    probe = make_probe(framed, np.arange(NUM_ROWS))
    logits = probe(batch_of(framed, range(NUM_ROWS))).logits
    perception = probe.perceptions["speech"]
    assert isinstance(perception, Perception)
    for row in range(NUM_ROWS):
        states, _ = framed["speech"].gather(torch.tensor([row]))
        frames = perception.mixture(perception.standardisation(states))[0]
        is_present = torch.ones(len(frames), 1)
        projected = probe.projection(torch.cat([frames, is_present], dim=-1))
        torch.testing.assert_close(logits[row], probe.head(projected.mean(dim=0)))


@pytest.mark.parametrize("aggregator", ["mean", "statistics", "attention", "ecapa"])
@pytest.mark.parametrize("mixture", ["sum", "join"])
@torch.inference_mode()
def test_an_utterance_is_predicted_alike_alone_and_in_any_batch(framed, aggregator, mixture):
    probe = make_probe(framed, np.arange(NUM_ROWS), aggregator=aggregator, mixture=mixture)
    together = probe(batch_of(framed, range(NUM_ROWS))).logits
    for row in range(NUM_ROWS):
        alone = probe(batch_of(framed, [row])).logits
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


def test_it_learns_a_planted_rule():
    values = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    classes = (values[:, 2] > values[:, 4]).astype(np.int64)
    classes[::50] = IGNORED
    inputs = make_utterances(values, classes, 300)
    settings = TrainingSettings(epochs=15, learning_rate=0.01, batch_size=32, average_best=1)
    task = Planted(
        inputs,
        settings,
        lambda: make_probe(inputs.arrays["only"], np.arange(300), num_classes=2),
    )
    assert score_valid(task, fit_task(task).model)["uar"] > 0.93


def test_an_utterance_without_speech_is_predicted_and_changes_no_other():
    values = np.random.default_rng(0).normal(size=(NUM_ROWS, 4))
    whole = {"speech": ModalityArrays(make_features(values), "speech")}
    lost = {"speech": ModalityArrays(make_features(values, missing=(3,)), "speech")}
    probe = make_probe(whole, np.arange(NUM_ROWS))
    with torch.inference_mode():
        one, other = (probe(batch_of(arrays, range(NUM_ROWS))).logits for arrays in (whole, lost))
    assert other[3].isfinite().all()
    assert (one != other).any(dim=-1).nonzero().flatten().tolist() == [3]


def test_context_is_refused(framed):
    table = make_dialogues(3, 4)
    classes = np.zeros(NUM_ROWS, dtype=np.int64)
    windows = build_windows(table, classes, horizon=0)
    batch = gather_batch(windows, framed, classes, np.arange(NUM_ROWS))
    with pytest.raises(AssertionError, match="an utterance model takes no context"):
        make_probe(framed, np.arange(NUM_ROWS))(batch)
