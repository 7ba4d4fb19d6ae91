"""The lower blocks of Whisper in 8 bits, against the whole encoder in full precision."""

import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from speech_encoders import load_speech_encoder
from speech_encoders.quantised import read_quantised, write_quantised
from speech_encoders.tuning import load_tunable
from speech_encoders.whisper import lower
from tests.speech_encoders.test_pretrained_speech import make_clips, stack
from tests.speech_encoders.test_whisper import save_whisper

SHIPPED = Path(lower.__file__).parent / "base_lower"
DIGEST = "748732d552dd50f78dc472645c54ceef92a5b625f3d36ba2df7ecd1fe0693148"


def test_weights_in_8_bits_are_off_by_half_a_step_of_their_row(tmp_path):
    weight = torch.tensor([[1.27, -0.304, 0.0], [0.0, 0.0, 0.0], [-254.0, 3.0, 1.0]])
    bias = torch.tensor([1.5, -2.0])
    write_quantised({"map": weight, "bias": bias}, tmp_path / "w")
    stored, read = load_file(tmp_path / "w"), read_quantised(tmp_path / "w")
    assert stored["map"].tolist() == [[127, -30, 0], [0, 0, 0], [-127, 2, 0]]
    assert read["bias"].tolist() == [1.5, -2.0]
    steps = torch.tensor([[0.01], [0.0], [2.0]])
    assert ((read["map"] - weight).abs() <= steps * 0.51 + 1e-3).all()


def test_the_lower_blocks_give_the_lower_states_of_the_whole(tmp_path):
    save_whisper(tmp_path / "whole")
    lower.make(str(tmp_path / "whole"), 1, tmp_path / "lower")
    waveforms, lengths = stack(make_clips(8_000, 3_000))
    whole, _ = load_speech_encoder(str(tmp_path / "whole"))(waveforms, lengths)
    states, num_frames = load_speech_encoder(str(tmp_path / "lower"))(waveforms, lengths)
    assert states.shape[1] == 2
    assert num_frames.tolist() == [25, 10]
    assert (states - whole[:, :2]).abs().mean() < 0.01 * whole[:, :2].abs().mean()


def test_a_checkpoint_gives_the_same_bytes_in_either_precision(tmp_path):
    model = save_whisper(tmp_path / "half")
    model.half().save_pretrained(tmp_path / "half")
    save_whisper(tmp_path / "whole")
    model.float().save_pretrained(tmp_path / "whole")
    for name in ("half", "whole"):
        lower.main(
            [str(tmp_path / name), "--blocks", "1", "--output", str(tmp_path / f"of-{name}")]
        )
    for file in (tmp_path / "of-half").iterdir():
        assert file.read_bytes() == (tmp_path / "of-whole" / file.name).read_bytes()


def test_tuned_lower_blocks_are_a_folder_that_gives_the_same(tmp_path):
    save_whisper(tmp_path / "whole")
    lower.make(str(tmp_path / "whole"), 1, tmp_path / "lower")
    tunable = load_tunable(str(tmp_path / "lower"))
    tunable.save(tmp_path / "tuned", {})
    waveforms, lengths = stack(make_clips(8_000))
    expected, _ = load_speech_encoder(str(tmp_path / "lower"))(waveforms, lengths)
    states, _ = load_speech_encoder(str(tmp_path / "tuned"))(waveforms, lengths)
    torch.testing.assert_close(states, expected)


@pytest.mark.parametrize(("blocks", "message"), [("0", "must be 1 to 2"), ("3", "must be 1 to 2")])
def test_blocks_that_there_are_not_are_refused(tmp_path, blocks, message):
    save_whisper(tmp_path / "whole")
    with pytest.raises(SystemExit, match=f"error: --blocks {message}, the blocks of"):
        lower.main([str(tmp_path / "whole"), "--blocks", blocks, "--output", str(tmp_path / "out")])


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_broken_folder_is_one_line(tmp_path, file, is_cut):
    save_whisper(tmp_path / "whole")
    lower.make(str(tmp_path / "whole"), 1, tmp_path / "lower")
    (tmp_path / "lower" / file).write_bytes(
        (tmp_path / "lower" / file).read_bytes()[:-20] if is_cut else b""
    )
    with pytest.raises(ValueError, match=f"{tmp_path}/lower.*again") as raised:
        load_speech_encoder(str(tmp_path / "lower"))
    assert "\n" not in str(raised.value)


def test_the_shipped_encoder_is_small_and_listens_offline():
    (file,) = SHIPPED.glob("*.safetensors")
    assert file.stat().st_size < 20e6
    encoder = load_speech_encoder("whisper-base-lower")
    states, num_frames = encoder(*stack(make_clips(16_000, 4_001)))
    assert (encoder.num_layers, encoder.hidden_size, encoder.frame_rate) == (6, 512, 50.0)
    assert states.shape == (2, 6, 50, 512)
    assert num_frames.tolist() == [50, 13]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == DIGEST


def test_the_script_makes_the_shipped_encoder_from_the_public_checkpoint(tmp_path):
    folder = os.environ.get("CONVERSATION_EMOTION_WHISPER_BASE", "")
    if not (Path(folder) / "config.json").is_file():
        pytest.skip("CONVERSATION_EMOTION_WHISPER_BASE names no folder of openai/whisper-base")
    lower.main([folder, "--output", str(tmp_path)])
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (SHIPPED / file.name).read_bytes()
