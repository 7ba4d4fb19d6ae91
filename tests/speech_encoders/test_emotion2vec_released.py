"""Released emotion2vec files: their layouts, what they may leave out or hold, how they convert."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForAudioClassification, AutoModelForPreTraining

from speech_encoders.emotion2vec import (
    Emotion2vecForPreTraining,
    Emotion2vecForSequenceClassification,
    Emotion2vecModel,
)
from speech_encoders.emotion2vec.convert import convert, main
from speech_encoders.emotion2vec.released import read_released
from tests.emotion2vec_models import STORED, normalise

AUDIO = "modality_encoders.AUDIO"
LABELS = ["angry", "happy", "neutral"]
CONVOLUTION = f"{AUDIO}.local_encoder.conv_layers.1.0.weight"


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """Weights under their released names: encoder and decoder."""
    return torch.load(STORED / "released.pt", weights_only=True)["model"]


@pytest.fixture(scope="module")
def stages() -> dict[str, Tensor]:
    return torch.load(STORED / "stages.pt", weights_only=True)


def save(folder: Path, weights: object, **others: object) -> Path:
    path = folder / "model.pt"
    torch.save({"model": weights, **others}, path)
    return path


def as_classifier(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The layout of emotion2vec+: a prefix on all but the head, no decoder."""
    generator = torch.Generator().manual_seed(0)
    prefixed = {f"d2v_model.{name}": w for name, w in weights.items() if ".decoder." not in name}
    return {
        **prefixed,
        "proj.weight": torch.randn(len(LABELS), 32, generator=generator),
        "proj.bias": torch.randn(len(LABELS), generator=generator),
    }


def save_classifier(folder: Path, weights: dict[str, Tensor]) -> Path:
    lines = ["生气/angry", "开心/happy", "中立/neutral", ""]
    (folder / "tokens.txt").write_text("\n".join(lines), encoding="utf-8")
    return save(folder, as_classifier(weights))


@torch.no_grad()
def encode(model: Emotion2vecModel, stages: dict[str, Tensor]) -> Tensor:
    return model(normalise(stages["waveform"])[None]).last_hidden_state[0]


def test_the_layout_of_base_gives_encoder_and_decoder(stages):
    released = read_released(STORED / "released.pt")
    assert isinstance(released.model, Emotion2vecForPreTraining)
    assert released.left_out == []
    torch.testing.assert_close(
        encode(released.encoder, stages), stages["frames"], atol=1e-4, rtol=0
    )


