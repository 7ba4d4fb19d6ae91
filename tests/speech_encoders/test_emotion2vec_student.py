"""emotion2vec's masked student: FunASR's predictions, its inputs, masks that do not fit."""

import pytest
import torch

from speech_encoders.emotion2vec import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.pretraining import kept_positions
from speech_encoders.emotion2vec.released import read_released
from tests.emotion2vec_models import STORED, make_config, normalise


@pytest.fixture
def student() -> Emotion2vecForPreTraining:
    torch.manual_seed(0)
    return Emotion2vecForPreTraining(make_config()).eval()


@torch.no_grad()
def test_the_masked_student_predicts_what_funasr_predicts():
    stages = torch.load(STORED / "stages.pt", weights_only=True)
    student = read_released(STORED / "released.pt").model
    clip = normalise(stages["waveform"])[None].repeat(2, 1)
    size = stages["predictions"].shape
    # Every third frame is masked, from the second clip those one later, and none after the last 3.
    masked = torch.arange(size[1]).repeat(2, 1) % 3 == torch.tensor([[0], [1]])
    masked[:, 3 * (size[1] // 3) :] = False
    output = student(clip, masked, torch.zeros(size))
    torch.testing.assert_close(output.predictions, stages["predictions"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("masked", "message"),
    [
        (torch.zeros(2, 3), r"masked has shape \(2, 3\), expected \(2, 4\)"),
        (torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0]]), r"masks keep \[2, 3\] frames of a clip"),
        (torch.ones(2, 4), r"masks keep \[0\] frames of a clip, expected one number above 0"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masked, message):
    with pytest.raises(ValueError, match=message):
        kept_positions(masked.bool(), torch.zeros(2, 4, 8))


@torch.no_grad()
def test_no_masked_frame_changes_the_student(student):
    frames, masked = torch.randn(1, 12, 32), torch.arange(12)[None] % 4 == 1
    changed = frames + 5.0 * masked[..., None]
    one, other = (student.predict(f, masked, torch.zeros_like(f)) for f in (frames, changed))
    torch.testing.assert_close(one.predictions, other.predictions)
    kept = kept_positions(masked, frames)
    assert kept.tolist() == [[0, 2, 3, 4, 6, 7, 8, 10, 11]]


def test_the_decoder_gets_small_noise_at_masked_frames(student):
    encoded = []
    student.decoder.register_forward_hook(lambda _, inputs, __: encoded.append(inputs[2]))
    student(torch.randn(1, 16_000), torch.arange(49)[None] % 2 == 0)
    assert encoded[0].std().item() == pytest.approx(0.01, rel=0.1)
