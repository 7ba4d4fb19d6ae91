"""wav2vec 2.0, HuBERT, WavLM and data2vec-audio to be trained, convolutions frozen or not."""

import math

from torch import Tensor, nn
from transformers import PreTrainedModel, Wav2Vec2FeatureExtractor

from speech_encoders.samples import SampleEncoder
from speech_encoders.tunable import ConvolutionReader, TunableEncoder
from speech_encoders.wav2vec2 import (
    convolution_norm,
    count_frames,
    min_samples,
    mixed_masks,
    positions_read_padding,
    prepare_waveforms,
)
from speech_encoders.waveforms import SAMPLE_RATE, encode_by_length, real_positions

_ADAPTED = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")


class TunableWav2Vec2(TunableEncoder):
    """A model of the family with gradients.

    Convolutions whose group norm reads the padding get clips of one length at a time, and so do
    Transformers whose positional convolutions read it. Batch norms keep their pretrained
    statistics: with those of a batch, clips would change each other.

    Args:
        model: A base model of the family.
        do_normalize: Whether the model expects clips of zero mean and unit variance.
        trains_front_end: Whether the convolutions are trained.
    """

    def __init__(
        self, model: PreTrainedModel, *, do_normalize: bool, trains_front_end: bool
    ) -> None:
        super().__init__(model, Wav2Vec2FeatureExtractor(do_normalize=do_normalize), "layers")
        config = model.config
        self.do_normalize = do_normalize
        self.trains_front_end = trains_front_end
        # WavLM's attention reads the weights of its maps directly, past any adapter around them.
        self.adapted = _ADAPTED[4:] if config.model_type == "wavlm" else _ADAPTED
        self._front_end().requires_grad_(trains_front_end)
        needed = min_samples(config)
        self.reader = (
            SampleEncoder(needed)
            if trains_front_end
            else ConvolutionReader(
                self,
                f"{config.model_type} {convolution_norm(config)} normalised={do_normalize}",
                self._front_end().state_dict(),
                hidden_size=config.conv_dim[-1],
                frame_rate=SAMPLE_RATE / math.prod(config.conv_stride),
                min_samples=needed,
            )
        )

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
        if positions_read_padding(self.model.config):
            return encode_by_length(self._contextualise, frames, num_frames), num_frames
        return self._contextualise(frames, num_frames), num_frames

    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
        waveforms = prepare_waveforms(waveforms, lengths, do_normalize=self.do_normalize)
        num_frames = count_frames(lengths, self.model.config)
        if convolution_norm(self.model.config) == "layer":
            frames = self._convolve(waveforms, lengths)
            return frames[:, : int(num_frames.max())], num_frames
        return encode_by_length(self._convolve, waveforms, lengths), num_frames

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
        with mixed_masks():
            encode = self.model.get_submodule("encoder")
            output = encode(states, attention_mask=None if bool(mask.all()) else mask)
        return output.last_hidden_state
