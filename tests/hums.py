"""Recordings that tell their emotion by pitch, for corpora in their real layouts."""

from pathlib import Path

import numpy as np
import soundfile


def write_hum(path: Path, tone: int, seed: int, rate: int = 16_000) -> None:
    """Writes a fifth of a second that hums the higher the tone, in some noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(rate // 5) / rate
    noise = 0.01 * np.random.default_rng(seed).normal(size=len(time))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (150 + 300 * tone) * time) + noise, rate)


def write_emodb_hums(root: Path, speakers: tuple[str, ...], letters: str, takes: int) -> Path:
    """Writes recordings of EmoDB; each letter has a tone of its own."""
    names = [
        f"{speaker}a{take:02}{letter}a"
        for speaker in speakers
        for take in range(1, takes + 1)
        for letter in letters
    ]
    for seed, name in enumerate(names):
        write_hum(root / "wav" / f"{name}.wav", letters.index(name[5]), seed)
    return root


def write_ravdess_hums(
    root: Path, actors: tuple[int, ...], tones: dict[str, int], *, channel: str = "01"
) -> Path:
    """Writes two recordings of RAVDESS for each actor and emotion code; codes have tones."""
    kind = {"01": "Speech", "02": "Song"}[channel]
    seed = 0
    for actor in actors:
        for emotion, tone in tones.items():
            for repetition in ("01", "02"):
                name = f"03-{channel}-{emotion}-01-01-{repetition}-{actor:02}"
                folder = root / f"Audio_{kind}_Actors_01-24" / f"Actor_{actor:02}"
                write_hum(folder / f"{name}.wav", tone, seed)
                seed += 1
    return root
