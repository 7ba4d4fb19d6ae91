"""CPC as a speech encoder: clips and recordings in, contexts out."""

from torch import Tensor, nn

from speech_encoders.checkpoint import digest_weights, library_versions, load_encoder
from speech_encoders.contract import SampleEncoder, WaveformEncoder
from speech_encoders.cpc.modeling import HOP, RECEPTIVE_FIELD, CpcModel
from speech_encoders.waveforms import SAMPLE_RATE, real_positions

FORMAT = 1
"""Number in the identity; grows when the same weights give other features."""

PREFIX = "cpc:"
"""Before a hub id; a local folder needs none."""


class CpcEncoder(WaveformEncoder):
    """The contexts of a model in evaluation mode as the one layer, at 100 Hz; no latents."""

    frame_rate = SAMPLE_RATE / HOP
    min_samples = RECEPTIVE_FIELD
    num_layers = 1

    def __init__(self, model: CpcModel) -> None:
        self.model = model
        self.hidden_size = model.config.hidden_size
        digest = digest_weights(model.state_dict(), header=f"{model.config.input_gain}\n")
        self.identity = f"cpc format={FORMAT} sha256={digest} {library_versions()}"

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes the padded batch: (B, S), (B,) -> (B, 1, T, D), (B,)."""
        waveforms, lengths = waveforms.to(self.model.device), lengths.to(self.model.device)
        output = self.model(waveforms, real_positions(lengths, waveforms.size(1)))
        return output.last_hidden_state[:, None], output.frame_mask.sum(dim=1)


def load(name: str, device: str) -> WaveformEncoder:
    """Loads a folder or hub id in float32, with or without ``cpc:``; ``samples`` for its input."""
    if name == "samples":
        return SampleEncoder(RECEPTIVE_FIELD)
    model = load_encoder(CpcModel, name.removeprefix(PREFIX))
    nn.Module.to(model, device)
    return CpcEncoder(model)
