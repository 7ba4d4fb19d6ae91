"""RESD (Aniemore, 2022): acted Russian dialogues of two, each in an emotion, seven emotions.

Reads the release as distributed, with its official split::

    train.csv, test.csv               columns path and emotion, and text where it was transcribed
    train/happiness_enthusiasm_32/32_happiness_enthusiasm_h_120.wav
    test/03_disgust_neutral/03_disgust_neutral n_050.wav

A name is the number of the dialogue, the emotions of the two, the first letter of the speaker's
emotion, and a number. Who is who across dialogues is not published: a speaker is one side of one
dialogue. The official split has utterances of the same dialogue on both sides; for that reason each
utterance is a dialogue of its own here, and a score on this split is not speaker-independent.

A column behind the contract: ``scene``, the number of the dialogue.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from conversation_emotion.corpora.annotations import choose, find_files, read_csv
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes, own_names
from conversation_emotion.utterances.table import Utterances, build_utterances

EMOTIONS = own_names(("anger", "disgust", "enthusiasm", "fear", "happiness", "neutral", "sadness"))

_ROOT = "the RESD folder, the one that holds train.csv and test.csv"
_NAME = re.compile(r"(?P<scene>\d+)_.+[ _](?P<side>[a-z])_\d+")


def load_resd(root: Path) -> Utterances:
    """Reads both parts of the split into the utterance table.

    Raises:
        FileNotFoundError: One of the tables is missing.
        ValueError: A table lacks a column, or a row has an emotion or name that is none.
    """
    return build_utterances(
        (row for split in ("train", "test") for row in _read_split(root, split)), "resd"
    )


def _read_split(root: Path, split: str) -> Iterator[dict[str, object]]:
    table = find_files(root, [f"{split}.csv"], "resd", _ROOT)[0]
    for place, cells in read_csv(table, "resd", ("path", "emotion")).items():
        path = root / split / cells["path"]
        match = _NAME.fullmatch(path.stem)
        if not match:
            raise ValueError(
                f"resd: {place} has path {cells['path']!r}, expected a name such as "
                "32_happiness_enthusiasm_h_120.wav"
            )
        yield {
            "utterance_id": path.stem,
            "speaker": f"{match['scene']}_{match['side']}",
            "language": "ru",
            "text": cells.get("text") or None,
            "audio": str(path),
            "emotion": choose(EMOTIONS, cells["emotion"], f"resd: {place} has emotion"),
            "split": split,
            "scene": match["scene"],
        }


CORPUS = CorpusSource(
    load=load_resd,
    root=_ROOT,
    label_maps={"4-class": four_classes(EMOTIONS)},
)
