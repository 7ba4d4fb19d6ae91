"""Corpora whose paths hold all labels: finds the recordings, and parses their names.

A corpus of this kind is a `Layout` and a function from a name to its columns. Each
recording is a dialogue of its own, for nobody answers.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conversation_emotion.utterances.table import Utterances, build_utterances

Describe = Callable[[re.Match[str], Path], dict[str, object] | None]
"""From a recording's name and path to its columns, or None if it is of another corpus that shares
the folder. Columns that it leaves out: the id is the file's name without its suffix."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the recordings of a corpus are, and how they are named.

    Attributes:
        corpus: Name of the corpus.
        root: What the root is, in words.
        places: Patterns of paths below the root. The first that finds a recording is the one that
            counts, so that a copy elsewhere in the folder is not read a second time.
        name: Regular expression of the end of a path, without its suffix: the file's name, and as
            many folders above it as hold labels.
        expected: What such a name is made of, in words, with an example.
    """

    corpus: str
    root: str
    places: tuple[str, ...]
    name: str
    expected: str


def load_recordings(root: Path, layout: Layout, describe: Describe) -> Utterances:
    """Reads all recordings under ``root`` into the utterance table.

    Args:
        root: Folder of the corpus.
        layout: Where its recordings are.
        describe: Columns from a name.

    Raises:
        FileNotFoundError: No place of the layout holds a recording.
        ValueError: A recording's name is not one of this corpus.
    """
    return build_utterances(_read_recordings(root.resolve(), layout, describe), layout.corpus)


def find_recordings(root: Path, layout: Layout) -> list[Path]:
    """Finds the recordings in the first place that has any, sorted, without macOS' litter.

    Raises:
        FileNotFoundError: No place of the layout holds a recording.
    """
    for place in layout.places:
        found = sorted(path for path in root.glob(place) if not _is_litter(path, root))
        if found:
            return found
    raise FileNotFoundError(
        f"{layout.corpus}: no {' or '.join(layout.places)} under {root}; pass {layout.root}"
    )


def _read_recordings(root: Path, layout: Layout, describe: Describe) -> Iterator[dict[str, object]]:
    pattern = re.compile(rf"(?:.*/)?(?:{layout.name})")
    for path in find_recordings(root, layout):
        match = pattern.fullmatch(path.relative_to(root.parent).with_suffix("").as_posix())
        if not match:
            raise ValueError(
                f"{layout.corpus}: {path} is named {path.stem!r}, expected {layout.expected}; "
                f"move away what is no recording of {layout.corpus}"
            )
        columns = describe(match, path)
        if columns is not None:
            utterance_id = columns.get("utterance_id", path.stem)
            yield {
                "utterance_id": utterance_id,
                "dialogue_id": utterance_id,
                "order": 0,
                "audio": str(path),
                **columns,
            }


def _is_litter(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)
