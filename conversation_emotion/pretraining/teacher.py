"""A frozen teacher: an encoder whose hidden states a student predicts, stored clip by clip."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from conversation_emotion.features.encoders import SpeechEncoder
from conversation_emotion.features.key import FeatureKey
from conversation_emotion.features.sources import Source, encode_source
from conversation_emotion.features.store import FeatureStore
from conversation_emotion.pretraining.recordings import Clip, Recordings
from conversation_emotion.utterances.audio import SAMPLE_RATE


@dataclass(eq=False)
class ChosenLayers:
    """An encoder of which neighbouring layers are kept.

    Args:
        encoder: The whole encoder.
        layers: Numbers of the layers, in order.
    """

    encoder: SpeechEncoder
    layers: range
    hidden_size: int = field(init=False)
    frame_rate: float = field(init=False)
    min_samples: int = field(init=False)

    def __post_init__(self) -> None:
        self.hidden_size = self.encoder.hidden_size
        self.frame_rate = self.encoder.frame_rate
        self.min_samples = self.encoder.min_samples

    @property
    def identity(self) -> str:
        """That of the encoder, and the layers."""
        return f"{self.encoder.identity} layers={self.layers.start}-{self.layers[-1]}"

    @property
    def num_layers(self) -> int:
        """Layers that are kept (L)."""
        return len(self.layers)

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes and cuts: (B, S), (B,) -> (B, L, T, D), (B,)."""
        states, num_frames = self.encoder(waveforms, lengths)
        return states[:, self.layers.start : self.layers.stop], num_frames


@dataclass(eq=False)
class TeacherStates:
    """The stored hidden states of a teacher.

    Args:
        store: Where they are.
        contents: What the store knows each clip by.
        hop: Samples from one frame to the next.
    """

    store: FeatureStore
    contents: dict[Clip, str]
    hop: int

    def cut_all(self, clips: Sequence[Clip], starts: Sequence[int], num_samples: int) -> Tensor:
        """Returns the states of a part of each clip, in half precision: -> (B, T, L, D).

        Args:
            clips: The clips (B).
            starts: First sample of each part, a multiple of the hop.
            num_samples: Samples of every part; the last frame is missing where a teacher has none
                for samples that do not fill it.
        """
        most = num_samples // self.hop
        firsts = [start // self.hop for start in starts]
        states = map(np.asarray, self.store.read([self.contents[clip] for clip in clips]))
        parts = [one[:, first : first + most] for one, first in zip(states, firsts, strict=True)]
        num_frames = min(part.shape[1] for part in parts)
        together = np.stack([part[:, :num_frames].transpose(1, 0, 2) for part in parts])
        return torch.from_numpy(together)


def store_states(
    sources: Sequence[Recordings], teacher: SpeechEncoder, cache: Path
) -> tuple[list[Recordings], TeacherStates]:
    """Encodes the clips that the store does not hold yet.

    Returns:
        The sources, without the clips that the teacher cannot encode, which are named among the
        broken; and the states of all others.
    """
    source = Source("speech", "", "all", "frames", half_precision=True)
    key = FeatureKey(encoder=teacher.identity, layers="all", pooling="frames", half_precision=True)
    kept, contents = [], {}
    for recordings in sources:
        table = _tabulate(recordings.clips)
        found = encode_source(table, source, teacher, cache)
        broken, clips = dict(recordings.broken), []
        for number, (clip, content) in enumerate(
            zip(recordings.clips, found.recordings, strict=True)
        ):
            if why := found.failures.get(str(number)):
                broken[clip.path] = why
            else:
                clips.append(clip)
                contents[clip] = content
        kept.append(recordings._replace(clips=clips, broken=broken))
    hop = round(SAMPLE_RATE / teacher.frame_rate)
    # A store that nothing was read from has no open file: processes that read ahead open their own.
    return kept, TeacherStates(FeatureStore(key, cache), contents, hop)


def _tabulate(clips: Sequence[Clip]) -> pd.DataFrame:
    """Lists clips as utterances, read as `ClipStream` reads them."""
    return pd.DataFrame(
        {
            "utterance_id": [str(number) for number in range(len(clips))],
            "audio": [clip.path for clip in clips],
            "offset": [clip.offset or np.nan for clip in clips],
            "duration": [clip.seconds for clip in clips],
            "channel": [np.nan if clip.channel is None else clip.channel for clip in clips],
            "start": np.nan,
            "end": np.nan,
        }
    )
