"""Features of recordings for other tools, as arrays or as a table.

    conversation-emotion features --root RECORDINGS --output features
    conversation-emotion features --root a.wav --speech-encoder fbank --output fbank.parquet
    conversation-emotion features --root RECORDINGS --speech-layers all --speech-pooling mean

The hidden states of every recording under a folder: an array of layers, frames and features for
each (.npy), or one Parquet file with a row for each layer and frame, its time in seconds and a
column for each feature. What was extracted before is read from the cache; what cannot be read is
named, and the others are written.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conversation_emotion.settings.features import Layers, Pooling
from experiments.framework.commandline import launch


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings:
    """Which recordings, and which of their features."""

    root: Path
    """A recording, or a folder that is searched with all its subfolders."""

    speech_encoder: str = "emotion2vec-mini"
    """Encoder by name, hub id or folder."""

    speech_layers: Layers = "last"
    """Layer to use: the last, the mean of the last four, a number, or all of them."""

    speech_pooling: Pooling = "frames"
    """All frames, their mean, or their mean and deviation."""

    output: Path = Path("features")
    """A folder for an array of each recording, or a file that ends in .parquet."""


def run(settings: FeaturesSettings) -> None:
    """Extracts and writes features, and says how many there are."""
    from conversation_emotion.features.files import extract
    from conversation_emotion.inference.recordings import find_recordings

    found = extract(
        find_recordings(settings.root),
        settings.speech_encoder,
        layers=settings.speech_layers,
        pooling=settings.speech_pooling,
    )
    found.write(settings.output)
    for name, why in found.failures.items():
        print(f"  {name} cannot be used: {why}")
    written = len(found.names) - len(found.failures)
    print(f"features of {written:,} of {len(found.names):,} recordings: {settings.output}")


main = partial(launch, run, FeaturesSettings, "models.features")

if __name__ == "__main__":
    main()
