"""Building models from settings: statistics of train alone, and parts as they are named."""

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import build_windows, single_utterances
from conversation_emotion.features.extract import Features
from conversation_emotion.models.build import build_model, fit_standardisations
from conversation_emotion.models.conversation import ConversationModel, UtteranceModel
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.utterances.labels import IGNORED
from tests.conversations import make_dialogues, make_features

SPEECH = FeatureSettings(modality="speech")


def arrays_of(*sizes: int) -> dict[str, ModalityArrays]:
    """Ten utterances of one frame, of each source."""
    generator = np.random.default_rng(0)
    names = ["speech", *(f"speech{number}" for number in range(2, len(sizes) + 1))]
    return {
        name: ModalityArrays(make_features(generator.normal(size=(10, size))), name)
        for name, size in zip(names, sizes, strict=True)
    }


def test_statistics_are_those_of_the_training_windows_and_their_context():
    table, classes = make_dialogues(2, 5), np.full(10, IGNORED)
    classes[1] = 0  # of the first dialogue, with the utterance before it as context
    values = np.arange(10.0)[:, None]
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    windows = build_windows(table, classes, horizon=0)
    found = fit_standardisations(SPEECH, arrays, windows)["speech"]
    assert found(torch.tensor([[[[0.0]]], [[[1.0]]]])).flatten().tolist() == [-1.0, 1.0]


def test_clips_that_are_standardised_by_themselves_stay_as_they_are():
    features = FeatureSettings(modality="speech", standardise="clip")
    windows = single_utterances(np.zeros(10, dtype=np.int64))
    found = fit_standardisations(features, arrays_of(3), windows)["speech"]
    states = torch.randn(2, 1, 1, 3)
    torch.testing.assert_close(found(states), states)


def test_of_concatenated_encoders_the_small_ones_keep_all_their_features():
    features = FeatureSettings(modality="speech", speech_encoder="fbank+mfcc", speech_components=3)
    windows = single_utterances(np.zeros(10, dtype=np.int64))
    found = fit_standardisations(features, arrays_of(5, 2), windows)
    assert {name: one.output_size for name, one in found.items()} == {"speech": 3, "speech2": 2}


def test_one_encoder_with_fewer_features_than_components_is_refused():
    features = FeatureSettings(modality="speech", speech_components=3)
    windows = single_utterances(np.zeros(10, dtype=np.int64))
    with pytest.raises(ValueError, match="3 principal components of 10 train frames with 2"):
        fit_standardisations(features, arrays_of(2), windows)


@pytest.mark.parametrize(
    ("head", "size", "width"),
    [
        ("superb", 8, 8),
        ("linear", 8, 5),
        ("emotion2vec", 8, 9),
        ("gru", 8, 9),
        ("lda", 8, 5),
        ("svm", 8, 5),
    ],
)
def test_the_head_has_the_inputs_of_its_kind(head, size, width):
    # Four features or eight units of a frame, and whether the clip is there.
    windows = single_utterances(np.zeros(10, dtype=np.int64))
    model = build_model(
        UtteranceModelSettings(head=head, hidden_size=size),
        SPEECH,
        fit_standardisations(SPEECH, arrays_of(4), windows),
        num_outputs=3,
        num_emotions=7,
    )
    assert isinstance(model, UtteranceModel)
    assert (model.head.in_features, model.head.out_features) == (width, 3)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_dialogue_model_has_the_layers_and_heads_that_are_asked_for(num_layers):
    windows = single_utterances(np.zeros(10, dtype=np.int64))
    model = build_model(
        ConversationModelSettings(hidden_size=6, num_layers=num_layers),
        SPEECH,
        fit_standardisations(SPEECH, arrays_of(4), windows),
        num_outputs=3,
        num_emotions=7,
    )
    assert isinstance(model, ConversationModel)
    recurrent = [part for part in model.modules() if isinstance(part, torch.nn.GRU)]
    assert {(part.num_layers, part.hidden_size) for part in recurrent} == {(num_layers, 6)}
    outputs = {part.out_features for part in model.children() if isinstance(part, torch.nn.Linear)}
    assert outputs == {3, 7}


def test_a_modality_that_no_train_utterance_has_is_an_error():
    states: list = [None] * 5 + [np.ones((1, 1, 2), dtype=np.float32)] * 5
    arrays = {"speech": ModalityArrays(Features(states, {}), "speech")}
    classes = np.array([0] * 5 + [IGNORED] * 5)
    with pytest.raises(ValueError, match="no utterance of the train part has this modality"):
        fit_standardisations(SPEECH, arrays, single_utterances(classes))
