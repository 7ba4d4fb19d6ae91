import json
import subprocess
import sys
import threading
import types
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import transformers
from torch.nn.functional import pad

from speech_encoders import checkpoint, identify, load_speech_encoder
from speech_encoders.waveforms import SAMPLE_RATE

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
}
LAYER_NORM = {**SMALL, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
VARIANTS = {
    "wav2vec2-group": ("Wav2Vec2", {**SMALL, "feat_extract_norm": "group"}),
    "wav2vec2-layer": ("Wav2Vec2", LAYER_NORM),
    "wav2vec2-post": ("Wav2Vec2", {**LAYER_NORM, "do_stable_layer_norm": False}),
    "hubert-group": ("Hubert", {**SMALL, "feat_extract_norm": "group"}),
    "hubert-layer": ("Hubert", LAYER_NORM),
    "hubert-batch-norm": ("Hubert", {**LAYER_NORM, "conv_pos_batch_norm": True}),
    "wavlm-group": ("WavLM", {**SMALL, "feat_extract_norm": "group"}),
    "wavlm-layer": ("WavLM", LAYER_NORM),
    "data2vec-audio": ("Data2VecAudio", {**SMALL, "conv_pos_kernel_size": 5}),
}


def save_model(
    folder: Path, family: str, settings: Mapping[str, object], do_normalize: bool = True
) -> transformers.PreTrainedModel:
    """Saves a small random model as transformers does, and how it wants its waveforms."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    model = getattr(transformers, f"{family}Model")(config)
    for parameter in model.parameters():  # norms that change their input, biases that are not 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return model.eval()


def make_clips(*sizes: int) -> list[torch.Tensor]:
    """Noise around 0.3, so that normalising matters."""
    generator = torch.Generator().manual_seed(1)
    return [0.3 + 0.1 * torch.randn(size, generator=generator) for size in sizes]


def stack(clips: list[torch.Tensor], filling: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads clips of (S,) into (B, S) and their lengths (B,)."""
    size = max(map(len, clips))
    padded = [pad(clip, (0, size - len(clip)), value=filling) for clip in clips]
    return torch.stack(padded), torch.tensor([len(clip) for clip in clips])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clip_is_the_same_alone_and_in_a_padded_batch(tmp_path, variant):
    save_model(tmp_path, *VARIANTS[variant])
    encoder = load_speech_encoder(str(tmp_path))
    clips = make_clips(1_600, 800, 403, 800, 20)

    together, num_frames = encoder(*stack(clips, filling=float("nan")))

    for clip, states, count in zip(clips, together, num_frames, strict=True):
        alone, alone_frames = encoder(*stack([clip]))
        assert alone_frames.tolist() == [count] == [((len(clip) - 10) // 5 + 1 - 3) // 2 + 1]
        torch.testing.assert_close(states[:, :count], alone[0], atol=1e-4, rtol=1e-4)
        assert not states[:, count:].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_states_are_those_of_the_model_on_the_normalised_clip(tmp_path, variant):
    model = save_model(tmp_path, *VARIANTS[variant])
    (clip,) = make_clips(1_600)
    states, _ = load_speech_encoder(str(tmp_path))(*stack([clip]))

    normalised = (clip - clip.mean()) / (clip.var(correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        output = model(normalised[None], output_hidden_states=True)
    torch.testing.assert_close(states[:, 0], output.hidden_states[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(states[:, 1], output.hidden_states[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(states[:, -1], output.last_hidden_state, atol=1e-4, rtol=1e-4)


def test_wavlm_attends_by_a_fused_kernel(tmp_path, monkeypatch):
    save_model(tmp_path, *VARIANTS["wavlm-layer"])
    encoder, calls = load_speech_encoder(str(tmp_path)), []
    fused = torch.nn.functional.scaled_dot_product_attention

    def count(*inputs, **options):
        calls.append(inputs[3].shape)
        return fused(*inputs, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", count)
    _, num_frames = encoder(*stack(make_clips(800, 403)))
    frames = int(num_frames.max())
    assert calls == [(2, 2, frames, frames)] * 2  # clips, heads; two layers


@pytest.mark.parametrize(("do_normalize", "is_normalised"), [(True, 1), (False, 0)])
def test_loudness_matters_only_to_models_that_do_not_normalise(
    tmp_path, do_normalize, is_normalised
):
    save_model(tmp_path, "WavLM", {**LAYER_NORM, "conv_bias": True}, do_normalize)
    encoder = load_speech_encoder(str(tmp_path))
    (clip,) = make_clips(800)
    quiet, _ = encoder(*stack([clip]))
    loud, _ = encoder(*stack([3 * clip]))
    assert torch.allclose(quiet, loud, atol=1e-3) == bool(is_normalised)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_encoder_describes_its_states(tmp_path, variant):
    save_model(tmp_path, *VARIANTS[variant])
    encoder = load_speech_encoder(str(tmp_path))
    states, _ = encoder(torch.zeros(1, encoder.min_samples), torch.tensor([encoder.min_samples]))
    assert encoder.min_samples == (3 - 1) * 5 + 10
    assert encoder.frame_rate == SAMPLE_RATE / 10
    assert (encoder.num_layers, encoder.hidden_size) == (3, 16)
    assert states.shape == (1, 3, 1, 16)
    assert states.is_inference()


def test_an_adapter_behind_the_layers_is_left_out(tmp_path):
    save_model(tmp_path, "Wav2Vec2", {**LAYER_NORM, "add_adapter": True, "output_hidden_size": 16})
    states, num_frames = load_speech_encoder(str(tmp_path))(*stack(make_clips(800)))
    assert states.shape == (1, 3, num_frames.item(), 16)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
FAULTS = {
    "pointer": (lambda whole: POINTER, "is a pointer of git-lfs; run 'git lfs pull"),
    "page": (lambda whole: b"\n<!DOCTYPE html><title>Sign in", "is a web page; download the file"),
    "nothing": (lambda whole: b"", "is empty; fetch it again"),
    "cut": (lambda whole: whole[:-100], "is cut or broken .*not fully covered.*; fetch it"),
    "header": (
        lambda whole: whole[:40] + b"\0" + whole[41:],
        "is cut or broken .*; fetch it again",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_are_not_whole_are_named_with_the_remedy(tmp_path, fault):
    spoil, message = FAULTS[fault]
    save_model(tmp_path, *VARIANTS["hubert-group"])
    file = tmp_path / "model.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{tmp_path}: {file} {message}"):
        load_speech_encoder(str(tmp_path))


@pytest.mark.parametrize("spoilt", ["pytorch_model.bin", "config.json", "preprocessor_config.json"])
def test_whatever_a_library_raises_on_a_checkpoint_names_its_folder(tmp_path, spoilt):
    model = save_model(tmp_path, *VARIANTS["hubert-group"])
    if spoilt == "pytorch_model.bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(model.state_dict(), tmp_path / spoilt)
    (tmp_path / spoilt).write_bytes((tmp_path / spoilt).read_bytes()[:-30])
    with pytest.raises(ValueError, match=f"{tmp_path}.* again") as raised:
        load_speech_encoder(str(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 3}, "does not load .*embed_dim.*; its files are config.json, mo"),
        ({"conv_kernel": [3]}, "does not load "),
        (
            {"hidden_size": 60_000},
            r"does not load .*config.json describes .* weights have .* bytes",
        ),
        ({"intermediate_size": 7}, r"weights do not fit config.json, first 'encoder.*of shape"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(tmp_path, change, message):
    save_model(tmp_path, *VARIANTS["hubert-group"])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match=f"{tmp_path}: .*{message}") as raised:
        load_speech_encoder(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_part_of_the_weights_that_is_missing_is_named(tmp_path):
    model = save_model(tmp_path, *VARIANTS["hubert-group"])
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    first, *_ = sorted(tmp_path.glob("model-*"))
    first.unlink()
    with pytest.raises(ValueError, match=f"lists 1 files that are missing, first {first.name}; "):
        load_speech_encoder(str(tmp_path))


def test_an_adapter_alone_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(
        FileNotFoundError, match=f"{tmp_path} holds a low-rank adapter alone .*merg"
    ):
        load_speech_encoder(str(tmp_path))


def test_the_identity_follows_weights_and_settings_not_the_folder(tmp_path):
    folders = {name: tmp_path / name for name in ("one", "copy", "weights", "settings")}
    models = [save_model(folder, *VARIANTS["hubert-group"]) for folder in folders.values()]
    model = models[0]
    next(model.parameters()).data += 1
    model.save_pretrained(folders["weights"])
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folders["settings"])
    identity = {name: load_speech_encoder(str(folder)).identity for name, folder in folders.items()}
    assert identity["one"] == identity["copy"]
    assert len(set(identity.values())) == 3
    assert f"transformers={transformers.__version__}" in identity["one"]
    assert {name: identify(str(folder)) for name, folder in folders.items()} == identity


def test_another_model_family_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "encodec"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    supported = "wav2vec2, hubert, wavlm, data2vec-audio, whisper"
    with pytest.raises(
        ValueError, match=f"'encodec' is not supported; expected one of {supported}"
    ):
        load_speech_encoder(str(tmp_path))


def test_a_folder_that_does_not_say_how_to_prepare_clips_is_refused(tmp_path):
    save_model(tmp_path, *VARIANTS["hubert-group"])
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=f"{tmp_path}: has no preprocessor_config.json.*; copy"):
        load_speech_encoder(str(tmp_path))


def test_another_sample_rate_is_refused(tmp_path):
    save_model(tmp_path, *VARIANTS["hubert-group"])
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expects speech at 8000 Hz, but waveforms have 16000 Hz"):
        load_speech_encoder(str(tmp_path))


def test_weights_that_are_missing_are_never_random(tmp_path):
    save_model(tmp_path, *VARIANTS["hubert-group"])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"lacks 16 weights of HubertModel, first 'encoder\.lay"):
        load_speech_encoder(str(tmp_path))


def test_a_folder_without_weights_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} lacks config\.json or weights"):
        load_speech_encoder(str(tmp_path))


@pytest.mark.parametrize("name", ["no-such/model", "/no/such/folder"])
def test_a_checkpoint_that_is_nowhere_names_what_was_tried(name):
    message = rf"{name}: no such local folder, not in the hub's cache, .*HF_HUB_OFFLINE is set\)"
    with pytest.raises(FileNotFoundError, match=message):
        load_speech_encoder(name)


def test_a_silent_hub_is_given_up_after_seconds(monkeypatch):
    released = threading.Event()

    class SilentHub:
        def model_info(self, name: str, timeout: float) -> None:
            released.wait()

    monkeypatch.setattr(checkpoint, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint, "HfApi", SilentHub)
    monkeypatch.setattr(checkpoint, "_HUB_SECONDS", 0.05)
    with pytest.raises(FileNotFoundError, match=r"no answer within 0\.05 s"):
        load_speech_encoder("some/model")
    released.set()


def test_what_the_hub_answers_reaches_the_user(monkeypatch):
    class RefusingHub:
        def model_info(self, name: str, timeout: float) -> None:
            raise ConnectionError(f"{name} is gated")

    monkeypatch.setattr(checkpoint, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint, "HfApi", RefusingHub)
    with pytest.raises(FileNotFoundError, match=r"ConnectionError: some/model is gated"):
        load_speech_encoder("some/model")


def test_only_the_files_that_are_used_are_downloaded(monkeypatch, tmp_path):
    files = ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5"]
    siblings = [types.SimpleNamespace(rfilename=name) for name in files]
    asked: list[tuple[str, str, list[str]]] = []

    class Hub:
        def model_info(self, name: str, timeout: float) -> types.SimpleNamespace:
            return types.SimpleNamespace(sha="c0ffee", siblings=siblings)

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        save_model(tmp_path, *VARIANTS["hubert-group"])
        return str(tmp_path)

    monkeypatch.setattr(checkpoint, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint, "HfApi", Hub)
    monkeypatch.setattr(checkpoint, "_find_cached", lambda name: None)
    monkeypatch.setattr(checkpoint, "snapshot_download", download)
    assert load_speech_encoder("some/model").hidden_size == 16
    ((name, revision, patterns),) = asked
    assert (name, revision) == ("some/model", "c0ffee")
    assert "model.safetensors" in patterns
    assert not {"pytorch_model.bin", "tf_model.h5"} & set(patterns)


def test_importing_the_package_loads_no_heavy_library():
    code = "import speech_encoders, sys; print({'torch', 'transformers'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"
