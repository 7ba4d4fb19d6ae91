"""emotion2vec to be trained, on samples or on the output of its frozen convolutions."""

from torch import Tensor, nn

from speech_encoders.emotion2vec.feature_extraction import Emotion2vecFeatureExtractor
from speech_encoders.emotion2vec.front_end import FRAMING, HOP, RECEPTIVE_FIELD
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.windows import normalize
from speech_encoders.samples import SampleEncoder
from speech_encoders.tunable import ConvolutionReader, TunableEncoder
from speech_encoders.waveforms import SAMPLE_RATE, real_positions


class TunableEmotion2vec(TunableEncoder):
    """emotion2vec with gradients.

    Clips are encoded whole, whatever their length: only the frozen encoder reads long recordings by
    windows.

    Args:
        model: The encoder.
        trains_front_end: Whether the convolutions are trained.
    """

    adapted = ("query_key_value", "output", "up", "down")
    model: Emotion2vecModel

    def __init__(self, model: Emotion2vecModel, *, trains_front_end: bool) -> None:
        super().__init__(model, Emotion2vecFeatureExtractor(), "blocks")
        self.trains_front_end = trains_front_end
        front_end = model.front_end
        model.requires_grad_(True)
        for part in (front_end.convolutions, front_end.norms):
            part.requires_grad_(trains_front_end)
        self.reader = (
            SampleEncoder(RECEPTIVE_FIELD)
            if trains_front_end
            else ConvolutionReader(
                self,
                f"emotion2vec eps={model.config.layer_norm_eps}",
                {n: w for n, w in front_end.state_dict().items() if not n.startswith("projection")},
                hidden_size=model.config.conv_dim,
                frame_rate=SAMPLE_RATE / HOP,
                min_samples=RECEPTIVE_FIELD,
            )
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S, 1) or (B, T, C), (B,) -> (B, T, D), (B,)."""
        extracted, num_frames = inputs, lengths
        if self.trains_front_end:
            extracted, num_frames = self.convolve(inputs.squeeze(-1), lengths)
        front_end = self.model.front_end
        frames = front_end.projection(front_end.projection_norm(extracted))
        is_real = real_positions(num_frames, frames.size(1))
        mask = None if bool(is_real.all()) else is_real
        frames = frames + self.model.positional(frames, mask)
        outputs = self.model.encode(frames, mask=mask)
        return outputs.last[:, self.model.config.num_extra_tokens :], num_frames

    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
        clips = [
            normalize(waveform[:length])
            for waveform, length in zip(waveforms, lengths.tolist(), strict=True)
        ]
        padded = nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return self.model.front_end.extract(padded), FRAMING.count_each(lengths)
