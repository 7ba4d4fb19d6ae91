"""Hidden states of the Whisper encoder (Radford et al., 2023); the decoder is left out."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as WhisperModel

from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE

_SAMPLES_PER_FRAME = 320
_FRAME_RATE = SAMPLE_RATE // _SAMPLES_PER_FRAME


class WhisperEncoder(WaveformEncoder):
    """The input of the first Transformer layer and the output of each, the last one normalised.

    Whisper reads windows of 30 s. A shorter clip is padded with silence and its states are cut
    back to the clip, ``ceil(S / 320)`` frames. A longer clip is cut into windows of 30 s that
    follow each other without overlap, encoded one by one, and their states are concatenated.

    Args:
        model: The encoder of a Whisper model in evaluation mode.
        identity: All that the hidden states depend on.
    """

    def __init__(self, model: WhisperModel, *, identity: str) -> None:
        self.model = model
        self.identity = identity
        self.num_layers: int = model.config.encoder_layers + 1
        self.hidden_size: int = model.config.d_model
        self.frame_rate = float(_FRAME_RATE)
        self.min_samples = 400
        self._window_samples = model.config.max_source_positions * _SAMPLES_PER_FRAME
        self._log_mel = WhisperFeatureExtractor(
            feature_size=model.config.num_mel_bins,
            chunk_length=model.config.max_source_positions // _FRAME_RATE,
        )

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes window by window: (B, S), (B,) -> (B, L, T, D), (B,)."""
        num_frames = -(-lengths.to(self.model.device) // _SAMPLES_PER_FRAME)
        windows = [
            (clip, window)
            for clip, length in enumerate(lengths.tolist())
            for window in waveforms[clip, :length].split(self._window_samples)
        ]
        pieces: list[list[Tensor]] = [[] for _ in range(len(waveforms))]
        for first in range(0, len(windows), len(waveforms)):
            clips, batch = zip(*windows[first : first + len(waveforms)], strict=True)
            for clip, states in zip(clips, self._encode_windows(list(batch)), strict=True):
                pieces[clip].append(states)
        states = [
            torch.cat(parts)[:count]
            for parts, count in zip(pieces, num_frames.tolist(), strict=True)
        ]
        return pad_sequence(states, batch_first=True).transpose(1, 2), num_frames

    def _encode_windows(self, windows: list[Tensor]) -> Tensor:
        """Encodes windows of at most 30 s, padded with silence: B x (S,) -> (B, T, L, D)."""
        features = self._log_mel(
            [window.cpu().numpy() for window in windows],
            sampling_rate=SAMPLE_RATE,
            padding="max_length",
            return_tensors="pt",
        ).input_features
        output = self.model(features.to(self.model.device), output_hidden_states=True)
        return torch.stack(output.hidden_states, dim=2)
