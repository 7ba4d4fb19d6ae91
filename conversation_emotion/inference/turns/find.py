"""Finds the turns of a recording by voice activity, in memory that does not grow with its length.

Where each channel of the file has a voice of its own, each is a speaker. A microphone also picks up
the others: what a channel holds while another is louder by ``--crosstalk`` decibels, and has speech
itself, is no speech of its own. Loudness is the mean power of the last third of a second.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.features.voice_activity import (
    FRAME,
    FRAME_SECONDS,
    SpeechDetector,
)
from conversation_emotion.inference.turns.segments import Segmenter
from conversation_emotion.inference.turns.turn import Turn
from conversation_emotion.settings.turns import SegmentSettings, TurnSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, stream_audio
from conversation_emotion.utterances.sound_files import printable

_LOUDNESS_FRAMES = 10  # over which power is averaged

_PROBED_SECONDS = 300.0  # from the beginning, to see whose channels these are
_ACTIVE = 40.0  # decibels below the loudest frames in which nobody speaks
_APART = 10.0  # decibels by which one channel is louder than all others if it has its own voice


class TurnFinder:
    """Finds turns in samples that come in pieces of any size, which does not change the turns.

    Args:
        settings: Where turns begin and end.
        num_channels: Channels (C), each the voice of a speaker of its own.
        recording: Name of the recording that the turns get.
    """

    def __init__(
        self, settings: SegmentSettings, num_channels: int = 1, recording: str | None = None
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._detector = SpeechDetector(num_channels)
        self._segmenters = [Segmenter(settings) for _ in range(num_channels)]
        self._powers = np.zeros((num_channels, _LOUDNESS_FRAMES - 1), dtype=np.float32)
        self._num_samples = 0
        self._waiting: list[Turn] = []

    def push(self, samples: NDArray[np.float32]) -> list[Turn]:
        """Takes (C, S) samples at 16 kHz; returns the turns that are complete, sorted by start."""
        self._num_samples += samples.shape[1]
        self._segment(*self._detector.push(samples))
        # A turn waits for those of other channels that began before it.
        opens = [segmenter.open_since for segmenter in self._segmenters]
        first = min((start for start in opens if start is not None), default=float("inf"))
        return self._release(first)

    @property
    def earliest(self) -> float:
        """Seconds before which no turn to come begins."""
        waiting = (turn.start for turn in self._waiting if turn.start is not None)
        return min((*waiting, *(segmenter.earliest for segmenter in self._segmenters)))

    def finish(self) -> list[Turn]:
        """Returns the turns that the end of the recording completes, sorted by start."""
        self._segment(*self._detector.finish())
        for channel, segmenter in enumerate(self._segmenters):
            self._keep(channel, segmenter.finish(self._num_samples / SAMPLE_RATE))
        return self._release(float("inf"))

    def _segment(self, probabilities: NDArray[np.float32], powers: NDArray[np.float32]) -> None:
        """Takes the next frames: (C, T), (C, T)."""
        if not powers.size:
            return
        known = np.concatenate([self._powers, powers], axis=1)
        self._powers = known[:, powers.shape[1] :]
        windows = np.lib.stride_tricks.sliding_window_view(known, _LOUDNESS_FRAMES, axis=1)
        loudness = windows.mean(axis=2)
        is_speech = probabilities >= self._settings.speech_threshold
        loudest = np.where(is_speech, loudness, 0).max(axis=0, keepdims=True)
        is_crosstalk = loudness < loudest * 10 ** (-self._settings.crosstalk / 10)
        own = np.where(is_crosstalk, 0.0, probabilities)
        for frame in own.T:
            for channel, probability in enumerate(frame):
                self._keep(channel, self._segmenters[channel].push(float(probability)))

    def _keep(self, channel: int, segment: tuple[float, float] | None) -> None:
        if segment is not None:
            start, end = (round(seconds, 3) for seconds in segment)
            is_one = len(self._segmenters) == 1
            self._waiting.append(
                Turn(
                    recording=self._recording,
                    start=start,
                    end=end,
                    speaker=None if is_one else f"speaker_{channel + 1}",
                    channel=None if is_one else channel,
                )
            )

    def _release(self, before: float) -> list[Turn]:
        self._waiting.sort(key=lambda turn: (turn.start, turn.channel))
        ready = [turn for turn in self._waiting if turn.start is not None and turn.start < before]
        self._waiting = self._waiting[len(ready) :]
        return ready


def find_turns(
    recording: str | Path,
    settings: TurnSettings | None = None,
    *,
    advance: Callable[[float], object] = lambda seconds: None,
) -> Iterator[Turn]:
    """Yields the turns of a recording, sorted by start; none where nobody speaks.

    Speakers are known where they are channels; see `name_speakers` for voices.

    Args:
        recording: Audio or video file of any length.
        settings: Where turns begin and end, and whether channels are speakers.
        advance: Takes the seconds of audio as they are done.

    Raises:
        AudioError: The file is missing, does not decode, or has no audio; or it has one channel
            where channels are to be speakers. The turns before a fault in it come first.
        ModuleNotFoundError: The weights of silero-vad are not installed.
    """
    settings = settings or TurnSettings()
    are_channels = settings.speakers == "channels" or (
        settings.speakers == "auto" and settings.num_speakers is None and have_own_voices(recording)
    )
    finder: TurnFinder | None = None
    try:
        for samples in stream_audio(recording, mix=not are_channels):
            if finder is None:
                if are_channels and len(samples) == 1:
                    raise AudioError(
                        f"{recording}: has one channel, --speakers channels needs two or more; "
                        "take --speakers clusters"
                    )
                finder = TurnFinder(settings, len(samples), printable(recording))
            yield from finder.push(samples)
            advance(samples.shape[1] / SAMPLE_RATE)
    except AudioError:
        if finder is not None:
            yield from finder.finish()
        raise
    if finder is not None:
        yield from finder.finish()


def have_own_voices(recording: str | Path) -> bool:
    """Returns whether each channel of a recording has the voice of a speaker of its own.

    So it is where, in half or more of the frames that are no silence, one channel is louder than
    all others by 10 dB, and each channel is so in a twentieth or more; in the first five minutes.
    Channels that hold the same, or one room, are not.
    """
    powers = []
    with suppress(AudioError):  # found again, and raised, where turns are looked for
        for samples in stream_audio(recording):
            if len(samples) == 1:
                return False
            whole = samples[:, : samples.shape[1] // FRAME * FRAME]
            frames = whole.reshape(len(samples), -1, FRAME)
            powers.append(np.square(frames).mean(axis=2))
            if sum(part.shape[1] for part in powers) * FRAME_SECONDS > _PROBED_SECONDS:
                break
    if not powers:
        return False
    levels = 10 * np.log10(np.concatenate(powers, axis=1) + 1e-10)  # -100 dB, which is silence
    loudest = levels.max(axis=0)
    active = levels[:, (loudest > np.quantile(loudest, 0.95) - _ACTIVE) & (loudest > -70)]
    if not active.size:
        return False
    ranked = np.sort(active, axis=0)
    is_apart = ranked[-1] - ranked[-2] >= _APART
    shares = [np.mean(is_apart & (active.argmax(axis=0) == n)) for n in range(len(active))]
    return bool(is_apart.mean() >= 0.5 and min(shares) >= 0.05)
