"""eGeMAPSv02 (Eyben et al., 2016): 88 acoustic functionals of a clip, through openSMILE."""

from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from speech_encoders.contract import WaveformEncoder
from speech_encoders.waveforms import SAMPLE_RATE

FORMAT = 1
"""Number in the identity; grows when the same settings give other features."""


class EgemapsEncoder(WaveformEncoder):
    """One frame of 88 functionals per clip: pitch, loudness, spectrum, voice quality, tempo.

    Clips are processed one by one on the processor; ``device`` is where the functionals are put.

    Raises:
        ModuleNotFoundError: openSMILE is not installed.
    """

    num_layers = 1
    hidden_size = 88
    frame_rate = 1.0
    """A clip has one frame, however long; at most one per second for clips of a second or more."""
    min_samples = 960
    """The longest window of the set, 60 ms for the pitch."""

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device
        try:
            import opensmile
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "egemaps: openSMILE is not installed; pip install 'conversation-emotion[egemaps]' "
                "(its licence is for research)"
            ) from error
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02,
            feature_level=opensmile.FeatureLevel.Functionals,
        )
        self.feature_names: tuple[str, ...] = tuple(self._smile.feature_names)
        self.identity = (
            f"egemaps format={FORMAT} set=eGeMAPSv02 level=functionals "
            f"opensmile={version('opensmile')}"
        )

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the functionals: (B, S), (B,) -> (B, 1, 1, 88), (B,)."""
        functionals = [
            self._smile(clip[:length].cpu().numpy(), SAMPLE_RATE)
            for clip, length in zip(waveforms, lengths.tolist(), strict=True)
        ]
        states = torch.from_numpy(np.stack(functionals).astype(np.float32))
        return (
            states.view(-1, 1, 1, self.hidden_size).to(self.device),
            torch.ones(len(lengths), dtype=torch.long, device=self.device),
        )


def load(name: str, device: str) -> EgemapsEncoder:
    """Builds the encoder."""
    del name
    return EgemapsEncoder(device=device)
