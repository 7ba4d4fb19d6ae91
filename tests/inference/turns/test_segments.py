import numpy as np
import pytest
from silero_vad.utils_vad import get_speech_timestamps_from_probs

from conversation_emotion.inference.turns.segments import Segmenter
from conversation_emotion.settings.turns import SegmentSettings

FRAME = 0.032  # seconds


def segment(probabilities, **settings) -> list[tuple[float, float]]:
    """Cuts frames into segments, in frames."""
    segmenter = Segmenter(SegmentSettings(**{"padding": 0.0, "min_turn": 0.0, **settings}))
    found = [segmenter.push(probability) for probability in probabilities]
    found.append(segmenter.finish(len(probabilities) * FRAME))
    return [(start / FRAME, end / FRAME) for start, end in filter(None, found)]


def test_segments_are_those_of_the_package():
    random = np.random.default_rng(0)
    steps = np.repeat(random.uniform(0, 1, 300), random.integers(1, 30, 300))
    probabilities = np.append(np.clip(steps + random.normal(0, 0.2, len(steps)), 0, 1), [0] * 30)
    theirs = get_speech_timestamps_from_probs(
        probabilities.tolist(),
        min_speech_duration_ms=250,
        min_silence_duration_ms=300,
        speech_pad_ms=100,
    )
    mine = segment(probabilities, min_turn=0.25, min_pause=0.3, padding=0.1)
    assert len(mine) > 30
    np.testing.assert_allclose(mine, [(x["start"] / 512, x["end"] / 512) for x in theirs])


def test_a_turn_that_is_too_long_is_cut_where_speech_is_least_probable():
    probabilities = [0.9] * 100
    probabilities[10], probabilities[25], probabilities[50] = 0.4, 0.6, 0.4
    found = segment(probabilities, max_turn=32 * FRAME, min_pause=1.0)
    # The first 32 frames are cut at 25, the next 32 at 50, in their second halves.
    assert np.round(found, 6).tolist()[:2] == [[0, 25], [25, 50]]
    assert found[-1][1] == pytest.approx(100)
    assert max(end - start for start, end in found) <= 32


def test_a_cut_within_a_pause_loses_no_speech_and_adds_no_turn():
    probabilities = [0.9] * 30 + [0.0] * 40
    found = segment(probabilities, max_turn=33 * FRAME, min_pause=10 * FRAME)
    assert np.round(found, 6).tolist() == [[0, 30]]


def test_speech_that_is_too_short_is_no_turn_and_the_end_ends_one():
    probabilities = [0.9] * 3 + [0.0] * 20 + [0.9] * 8
    found = segment(probabilities, min_turn=0.25, min_pause=0.3)
    assert np.round(found, 6).tolist() == [[23, 31]]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"padding": 0.3}, "--padding must be at most half of --min-pause 0.4, got 0.3"),
        ({"max_turn": 0.5}, "--max-turn must be 1 second or more and twice --min-turn, got 0.5"),
        ({"speech_threshold": 1.0}, r"--speech-threshold must lie in \(0, 1\), got 1.0"),
        ({"min_pause": 0.01}, "--min-pause must be 0.064 or more, got 0.01"),
        ({"crosstalk": -1.0}, "--crosstalk must be 0 or more, got -1.0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        SegmentSettings(**settings)
