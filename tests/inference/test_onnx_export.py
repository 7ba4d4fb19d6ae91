"""Saved models as ONNX: what onnxruntime gives is what the saved model gives."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from conversation_emotion.evaluation.calibration import Calibration
from conversation_emotion.inference import onnx_export
from conversation_emotion.inference.onnx_export import UtteranceGraph, export, run_graph
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.utterances.audio import read_audio
from experiments.models import export as command
from speech_encoders import load_speech_encoder
from speech_encoders.traceable import make_traceable
from speech_encoders.whisper import log_mel
from tests.saved_models import LABELS, save_untrained
from tests.speech_encoders.test_whisper import save_whisper

SIZES = (6400, 3200, 5121, 20_000)
"""Samples of the recordings; the last is longer than the encoder's window."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model on a small Whisper encoder, and recordings."""
    place = tmp_path_factory.mktemp("export")
    save_whisper(place / "encoder")
    features = FeatureSettings(
        modality="speech",
        speech_encoder=str(place / "encoder"),
        speech_layers="all",
        speech_pooling="mean",
    )
    save_untrained(place / "saved", UtteranceModelSettings(head="superb", hidden_size=8), features)
    noise = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        clip = 0.1 * noise.normal(size=size)
        soundfile.write(place / f"{number}.wav", clip, 16_000, subtype="FLOAT")
    return place


@pytest.fixture(scope="module")
def exported(place):
    """What was written of the model as ONNX, into the folder ``onnx``."""
    return export(*prepare(place), place / "onnx")


def prepare(place):
    saved, encoder = load_model(place / "saved"), load_speech_encoder(str(place / "encoder"))
    predictor = Predictor(saved, {"speech": encoder})
    return predictor, {"speech": make_traceable(encoder)}, sorted(place.glob("*.wav"))


def read_clips(place) -> list[NDArray[np.float32]]:
    return [read_audio(place / f"{number}.wav") for number in range(3)]


def test_onnxruntime_gives_the_probabilities_of_the_saved_model(place, exported):
    predictor, _, recordings = prepare(place)
    expected = predictor.predict(recordings[:3])[[f"p_{label}" for label in LABELS]].to_numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3  # clips differ
    found = run_graph(place / "onnx" / "model.onnx", read_clips(place))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_encoder_that_is_traced_first_encodes_as_before(place):
    encoder = load_speech_encoder(str(place / "encoder"))
    clip = torch.from_numpy(read_clips(place)[0])[None]
    inputs = clip, torch.tensor([clip.size(1)])
    expected, _ = encoder(*inputs)
    log_mel._mel_filters.cache_clear()
    torch.export.export(make_traceable(encoder), inputs, strict=False)
    found, _ = encoder(*inputs)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected)


def test_the_probabilities_are_calibrated_as_those_of_the_saved_model(place):
    saved, encoder = load_model(place / "saved"), load_speech_encoder(str(place / "encoder"))
    calibration = Calibration(
        temperature=0.4, threshold=0.1, coverage=0.9, num_targets=9, num_speakers=3
    )
    saved = saved._replace(card=replace(saved.card, calibration=calibration))
    recording = place / "0.wav"
    expected = Predictor(saved, {"speech": encoder}).predict(recording)
    graph = UtteranceGraph(saved, {"speech": make_traceable(encoder)})
    clip = torch.from_numpy(read_audio(recording))[None]
    with torch.no_grad():
        found = graph(clip, torch.tensor([clip.size(1)]))[0]
    columns = [f"p_{label}" for label in LABELS]
    np.testing.assert_allclose(found, expected[columns].to_numpy()[0], atol=1e-5)


def test_maps_to_fewer_features_keep_their_precision_in_8_bits(place, exported):
    weights = onnx.load(place / "onnx" / "model.int8.onnx").graph.initializer
    kinds = {tuple(weight.dims): weight.data_type for weight in weights}
    assert kinds[16, 32] == onnx.TensorProto.INT8
    assert kinds[32, 16] == onnx.TensorProto.FLOAT


def test_a_clip_in_the_graph_is_the_same_alone_and_in_a_padded_batch(place, exported):
    clips = read_clips(place)
    together = run_graph(place / "onnx" / "model.onnx", clips)
    alone = [run_graph(place / "onnx" / "model.onnx", [clip])[0] for clip in clips]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_graph_in_8_bits_is_smaller_and_near(exported):
    whole, small = exported.files
    assert (whole.name, small.name) == ("model.onnx", "model.int8.onnx")
    kinds = {node.op_type for node in onnx.load(small).graph.node}
    assert "MatMulInteger" in kinds
    assert 0 < exported.files[small].difference < 0.1


def test_metadata_hold_what_using_the_graph_needs(place, exported):
    stored = {one.key: one.value for one in onnx.load(place / "onnx" / "model.onnx").metadata_props}
    assert json.loads(stored["labels"]) == [*LABELS]
    assert json.loads(stored["front_end"])["speech"]["mel_bands"] == 80
    assert (stored["sampling_rate"], stored["min_samples"]) == ("16000", "400")
    assert stored["max_samples"] == str(49 * 320)
    assert json.loads(stored["card"])["corpus"] == "demo"


def test_a_recording_beyond_the_limits_of_the_graph_is_named(place, exported):
    assert exported.left_out == {str(place / "3.wav"): "1.25 s, the graph takes 0.025 to 0.98 s"}
    with pytest.raises(ValueError, match=r"none of 1 recordings can be compared, first .*3\.wav"):
        export(*prepare(place)[:2], [place / "3.wav"], place / "none")


def test_a_graph_that_disagrees_is_not_written(place, monkeypatch):
    monkeypatch.setattr(onnx_export, "write_graph", lambda saved, encoders, file: None)
    other = onnx_export.Agreement(3, 0.02, 3)
    monkeypatch.setattr(onnx_export, "compare", lambda *given: other)
    with pytest.raises(RuntimeError, match=r"differ by up to 2\.0e-02 .*at most 1e-04"):
        export(*prepare(place), place / "wrong")
    assert list((place / "wrong").iterdir()) == []


def run(folder):
    command.run(command.ExportSettings(model=str(folder), output=folder.parent / "never"))


@pytest.mark.parametrize(
    ("settings", "features", "message"),
    [
        (ConversationModelSettings(), {}, "one of conversations .*not exported; export a model of"),
        (UtteranceModelSettings(), {"modality": "text"}, "reads text, and speech alone is"),
        (UtteranceModelSettings(), {"standardise": "clip"}, "--standardise clip, which is not"),
    ],
)
def test_another_kind_of_model_is_refused(tmp_path, settings, features, message):
    features = FeatureSettings(**{"modality": "speech", "speech_encoder": "fbank", **features})
    save_untrained(tmp_path / "saved", settings, features)
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "saved")


def test_a_model_whose_encoder_is_missing_is_refused(place, tmp_path):
    card = (place / "saved" / "config.json").read_text().replace(str(place), "/gone")
    (tmp_path / "config.json").write_text(card)
    (tmp_path / "model.safetensors").write_bytes(
        (place / "saved" / "model.safetensors").read_bytes()
    )
    with pytest.raises(FileNotFoundError, match="/gone/encoder: no such local folder"):
        run(tmp_path)


def test_missing_packages_are_named_with_the_extra_that_brings_them(place, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(ModuleNotFoundError, match=r"onnxruntime, onnxscript; .*\[export\]"):
        run(place / "saved")
