"""Small corpora twice: with labels that can be heard, and with the same labels shuffled."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from conversation_emotion.settings.corpus import CorpusSettings, SplitName
from conversation_emotion.utterances.labels import FOUR_CLASSES

KINDS = ("shuffled", "planted")

WORDS = ("no", "yes", "so", "oh")
"""What each class says."""

TONES = (150, 600, 2_000, 6_000, 300, 1_100, 3_500)
"""Hertz of each class; of the first four, a random encoder tells them apart as well."""

DIALOGUES, TURNS = 32, 8


def write_clip(path: Path, tone: int, generator: np.random.Generator, own: float) -> None:
    """Writes a fifth of a second of a tone over partials of the clip's own, of some strength."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hertz = TONES[tone]
    partials = np.geomspace(200, 7_500, 40)
    strengths = own * np.exp(generator.normal(size=len(partials)))
    time = 2 * np.pi * np.arange(3_200) / 16_000
    sound = 0.3 * np.sin(hertz * time) + strengths @ np.sin(np.outer(partials, time))
    soundfile.write(path, sound / np.abs(sound).max(), 16_000)


def write_conversations(root: Path) -> None:
    """Writes conversations in four sessions of two speakers, who go through the classes in turn.

    There are three tables of each kind: with sessions, with an official split as well, and with
    neither; and the folds of the first as s3prl writes them.
    """
    generator = np.random.default_rng(0)
    rows = []
    for dialogue, order in product(range(DIALOGUES), range(TURNS)):
        number, wearer = dialogue % 4, "FM"[dialogue // 4 % 2]
        name = f"Ses0{number}{wearer}_d{dialogue:02}"
        tone = (dialogue // 4 + order) % 4
        # Clips that a model can tell apart can be learnt by heart.
        write_clip(root / "wav" / f"{name}u{order}.wav", tone, generator, 0.008)
        rows.append(
            {
                "utterance_id": f"{name}u{order}",
                "dialogue_id": name,
                "speaker": f"s{number}{'FM'[order % 2]}",
                "audio": f"wav/{name}u{order}.wav",
                "session": f"s{number}",
                "split": ("train", "train", "valid", "test")[number],
                "tone": tone,
            }
        )
    planted = pd.DataFrame(rows)
    shuffled = planted.assign(tone=generator.permutation(planted["tone"]))
    for kind, table in zip(KINDS, (shuffled, planted), strict=True):
        tone = table.pop("tone")
        table["emotion"] = tone.map(FOUR_CLASSES.__getitem__)
        table["text"] = tone.map(WORDS.__getitem__)
        table["sentiment"] = np.where(tone < 2, "negative", "positive")
        table["arousal"], table["valence"], table["dominance"] = 1.0 + tone, 4.0 - tone, 1.0 + tone
        table.to_csv(root / f"{kind}-official.csv", index=False)
        table.drop(columns="split").to_csv(root / f"{kind}-sessions.csv", index=False)
        table.drop(columns=["split", "session"]).to_csv(root / f"{kind}-plain.csv", index=False)
    _write_superb_folds(root / "superb", planted)


def _write_superb_folds(folder: Path, table: pd.DataFrame) -> None:
    for session in sorted(set(table["session"])):
        place = folder / f"Session{session}"
        place.mkdir(parents=True)
        is_test = table["session"] == session
        for part, rows in (("test", table[is_test]), ("train", table[~is_test])):
            entries = [{"path": f"{name}.wav"} for name in rows["utterance_id"]]
            (place / f"{part}_meta_data.json").write_text(json.dumps({"meta_data": entries}))


def conversations(root: Path, kind: str, split: SplitName) -> CorpusSettings:
    """Returns the table that a split needs: EmoBox draws by utterance where it finds no groups."""
    table = {"official": "official", "emobox": "plain"}.get(split, "sessions")
    return CorpusSettings(
        corpus="manifest",
        root=root / f"{kind}-{table}.csv",
        split=split,
        superb_folds=root / "superb" if split == "superb" else None,
    )


def write_recordings(root: Path, names: Mapping[str, int], kind: str) -> None:
    """Writes recordings whose names tell their emotion; each has a tone, its own or another's."""
    generator = np.random.default_rng(1)
    tones: Sequence[int] = [*names.values()]
    heard = tones if kind == "planted" else generator.permutation(tones).tolist()
    for name, tone in zip(names, heard, strict=True):
        write_clip(root / name, tone, generator, 0.001)


def write_emodb(root: Path, kind: str) -> Path:
    """Writes EmoDB: five speakers, seven emotions, three takes."""
    letters = "WFNTLEA"  # the first four are the classes of `FOUR_CLASSES`
    found = product(("03", "08", "09", "10", "11"), ("a01", "a02", "a04"), range(7))
    names = {f"wav/{who}{take}{letters[n]}a.wav": n for who, take, n in found}
    write_recordings(root, names, kind)
    return root


def write_ravdess(root: Path, kind: str) -> Path:
    """Writes RAVDESS: six actors, four emotions, two takes."""
    codes = ("05", "03", "01", "04")  # in the order of `FOUR_CLASSES`
    found = product(range(1, 7), (1, 2), range(4))
    names = {
        f"Audio_Speech_Actors_01-24/Actor_{who:02}/03-01-{codes[n]}-01-01-{take:02}-{who:02}.wav": n
        for who, take, n in found
    }
    write_recordings(root, names, kind)
    return root
