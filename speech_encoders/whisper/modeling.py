"""The two halves of Whisper's encoder, on as many frames as a batch of clips has."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speech_encoders.waveforms import SAMPLE_RATE, real_positions, split_windows
from speech_encoders.whisper.log_mel import HOP, log_mel

SAMPLES_PER_FRAME = 2 * HOP
FRAME_RATE = SAMPLE_RATE // SAMPLES_PER_FRAME


class WhisperModel(WhisperEncoder):
    """The encoder of the transformers library, whose final norm may be left out.

    The norm belongs to the last block of the whole encoder. A configuration with ``final_norm``
    false is that of lower blocks alone, whose states stay as they are.
    """

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        if not getattr(config, "final_norm", True):
            self.layer_norm = nn.Identity()


def convolve(model: WhisperModel, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Runs log-mel and convolutions, window by window: (B, S), (B,) -> (R, T, D), (R,).

    A clip of up to `window_frames` is one window (R = B); a longer one becomes several that follow
    each other without overlap. Samples after a clip's length may be anything.
    """
    most_samples = window_frames(model) * SAMPLES_PER_FRAME
    waveforms = waveforms.masked_fill(~real_positions(lengths, waveforms.size(1)), 0.0)
    windows, sizes = split_windows(waveforms, lengths, most_samples)
    num_frames = count_frames(sizes)
    spectra = log_mel(windows, 2 * num_frames, model.num_mel_bins, most_samples)
    frames = gelu(model.conv2(gelu(model.conv1(spectra))))
    return frames.transpose(1, 2), num_frames


def contextualise(model: WhisperModel, frames: Tensor, num_frames: Tensor) -> list[Tensor]:
    """Runs the Transformer on windows: (R, T, D), (R,) -> L x (R, T, D), the last normalised."""
    is_real = real_positions(num_frames, frames.size(1))
    mask = None if bool(is_real.all()) else is_real[:, None, None]
    return run_blocks(model, frames + model.embed_positions.weight[: frames.size(1)], mask)


def run_blocks(model: WhisperModel, states: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Runs the blocks: (R, T, D), real frames (R, 1, 1, T) or None if all -> L x (R, T, D)."""
    layers = [dropout(states, model.dropout, model.training)]
    for block in model.layers:
        is_left_out = model.training and torch.rand([]) < model.layerdrop
        layers.append(layers[-1] if is_left_out else block(layers[-1], mask))
    return [*layers[:-1], model.layer_norm(layers[-1])]


def count_frames(lengths: Tensor) -> Tensor:
    """Returns the frames of clips, a begun one included: (B,) samples -> (B,)."""
    return -(-lengths // SAMPLES_PER_FRAME)


def window_frames(model: WhisperModel) -> int:
    """Returns the frames that the model has positions for: 1,500, 30 s."""
    return model.config.max_source_positions
