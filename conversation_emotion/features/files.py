"""Features of recordings for other tools: hidden states with their times, as arrays or files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.features.encoders import load_encoder
from conversation_emotion.features.sources import Source, encode_source
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.features import Layers, Pooling
from conversation_emotion.utterances.sound_files import printable


@dataclass(frozen=True, kw_only=True)
class ExtractedFeatures:
    """Hidden states of N recordings.

    Attributes:
        names: Name of each recording.
        states: Of each, (L, T, D), or (L, 1, D) where frames were pooled; None where a recording
            could not be used.
        times: Centre of each frame in seconds, (T,); of pooled frames that of none, (0,).
        failures: Why a recording could not be used, by its name.
    """

    names: tuple[str, ...]
    states: tuple[NDArray[np.floating] | None, ...]
    times: tuple[NDArray[np.float64], ...]
    failures: dict[str, str] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Returns a row for each layer and frame: ``name``, ``layer``, ``time``, ``f0``, ..."""
        tables = []
        for name, states, times in zip(self.names, self.states, self.times, strict=True):
            for layer, frames in enumerate(() if states is None else states):
                table = pd.DataFrame(frames, columns=[f"f{n}" for n in range(frames.shape[1])])
                table.insert(0, "time", times if len(times) else np.nan)
                table.insert(0, "layer", layer)
                table.insert(0, "name", name)
                tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def write(self, output: Path) -> None:
        """Writes one ``.parquet`` file, or a folder with an array (L, T, D) for each recording."""
        if output.suffix == ".parquet":
            output.parent.mkdir(parents=True, exist_ok=True)
            self.to_frame().to_parquet(output, index=False)
            return
        output.mkdir(parents=True, exist_ok=True)
        stems = [Path(name).with_suffix("").name for name in self.names]
        for number, (stem, states) in enumerate(zip(stems, self.states, strict=True)):
            if states is not None:
                # Recordings of the same name lie in several folders; none overwrites another.
                unique = stem if stems.count(stem) == 1 else f"{stem}-{number}"
                np.save(output / f"{unique}.npy", states)


def extract(
    recordings: Sequence[str | Path],
    encoder: str = "emotion2vec-mini",
    *,
    layers: Layers = "last",
    pooling: Pooling = "frames",
    device: str | None = None,
) -> ExtractedFeatures:
    """Extracts the hidden states of recordings; they are kept in the cache of features.

    Args:
        recordings: Paths of audio or video files.
        encoder: Name, hub id or folder of a speech encoder.
        layers: ``last``, ``last-4``, ``all`` or a number.
        pooling: ``frames`` keeps all, ``mean`` and ``statistics`` pool them.
        device: Where the encoder runs; a GPU where there is one if None.

    Raises:
        ValueError: There is no recording, or no encoder of this name.
    """
    if not recordings:
        raise ValueError("no recording was given; pass one path or more")
    names = tuple(printable(path) for path in recordings)
    unknown = dict.fromkeys(("offset", "duration", "channel", "start", "end"), np.nan)
    ids = [str(number) for number in range(len(names))]
    table = pd.DataFrame({"utterance_id": ids, "audio": names, **unknown})
    loaded = load_encoder("speech", encoder, device)
    source = Source("speech", encoder, layers, pooling, half_precision=False)
    found = encode_source(table, source, loaded, cache_folder())
    rate = float(loaded.frame_rate)  # type: ignore[attr-defined]
    is_pooled = pooling != "frames"
    counts = [0 if states is None or is_pooled else states.shape[1] for states in found.states]
    return ExtractedFeatures(
        names=names,
        states=tuple(found.states),
        times=tuple((np.arange(count, dtype=np.float64) + 0.5) / rate for count in counts),
        failures={names[int(number)]: why for number, why in found.failures.items()},
    )
