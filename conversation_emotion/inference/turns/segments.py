"""Where speech begins and ends, by its probability in each frame, as the frames come."""

from typing import NamedTuple

from conversation_emotion.features.voice_activity import FRAME_SECONDS
from conversation_emotion.settings.turns import SegmentSettings

_HYSTERESIS = 0.15  # what the probability of speech falls by before it pauses; Silero's own


class Segment(NamedTuple):
    """Speech from ``start`` to ``end``, in seconds."""

    start: float
    end: float


class Segmenter:
    """Cuts one channel into segments of speech; frame by frame, so that it can go on for ever.

    A segment is complete ``min_pause`` after its end, or when it is ``max_turn`` long: it is then
    cut at the frame of its second half in which speech is least probable, and the rest goes on.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        self._settings = settings
        self._threshold = settings.speech_threshold
        self._low = max(self._threshold - _HYSTERESIS, 0.01)
        self._most = max(2, int(settings.max_turn / FRAME_SECONDS))
        self._frame = 0  # number of the frame to come
        self._first: int | None = None  # of the segment that is not complete
        self._pause: int | None = None  # where speech last fell silent
        self._is_rest = False  # whether the segment follows a cut
        self._probabilities: list[float] = []  # of the segment

    @property
    def open_since(self) -> float | None:
        """Start of the segment that is not complete, if there is one."""
        return None if self._first is None else self._start(self._first)

    @property
    def earliest(self) -> float:
        """Seconds before which no segment to come begins."""
        return self._start(self._frame if self._first is None else self._first)

    def push(self, probability: float) -> Segment | None:
        """Takes the next frame; returns the segment that it completes, if it completes one."""
        number = self._frame
        self._frame += 1
        if self._first is None:
            if probability >= self._threshold:
                self._first, self._probabilities = number, [probability]
            return None
        self._probabilities.append(probability)
        if probability >= self._threshold:
            self._pause = None
        elif probability < self._low:
            self._pause = number if self._pause is None else self._pause
            if (number - self._pause) * FRAME_SECONDS >= self._settings.min_pause:
                return self._complete(self._pause)
        return self._cut() if len(self._probabilities) >= self._most else None

    def finish(self, seconds: float) -> Segment | None:
        """Completes the last segment, of a recording of this length."""
        segment = None
        if self._first is not None:
            segment = self._complete(self._frame if self._pause is None else self._pause)
        return None if segment is None else Segment(segment.start, min(segment.end, seconds))

    def _start(self, first: int) -> float:
        padding = 0.0 if self._is_rest else self._settings.padding
        return max(0.0, first * FRAME_SECONDS - padding)

    def _complete(self, last: int) -> Segment | None:
        """Ends the segment before a frame; it is dropped if it is too short."""
        assert self._first is not None
        num_frames = last - self._first
        end = last * FRAME_SECONDS + self._settings.padding
        segment = Segment(self._start(self._first), end)
        self._first, self._pause, self._is_rest = None, None, False
        is_long = num_frames and num_frames * FRAME_SECONDS >= self._settings.min_turn
        return segment if is_long else None

    def _cut(self) -> Segment:
        """Ends the segment where speech is least probable, and begins the rest there."""
        assert self._first is not None
        half = len(self._probabilities) // 2
        place = min(range(half, len(self._probabilities)), key=self._probabilities.__getitem__)
        cut = self._first + place
        segment = Segment(self._start(self._first), cut * FRAME_SECONDS)
        self._probabilities = self._probabilities[place:]
        self._first, self._is_rest = cut, True
        self._pause = None if self._pause is None else max(self._pause, cut)
        return segment
