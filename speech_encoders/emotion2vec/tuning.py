"""emotion2vec to be trained, on samples or on the output of its frozen convolutions."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from speech_encoders.checkpoint import digest_weights, library_versions, quiet_loading
from speech_encoders.emotion2vec.feature_extraction import Emotion2vecFeatureExtractor
from speech_encoders.emotion2vec.front_end import HOP, RECEPTIVE_FIELD
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.windows import normalize
from speech_encoders.samples import SampleEncoder
from speech_encoders.tuning import describe_front_end
from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions

if TYPE_CHECKING:
    from speech_encoders import SpeechEncoder


class TunableEmotion2vec(nn.Module):
    """emotion2vec with gradients; see `speech_encoders.tuning.TunableEncoder`.

    Clips are heard whole, whatever their length: only the frozen encoder reads long recordings by
    windows.

    Args:
        model: The encoder.
        trains_front_end: Whether the convolutions learn.
    """

    adapted: tuple[str, ...] = ("query_key_value", "output", "up", "down")

    def __init__(self, model: Emotion2vecModel, *, trains_front_end: bool) -> None:
        super().__init__()
        self.model = model
        self.trains_front_end = trains_front_end
        self.hidden_size: int = model.config.hidden_size
        self.num_blocks: int = model.config.num_hidden_layers
        model.requires_grad_(True)
        for part in (model.front_end.convolutions, model.front_end.norms):
            part.requires_grad_(trains_front_end)
        self.reader: SpeechEncoder = (
            SampleEncoder(RECEPTIVE_FIELD) if trains_front_end else ConvolutionReader(model)
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S, 1) or (B, T, C), (B,) -> (B, T, D), (B,)."""
        extracted, num_frames = inputs, lengths
        if self.trains_front_end:
            extracted, num_frames = _convolve(self.model, inputs.squeeze(-1), lengths)
        front_end = self.model.front_end
        frames = front_end.projection(front_end.projection_norm(extracted))
        is_real = real_positions(num_frames, frames.size(1))
        mask = None if bool(is_real.all()) else is_real
        frames = frames + self.model.positional(frames, mask)
        outputs = self.model.encode(frames, mask=mask)
        return outputs.last[:, self.model.config.num_extra_tokens :], num_frames

    def keep_blocks(self, count: int) -> None:
        """Leaves out the blocks above the lowest ones."""
        self.model.encoder.blocks = self.model.encoder.blocks[:count]
        self.num_blocks = self.model.config.num_hidden_layers = count

    def save(self, folder: Path, settings: dict[str, object]) -> None:
        """Writes model, configuration and feature extractor."""
        for name, value in settings.items():
            setattr(self.model.config, name, value)
        with quiet_loading():
            self.model.save_pretrained(folder)
        Emotion2vecFeatureExtractor().save_pretrained(folder)


class ConvolutionReader:
    """The output of frozen convolutions; an instance is a `speech_encoders.SpeechEncoder`.

    Args:
        model: Whose convolutions.
    """

    num_layers = 1
    frame_rate = SAMPLE_RATE / HOP
    min_samples = RECEPTIVE_FIELD

    def __init__(self, model: Emotion2vecModel) -> None:
        self._model = model
        self.hidden_size: int = model.config.conv_dim
        front_end = model.front_end
        weights = digest_weights(
            {
                name: tensor
                for name, tensor in front_end.state_dict().items()
                if not name.startswith("projection")
            }
        )
        kind = f"emotion2vec eps={model.config.layer_norm_eps}"
        self.identity = describe_front_end(kind, weights, library_versions())

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch: (B, S), (B,) -> (B, 1, T, C), (B,); see `SpeechEncoder`."""
        check_waveforms(waveforms, lengths, self.min_samples)
        device = self._model.device
        waveforms = waveforms[:, : int(lengths.max())].to(device)
        frames, num_frames = _convolve(self._model, waveforms, lengths.to(device))
        padding = ~real_positions(num_frames, frames.size(1))
        return frames.masked_fill(padding[..., None], 0.0)[:, None], num_frames


def _convolve(model: Emotion2vecModel, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
    clips = [
        normalize(waveform[:length])
        for waveform, length in zip(waveforms, lengths.tolist(), strict=True)
    ]
    padded = nn.utils.rnn.pad_sequence(clips, batch_first=True)
    return model.front_end.extract(padded), (lengths - RECEPTIVE_FIELD) // HOP + 1
