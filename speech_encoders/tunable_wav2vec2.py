"""wav2vec 2.0, HuBERT, WavLM and data2vec-audio to be trained, convolutions frozen or not."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor

from speech_encoders.checkpoint import digest_weights, library_versions, quiet_loading
from speech_encoders.samples import SampleEncoder
from speech_encoders.tuning import describe_front_end
from speech_encoders.wav2vec2 import count_frames, min_samples, normalize
from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions

_ADAPTED = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")


class TunableWav2Vec2(nn.Module):
    """A model of the family with gradients; see `speech_encoders.tuning.TunableEncoder`.

    Convolutions whose group norm sees the padding are given clips of one length at a time, and so
    are Transformers whose positional convolutions see it. Batch norms keep the statistics that they
    came with: those of a batch would let clips change each other.

    Args:
        model: A base model of the family.
        do_normalize: Whether the model expects clips of zero mean and unit variance.
        trains_front_end: Whether the convolutions learn.
    """

    def __init__(
        self, model: PreTrainedModel, *, do_normalize: bool, trains_front_end: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.do_normalize = do_normalize
        self.trains_front_end = trains_front_end
        self.hidden_size: int = model.config.hidden_size
        self.num_blocks: int = model.config.num_hidden_layers
        # WavLM's attention reads the weights of its maps past any adapter around them.
        self.adapted: tuple[str, ...] = (
            _ADAPTED[4:] if model.config.model_type == "wavlm" else _ADAPTED
        )
        self._front_end().requires_grad_(trains_front_end)
        needed = min_samples(model.config)
        self.reader = SampleEncoder(needed) if trains_front_end else ConvolutionReader(self, needed)

    def train(self, mode: bool = True) -> "TunableWav2Vec2":
        """Switches the mode; batch norms always keep their statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S, 1) or (B, T, C), (B,) -> (B, T, D), (B,)."""
        frames, num_frames = inputs, lengths
        if self.trains_front_end:
            frames, num_frames = self.convolve(inputs.squeeze(-1), lengths)
        if self.model.config.model_type == "data2vec-audio" or getattr(
            self.model.config, "conv_pos_batch_norm", False
        ):
            return _by_length(self._contextualise, frames, num_frames, num_frames), num_frames
        return self._contextualise(frames, num_frames), num_frames

    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
        is_real = real_positions(lengths, waveforms.size(1))
        waveforms = waveforms.masked_fill(~is_real, 0.0)
        if self.do_normalize:
            waveforms = normalize(waveforms, is_real)
        num_frames = count_frames(lengths, self.model.config)
        if _norm(self.model.config) == "layer":
            frames = self._convolve(waveforms, lengths)
            return frames[:, : int(num_frames.max())], num_frames
        return _by_length(self._convolve, waveforms, lengths, num_frames), num_frames

    def keep_blocks(self, count: int) -> None:
        """Leaves out the blocks above the lowest ones."""
        encoder = self.model.get_submodule("encoder")
        encoder.layers = encoder.get_submodule("layers")[:count]  # pyright: ignore
        self.num_blocks = self.model.config.num_hidden_layers = count

    def save(self, folder: Path, settings: dict[str, object]) -> None:
        """Writes model, configuration and what its clips must be like."""
        for name, value in settings.items():
            setattr(self.model.config, name, value)
        with quiet_loading():
            self.model.save_pretrained(folder)
        Wav2Vec2FeatureExtractor(do_normalize=self.do_normalize).save_pretrained(folder)

    def _front_end(self) -> nn.Module:
        return self.model.get_submodule("feature_extractor")

    def _convolve(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        del lengths
        return self._front_end()(waveforms).transpose(1, 2)

    def _contextualise(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        """Runs projection and Transformer: (B, T, C), (B,) -> (B, T, D)."""
        config = self.model.config
        states = self.model.get_submodule("feature_projection")(frames)
        states = states[0] if isinstance(states, tuple) else states
        mask = real_positions(num_frames, frames.size(1))
        if frames.size(1) > config.mask_time_length:  # else there is no room for a masked span
            mask_states = self.model._mask_hidden_states  # pyright: ignore[reportCallIssue]
            states = mask_states(states, attention_mask=mask.long())  # pyright: ignore
        with warnings.catch_warnings():
            # WavLM hands PyTorch a float bias and a boolean mask; both are applied as they should.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            encode = self.model.get_submodule("encoder")
            output = encode(states, attention_mask=None if bool(mask.all()) else mask)
        return output.last_hidden_state


class ConvolutionReader:
    """The output of frozen convolutions; an instance is a `speech_encoders.SpeechEncoder`.

    Args:
        encoder: Whose convolutions.
        needed: Samples of the shortest clip that gives a frame.
    """

    num_layers = 1

    def __init__(self, encoder: TunableWav2Vec2, needed: int) -> None:
        config = encoder.model.config
        # Kept as a tuple so that no module owns the other.
        self._encoder = (encoder,)
        self.hidden_size: int = config.conv_dim[-1]
        self.frame_rate = SAMPLE_RATE / math.prod(config.conv_stride)
        self.min_samples = needed
        weights = digest_weights(encoder.model.get_submodule("feature_extractor").state_dict())
        kind = f"{config.model_type} {_norm(config)} normalised={encoder.do_normalize}"
        self.identity = describe_front_end(kind, weights, library_versions())

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch: (B, S), (B,) -> (B, 1, T, C), (B,); see `SpeechEncoder`."""
        check_waveforms(waveforms, lengths, self.min_samples)
        encoder = self._encoder[0]
        device = encoder.model.device
        waveforms = waveforms[:, : int(lengths.max())].to(device)
        frames, num_frames = encoder.convolve(waveforms, lengths.to(device))
        padding = ~real_positions(num_frames, frames.size(1))
        return frames.masked_fill(padding[..., None], 0.0)[:, None], num_frames


def _norm(config: PreTrainedConfig) -> str:
    """Tells whether the convolutions normalise a frame (layer) or a clip (group)."""
    return getattr(config, "feat_extract_norm", "layer")  # data2vec knows no other


def _by_length(
    encode: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    lengths: Tensor,
    num_frames: Tensor,
) -> Tensor:
    """Encodes clips of equal length together: (B, N, ...), (B,), (B,) -> (B, T, D)."""
    rows, parts = [], []
    for length in lengths.unique().tolist():
        chosen = (lengths == length).nonzero().flatten()
        part = encode(inputs[chosen, :length], lengths[chosen])
        missing = int(num_frames.max()) - part.size(1)
        parts.append(nn.functional.pad(part, (0, 0, 0, missing)))
        rows.append(chosen)
    return torch.cat(parts)[torch.cat(rows).argsort()]
