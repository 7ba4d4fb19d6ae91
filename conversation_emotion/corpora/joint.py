"""Several corpora as one, to train on all that is at hand.

    --corpus joint --roots emodb=EmoDB ravdess=RAVDESS

Emotions keep their names, and those of the same name are one class. A corpus that has no example of
a class is not evidence against it: its utterances leave the class out of their loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conversation_emotion.corpora import load_corpus
from conversation_emotion.settings.corpus import CorpusOptions, CorpusSource, parse_places
from conversation_emotion.utterances.table import Utterances

if TYPE_CHECKING:
    import pandas as pd

SAME_PEOPLE = {"ravdess-song": "ravdess"}
"""Corpora with the speakers of another, under the same names."""


@dataclass(frozen=True, kw_only=True)
class JointOptions(CorpusOptions):
    """Options that only joint corpora have."""

    roots: tuple[str, ...] = ()
    """Corpora to join, each as NAME=PATH."""


def load(root: Path | None, *, roots: tuple[str, ...]) -> Utterances:
    """Reads every corpus and joins the tables.

    Raises:
        FileNotFoundError: A corpus is not there.
        ValueError: Fewer than two are named, or one is named wrongly.
    """
    if root is not None:
        raise ValueError("--corpus joint takes --roots NAME=PATH NAME=PATH instead of --root")
    places = parse_places("--roots", roots)
    if len(places) < 2:
        raise ValueError(
            f"--corpus joint needs two corpora or more, --roots NAME=PATH NAME=PATH; got {roots}"
        )
    tables = {name: load_corpus(name, place) for name, place in places.items()}
    return join_tables(tables).assign(corpus="joint", split=None)


def join_tables(tables: "Mapping[str, pd.DataFrame]") -> "pd.DataFrame":
    """Joins tables by the corpora's names, which begin ids and speakers.

    The column ``source`` holds the corpus of each row.
    """
    import pandas as pd  # here, so that help and usage errors come without its half second

    joined = []
    for name, table in tables.items():
        prefixes = {"utterance_id": name, "dialogue_id": name}
        prefixes |= {"speaker": SAME_PEOPLE.get(name, name)}
        columns = {key: f"{prefix}:" + table[key].astype(str) for key, prefix in prefixes.items()}
        joined.append(table.assign(**columns, source=name))
    return pd.concat(joined, ignore_index=True)


CORPUS = CorpusSource(
    load=load,
    root="of no use here",
    needs_root=False,
    split="speaker-k-fold",
    options=JointOptions(),
)
