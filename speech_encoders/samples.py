"""The samples themselves as frames of one feature, for models that are trained end to end."""

from torch import Tensor

from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE


class SampleEncoder(WaveformEncoder):
    """Returns its input: frames of one feature, 16,000 a second.

    Args:
        min_samples: The shortest clip that the model on the samples accepts.
    """

    identity = "samples format=1"
    num_layers = 1
    hidden_size = 1
    frame_rate = float(SAMPLE_RATE)

    def __init__(self, min_samples: int) -> None:
        self.min_samples = min_samples

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Copies the samples: (B, S), (B,) -> (B, 1, S, 1), (B,)."""
        return waveforms.clone()[:, None, :, None], lengths


def load(name: str, device: str) -> SampleEncoder:
    """Builds the encoder for models of CPC's receptive field."""
    del name, device
    from speech_encoders.cpc.modeling import RECEPTIVE_FIELD

    return SampleEncoder(RECEPTIVE_FIELD)
