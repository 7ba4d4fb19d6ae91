"""The masked student of emotion2vec's pre-training: encodes half of the frames, predicts all."""

from typing import NamedTuple

import torch
from torch import Tensor

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.convolutions import Decoder
from speech_encoders.emotion2vec.modeling import Emotion2vecModel, Emotion2vecPreTrainedModel

_NOISE_DEVIATION = 0.01


class Emotion2vecStudentOutput(NamedTuple):
    """Outputs of the student, whose inputs are the visible frames.

    Attributes:
        predictions: Prediction at every frame, (B, T, D).
        extra_tokens: Output at the learned tokens, (B, E, D).
        last_hidden_state: Output at the visible frames in the order of time, (B, K, D).
    """

    predictions: Tensor
    extra_tokens: Tensor
    last_hidden_state: Tensor


class Emotion2vecForPreTraining(Emotion2vecPreTrainedModel):
    """The encoder with the decoder of its pre-training."""

    _keys_to_ignore_on_load_unexpected = [r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__(config)
        self.emotion2vec = Emotion2vecModel(config)
        self.decoder = Decoder(config)
        self.post_init()

    def forward(
        self, input_values: Tensor, masked: Tensor, filling: Tensor | None = None
    ) -> Emotion2vecStudentOutput:
        """Encodes the visible frames of normalised clips of one length and predicts all frames.

        Args:
            input_values: Normalised clips without padding, shape (B, S).
            masked: Frames that the student does not get, boolean of shape (B, T), equally many
                in every clip.
            filling: Input of the decoder at masked frames, shape (B, T, D); None draws noise.

        Raises:
            ValueError: The mask does not fit the clips, or masks unequal numbers of frames.
        """
        return self.predict(self.emotion2vec.front_end(input_values), masked, filling)

    def predict(
        self, frames: Tensor, masked: Tensor, filling: Tensor | None = None
    ) -> Emotion2vecStudentOutput:
        """As `forward`, from the front end's frames, which several masks can share: (B, T, D)."""
        positions = kept_positions(masked, frames)
        context = self.emotion2vec.positional(frames.masked_fill(masked[..., None], 0.0))
        index = positions[..., None].expand(-1, -1, frames.size(2))
        kept = frames.gather(1, index) + context.gather(1, index)
        encoded = self.emotion2vec.encode(kept, positions=positions).last
        tokens, states = encoded.split([self.config.num_extra_tokens, positions.size(1)], dim=1)
        if filling is None:
            filling = _NOISE_DEVIATION * torch.randn_like(frames)
        return Emotion2vecStudentOutput(
            predictions=self.decoder(states, positions, filling),
            extra_tokens=tokens,
            last_hidden_state=states,
        )


def kept_positions(masked: Tensor, frames: Tensor) -> Tensor:
    """Lists the frames that are not masked: (B, T), (B, T, D) -> (B, K), int64.

    Raises:
        ValueError: The mask does not fit the frames, masks unequal numbers of them, or all.
    """
    if masked.shape != frames.shape[:2]:
        raise ValueError(
            f"masked has shape {tuple(masked.shape)}, expected {tuple(frames.shape[:2])}: "
            "one row for each clip, one column for each frame"
        )
    counts = (~masked).sum(dim=1).unique().tolist()
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(
            f"masks keep {counts} frames of a clip, expected one number above 0 for all clips"
        )
    return (~masked).nonzero()[:, 1].view(len(masked), counts[0])
