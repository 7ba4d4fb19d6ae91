"""M3ED (Zhao et al., 2022): dialogues of two from 56 Chinese television series, seven emotions.

Reads the release as distributed::

    annotation.json
    splitInfo/movie_list_train.txt           and _val, _test: a series a line
    modality_speech/A_shaonianpai_1_1.wav

The annotation holds, for each series and each of its dialogues, the two speakers with their names,
and the utterances with text, speaker and the emotion that the annotators agreed on
(``final_main_emo``). A person is the same in a series wherever the name is. Utterance ids end in
their number, which is the order; it has gaps. Where there is a folder of recordings, every
utterance names its clip, even one that is missing there. Times are not read.

A column behind the contract: ``series``.
"""

from collections.abc import Iterator
from pathlib import Path

from conversation_emotion.corpora.annotations import (
    SPLIT_NAMES,
    choose,
    find_files,
    read_json,
    read_optional,
)
from conversation_emotion.corpora.recordings import name_emotions
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes
from conversation_emotion.utterances.table import Utterances, build_utterances

EMOTIONS = name_emotions("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")

_ROOT = "the M3ED folder, the one that holds annotation.json and splitInfo"
_GENDERS = {"female": "female", "male": "male", "女": "female", "男": "male"}


def load_m3ed(root: Path) -> Utterances:
    """Reads the annotation into the utterance table.

    Raises:
        FileNotFoundError: The annotation or a list of the split is missing.
        ValueError: The annotation is no JSON, lacks a field, or names a label that is none; or a
            series is in no part of the split.
    """
    annotation = find_files(root, ["annotation.json"], "m3ed", _ROOT)[0]
    clips = root / "modality_speech"
    series = read_json(annotation, "m3ed")
    rows = _read_series(series, _read_splits(root), clips if clips.is_dir() else None)
    return build_utterances(rows, "m3ed")


def _read_splits(root: Path) -> dict[str, str]:
    """Split of each series."""
    splits = {}
    for part in ("train", "val", "test"):
        path = find_files(root, [f"splitInfo/movie_list_{part}.txt"], "m3ed", _ROOT)[0]
        names = read_optional(path, "m3ed").split("\n")
        splits |= {name.strip(): SPLIT_NAMES[part] for name in names if name.strip()}
    return splits


def _read_series(
    annotation: dict[str, dict], splits: dict[str, str], clips: Path | None
) -> Iterator[dict[str, object]]:
    for series, dialogues in annotation.items():
        if series not in splits:
            raise ValueError(
                f"m3ed: the series {series!r} is in no list of splitInfo, known are "
                f"{', '.join(sorted(splits))}"
            )
        for dialogue_id, dialogue in dialogues.items():
            for row in _read_dialogue(dialogue_id, dialogue, clips):
                speaker = f"{series}_{row['speaker']}"
                yield {**row, "speaker": speaker, "split": splits[series], "series": series}


def _read_dialogue(
    dialogue_id: str, dialogue: dict, clips: Path | None
) -> Iterator[dict[str, object]]:
    try:
        people = dialogue["SpeakerInfo"]
        utterances = sorted(dialogue["Dialog"].items(), key=lambda item: _number(item[0]))
        for order, (utterance_id, utterance) in enumerate(utterances):
            role, emotion = utterance["Speaker"], utterance["EmoAnnotation"]["final_main_emo"]
            place = f"m3ed: utterance {utterance_id!r} has final_main_emo"
            yield {
                "utterance_id": utterance_id,
                "dialogue_id": dialogue_id,
                "order": order,
                "speaker": people[role]["Name"],
                "gender": _GENDERS.get(str(people[role].get("Gender", "")).strip().lower()),
                "language": "zh",
                "text": utterance["Text"],
                "audio": str(clips / f"{role}_{utterance_id}.wav") if clips else None,
                "emotion": choose(EMOTIONS, emotion, place),
            }
    except KeyError as error:
        raise ValueError(f"m3ed: dialogue {dialogue_id!r} lacks the field {error}") from None


def _number(utterance_id: str) -> int:
    last = utterance_id.rpartition("_")[2]
    if not last.isdecimal():
        raise ValueError(f"m3ed: utterance {utterance_id!r} ends in {last!r}, expected its number")
    return int(last)


CORPUS = CorpusSource(
    load=load_m3ed,
    root=_ROOT,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
