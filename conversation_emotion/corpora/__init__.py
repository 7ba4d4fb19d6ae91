"""Corpora by name: each module turns a folder as distributed into the utterance table.

A module that defines ``CORPUS``, a `CorpusSource`, is all that a corpus needs to have a name.
"""

from dataclasses import asdict
from pathlib import Path

from conversation_emotion.settings.corpus import find_corpus
from conversation_emotion.utterances.table import Utterances


def load_corpus(name: str, root: str | Path | None = None, **options: object) -> Utterances:
    """Loads a corpus into the utterance table.

    Args:
        name: One of `conversation_emotion.settings.corpus.list_corpora`.
        root: Folder or file that holds the corpus; ``~`` is the home folder. A corpus that comes
            with its package, such as demo, needs none.
        options: Options that only this corpus has, such as ``scenario="scripted"`` of iemocap.

    Raises:
        FileNotFoundError: ``root`` does not exist, or is not what this corpus looks like.
        ValueError: No corpus has this name, it needs a root, or its files break their format.
    """
    source = find_corpus(name)
    if root is None and source.needs_root:
        raise ValueError(f"{name}: pass {source.root} with --root")
    path = None if root is None else Path(root).expanduser().resolve()
    if path is not None and not path.exists():
        raise FileNotFoundError(f"{name}: {path} does not exist; --root is {source.root}")
    return source.load(path, **{**asdict(source.options), **options})
