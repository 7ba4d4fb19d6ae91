r"""Rates acted recordings by where their emotion lies, as a manifest next to them.

    python -m benchmarks.placed_emotions --corpus emodb --root EMODB --output EMODB/placed.csv
    python -m experiments.dimensional --corpus manifest --root EMODB/placed.csv --labels all \
        --split leave-one-speaker-out --valid speaker --speech-encoder mfcc CPC_FOLDER --stride 8

A stand-in for rated speech where none is at hand: every recording of an emotion gets the same
pleasure, arousal and dominance, so that scores compare encoders and say nothing of raters.
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from conversation_emotion.datasets.dataset import make_dataset
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.utterances.places import PLACES


@dataclass(frozen=True, kw_only=True)
class PlaceSettings:
    """Which corpus, and where to."""

    output: Path
    """Manifest to write, in a folder above all recordings."""

    data: tyro.conf.OmitArgPrefixes[CorpusSettings] = field(default_factory=CorpusSettings)


def main(settings: PlaceSettings) -> None:
    """Writes the manifest."""
    utterances = make_dataset(settings.data).utterances
    known = utterances[utterances["emotion"].isin(PLACES)]
    folder = settings.output.resolve().parent
    table = known[["utterance_id", "dialogue_id", "speaker", "emotion"]].assign(
        audio=[str(Path(audio).resolve().relative_to(folder)) for audio in known["audio"]]
    )
    for number, name in enumerate(("valence", "arousal", "dominance")):
        # From -1 to 1 to the 1 to 5 of the utterance table.
        table[name] = [3 + 2 * PLACES[emotion][number] for emotion in known["emotion"]]
    table.to_csv(settings.output, index=False)
    print(f"{len(table)} of {len(utterances)} utterances in {settings.output}")


if __name__ == "__main__":
    main(tyro.cli(PlaceSettings))
