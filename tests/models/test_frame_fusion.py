"""Fusion of encoders: alignment by hand, the same alone and in a batch, each strategy learns."""

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays, gather_batch
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.models.fusion import (
    FRAME_FUSIONS,
    FusionModel,
    drop_sources,
    stretch,
)
from conversation_emotion.models.perception import (
    AGGREGATORS,
    Frames,
    LayerSum,
    fit_standardisation,
)
from conversation_emotion.settings.training import TrainingSettings
from tests.conversations import make_dialogues
from tests.small_tasks import (
    Planted,
    fit_task,
    make_dataset,
    make_fold,
    make_inputs,
    score_valid,
)

NUM_ROWS = 24
KINDS = [(fusion, aggregator) for fusion in FRAME_FUSIONS for aggregator in ("mean", "ecapa")]


def make_arrays(values: np.ndarray, frames: tuple[int, ...], missing: tuple[int, ...] = ()):
    """Repeats the values of a row over as many frames as its place in the list gives."""
    states = [
        None
        if row in missing
        else np.repeat(value[None, None], frames[row % len(frames)], axis=1).astype(np.float32)
        for row, value in enumerate(values)
    ]
    return ModalityArrays(Features(states, {}), "speech")


@pytest.fixture
def arrays():
    values = np.random.default_rng(0).normal(size=(2, NUM_ROWS, 3))
    return {
        "fbank": make_arrays(values[0], (9, 4, 15), missing=(3,)),
        "bert": make_arrays(values[1], (2, 5), missing=(4,)),
    }


def make_model(arrays, fusion: str, aggregator: str) -> FusionModel:
    torch.manual_seed(0)
    rows = np.arange(NUM_ROWS)
    sources = {
        name: torch.nn.Sequential(
            fit_standardisation(array.stack_frames(rows)), LayerSum(array.num_layers, array.size)
        )
        for name, array in arrays.items()
    }
    joined = FRAME_FUSIONS[fusion]({name: array.size for name, array in arrays.items()})
    aggregators = {
        name: AGGREGATORS[aggregator](size, 8)
        if aggregator == "ecapa"
        else AGGREGATORS["mean"](size)
        for name, size in joined.output_sizes.items()
    }
    return FusionModel(sources, joined, aggregators, fusion=fusion, num_classes=2)  # type: ignore[arg-type]


def test_a_short_sequence_is_stretched_to_the_nearest_frame_in_relative_time():
    short = Frames(
        torch.tensor([[[1.0], [2.0], [0.0]], [[5.0], [0.0], [0.0]]]),
        torch.tensor([[True, True, False], [False, False, False]]),
    )
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    # Two frames over five: 0.2, 0.6, 1.0, 1.4, 1.8 of them have passed in the middle of each.
    assert stretch(short, mask)[..., 0].tolist() == [[1, 1, 2, 2, 2], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(("fusion", "aggregator"), KINDS)
@torch.inference_mode()
def test_an_utterance_is_predicted_alike_alone_and_in_any_batch(arrays, fusion, aggregator):
    model = make_model(arrays, fusion, aggregator).eval()
    classes = np.zeros(NUM_ROWS, dtype=np.int64)
    windows = single_utterances(classes)
    together = model(gather_batch(windows, arrays, classes, np.arange(NUM_ROWS))).logits
    assert torch.isfinite(together).all()
    for row in (0, 1, 3, 4):  # rows 3 and 4 lack one modality
        alone = model(gather_batch(windows, arrays, classes, np.array([row]))).logits[0]
        torch.testing.assert_close(alone, together[row], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("fusion", "aggregator"), KINDS)
@torch.inference_mode()
def test_what_is_missing_changes_nothing(arrays, fusion, aggregator):
    model = make_model(arrays, fusion, aggregator).eval()
    classes = np.zeros(NUM_ROWS, dtype=np.int64)
    batch = gather_batch(single_utterances(classes), arrays, classes, np.arange(NUM_ROWS))
    noisy = {
        name: states + 7 * ~batch.frames[name][:, None, :, None]
        for name, states in batch.states.items()
    }
    torch.testing.assert_close(model(batch).logits, model(batch._replace(states=noisy)).logits)


def test_a_share_of_the_utterances_loses_a_source_and_never_its_only_one():
    torch.manual_seed(0)
    both = torch.ones(4000, 2, dtype=torch.bool)
    lonely = both.clone()
    lonely[::4] = False  # every fourth utterance has speech alone
    masks = {"speech": both, "text": lonely}
    dropped = drop_sources(masks, {"speech": 0.2, "text": 0.4})
    has = torch.stack([mask.any(dim=-1) for mask in dropped.values()], dim=-1)
    assert has[::4].tolist() == [[True, False]] * 1000
    of_both = has[torch.arange(4000) % 4 > 0]
    assert of_both.any(dim=-1).all()
    lost = 1 - of_both.float().mean(dim=0)
    # Of those that would lose both, a share of 0.2 x 0.4, none is lost.
    torch.testing.assert_close(lost, torch.tensor([0.12, 0.32]), atol=0.03, rtol=0)
    alone = drop_sources(masks, {"text": 0.4})
    assert torch.equal(alone["speech"], both)
    assert alone["text"].any(dim=-1).float().mean() == pytest.approx(0.6 * 0.75, abs=0.03)


@pytest.mark.parametrize("fusion", list(FRAME_FUSIONS))
def test_each_strategy_learns_from_both_what_neither_holds_alone(fusion):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, 400))
    noise = np.random.default_rng(1).normal(scale=0.3, size=(2, 400, 3))
    classes = ((signs[0] + signs[1]) > 1).astype(np.int64)  # both positive
    values = noise + signs[:, :, None]
    arrays = {"fbank": make_arrays(values[0], (3, 4)), "bert": make_arrays(values[1], (2,))}
    everything = np.arange(400)
    dataset = make_dataset(make_dialogues(400, 1), classes, make_fold(everything, everything))
    inputs = make_inputs(dataset, single_utterances(classes), arrays)
    settings = TrainingSettings(
        epochs=12, learning_rate=0.02, batch_size=40, average_best=1, class_weights="none"
    )
    task = Planted(inputs, settings, lambda: make_model(arrays, fusion, "mean"))
    assert score_valid(task, fit_task(task).model)["uar"] > 0.95
