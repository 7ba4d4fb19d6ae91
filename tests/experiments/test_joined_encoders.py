"""Several speech encoders next to each other: names, features, and models of them all."""

import dataclasses

import mlflow
import numpy as np
import pandas as pd
import pytest

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.published import describe_pretraining
from conversation_emotion.features.extract import Features
from conversation_emotion.features.sources import list_sources
from conversation_emotion.models.build import fit_standardisations
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.dimensional import DimensionalSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings, split_encoder
from conversation_emotion.settings.fusion import FusionSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.probes import LayersSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.sentiment import ModalitySettings, SentimentSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.task import WindowTask
from conversation_emotion.tracker import Memory
from experiments import epc, sentiment, ser
from experiments.tracking.registry import find_model
from experiments.tracking.store import tracking_uri
from tests.command_line import usage_error
from tests.saved_models import temper
from tests.small_corpus import write_corpus
from tests.tracked import find_runs


@pytest.fixture
def data(workplace) -> CorpusSettings:
    write_corpus(workplace)
    return CorpusSettings(corpus="manifest", root=workplace / "manifest.csv")


def test_a_plus_separates_names_but_not_the_folder_that_has_one(tmp_path):
    assert split_encoder("fbank+mfcc") == ("fbank", "mfcc")
    (tmp_path / "a+b").mkdir()
    assert split_encoder(str(tmp_path / "a+b")) == (str(tmp_path / "a+b"),)


@pytest.mark.parametrize("name", ["fbank+", "+fbank", "fbank+fbank"])
def test_an_encoder_next_to_nothing_or_itself_is_refused(name, capsys):
    assert "must be named and differ" in usage_error(
        SERSettings, ["--speech-encoder", name], capsys
    )


@pytest.mark.parametrize(
    ("config", "flag"),
    [
        (LayersSettings, "--speech-encoder"),
        (DimensionalSettings, "--speech-encoder"),
        (FusionSettings, "--fbank"),
    ],
)
def test_where_one_encoder_is_used_at_a_time_two_are_refused(config, flag, capsys):
    message = usage_error(config, [flag, "fbank+mfcc"], capsys)
    assert "fbank+mfcc are several encoders; this experiment takes one at a time" in message


def test_an_encoder_of_one_layer_and_frame_gives_them_next_to_any_other():
    settings = FeatureSettings(
        speech_encoder="egemaps+emotion2vec-mini+fbank",
        speech_layers="last-4",
        speech_pooling="statistics",
    )
    found = {
        name: (source.encoder, source.layers, source.pooling)
        for name, source in list_sources(settings).items()
    }
    assert found == {
        "speech": ("egemaps", "last", "mean"),
        "speech2": ("emotion2vec-mini", "last-4", "statistics"),
        "speech3": ("fbank", "last", "statistics"),
        "text": ("all-MiniLM-L6-v2", "all", "mean"),
    }


def test_what_either_was_pre_trained_on_is_reported_once():
    said = list(describe_pretraining(["mfcc+emotion2vec-mini", "emotion2vec-mini"], ["ravdess"]))
    assert len(said) == 1
    assert said[0].startswith("emotion2vec-mini was pre-trained on ravdess")


def test_components_are_of_those_that_have_more_features():
    generator = np.random.default_rng(0)

    def arrays_of(size: int) -> ModalityArrays:
        states = [generator.normal(size=(1, 1, size)).astype(np.float32) for _ in range(20)]
        return ModalityArrays(Features([*states], {}), "speech")

    settings = FeatureSettings(modality="speech", speech_encoder="fbank+mfcc", speech_components=5)
    windows = single_utterances(np.zeros(20, dtype=np.int64))
    arrays = {"speech": arrays_of(8), "speech2": arrays_of(4)}
    found = fit_standardisations(settings, arrays, windows)
    sizes = {name: one.output_size for name, one in found.items()}
    assert sizes == {"speech": 5, "speech2": 4}
    with pytest.raises(ValueError, match="5 principal components .* 4 features"):
        alone = dataclasses.replace(settings, speech_encoder="mfcc")
        fit_standardisations(alone, {"speech": arrays["speech2"]}, windows)


@pytest.mark.parametrize("head", ["lda", "superb"])
def test_a_registered_model_of_two_encoders_predicts_as_in_its_training(
    data, head, tmp_path, monkeypatch
):
    features = EncoderSettings(speech_encoder=("fbank+mfcc",), speech_components=50)
    training = TrainingSettings(epochs=2 if head == "superb" else 50)
    model = UtteranceModelSettings(head=head)
    ser.EXPERIMENT.run(
        SERSettings(data=data, features=features, training=training, model=model, register="both")
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
    client, [parent], _ = find_runs("ser")
    expected = pd.read_parquet(
        client.download_artifacts(parent.info.run_id, "predictions.parquet", str(tmp_path))
    ).set_index("utterance_id")
    expected = expected[expected["part"] == "test"]  # a solved head also learns from valid
    rows = write_corpus(tmp_path).set_index("utterance_id").loc[expected.index]
    model = mlflow.pyfunc.load_model("models:/both/1")
    found = model.predict(rows[["audio", "offset", "duration"]])
    probabilities = temper(expected, find_model("both"))
    np.testing.assert_allclose(found[probabilities.columns], probabilities, atol=1e-4)


@pytest.mark.parametrize("fusion_of", ["early", "late"])
def test_a_conversation_is_encoded_by_both_and_the_text_encoder(data, fusion_of):
    settings = EPCSettings(
        data=data,
        features=FeatureSettings(speech_encoder="fbank+mfcc"),
        training=TrainingSettings(epochs=1),
        model=ConversationModelSettings(fusion=fusion_of, hidden_size=8),
    )
    epc.EXPERIMENT.run(settings)
    assert [run.info.status for run in find_runs("epc").parents] == ["FINISHED"]


def test_sentiment_takes_both_next_to_the_text(data):
    features = ModalitySettings(modality=("speech+text",), speech_encoder=("fbank+mfcc",))
    task = sentiment.EXPERIMENT.task(SentimentSettings(data=data, features=features), Memory())
    assert isinstance(task, WindowTask)
    [arrays] = task.inputs.arrays.values()
    assert list(arrays) == ["speech", "speech2", "text"]
