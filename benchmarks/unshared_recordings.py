r"""Copies a corpus so that no recording can be on both sides of a split by speaker.

    python -m benchmarks.unshared_recordings --corpus meld --root MELD_COMPOSITE --output COPY
    python -m experiments.fusion --corpus manifest --root COPY/manifest.csv \
        --split speaker-k-fold --num-folds 3 --rows 9,10,11,19 --epochs 15 --patience 15

Recordings are the same if they decode to the same samples. All speakers who share one, at whatever
remove, become one speaker, and every utterance a dialogue of its own. Only utterances that belong
to one of the classes and whose recording decodes are kept. Prints how many of the test utterances
of the corpus' own split have a recording that its train part holds as well.
"""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from conversation_emotion.datasets.dataset import Dataset, make_dataset
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.utterances.audio import AudioError, read_audio
from conversation_emotion.utterances.labels import IGNORED


@dataclass(frozen=True, kw_only=True)
class CopySettings:
    """Which corpus, and where to."""

    output: Path
    """Folder to make."""

    data: tyro.conf.OmitArgPrefixes[CorpusSettings] = field(default_factory=CorpusSettings)


def main(settings: CopySettings) -> None:
    """Writes the recordings and ``manifest.csv``."""
    corpus = make_dataset(settings.data)
    recordings = digest_recordings(corpus.utterances)
    targets = np.flatnonzero(corpus.classes() != IGNORED)
    for fold in corpus.split.folds:
        tested = recordings.reindex(np.intersect1d(fold.test, targets)).dropna()
        shared = int(tested.isin(recordings.reindex(fold.train)).sum())
        print(f"fold {fold.name}: train holds the recordings of {shared} of {len(tested)} tested")
    table = list_unshared(corpus, recordings)
    for row, name in zip(table.index, table["audio"], strict=True):
        shutil.copy(corpus.utterances["audio"][row], _parent(settings.output / name))
    table.to_csv(_parent(settings.output / "manifest.csv"), index=False)
    print(f"{len(table)} utterances of {table['speaker'].nunique()} speakers in {settings.output}")


def digest_recordings(utterances: pd.DataFrame) -> pd.Series:
    """Digests the samples of each recording that decodes, by row of the table."""
    found = {}
    for row, audio in utterances["audio"].dropna().items():
        try:
            found[row] = hashlib.sha256(read_audio(audio).tobytes()).hexdigest()
        except AudioError as error:
            print(f"left out: {error}")
    return pd.Series(found)


def list_unshared(corpus: Dataset, recordings: pd.Series) -> pd.DataFrame:
    """Lists the target utterances as a manifest whose speakers share no recording."""
    spoken = corpus.utterances.loc[recordings.index]
    speakers, recorded = pd.factorize(spoken["speaker"])[0], pd.factorize(recordings)[0]
    size = int(speakers.max()) + 1
    nodes = size + int(recorded.max()) + 1  # of a graph of speakers and what they speak
    links = coo_array((np.ones(len(spoken)), (speakers, size + recorded)), shape=(nodes, nodes))
    _, groups = connected_components(links, directed=False)
    classes = corpus.targets.classes.loc[recordings.index].to_numpy()
    table = pd.DataFrame(
        {
            "utterance_id": spoken["utterance_id"],
            "dialogue_id": spoken["utterance_id"],
            "speaker": [f"group{group}" for group in groups[speakers]],
            "audio": [
                f"clips/{name}{Path(audio).suffix}"
                for name, audio in zip(spoken["utterance_id"], spoken["audio"], strict=True)
            ],
            "text": spoken["text"],
        }
    )[is_target := classes != IGNORED]
    return table.assign(emotion=np.asarray(corpus.label_map.labels)[classes[is_target]])


def _parent(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


if __name__ == "__main__":
    main(tyro.cli(CopySettings))
