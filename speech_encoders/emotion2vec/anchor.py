"""Anchors: properties of a clip that the student also predicts, known before the training.

A student that begins with random weights has a random teacher; the paper's cold start costs ten
points. An anchor adds informative targets from the first step, by linear maps from the student that
are discarded with the decoder. It is this project's addition to the published training.

The properties are measured on the clip (`Acoustics`), and predicted where frames are masked, like
the outputs of the moving average; or they are hidden states of a frozen encoder, as in DistilHuBERT
(Chang et al., 2022), which has a linear map for each layer too. There the frames are predicted that
the student encodes, from its output itself: it is this output that features are taken from, and
what a decoder would have to add to it would be lost.
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
NUM_ACOUSTICS = NUM_MELS + NUM_PERIODS
"""Properties of a frame that are measured."""

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


class Anchor(nn.Module):
    """Compares given properties of frames, and their statistics over the clip, with predictions.

    Frames are normalised over their clip, as the targets of online distillation are; mean and
    deviation over the clip are predicted apart, standardised over clips. So every property counts
    alike, however large its numbers are: hidden states of Transformers have a few channels that
    would dominate any distance between the states themselves.

    Args:
        hidden_size: Features of the student (D).
        num_properties: Properties of a frame (P), those of all layers of a teacher.
    """

    def __init__(self, hidden_size: int, num_properties: int) -> None:
        super().__init__()
        self.frames = nn.Linear(hidden_size, num_properties)
        self.utterance = nn.Linear(hidden_size, 2 * num_properties)
        # Random maps make the student give the same frame everywhere, and it stays so: an error
        # that is smaller at once than that of its own frames, mapped at random.
        for head in (self.frames, self.utterance):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.standard = RunningStandard(2 * num_properties)

    def forward(
        self, given: Tensor, where: Tensor, frames: Tensor, utterances: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compares a batch whose clips have several masks each, one after the other.

        Args:
            given: Properties of the B clips, (B, T, P).
            where: Frames to predict, (B * k, T).
            frames: The student at these N frames, clip by clip in the order of time, (N, D).
            utterances: Its encoding of the clips, (B * k, D).

        Returns:
            Squared errors of frames and of clips, as a share of the variance: 1 for a prediction
            that is always the mean.
        """
        num_clones = len(where) // len(given)
        deviation, mean = torch.std_mean(given, dim=1, correction=0)
        goal = self.standard(torch.cat([mean, deviation], dim=1), follows=self.training)
        # An outlying clip, such as one of silence, would dominate the squared error.
        goal = goal.clamp(-_CLAMP, _CLAMP).repeat_interleave(num_clones, dim=0)
        # 1e-2, because channels that hardly vary over a clip would be amplified to noise.
        normed = (given - mean[:, None]) / (deviation[:, None] + 1e-2)
        return (
            F.mse_loss(
                self.frames(frames).float(), normed.repeat_interleave(num_clones, dim=0)[where]
            ),
            F.mse_loss(self.utterance(utterances).float(), goal),
        )


class Acoustics(nn.Module):
    """Measures the log-Mel spectrum and the correlogram of clips.

    The correlogram is the autocorrelation at each pitch period.
    """

    mels: Tensor
    periods: Tensor
    window_correlation: Tensor

    def __init__(self) -> None:
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

    @torch.no_grad()
    def forward(self, clips: Tensor) -> Tensor:
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
