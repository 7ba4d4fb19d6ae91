"""Corpora on the command line, several at a time: --roots emodb=EmoDB ravdess=RAVDESS."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from conversation_emotion.settings.corpus import CorpusName


def parse_places(
    flag: str, places: Sequence[str], known: Sequence[str] = get_args(CorpusName)
) -> dict[CorpusName, Path]:
    """Reads NAME=PATH pairs.

    Args:
        flag: The flag they were given with, for the error.
        places: The pairs.
        known: Corpora that may be named.

    Raises:
        ValueError: A pair is none, or names no known corpus, or one is named twice.
    """
    found: dict[CorpusName, Path] = {}
    for place in places:
        name, is_pair, path = place.partition("=")
        if not is_pair or not path:
            raise ValueError(f"{flag} takes NAME=PATH, got {place!r}; such as emodb=EmoDB")
        if name not in known:
            raise ValueError(f"{flag}: no corpus {name!r} here; choose from {', '.join(known)}")
        if name in found:
            raise ValueError(f"{flag} names {name} more than once")
        found[cast(CorpusName, name)] = Path(path)
    return found
