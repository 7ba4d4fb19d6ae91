"""Corpora whose paths hold all labels: a `Layout` describes names, `load_recordings` reads them.

Each recording is a dialogue of its own, for nobody answers.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from conversation_emotion.settings.corpus import CorpusSource, LabelSet, SplitName, ValidPart
from conversation_emotion.utterances.labels import FOUR_CLASSES, four_classes
from conversation_emotion.utterances.table import Utterances, build_utterances

Describe = Callable[[re.Match[str], Path], Mapping[str, object] | None]
"""From a recording's name and path to columns that the groups of the name do not give, or None if
the recording is of another corpus that shares the folder."""

_GENDERS = {"F": "female", "W": "female", "M": "male"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the recordings of a corpus are, how they are named, and which columns a name holds.

    Attributes:
        corpus: Name of the corpus.
        root: What the root is, in words.
        places: Patterns of paths below the root. The first that finds a recording is the one that
            counts, so that a copy elsewhere in the folder is not read a second time.
        name: Regular expression of the end of a path, without its suffix: the file's name, and as
            many folders above it as hold labels. ``<emotion>`` is a group of all codes of
            ``emotion``. Each named group is a column; ``gender`` may be a letter (F, W or M).
        example: Such a name.
        language: The column of that name, the same in every row.
        emotions: Emotion of each code.
        codes: Value of each code of other groups, by group.
        texts: Words of each code of the group ``sentence``, which itself stays a code.
        describe: Further columns. Without ``utterance_id`` the id is the file's name.
    """

    corpus: str
    root: str
    places: tuple[str, ...]
    name: str
    example: str
    language: str
    emotions: Mapping[str, str]
    codes: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    describe: Describe = lambda name, path: {}

    def source(
        self,
        load: Callable[[Path], Utterances] | None = None,
        *,
        labels: LabelSet = "all",
        split: SplitName | None = None,
        valid: ValidPart = "share",
        label_maps: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> CorpusSource:
        """Returns the corpus; it has four classes if all of them are among its emotions."""
        four = four_classes(self.emotions.values())
        maps = {"4-class": four} if set(FOUR_CLASSES) <= set(four.values()) else {}
        return CorpusSource(
            load=load or partial(load_recordings, layout=self),
            root=self.root,
            labels=labels,
            split=split,
            valid=valid,
            label_maps={**maps, **(label_maps or {})},
        )

    def tables(self) -> dict[str, Mapping[str, str | None]]:
        """Returns the values of the codes of each group that has codes."""
        texts = {"sentence": {code: code for code in self.texts}} if self.texts else {}
        return {"emotion": self.emotions, **texts, **self.codes}


def load_recordings(root: Path, layout: Layout, describe: Describe | None = None) -> Utterances:
    """Reads all recordings under ``root`` into the utterance table.

    Args:
        root: Folder of the corpus.
        layout: Where its recordings are.
        describe: Columns from a name, instead of the layout's.

    Raises:
        FileNotFoundError: No place of the layout holds a recording.
        ValueError: A recording's name is not one of this corpus.
    """
    rows = _read_recordings(root.resolve(), layout, describe or layout.describe)
    return build_utterances(rows, layout.corpus)


def find_recordings(root: Path, layout: Layout) -> list[Path]:
    """Returns the recordings in the first place that has any, sorted, without macOS' litter.

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
    tables = layout.tables()
    name = re.sub(
        r"(?<!\?P)<(\w+)>", lambda group: f"(?P{group[0]}{'|'.join(tables[group[1]])})", layout.name
    )
    pattern = re.compile(rf"(?:.*/)?(?:{name})")
    tables["gender"] = _GENDERS
    for path in find_recordings(root, layout):
        match = pattern.fullmatch(path.relative_to(root.parent).with_suffix("").as_posix())
        if not match:
            raise ValueError(
                f"{layout.corpus}: {path} is named {path.stem!r}, expected "
                f"{_list_fields(pattern, layout)}, such as {layout.example!r}; "
                f"move away what is no recording of {layout.corpus}"
            )
        columns = describe(match, path)
        if columns is not None:
            fields = match.groupdict()
            utterance_id = columns.get("utterance_id", path.stem)
            yield {
                "utterance_id": utterance_id,
                "dialogue_id": utterance_id,
                "order": 0,
                "language": layout.language,
                "text": layout.texts.get(fields.get("sentence") or ""),
                "audio": str(path),
                **{key: tables.get(key, {}).get(code, code) for key, code in fields.items()},
                **columns,
            }


def _list_fields(pattern: re.Pattern[str], layout: Layout) -> str:
    """Returns what a name is made of, with the codes that each field may have."""
    tables = layout.tables()
    return ", ".join(
        f"{name} ({', '.join(tables[name])})" if name in tables else name
        for name in pattern.groupindex
        if name != "gender"
    )


def _is_litter(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)
