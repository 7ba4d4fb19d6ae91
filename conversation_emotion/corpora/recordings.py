"""Corpora whose paths hold all labels: a `Layout` describes their names and reads them.

Each recording is a dialogue of its own, for nobody answers.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from conversation_emotion.corpora.annotations import find_recordings
from conversation_emotion.settings.corpus import CorpusSource, LabelSet, SplitName, ValidPart
from conversation_emotion.utterances.labels import FOUR_CLASSES, four_classes
from conversation_emotion.utterances.sound_files import count_suffixes, find_sound, printable
from conversation_emotion.utterances.table import Utterances, build_utterances

Describe = Callable[[re.Match[str], Path], Mapping[str, object] | None]
"""From a recording's name and path to columns that the groups of the name do not give, or None if
the recording is of another corpus that shares the folder."""

_NOUNS = {
    "angry": "anger", "anxious": "anxiety", "apologetic": "apology",
    "assertive": "assertiveness", "concerned": "concern", "disgusted": "disgust",
    "encouraging": "encouragement", "excited": "excitement", "happy": "happiness",
    "sad": "sadness", "surprised": "surprise",
}  # fmt: skip
_GENDERS = {"F": "female", "f": "female", "W": "female", "M": "male", "m": "male"}


def name_emotions(*codes: str) -> dict[str, str]:
    """Returns the emotion of each code that is an English word: Angry is anger, FEAR is fear."""
    return {code: _NOUNS.get(code.lower(), code.lower()) for code in codes}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the recordings of a corpus are, how they are named, and which columns a name holds.

    Attributes:
        corpus: Name of the corpus.
        root: What the root is, in words.
        places: Patterns of paths below the root. The first that finds a recording is the one that
            counts, so that a copy elsewhere in the folder is not read a second time. Suffixes may
            be in any case, or those of other sound files.
        name: Regular expression of the end of a path, without its suffix: the file's name, and as
            many folders above it as hold labels. ``<emotion>`` is a group of all codes of
            ``emotion``. Each named group is a column; ``gender`` may be a letter (F, W, M, f or m).
        example: Such a name.
        language: The column of that name, the same in every row.
        emotions: Emotion of each code.
        codes: Value of each code of other groups, by group.
        texts: Words of each code of the group ``sentence``, which itself stays a code.
        describe: Further columns. Without ``utterance_id`` the id is the file's name.
        read_tables: From the root to `describe`, where further columns are in files below it.
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
    read_tables: Callable[[Path], Describe] | None = None

    def source(
        self,
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
            load=self.load,
            root=self.root,
            labels=labels,
            split=split,
            valid=valid,
            label_maps={**maps, **(label_maps or {})},
        )

    def load(self, root: Path) -> Utterances:
        """Reads all recordings under ``root`` into the utterance table, and names what it leaves.

        Raises:
            FileNotFoundError: No place of the layout holds a recording.
            ValueError: A recording's name is not one of this corpus, or a file of `read_tables`
                is not what it should be.
        """
        rows: list[dict[str, object]] = []
        formats: dict[object, str] = {}
        for row in self._read_recordings(root):
            suffix = Path(str(row["audio"])).suffix.lower()
            # Of one recording in two formats the first counts; equal names else are an error.
            if formats.setdefault(row["utterance_id"], suffix) == suffix:
                rows.append(row)
        read = {row["audio"] for row in rows}
        if others := [path for path in find_sound(root).sound if str(path) not in read]:
            print(
                f"{self.corpus}: not read under {root}: {count_suffixes(others)}, "
                f"first {printable(others[0])}"
            )
        return build_utterances(rows, self.corpus)

    def _read_recordings(self, root: Path) -> Iterator[dict[str, object]]:
        texts = {"sentence": {code: code for code in self.texts}} if self.texts else {}
        codes = {"emotion": self.emotions, "gender": _GENDERS, **texts, **self.codes}
        name = re.sub(
            r"(?<!\?P)<(\w+)>",
            lambda group: f"(?P{group[0]}{'|'.join(codes[group[1]])})",
            self.name,
        )
        pattern = re.compile(rf"(?:.*/)?(?:{name})")
        describe = self.read_tables(root) if self.read_tables else self.describe
        own = {PurePath(place).suffix for place in self.places}
        for path in find_recordings(root, self.places, self.corpus, self.root):
            match = pattern.fullmatch(path.relative_to(root.parent).with_suffix("").as_posix())
            if not match and path.suffix.lower() not in own:
                continue  # sound in another format may be something else
            if not match:
                expected = [
                    f"{group} ({', '.join(codes[group])})" if group in codes else group
                    for group in pattern.groupindex
                    if group != "gender"
                ]
                raise ValueError(
                    f"{self.corpus}: {path} is named {path.stem!r}, expected "
                    f"{', '.join(expected)}, such as {self.example!r}; "
                    f"move away what is no recording of {self.corpus}"
                )
            columns = describe(match, path)
            if columns is not None:
                fields = match.groupdict()
                yield {
                    "utterance_id": path.stem,
                    "language": self.language,
                    "text": self.texts.get(fields.get("sentence") or ""),
                    "audio": str(path),
                    **{key: codes.get(key, {}).get(code, code) for key, code in fields.items()},
                    **columns,
                }
