"""Corpora by name: each loader turns a folder as distributed into the utterance table."""

import difflib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from conversation_emotion.corpora.demo import load_demo
from conversation_emotion.corpora.emodb import load_emodb
from conversation_emotion.corpora.iemocap import load_iemocap
from conversation_emotion.corpora.manifest import load_manifest
from conversation_emotion.corpora.meld import load_meld

CORPORA: dict[str, Callable[[Path], pd.DataFrame]] = {
    "iemocap": load_iemocap,
    "meld": load_meld,
    "emodb": load_emodb,
    "manifest": load_manifest,
    "demo": load_demo,
}
"""The loader of each corpus; its argument is the corpus' root."""

_ROOTS = {
    "iemocap": "the IEMOCAP_full_release folder",
    "meld": "the MELD.Raw folder, or one with its three CSV files",
    "emodb": "the EmoDB folder, the one that holds wav",
    "manifest": "a .csv, .jsonl or .parquet file, or a folder with one file named manifest",
    "demo": "the folder of a demo corpus, or nothing for the one that comes with the package",
}


def load_corpus(name: str, root: str | Path | None = None) -> pd.DataFrame:
    """Loads a corpus into the utterance table.

    Args:
        name: A key of `CORPORA`.
        root: Folder or file that holds the corpus; ``~`` is the home folder. Only the demo corpus
            comes with the package and needs none.

    Raises:
        FileNotFoundError: ``root`` does not exist, or is not what this corpus looks like.
        ValueError: No corpus has this name, it needs a root, or its files break their format.
    """
    if name not in CORPORA:
        close = difflib.get_close_matches(name, CORPORA, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown corpus {name!r}, known are {', '.join(CORPORA)}{hint}")
    if root is None:
        if name == "demo":
            return load_demo()
        raise ValueError(f"{name}: pass {_ROOTS[name]} with --root")
    path = Path(root).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"{name}: {path} does not exist; --root is {_ROOTS[name]}")
    return CORPORA[name](path)
