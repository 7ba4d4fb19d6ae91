"""Hidden states of wav2vec 2.0 and the models of its shape: HuBERT, WavLM, data2vec-audio."""

import math
import warnings
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor

from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions


class Wav2Vec2Encoder:
    """The input of the first Transformer layer and the output of each (Baevski et al., 2020).

    The last layer is the model's own output, behind the final layer norm where there is one.
    Models whose front end normalises over time, or whose positional convolution would read the
    padding, see clips of equal length together; all others see a padded batch and its mask.
    An instance is a `speech_encoders.SpeechEncoder`.

    Args:
        model: A base model of the family in evaluation mode.
        identity: All that the hidden states depend on.
        do_normalize: Whether the model expects clips of zero mean and unit variance.
    """

    def __init__(self, model: PreTrainedModel, *, identity: str, do_normalize: bool) -> None:
        self.model = model
        self.identity = identity
        self.do_normalize = do_normalize
        self.num_layers: int = model.config.num_hidden_layers + 1
        self.hidden_size: int = model.config.hidden_size
        self.frame_rate = SAMPLE_RATE / math.prod(model.config.conv_stride)
        self.min_samples = min_samples(model.config)

    @classmethod
    def from_checkpoint(
        cls, model: PreTrainedModel, folder: Path, identity: str
    ) -> "Wav2Vec2Encoder":
        """Reads beside the weights how the model expects its clips.

        Raises:
            ValueError: The model expects another sample rate.
        """
        extractor = Wav2Vec2FeatureExtractor()
        if any(
            (folder / name).is_file()
            for name in ("preprocessor_config.json", "processor_config.json")
        ):
            extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
        if extractor.sampling_rate != SAMPLE_RATE:
            raise ValueError(
                f"{folder}: expects speech at {extractor.sampling_rate} Hz, but waveforms have "
                f"{SAMPLE_RATE} Hz; choose another checkpoint"
            )
        return cls(model, identity=identity, do_normalize=bool(extractor.do_normalize))

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch: (B, S), (B,) -> (B, L, T, D), (B,); see `SpeechEncoder`."""
        check_waveforms(waveforms, lengths, self.min_samples)
        waveforms, lengths = waveforms.to(self.model.device), lengths.to(self.model.device)
        waveforms = waveforms[:, : int(lengths.max())]
        is_real = real_positions(lengths, waveforms.size(1))
        waveforms = waveforms.masked_fill(~is_real, 0.0)
        if self.do_normalize:
            waveforms = normalize(waveforms, is_real)
        num_frames = count_frames(lengths, self.model.config)
        if pads_safely(self.model.config) or bool(is_real.all()):
            states = self._encode(waveforms, None if bool(is_real.all()) else is_real)
        else:
            states = self._encode_by_length(waveforms, lengths, num_frames)
        padding = ~real_positions(num_frames, states.size(2))
        return states.masked_fill(padding[:, None, :, None], 0.0), num_frames

    def _encode_by_length(self, waveforms: Tensor, lengths: Tensor, num_frames: Tensor) -> Tensor:
        """Encodes clips of equal length together: (B, S), (B,), (B,) -> (B, L, T, D)."""
        states = waveforms.new_zeros(
            len(waveforms), self.num_layers, int(num_frames.max()), self.hidden_size
        )
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero().flatten()
            part = self._encode(waveforms[rows, :length], None)
            states[rows, :, : part.size(2)] = part
        return states

    def _encode(self, waveforms: Tensor, mask: Tensor | None) -> Tensor:
        """Runs the model: (B, S), (B, S) -> (B, L, T, D)."""
        with warnings.catch_warnings():
            # WavLM hands PyTorch a float bias and a boolean mask; both are applied as they should.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            output = self.model(waveforms, attention_mask=mask, output_hidden_states=True)
        # Transformers gives the last layer before the final layer norm, the output behind it.
        return torch.stack([*output.hidden_states[:-1], output.last_hidden_state], dim=1)


def normalize(waveforms: Tensor, is_real: Tensor) -> Tensor:
    """Gives each clip zero mean and unit variance: (B, S), (B, S) -> (B, S), zero at padding."""
    size = is_real.sum(dim=1, keepdim=True)
    centred = waveforms - waveforms.sum(dim=1, keepdim=True) / size
    centred = centred.masked_fill(~is_real, 0.0)
    return centred / (centred.square().sum(dim=1, keepdim=True) / size + 1e-7).sqrt()


def pads_safely(config: PreTrainedConfig) -> bool:
    """Tells whether padding behind a clip leaves the frames of the clip as they are.

    A group norm over time in the front end sees the padding, and so do several stacked positional
    convolutions (data2vec) and a batch norm before one (a HuBERT variant), because only the input
    of the first convolution is zeroed at the padding.
    """
    return (
        config.model_type != "data2vec-audio"
        and config.feat_extract_norm == "layer"
        and not getattr(config, "conv_pos_batch_norm", False)
    )


def count_frames(lengths: Tensor, config: PreTrainedConfig) -> Tensor:
    """Frames that the convolutions make of samples: (B,) -> (B,)."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        lengths = (lengths - kernel) // stride + 1
    return lengths


def min_samples(config: PreTrainedConfig) -> int:
    """Samples that the convolutions need for one frame."""
    samples = 1
    for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        samples = (samples - 1) * stride + kernel
    return samples
