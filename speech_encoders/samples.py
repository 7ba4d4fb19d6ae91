"""The samples themselves as frames of one feature, for models that learn end to end."""

from torch import Tensor

from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions


class SampleEncoder:
    """Gives back what it is given; an instance is a `speech_encoders.SpeechEncoder`.

    Args:
        min_samples: The shortest clip that whatever hears the samples can hear.
    """

    identity = "samples format=1"
    num_layers = 1
    hidden_size = 1
    frame_rate = float(SAMPLE_RATE)

    def __init__(self, min_samples: int) -> None:
        self.min_samples = min_samples

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch: (B, S), (B,) -> (B, 1, S, 1), (B,); see `SpeechEncoder`."""
        check_waveforms(waveforms, lengths, self.min_samples)
        waveforms = waveforms[:, : int(lengths.max())]
        is_real = real_positions(lengths, waveforms.size(1))
        return waveforms.masked_fill(~is_real, 0.0)[:, None, :, None], lengths
