"""Conversations made of a corpus' clips, whose speakers, emotions and speech are known."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from conversation_emotion.corpora.meld import load_meld
from conversation_emotion.features.voice_activity import FRAME_SECONDS, SpeechDetector
from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, read_audio

PAUSE = 0.5
"""Seconds between clips."""

EMOTIONS = {"joy": "happiness"}
"""The recogniser's emotion by MELD's, where they differ."""

_HOP = SAMPLE_RATE // 100  # samples over which loudness is measured
_SLACK = 0.15  # seconds by which a clip's length differs from its recording's, from coding
_MOST_SHIFT = 9  # hops by which coding moves a clip, or less
_ALIKE = 0.98  # correlation of the loudness of a clip with that of its recording


class Sound(NamedTuple):
    """The sound of an utterance, (S,) at 16 kHz, and whose voice it is."""

    dialogue: str
    actor: str
    emotion: str
    waveform: NDArray[np.float32]

    @property
    def padded(self) -> NDArray[np.float32]:
        """Sound and pause."""
        return np.pad(self.waveform, (0, round(PAUSE * SAMPLE_RATE)))


class Clip(NamedTuple):
    """A clip in a conversation, with its true speech in seconds."""

    speaker: str
    emotion: str
    start: float
    end: float
    speech_start: float
    speech_end: float


def list_sounds(root: Path, ravdess: Path, actors: Sequence[str], seconds: float) -> list[Sound]:
    """Lists the clips of the actors, dialogue by dialogue."""
    utterances = load_meld(root)
    recordings = {
        path: read_audio(path)
        for path in sorted(ravdess.glob("**/*.wav"))
        if path.stem.startswith("03-01")
    }
    find = _Finder(recordings)
    kept, total, others = [], 0.0, 0
    for row in utterances.to_dict("records"):
        if total > 1.3 * seconds:
            break
        try:
            waveform = read_audio(str(row["audio"]))
        except (AudioError, OSError, TypeError):
            continue
        actor = find(waveform)
        if actor is None or actor not in actors:
            others += 1
            continue
        total += len(waveform) / SAMPLE_RATE + PAUSE
        emotion = EMOTIONS.get(str(row["emotion"]), str(row["emotion"]))
        kept.append(Sound(str(row["dialogue_id"]), actor, emotion, waveform))
    print(
        f"{len(kept)} clips of {', '.join(actors)}; {others} of others are left out",
        flush=True,
    )
    return kept


class _Finder:
    """Finds the actor of a clip by the loudness of recordings over time."""

    def __init__(self, recordings: dict[Path, NDArray[np.float32]]) -> None:
        self._actors = [path.stem.rpartition("-")[2] for path in recordings]
        self._loudness = [_measure_loudness(waveform) for waveform in recordings.values()]

    def __call__(self, waveform: NDArray[np.float32]) -> str | None:
        """Returns the actor whose recording is most alike, None where none is alike enough."""
        clip, most = _measure_loudness(waveform), round(_SLACK * SAMPLE_RATE / _HOP)
        close = [
            number
            for number, known in enumerate(self._loudness)
            if abs(len(known) - len(clip)) <= most
        ]
        if not close:
            return None
        known = [self._loudness[number] for number in close]
        size = min(len(clip), *map(len, known)) - _MOST_SHIFT
        alike = np.stack(
            [
                _standardise(np.stack([one[back : back + size] for one in known]))
                @ _standardise(clip[shift : shift + size])
                for shift, back in [
                    *((shift, 0) for shift in range(_MOST_SHIFT)),
                    *((0, back) for back in range(1, _MOST_SHIFT)),
                ]
            ]
        ).max(axis=0)
        best = int(alike.argmax())
        return self._actors[close[best]] if alike[best] >= _ALIKE else None


def _standardise(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centres and scales to unit length, so that a product is a correlation: (..., T)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=-1, keepdims=True)


def _measure_loudness(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    frames = waveform[: len(waveform) // _HOP * _HOP].reshape(-1, _HOP)
    return np.log(np.square(frames).mean(axis=1) + 1e-7)


def write_mono(sounds: list[Sound], path: Path, seconds: float) -> tuple[Path, list[Clip]]:
    """Writes clips one after another; an actor is a speaker."""
    clips, parts, start = [], [], 0.0
    for sound in sounds:
        if start >= seconds:
            break
        clips.append(_place(sound, sound.actor, start))
        parts.append(sound.padded)
        start += len(parts[-1]) / SAMPLE_RATE
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path, clips


def write_channels(sounds: list[Sound], path: Path, seconds: float) -> tuple[Path, list[Clip]]:
    """Writes dialogues of two, one after another: each channel is one of the two."""
    clips, parts, start = [], [], 0.0
    for _, dialogue in groupby(sounds, key=lambda sound: sound.dialogue):
        turns = list(dialogue)
        speakers = [actor for actor, _ in Counter(turn.actor for turn in turns).most_common(2)]
        if len(speakers) < 2 or start >= seconds:
            continue
        for sound in (turn for turn in turns if turn.actor in speakers):
            channel = speakers.index(sound.actor)
            clips.append(_place(sound, f"speaker_{channel + 1}", start))
            samples = np.zeros((len(sound.padded), 2), dtype=np.float32)
            samples[:, channel] = sound.padded
            parts.append(samples)
            start += len(samples) / SAMPLE_RATE
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path, clips


def _place(sound: Sound, speaker: str, start: float) -> Clip:
    probabilities, _ = SpeechDetector(1).push(sound.waveform[None])
    spoken = np.flatnonzero(probabilities[0] >= 0.5)
    first, last = (spoken[0], spoken[-1] + 1) if len(spoken) else (0, 0)
    return Clip(
        speaker,
        sound.emotion,
        start,
        start + len(sound.waveform) / SAMPLE_RATE,
        start + float(first) * FRAME_SECONDS,
        start + float(last) * FRAME_SECONDS,
    )
