"""Levels of clips: loudness, clipping, silence, and whether two are the same sound."""

import numpy as np
import pytest
import soundfile

from conversation_emotion.utterances.audio import read_native
from conversation_emotion.utterances.decoding import Block
from conversation_emotion.utterances.levels import measure_levels

SINE = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)


def measure(*waveforms: np.ndarray):
    return measure_levels([Block(np.concatenate(waveforms)[None], 16_000)])


def test_levels_are_in_decibels_of_full_scale():
    found = measure(0.5 * SINE)
    # The root mean square of a sine is 1 / sqrt(2): -3.01 dB, and half of it 6.02 dB less.
    assert found.level == pytest.approx(-9.03, abs=0.01)
    assert found.peak == pytest.approx(-6.02, abs=0.01)
    assert (found.seconds, found.clipped, found.silence) == (1.0, 0.0, 0.0)


def test_what_is_soft_beside_the_sound_is_silence_and_so_is_nothing():
    assert measure(SINE, 0.001 * SINE[:8_000]).silence == pytest.approx(1 / 3)
    assert measure(np.zeros(16_000, np.float32)).silence == 1.0
    assert measure(np.zeros(16_000, np.float32)).level == -120


def test_samples_are_clipped_where_three_or_more_in_a_row_are_at_full_scale():
    waveform = np.zeros(1000, np.float32)
    waveform[[10, 20, 21]] = 1.0  # a peak, and two of them
    waveform[100:105] = -1.0
    waveform[200:203] = 0.9995
    assert measure(waveform).clipped == pytest.approx(8 / 1000)


def test_the_same_samples_are_the_same_sound_in_another_file(tmp_path):
    digests, sine = set(), (20_000 * SINE[:8_000]).astype(np.int16)
    for name, samples in (("a.wav", sine), ("b.flac", sine), ("c.wav", sine + np.int16(1))):
        soundfile.write(tmp_path / name, samples, 48_000)
        (block,) = read_native(tmp_path / name)
        assert (block.rate, block.samples.shape) == (48_000, (1, 8_000))
        digests.add(measure_levels([block]).digest)
    assert len(digests) == 2
