"""What a run keeps of the utterances that it scores: their words, and where their sound is."""

import os.path
from pathlib import Path

import pandas as pd

from conversation_emotion.datasets.dataset import Dataset

_KEPT = ("utterance_id", "text", "audio", "offset", "duration", "channel")


def list_scored(dataset: Dataset, predictions: pd.DataFrame) -> pd.DataFrame:
    """Returns words and sound of the utterances that have predictions.

    ``audio`` is relative to the root of the corpus, so that it holds on other computers; of several
    corpora, or of one without a root, to the folder that all these recordings share.
    """
    is_scored = dataset.utterances["utterance_id"].isin(predictions["utterance_id"])
    scored = dataset.utterances.loc[is_scored, list(_KEPT)].reset_index(drop=True)
    files = scored["audio"].dropna().unique()
    root = _find_root(dataset.root, list(files))
    names = {file: Path(file).relative_to(root).as_posix() for file in files}
    return scored.assign(audio=scored["audio"].map(names))


def _find_root(root: Path | None, files: list[str]) -> Path:
    if root is not None:
        root = root.expanduser().resolve()
        root = root.parent if root.is_file() else root
        if all(Path(file).is_relative_to(root) for file in files):
            return root
    return Path(os.path.commonpath([os.path.dirname(file) for file in files]) if files else ".")
