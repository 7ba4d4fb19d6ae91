"""From clips to the model's input: checks the sample rate, normalises each clip, pads a batch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import BatchFeature, SequenceFeatureExtractor

from speech_encoders.emotion2vec.front_end import RECEPTIVE_FIELD
from speech_encoders.waveforms import SAMPLE_RATE

_EPS = 1e-5


class Emotion2vecFeatureExtractor(SequenceFeatureExtractor):
    """Turns clips of 16 kHz speech into a batch for `Emotion2vecModel`."""

    model_input_names = ["input_values", "attention_mask"]  # noqa: RUF012

    def __init__(self, **kwargs: object) -> None:
        settings = {"feature_size": 1, "sampling_rate": SAMPLE_RATE, "padding_value": 0.0}
        super().__init__(**{**settings, **kwargs})
        self.return_attention_mask = True

    def __call__(
        self,
        raw_speech: NDArray[np.floating] | Sequence[NDArray[np.floating]],
        *,
        sampling_rate: int,
        padding: bool | str = True,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Normalises and pads.

        Args:
            raw_speech: One clip of floating-point samples, shape (S,), or several.
            sampling_rate: Samples per second of the clips.
            padding: As in the library: True pads to the longest clip, False does not pad.
            return_tensors: ``pt`` for tensors, ``np`` or None for arrays.

        Returns:
            ``input_values`` of shape (B, S) and ``attention_mask`` of shape (B, S), 1 where real.

        Raises:
            ValueError: The sample rate is not the model's, or a clip is not mono, not of
                floating-point samples, too short, or not finite.
        """
        if sampling_rate != self.sampling_rate:
            raise ValueError(
                f"clips have {sampling_rate} Hz, expected {self.sampling_rate} Hz; resample them"
            )
        is_single = isinstance(raw_speech, np.ndarray) and raw_speech.ndim == 1
        clips = [raw_speech] if is_single else list(raw_speech)
        normalised = [_normalize(np.asarray(clip), number) for number, clip in enumerate(clips)]
        return self.pad(
            BatchFeature({"input_values": normalised}),
            padding=padding,
            return_attention_mask=True,
            return_tensors=return_tensors,
        )


def _normalize(clip: NDArray[np.floating], number: int) -> NDArray[np.float32]:
    """Normalises a clip to zero mean and unit variance: (S,) -> (S,)."""
    if clip.ndim != 1 or not np.issubdtype(clip.dtype, np.floating):
        raise ValueError(
            f"clip {number} has shape {clip.shape} and type {clip.dtype}, expected mono "
            "floating-point samples of shape (S,) in [-1, 1]; average channels, and divide int16 "
            "samples by 32768"
        )
    if len(clip) < RECEPTIVE_FIELD:
        raise ValueError(
            f"clip {number} has {len(clip)} samples, expected {RECEPTIVE_FIELD} or more; "
            "leave out shorter clips"
        )
    samples = clip.astype(np.float64)
    if not np.isfinite(samples).all():
        raise ValueError(f"clip {number} holds samples that are not finite; repair or leave it out")
    return ((samples - samples.mean()) / np.sqrt(samples.var() + _EPS)).astype(np.float32)
