"""Hidden states of wav2vec 2.0 and the models of its shape: HuBERT, WavLM, data2vec-audio."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE, Framing, encode_by_length, real_positions


class Wav2Vec2Encoder(WaveformEncoder):
    """The input of the first Transformer layer and the output of each (Baevski et al., 2020).

    The last layer is the model's own output, after the final layer norm where there is one. Models
    whose front end normalises over time, or whose positional convolution would read the padding,
    get clips of equal length together; all others get a padded batch and its mask.

    Args:
        model: A base model of the family in evaluation mode.
        identity: All that the hidden states depend on.
        do_normalize: Whether the model expects clips of zero mean and unit variance.
    """

    def __init__(self, model: PreTrainedModel, *, identity: str, do_normalize: bool) -> None:
        self.model = model
        self.identity = identity
        self.do_normalize = do_normalize
        self.num_layers = model.config.num_hidden_layers + 1
        self.hidden_size = model.config.hidden_size
        self.framing = read_framing(model.config)
        self.frame_rate = SAMPLE_RATE / self.framing.hop
        self.min_samples = self.framing.receptive_field

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes all together or by length: (B, S), (B,) -> (B, L, T, D), (B,)."""
        config, device = self.model.config, self.model.device
        waveforms, lengths = waveforms.to(device), lengths.to(device)
        waveforms = prepare_waveforms(waveforms, lengths, do_normalize=self.do_normalize)
        if convolution_norm(config) == "layer" and not positions_read_padding(config):
            states = self._encode(waveforms, lengths)
        else:
            states = encode_by_length(self._encode, waveforms, lengths)
        return states, self.framing.count_each(lengths)

    def _encode(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Runs the model: (B, S), (B,) -> (B, L, T, D)."""
        mask = real_positions(lengths, waveforms.size(1))
        mask = None if bool(mask.all()) else mask
        with mixed_masks():
            output = self.model(waveforms, attention_mask=mask, output_hidden_states=True)
        # Transformers gives the last layer before the final layer norm, the output after it.
        return torch.stack([*output.hidden_states[:-1], output.last_hidden_state], dim=1)


def prepare_waveforms(waveforms: Tensor, lengths: Tensor, *, do_normalize: bool) -> Tensor:
    """Zeroes the padding and, if asked to, normalises each clip: (B, S), (B,) -> (B, S).

    A normalised clip has zero mean and unit variance over its real samples.
    """
    is_real = real_positions(lengths, waveforms.size(1))
    waveforms = waveforms.masked_fill(~is_real, 0.0)
    if not do_normalize:
        return waveforms
    size = is_real.sum(dim=1, keepdim=True)
    centred = waveforms - waveforms.sum(dim=1, keepdim=True) / size
    centred = centred.masked_fill(~is_real, 0.0)
    return centred / (centred.square().sum(dim=1, keepdim=True) / size + 1e-7).sqrt()


def convolution_norm(config: PreTrainedConfig) -> str:
    """Returns whether the convolutions normalise a frame (layer) or a clip (group).

    A group norm over time reads the padding, so that clips must not be padded.
    """
    return getattr(config, "feat_extract_norm", "layer")  # data2vec has no other


def positions_read_padding(config: PreTrainedConfig) -> bool:
    """Returns whether positional convolutions let the padding change the frames of a clip.

    So do several stacked ones (data2vec) and a batch norm before one (a HuBERT variant), because
    only the input of the first convolution is zeroed at the padding.
    """
    is_stacked = config.model_type == "data2vec-audio"
    return is_stacked or bool(getattr(config, "conv_pos_batch_norm", False))


@contextmanager
def mixed_masks() -> Iterator[None]:
    """Silences PyTorch where WavLM gives it a float bias with a boolean mask; both are applied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        yield


def read_framing(config: PreTrainedConfig) -> Framing:
    """Returns how the frames of the convolutions lie on samples."""
    hop = receptive_field = 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        receptive_field += (kernel - 1) * hop
        hop *= stride
    return Framing(hop, receptive_field)
