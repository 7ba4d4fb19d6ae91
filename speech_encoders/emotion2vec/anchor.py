"""An acoustic anchor for cold starts: the student also predicts measured properties of the clip.

A student that begins with random weights has a random teacher; the paper's cold start costs ten
points. The anchor adds informative targets from the first step: the log-Mel spectrum and the
correlogram (autocorrelation at each pitch period) of masked frames, and the mean and deviation of
both over the clip. Linear maps predict them from the student; they are discarded with the decoder.
It is this project's addition, no part of the published training.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchaudio.functional import melscale_fbanks

from speech_encoders.emotion2vec.front_end import HOP, RECEPTIVE_FIELD, count_frames
from speech_encoders.waveforms import SAMPLE_RATE

NUM_MELS = 80
NUM_PERIODS = 64

_FFT = 512
_PITCH_WINDOW, _PITCH_FFT = 800, 2048  # 50 ms hold two periods of the lowest pitch
_LONGEST_PERIOD, _SHORTEST_PERIOD = SAMPLE_RATE // 60, SAMPLE_RATE // 500
_CLAMP = 5.0
_SLOWEST = 0.01
_EPS = 1e-5


class RunningStandard(nn.Module):
    """Standardises vectors by the running mean and deviation of those seen so far.

    The first batches count alike, later ones 1/100 each, so that the statistics follow a drift.
    """

    mean: Tensor
    variance: Tensor
    num_batches: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("num_batches", torch.zeros(()))

    @torch.no_grad()
    def forward(self, vectors: Tensor, *, follows: bool) -> Tensor:
        """Standardises (B, D); ``follows`` updates the statistics with the batch first.

        The batch's variance is taken around the running mean, so that a batch of one clip has one.
        """
        if follows:
            self.num_batches += 1
            rate = max(1.0 / float(self.num_batches), _SLOWEST)
            self.mean.lerp_(vectors.mean(dim=0), rate)
            self.variance.lerp_((vectors - self.mean).square().mean(dim=0), rate)
        return (vectors - self.mean) / (self.variance + _EPS**2).sqrt()


class AcousticAnchor(nn.Module):
    """Measures clips and compares them with predictions from a student.

    Args:
        hidden_size: Features of the student's predictions (D).
    """

    mels: Tensor
    periods: Tensor
    window_correlation: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        mels = melscale_fbanks(_FFT // 2 + 1, 40.0, SAMPLE_RATE / 2, NUM_MELS, SAMPLE_RATE)
        periods = torch.logspace(
            math.log10(_SHORTEST_PERIOD), math.log10(_LONGEST_PERIOD), NUM_PERIODS
        )
        window = torch.fft.rfft(torch.hann_window(_PITCH_WINDOW), _PITCH_FFT)
        correlation = torch.fft.irfft(window.abs().square())
        self.register_buffer("mels", mels, persistent=False)
        self.register_buffer("periods", periods.round().long(), persistent=False)
        self.register_buffer("window_correlation", correlation, persistent=False)
        size = NUM_MELS + NUM_PERIODS
        self.frames = nn.Linear(hidden_size, size)
        self.utterance = nn.Linear(hidden_size, 2 * size)
        self.standard = RunningStandard(2 * size)

    def forward(
        self, clips: Tensor, predictions: Tensor, utterances: Tensor, masked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compares a batch whose clips have several masks each, one after the other.

        Args:
            clips: Normalised clips, (B, S).
            predictions: Predictions of the student at every frame, (B * k, T, D).
            utterances: Its encoding of the clips, (B * k, D).
            masked: Masked frames, (B * k, T).

        Returns:
            Squared errors of masked frames and of clips, as a share of the variance: 1 for a
            prediction that is always the mean.
        """
        measured = self.measure(clips)
        num_clones = len(masked) // len(clips)
        deviation, mean = torch.std_mean(measured, dim=1, correction=0)
        goal = self.standard(torch.cat([mean, deviation], dim=1), follows=self.training)
        # An outlying clip, such as one of silence, would dominate the squared error.
        goal = goal.clamp(-_CLAMP, _CLAMP).repeat_interleave(num_clones, dim=0)
        # 1e-2, because channels that hardly vary over a clip would be amplified to noise.
        frames = (measured - mean[:, None]) / (deviation[:, None] + 1e-2)
        frames = frames.repeat_interleave(num_clones, dim=0)[masked]
        return (
            F.mse_loss(self.frames(predictions[masked]).float(), frames),
            F.mse_loss(self.utterance(utterances).float(), goal),
        )

    @torch.no_grad()
    def measure(self, clips: Tensor) -> Tensor:
        """Returns spectrum and correlogram of every frame: (B, S) -> (B, T, mels + periods)."""
        with torch.autocast(clips.device.type, enabled=False):
            return torch.cat([self._log_mels(clips), self._correlogram(clips)], dim=-1)

    def _log_mels(self, clips: Tensor) -> Tensor:
        frames = clips.unfold(1, RECEPTIVE_FIELD, HOP)
        window = torch.hann_window(RECEPTIVE_FIELD, device=clips.device)
        power = torch.fft.rfft(frames * window, _FFT).abs().square()
        return (power @ self.mels + 1e-4).log()

    def _correlogram(self, clips: Tensor) -> Tensor:
        """Correlates 50 ms around each frame with themselves a pitch period later.

        The autocorrelation of a windowed signal falls with the lag; dividing by that of the window
        itself corrects it (Boersma, 1993).
        """
        margin = (_PITCH_WINDOW - RECEPTIVE_FIELD) // 2
        frames = F.pad(clips, (margin, margin)).unfold(1, _PITCH_WINDOW, HOP)
        frames = frames[:, : count_frames(clips.size(1))]
        window = torch.hann_window(_PITCH_WINDOW, device=clips.device)
        spectrum = torch.fft.rfft(frames * window, _PITCH_FFT).abs().square()
        correlation = torch.fft.irfft(spectrum)
        share = correlation[..., self.periods] / (correlation[..., :1] + 1e-3)
        reach = self.window_correlation[self.periods] / self.window_correlation[0]
        return share / reach
