"""MELD (Poria et al., 2019): dialogues of several speakers from a television series.

Reads ``MELD.Raw`` as distributed, the annotation alone or with the clips::

    train_sent_emo.csv    train_splits/dia0_utt0.mp4
    dev_sent_emo.csv      dev_splits_complete/dia0_utt0.mp4
    test_sent_emo.csv     output_repeated_splits_test/dia0_utt0.mp4

each in the root or in its archive's folder ``train/``, ``dev/``, ``test/``. Clips are looked up by
name, so litter next to them (``._dia0_utt0.mp4``, ``final_videos_testdia0_utt0.mp4``) is not read.
Where a split has its clip folder, every utterance names its clip, even one that is missing there.

What the adapter changes, and nothing else:

* Dialogue and utterance ids get the split in front, since all three splits count from 0.
* Utterance_ID has gaps; ``order`` is the rank inside the dialogue.
* Spellings of one speaker that differ in case, white space, the kind of apostrophe or a final full
  stop (``Phoebe Sr``, ``Phoebe Sr.``) become the most frequent one. Other likenesses are left, and
  so are roles (``Waiter``, ``All``), though not every waiter is the same person.
* Control characters that were curly quotes or dashes in Windows' code page become these again.
* Times count from the beginning of the dialogue's first utterance. A row that cannot be read
  (``00:05:11,82``) or ends before it starts has none, nor has a dialogue whose turns do not begin
  in their order.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path

from conversation_emotion.corpora.annotations import CURLY, SPLIT_NAMES, find_files, read_csv
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes, own_names
from conversation_emotion.utterances.table import Utterances, build_utterances

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")

_ROOT = "the MELD.Raw folder, or one with its three CSV files"
_CLIPS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
"""Folder of the clips of each part, which is also how its archive and its annotation are named."""
_COLUMNS = (
    "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID",
    "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d),(\d{3})")


def load_meld(root: Path) -> Utterances:
    """Reads the three splits into the utterance table, with columns ``season`` and ``episode``.

    Raises:
        FileNotFoundError: A CSV file is in neither of its places.
        ValueError: A file lacks a column, repeats an utterance, or has an id that is no number.
    """
    rows = [row for part in _CLIPS for row in _read_part(root, part)]
    spellings = _choose_spellings([str(row["speaker"]) for row in rows if row["speaker"]])
    for row in rows:
        if row["speaker"]:
            row["speaker"] = spellings[_speaker_key(str(row["speaker"]))]
    return build_utterances(rows, "meld")


def _read_part(root: Path, part: str) -> Iterator[dict[str, object]]:
    name = f"{part}_sent_emo.csv"
    annotation = find_files(root, (name, f"{part}/{name}"), "meld", _ROOT)[0]
    folders = [root / _CLIPS[part], root / part / _CLIPS[part]]
    clips = next((folder for folder in folders if folder.is_dir()), None)
    split = SPLIT_NAMES[part]
    lines = sorted(_read_annotation(annotation).items())
    for dialogue, turns in groupby(lines, key=lambda line: line[0][0]):
        rows = {utterance: cells for (_, utterance), cells in turns}
        times = _time_dialogue([*rows.values()])
        for order, (utterance, cells) in enumerate(rows.items()):
            clip = f"dia{dialogue}_utt{utterance}"
            start, end = times[order] or (None, None)
            yield {
                "utterance_id": f"{split}_{clip}",
                "dialogue_id": f"{split}_dia{dialogue}",
                "order": order,
                "start": start,
                "end": end,
                "speaker": " ".join(cells["Speaker"].split()) or None,
                "language": "en",
                "text": cells["Utterance"],
                "audio": str(clips / f"{clip}.mp4") if clips else None,
                "emotion": cells["Emotion"].strip() or None,
                "sentiment": cells["Sentiment"].strip() or None,
                "split": split,
                "season": cells["Season"].strip(),
                "episode": cells["Episode"].strip(),
            }


def _read_annotation(path: Path) -> dict[tuple[int, int], dict[str, str]]:
    """Returns the rows of a part by Dialogue_ID and Utterance_ID."""
    rows = {
        place: {column: cell.translate(CURLY) for column, cell in cells.items()}
        for place, cells in read_csv(path, "meld", _COLUMNS).items()
    }
    ids = [
        (_read_id(cells, "Dialogue_ID", place), _read_id(cells, "Utterance_ID", place))
        for place, cells in rows.items()
    ]
    if repeated := [pair for pair, count in Counter(ids).items() if count > 1]:
        raise ValueError(
            f"meld: {path} repeats {len(repeated)} utterances, first Dialogue_ID "
            f"{repeated[0][0]} with Utterance_ID {repeated[0][1]}"
        )
    return dict(zip(ids, rows.values(), strict=True))


def _read_id(cells: dict[str, str], column: str, place: str) -> int:
    if not re.fullmatch(r"\s*\d+\s*", cells[column]):
        raise ValueError(f"meld: {place} has {column} {cells[column]!r}, expected a whole number")
    return int(cells[column])


def _time_dialogue(rows: list[dict[str, str]]) -> list[tuple[float, float] | None]:
    """Times in seconds from the first utterance, or none if the dialogue's clock is broken.

    An utterance of which one time is unknown, or which ends before it starts, has none either.
    """
    clocks = [(_read_clock(row["StartTime"]), _read_clock(row["EndTime"])) for row in rows]
    times = [
        None if start is None or end is None or end < start else (start, end)
        for start, end in clocks
    ]
    known = [time for time in times if time]
    if times[0] is None or any(later[0] < earlier[0] for earlier, later in pairwise(known)):
        return [None] * len(times)
    beginning = times[0][0]
    return [
        time and (round(time[0] - beginning, 3), round(time[1] - beginning, 3)) for time in times
    ]


def _read_clock(clock: str) -> float | None:
    match = _CLOCK.fullmatch(clock.strip())
    if not match:
        return None
    hours, minutes, seconds, milliseconds = map(int, match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _choose_spellings(speakers: list[str]) -> dict[str, str]:
    """Maps each speaker's key to the most frequent spelling, of equals the first by alphabet."""
    spellings: dict[str, str] = {}
    for spelling, _ in sorted(Counter(speakers).items(), key=lambda item: (-item[1], item[0])):
        spellings.setdefault(_speaker_key(spelling), spelling)
    return spellings


def _speaker_key(speaker: str) -> str:
    return speaker.replace("’", "'").casefold().removesuffix(".")  # noqa: RUF001


CORPUS = CorpusSource(
    load=load_meld,
    root=_ROOT,
    labels="4-class",
    split="official",
    label_maps={
        "4-class": {**four_classes(EMOTIONS), "joy": "happy"},
        "7-class": own_names(EMOTIONS),
    },
)