def test_the_layout_of_plus_gives_a_classifier_with_names(tmp_path, weights, stages):
    released = read_released(save_classifier(tmp_path, weights))
    model = released.model
    assert isinstance(model, Emotion2vecForSequenceClassification)
    assert model.config.id2label == dict(enumerate(LABELS))
    head = as_classifier(weights)
    expected = head["proj.weight"] @ stages["utterance"] + head["proj.bias"]
    with torch.no_grad():
        logits = model(normalise(stages["waveform"])[None]).logits[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_weights_without_decoder_and_head_give_an_encoder(tmp_path, weights, stages):
    encoder = {name: w for name, w in weights.items() if ".decoder." not in name}
    released = read_released(save(tmp_path, encoder))
    assert isinstance(released.model, Emotion2vecModel)
    torch.testing.assert_close(
        encode(released.encoder, stages), stages["frames"], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("wrappers", [(), ("state_dict",), ("model_state_dict", "model")])
def test_weights_are_found_in_the_usual_wrappers(tmp_path, weights, wrappers):
    content = weights
    for wrapper in reversed(wrappers):
        content = {wrapper: content}
    torch.save(content, tmp_path / "model.pt")
    assert isinstance(read_released(tmp_path / "model.pt").model, Emotion2vecForPreTraining)


def test_an_old_scale_of_four_axes_is_read(tmp_path, weights, stages):
    name = f"{AUDIO}.alibi_scale"
    weights[name] = weights[name].squeeze(0)
    assert weights[name].shape == (1, 4, 1, 1)
    released = read_released(save(tmp_path, weights))
    torch.testing.assert_close(
        encode(released.encoder, stages), stages["frames"], atol=1e-4, rtol=0
    )


def test_half_precision_becomes_float32(tmp_path, weights):
    released = read_released(save(tmp_path, {name: w.half() for name, w in weights.items()}))
    assert {parameter.dtype for parameter in released.model.parameters()} == {torch.float32}


def test_what_training_left_in_a_file_is_named_and_left_out(tmp_path, weights, stages):
    teacher = {"blocks.0.norm1.weight": torch.zeros(32)}
    nested = {**weights, "_ema": teacher, "_ema.blocks.0.norm1.bias": torch.zeros(32)}
    path = save(tmp_path, nested, optimizer={"state": {}}, epoch=7)
    released = read_released(path)
    assert released.left_out == ["_ema", "_ema.blocks.0.norm1.bias", "epoch", "optimizer"]
    torch.testing.assert_close(
        encode(released.encoder, stages), stages["frames"], atol=1e-4, rtol=0
    )


def test_a_decoder_next_to_a_head_is_named_and_left_out(tmp_path, weights):
    head = {**as_classifier(weights), **{f"d2v_model.{name}": w for name, w in weights.items()}}
    released = read_released(save(tmp_path, head), labels=LABELS)
    assert isinstance(released.model, Emotion2vecForSequenceClassification)
    assert len(released.left_out) == 10
    assert f"d2v_model.{AUDIO}.decoder.proj.bias" in released.left_out


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (f"{AUDIO}.extra_tokens", None, f"weight '{AUDIO}.extra_tokens' is missing"),
        ("blocks.1.mlp.fc2.bias", None, "1 weights are missing, first 'blocks.1.mlp.fc2.bias'"),
        (f"{AUDIO}.decoder.blocks.2.0.bias", None, "first 'modality_encoders.AUDIO.decoder.blo"),
        ("norm.weight", (32,), "1 weights are none of such a model, first 'norm.weight'"),
        ("blocks.0.norm1.bias", (33,), r"'blocks.0.norm1.bias' has shape \(33,\), expected \(32,"),
        (CONVOLUTION, (32, 32), rf"'{CONVOLUTION}' has shape \(32, 32\), expected \(32, 32, 3\)"),
        (CONVOLUTION, (32, 3, 32), rf"'{CONVOLUTION}' has shape \(32, 3, 32\), expected \(32, 32"),
        (f"{AUDIO}.extra_tokens", (2, 10, 32), r"shape \(2, 10, 32\), expected \(1, 10, 32\)"),
        (f"{AUDIO}.extra_tokens", (10, 32), r"shape \(10, 32\), expected 3 axes"),
        (f"{AUDIO}.alibi_scale", (4, 1, 1, 1, 1), r"\(4, 1, 1, 1, 1\), expected \(1, 1, 4, 1, 1\)"),
        (f"{AUDIO}.alibi_scale", (), r"alibi_scale' has shape \(\), expected \(1, 1, 1, 1, 1\)"),
        ("blocks.0.norm1.weight", "text", "'blocks.0.norm1.weight' is a str, expected a tensor"),
        (3, (32,), "an entry has the name 3, expected weights by name"),
        ("d2v_model.blocks.0.norm1.bias", (32,), "'blocks.0.norm1.bias' is there twice"),
    ],
)
def test_a_weight_that_does_not_fit_is_named(tmp_path, weights, name, value, message):
    weights.pop(name, None)
    if isinstance(value, tuple):
        value = torch.zeros(value)
    if value is not None:
        weights = {**weights, name: value}
    if "twice" in message:
        weights["blocks.0.norm1.bias"] = weights[name]
    path = save(tmp_path, weights)
    with pytest.raises(ValueError, match=message) as caught:
        read_released(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("; pass a released emotion2vec file")


class Planted:
    """Pickled as a call, as code in a file of weights would be."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_that_could_run_code_is_refused_unread(tmp_path, weights, monkeypatch, is_zip):
    monkeypatch.chdir(tmp_path)
    content = {"model": weights, "args": Planted()}
    torch.save(content, "model.pt", _use_new_zipfile_serialization=is_zip)
    message = r"model.pt: holds more than weights, a \S+, which could run code; .*keep the weights"
    with pytest.raises(ValueError, match=message) as caught:
        read_released(Path("model.pt"))
    assert "torch.load('model.pt', weights_only=False)['model']}, 'weights.pt')" in str(
        caught.value
    )
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no file of weights, or a damaged one; download it again"),
        (b"version https://git-lfs.github.com/spec/v1", "is no file of weights, or a damaged one"),
        (b"PK\x03\x04 cut off", "is no file of weights, or a damaged one"),
        (pickle.dumps([1.0], protocol=2), "is no file of weights, or a damaged one"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_released(path)


def test_a_file_cut_off_or_of_other_content_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes((STORED / "released.pt").read_bytes()[:100_000])
    with pytest.raises(ValueError, match="is no file of weights, or a damaged one"):
        read_released(path)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(ValueError, match="holds a list, expected weights by name"):
        read_released(path)
    with pytest.raises(FileNotFoundError, match="none.pt: no such file; pass a released"):
        read_released(tmp_path / "none.pt")


def test_classes_need_names(tmp_path, weights):
    path = save(tmp_path, as_classifier(weights))
    with pytest.raises(FileNotFoundError, match="tokens.txt: no such file, but it names the 3 cl"):
        read_released(path)
    named = read_released(path, labels=["n/a", "b", "c"]).model
    assert named.config.id2label == {0: "n/a", 1: "b", 2: "c"}
    assert named.config.label2id == {"n/a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "b"], ["a", "b", "c", "d"]])
def test_names_must_be_as_many_as_the_classes(tmp_path, weights, labels):
    path = save(tmp_path, as_classifier(weights))
    message = r"classifier has 3 classes, but the labels are \['a', 'b'.*\]; give each its name"
    with pytest.raises(ValueError, match=message):
        read_released(path, labels)


def test_reading_a_file_changes_no_random_number():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    read_released(STORED / "released.pt")
    assert torch.equal(torch.rand(2), expected)


def test_a_converted_folder_holds_the_same_weights(tmp_path, weights):
    base = convert(STORED / "released.pt", tmp_path / "base")
    plus = convert(save_classifier(tmp_path, weights), tmp_path / "plus")
    for auto, folder, expected in (
        (AutoModelForPreTraining, "base", base.model),
        (AutoModel, "base", base.encoder),
        (AutoModelForAudioClassification, "plus", plus.model),
    ):
        loaded = auto.from_pretrained(tmp_path / folder)
        assert type(loaded) is type(expected)
        assert loaded.state_dict().keys() == expected.state_dict().keys()
        for name, weight in expected.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], weight), name
    config = AutoModelForAudioClassification.from_pretrained(tmp_path / "plus").config
    assert config.id2label == dict(enumerate(LABELS))
    assert config.label2id == {"angry": 0, "happy": 1, "neutral": 2}


def test_the_command_converts_and_names_what_it_left_out(tmp_path, weights, capsys):
    path = save(tmp_path, weights, optimizer={})
    main([str(path), "--output", str(tmp_path / "folder")])
    num_weights = sum(w.numel() for w in weights.values())
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'folder'}: Emotion2vecForPreTraining, {num_weights:,} parameters",
        "left out: optimizer",
    ]
    assert (tmp_path / "folder" / "preprocessor_config.json").is_file()


def test_the_command_takes_names_of_classes(tmp_path, weights):
    path = save(tmp_path, as_classifier(weights))
    main([str(path), "--output", str(tmp_path / "folder"), "--labels", *LABELS])
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "folder")
    assert model.config.id2label == dict(enumerate(LABELS))


def test_the_command_ends_with_the_reason(tmp_path):
    with pytest.raises(SystemExit, match="error: none.pt: no such file; pass a released"):
        main(["none.pt", "--output", str(tmp_path)])
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="error: .*file: is a file; pass a folder to write"):
        main([str(STORED / "released.pt"), "--output", str(tmp_path / "file")])
