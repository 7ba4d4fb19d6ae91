"""Silero VAD: the probability of speech, every 32 ms, of audio that comes in blocks.

The weights are in the package ``silero-vad`` (MIT licence), version 6, 16 kHz. The network is
written out here: the package computes frame after frame, and its import sets the threads of torch
to one for the whole process. Nothing is fetched.
"""

import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.utterances.resampling import SAMPLE_RATE

FRAME = 512
"""Samples of a frame."""

FRAME_SECONDS = FRAME / SAMPLE_RATE

_CONTEXT = 64  # samples of the frame before that the network gets as well
_REFLECTED = 64  # samples that are mirrored at the end of a frame
_BINS = 129  # of a Fourier transform of 256 samples

_WEIGHTS = {
    "spectrum.weight": "stft.forward_basis_buffer",
    **{
        f"convolutions.{number}.{kind}": f"encoder.{number}.reparam_conv.{kind}"
        for number in range(4)
        for kind in ("weight", "bias")
    },
    **{
        f"recurrent.{kind}_l0": f"decoder.rnn.{kind}"
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
    **{f"output.{kind}": f"decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
}
"""Names of the weights in the package's model."""


class SileroNetwork(nn.Module):
    """Spectrum, four convolutions, an LSTM over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(num_inputs, num_outputs, 3, stride=stride, padding=1)
            for num_inputs, num_outputs, stride in (
                (_BINS, 128, 1),
                (128, 64, 2),
                (64, 64, 2),
                (64, 128, 1),
            )
        )
        self.recurrent = nn.LSTM(128, 128, batch_first=True)
        self.output = nn.Conv1d(128, 1, 1)

    @classmethod
    @cache
    def load(cls) -> "SileroNetwork":
        """Loads the weights that the package brings, once.

        Raises:
            ModuleNotFoundError: The package is not installed.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated
            state = torch.jit.load(str(find_model()), map_location="cpu")._model.state_dict()
        network = cls()
        network.load_state_dict({name: state[theirs] for name, theirs in _WEIGHTS.items()})
        return network.eval().requires_grad_(False)

    def forward(
        self, frames: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Returns probabilities, and the state after the last: (C, T, 576) -> (C, T)."""
        num_channels, num_frames, _ = frames.shape
        padded = nn.functional.pad(frames.flatten(0, 1)[:, None], (0, _REFLECTED), "reflect")
        real, imaginary = self.spectrum(padded).split(_BINS, dim=1)
        hidden = (real.square() + imaginary.square()).sqrt()
        for convolution in self.convolutions:
            hidden = convolution(hidden).relu()
        hidden, state = self.recurrent(hidden.view(num_channels, num_frames, 128), state)
        logits = self.output(hidden.relu().transpose(1, 2))
        return logits[:, 0].sigmoid(), state


def find_model() -> Path:
    """Returns the file of the package's model, without an import of the package.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    spec = find_spec("silero_vad")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    for folder in folders:
        file = Path(folder) / "data" / "silero_vad.jit"
        if file.is_file():
            return file
    raise ModuleNotFoundError(
        "turns are found by silero-vad, whose model is not there: pip install 'silero-vad>=6.2,<7'"
    )


class SpeechDetector:
    """Turns samples that come in pieces of any size into frames with a probability of speech.

    Args:
        num_channels: Channels (C), each of which is a recording of its own.
    """

    def __init__(self, num_channels: int) -> None:
        self._network = SileroNetwork.load()
        state = torch.zeros(1, num_channels, 128)
        self._state = state, state
        self._held = np.zeros((num_channels, _CONTEXT), dtype=np.float32)

    def push(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Takes (C, S) samples -> probability and power of each frame that is whole: (C, T) each.

        The power is the mean of the squared samples; samples lie in [-1, 1].
        """
        held = np.concatenate([self._held, samples], axis=1)
        num_frames = (held.shape[1] - _CONTEXT) // FRAME
        self._held = held[:, num_frames * FRAME :]
        if not num_frames:
            nothing = np.zeros((len(held), 0), dtype=np.float32)
            return nothing, nothing
        used = torch.from_numpy(held[:, : _CONTEXT + num_frames * FRAME])
        with torch.inference_mode():
            frames = used.unfold(1, _CONTEXT + FRAME, FRAME)
            probabilities, self._state = self._network(frames, self._state)
            powers = frames[:, :, _CONTEXT:].square().mean(dim=2)
        return probabilities.numpy(), powers.numpy()

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the last frame, filled up with zeros, if any samples are left: (C, T) each."""
        num_left = self._held.shape[1] - _CONTEXT
        size = FRAME - num_left if num_left else 0
        return self.push(np.zeros((len(self._held), size), dtype=np.float32))
