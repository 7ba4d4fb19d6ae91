"""Turns of sound that is still coming, each with its emotion as soon as it has ended."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from conversation_emotion.features.extract import Features
from conversation_emotion.features.sources import list_sources
from conversation_emotion.inference.forecast import HISTORY
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.recordings import show_rows
from conversation_emotion.inference.turns.find import TurnFinder
from conversation_emotion.inference.turns.turn import Turn, tabulate_turns
from conversation_emotion.settings.features import BY_GROUP
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.utterances.audio import MAX_RATE, MIN_RATE
from conversation_emotion.utterances.resampling import Resampler, resample

_AT_ONCE = 1 << 17  # samples of a chunk that are read at once, so that a long one needs no more

_LOUDEST = 8.0  # a sample beyond is no overdrive: whole numbers were given as they are

_ROUNDING = 1e-3  # seconds, to which the times of turns are rounded


class TurnStream:
    """Takes samples in chunks of any size, which does not change the turns, and gives their rows.

    Rows are those of prediction from a file (`recordings.predict_rows`) of more than 30 seconds:
    the same times, and probabilities within 1e-4. A row never changes once it is given, whatever
    comes later. It is given ``min_pause`` after the speech of its turn ended; one that is cut at
    ``max_turn``, up to half of that after the cut; and where channels are speakers, a turn waits
    for those of others that began before it. The samples of turns that have not ended are held,
    no others, and of the past what forecasts and models of conversations read.

    Made by `Predictor.stream`.
    """

    def __init__(
        self,
        predictor: Predictor,
        sample_rate: int,
        *,
        settings: TurnSettings | None = None,
        recording: str | None = None,
        classes: Sequence[str] = (),
        min_confidence: float = 0.0,
    ) -> None:
        self._settings = settings or TurnSettings(speakers="unknown")
        _check(predictor, sample_rate, self._settings)
        self._are_channels = self._settings.speakers == "channels"
        self._predictor = predictor
        self._rate = int(sample_rate)
        self._recording = recording
        self._choice = {"classes": classes, "min_confidence": min_confidence}
        self._resampler = Resampler(self._rate)
        self._finder: TurnFinder | None = None
        self._num_channels = 0  # of the chunks; those of the finder may be mixed
        self._num_chunks = 0
        self._is_finished = False
        self._held: deque[NDArray[np.float32]] = deque()
        self._first = 0  # number of the first sample that is held
        self._past: list[Turn] = []
        self._features: dict[str, Features] = {}  # of the past turns
        self._nothing = self._predict([], {})

    def push(self, chunk: ArrayLike) -> pd.DataFrame:
        """Takes the next samples; returns a row for each turn that they complete.

        Args:
            chunk: float32 or float64 in [-1, 1], or int16; of shape (S,), or (S, C) with C
                channels. What it holds is copied.

        Raises:
            TypeError: It holds no such numbers.
            ValueError: A sample is not finite or far out of range; the shape is another, or the
                number of channels changed; or the stream is finished. Nothing was taken.
        """
        samples = self._read(chunk)
        self._num_chunks += 1
        if self._finder is None:
            num_voices = len(samples) if self._are_channels else 1
            self._num_channels = len(samples)
            self._finder = TurnFinder(self._settings, num_voices, self._recording)
        if not self._are_channels and len(samples) > 1:
            samples = samples.mean(axis=0, keepdims=True, dtype=np.float32)
        turns, waveforms = [], []
        for first in range(0, samples.shape[1], _AT_ONCE):
            some = samples[:, first : first + _AT_ONCE]
            self._held.append(some)
            found = self._finder.push(self._resampler.push(some))
            turns += found
            waveforms += [self._cut(turn) for turn in found]
            self._drop(self._finder.earliest)
        return self._give(turns, waveforms)

    def finish(self) -> pd.DataFrame:
        """Ends the stream; returns a row for each turn that its end completes.

        Raises:
            ValueError: The stream is finished.
        """
        self._check_open()
        self._is_finished = True
        if self._finder is None:
            return self._nothing.copy()
        rest = self._resampler.finish()
        turns = [] if rest is None else self._finder.push(rest)
        turns += self._finder.finish()
        waveforms = [self._cut(turn) for turn in turns]
        self._held.clear()
        return self._give(turns, waveforms)

    def _read(self, chunk: ArrayLike) -> NDArray[np.float32]:
        """Checks a chunk and copies it: (S,) or (S, C) -> (C, S)."""
        self._check_open()
        place = f"chunk {self._num_chunks}"
        given = np.asarray(chunk)
        if given.dtype not in (np.float32, np.float64, np.int16):
            raise TypeError(f"{place}: holds {given.dtype}, expected float32, float64 or int16")
        if given.ndim not in (1, 2) or (given.ndim == 2 and not given.shape[1]):
            raise ValueError(f"{place}: has shape {given.shape}, expected (S,) or (S, C)")
        num_channels = 1 if given.ndim == 1 else given.shape[1]
        if self._num_chunks and num_channels != self._num_channels:
            raise ValueError(
                f"{place}: has {num_channels} channels, expected {self._num_channels} as before; "
                "samples are (S, C), and another recording is another stream"
            )
        if self._are_channels and num_channels == 1:
            raise ValueError(
                f"{place}: has one channel, speakers='channels' needs two or more; take 'unknown'"
            )
        samples = np.array(given.reshape(-1, num_channels).T, dtype=np.float32, order="C")
        if given.dtype == np.int16:
            return samples / np.float32(32768)
        if (wrong := np.flatnonzero(~(np.abs(samples) <= _LOUDEST))).size:  # true of NaN as well
            channel, number = np.unravel_index(wrong[0], samples.shape)
            raise ValueError(
                f"{place}: sample {number} is {samples[channel, number]:g}, expected finite "
                "numbers in [-1, 1]; whole numbers are taken as int16"
            )
        return samples

    def _check_open(self) -> None:
        if self._is_finished:
            raise ValueError("the stream is finished; begin another one with Predictor.stream")

    def _cut(self, turn: Turn) -> NDArray[np.float32]:
        """Returns a turn as it is read from a file: cut at the rate that came, then resampled."""
        assert turn.start is not None
        assert turn.end is not None
        first = round(turn.start * self._rate)
        last = first + round((turn.end - turn.start) * self._rate)
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held, axis=1)
        samples = joined[turn.channel or 0, max(first - self._first, 0) : last - self._first]
        return resample(samples, self._rate)

    def _drop(self, earliest: float) -> None:
        """Drops samples of whole chunks before a time in seconds."""
        needed = int((earliest - _ROUNDING) * self._rate)
        while self._held and self._first + self._held[0].shape[1] <= needed:
            self._first += self._held.popleft().shape[1]

    def _give(self, turns: list[Turn], waveforms: list[NDArray[np.float32]]) -> pd.DataFrame:
        if not turns:
            return self._nothing.copy()
        return self._predict(turns, self._predictor.encode_waveforms(waveforms))

    def _predict(self, turns: list[Turn], new: dict[str, Features]) -> pd.DataFrame:
        """Predicts turns with the past that they depend on, and keeps what later ones do."""
        num_past = len(self._past)
        features = {
            name: _join(self._features[name], found) if num_past else found
            for name, found in new.items()
        }
        rows = tabulate_turns([*self._past, *turns])
        asked = rows if self._are_channels else rows.drop(columns="speaker")
        if self._predictor.saved.card.is_conversation:
            asked = rows
        predictions = self._predictor.predict_encoded(asked, features, **self._choice)
        self._keep([*self._past, *turns], features)
        given = slice(num_past, None)
        return show_rows(rows[given], predictions[given]).reset_index(drop=True)

    def _keep(self, turns: list[Turn], features: dict[str, Features]) -> None:
        """Keeps the last turns that those to come may depend on."""
        num_kept = self._count_past(turns)
        kept = slice(max(0, len(turns) - num_kept), None)
        self._past = turns[kept]
        self._features = {
            name: found._replace(states=found.states[kept], failures={})
            for name, found in features.items()
        }

    def _count_past(self, turns: list[Turn]) -> int:
        """Counts the last turns that what comes may depend on."""
        if not self._are_channels:
            return 0  # neither forecasts nor models of conversations, for nobody knows who speaks
        settings = self._predictor.saved.card.model
        if not isinstance(settings, ConversationModelSettings):
            return HISTORY
        # A model of conversations counts runs of a speaker's turns; one more may still go on.
        left, count = settings.history + settings.horizon + 1, 0
        for number, turn in enumerate(reversed(turns)):
            is_run = number == 0 or turn.speaker != turns[len(turns) - number].speaker
            left -= is_run
            if left < 0:
                break
            count += 1
        return count


def _join(past: Features, new: Features) -> Features:
    """Puts new rows behind those of the past."""
    num_past = len(past.states)
    failures = {str(int(number) + num_past): why for number, why in new.failures.items()}
    return new._replace(states=[*past.states, *new.states], failures=failures)


def _check(predictor: Predictor, sample_rate: int, settings: TurnSettings) -> None:
    """Checks that these settings and this model are possible where sound is still coming."""
    if sample_rate != int(sample_rate) or not MIN_RATE <= sample_rate <= MAX_RATE:
        raise ValueError(
            f"sample_rate is {sample_rate}, expected a whole number from {MIN_RATE:,} to "
            f"{MAX_RATE:,} samples per second"
        )
    is_told = (settings.num_speakers, settings.speaker_encoder, settings.speaker_distance)
    if settings.speakers == "clusters" or any(one is not None for one in is_told):
        raise ValueError(
            "speakers of a stream cannot be clustered, for that takes the whole recording; take "
            "speakers='channels' or 'unknown'"
        )
    card = predictor.saved.card
    if not any(one.modality == "speech" for one in list_sources(card.features).values()):
        raise ValueError("a stream has no words, and the model reads nothing else")
    if card.features.standardise in BY_GROUP:
        raise ValueError(
            f"the model was trained with --standardise {card.features.standardise}, which takes "
            "all turns at once; take a model of --standardise train, clip or none"
        )
    if card.is_conversation and settings.speakers != "channels":
        raise ValueError(
            "it is not known who speaks when, and the model is one of conversations; take "
            "speakers='channels'"
        )
