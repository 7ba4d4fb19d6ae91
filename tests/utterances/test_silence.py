"""Where clips begin to sound and end."""

import numpy as np
import pytest

from conversation_emotion.utterances.silence import find_sound

TONE = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.0, (0.4, 1.6)),  # a tenth of a second is kept on either side
        (10 ** (-40 / 20), (0.4, 1.6)),
        (10 ** (-30 / 20), (0.0, 2.0)),
    ],
)
def test_what_is_35_decibels_softer_than_the_sound_is_silence(level, expected):
    around = level * TONE[:8_000]
    assert find_sound(np.concatenate([around, TONE, around])) == pytest.approx(expected)


@pytest.mark.parametrize("size", [100, 16_000])
def test_a_clip_of_silence_alone_is_kept_whole(size):
    assert find_sound(np.zeros(size, np.float32)) == (0.0, size / 16_000)
