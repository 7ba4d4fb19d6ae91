import os
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from torchaudio import functional

from conversation_emotion.utterances import decoding, resampling
from conversation_emotion.utterances.audio import MIN_SECONDS, SAMPLE_RATE, AudioError, stream_audio
from conversation_emotion.utterances.audio import read_audio as read

DATA = Path(
    os.environ.get("CONVERSATION_EMOTION_DATA", Path(__file__).parents[3] / "shared" / "data")
)


def sine(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    """A tone of amplitude 0.5: (S,)."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def write_mp4(path: Path, channels: np.ndarray, rate: int = 48_000, **options: str) -> Path:
    """Encodes (channels, S) as AAC in MP4 or what else the suffix asks for."""
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        for start in range(0, channels.shape[1], 1024):
            block = np.ascontiguousarray(channels[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def stereo_mp4(tmp_path):
    """Four seconds at 48 kHz: 300 Hz left and 700 Hz right, an octave higher from second 2 on."""
    left = np.concatenate([sine(300, 48_000, 2.0), sine(600, 48_000, 2.0)])
    right = np.concatenate([sine(700, 48_000, 2.0), sine(1400, 48_000, 2.0)])
    return write_mp4(tmp_path / "clip.mp4", np.stack([left, right]))


def loudest_hertz(waveform: np.ndarray) -> float:
    """Frequency of the strongest component of (S,)."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax()) * SAMPLE_RATE / len(waveform)


def test_a_16_khz_file_comes_back_sample_by_sample(tmp_path):
    samples = np.array([0, 16384, -32768, 32767] * 200, dtype=np.int16)
    soundfile.write(tmp_path / "clip.wav", samples, SAMPLE_RATE)
    waveform = read(tmp_path / "clip.wav")
    assert waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, samples / np.float32(32768))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_sample_rate_becomes_16_khz(tmp_path, rate):
    soundfile.write(tmp_path / "clip.flac", sine(440, rate), rate)
    waveform = read(tmp_path / "clip.flac")
    middle = slice(1_000, 15_000)  # the filter has no neighbours at the edges
    assert len(waveform) == SAMPLE_RATE
    np.testing.assert_allclose(waveform[middle], sine(440, SAMPLE_RATE)[middle], atol=5e-3)


@pytest.mark.parametrize("rate", [16_001, 44_101, 7_919])
def test_a_rate_without_a_common_divisor_is_no_harder(tmp_path, rate):
    soundfile.write(tmp_path / "clip.wav", sine(440, rate), rate, subtype="FLOAT")
    tracemalloc.start()
    waveform = read(tmp_path / "clip.wav")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    middle = slice(1_000, 15_000)
    np.testing.assert_allclose(waveform[middle], sine(440, SAMPLE_RATE)[middle], atol=5e-3)
    assert most < 100 * 2**20  # torchaudio's filter alone would have 1,000 MiB for 16,001 Hz


@pytest.mark.parametrize("rate", [44_100, 11_025])
def test_odd_rates_are_resampled_as_torchaudio_does(rate):
    noise = np.random.default_rng(0).normal(0, 0.1, 5_000).astype(np.float32)
    expected = functional.resample(torch.from_numpy(noise), rate, SAMPLE_RATE).numpy()
    np.testing.assert_allclose(resampling._resample_odd(noise, rate), expected, atol=1e-5)


def test_a_rate_that_no_recording_has_is_refused(tmp_path):
    soundfile.write(tmp_path / "clip.wav", np.zeros(800), SAMPLE_RATE)
    content = bytearray((tmp_path / "clip.wav").read_bytes())
    content[24:28] = (1).to_bytes(4, "little")
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"1 samples per second, expected 1,000 to 768,000"):
        read(tmp_path / "clip.wav")


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.25])
def test_another_speed_changes_length_and_pitch_alike(tmp_path, speed):
    soundfile.write(tmp_path / "clip.wav", sine(440, 48_000), 48_000)
    waveform = read(tmp_path / "clip.wav", speed=speed)
    assert len(waveform) == pytest.approx(SAMPLE_RATE / speed, abs=1)
    assert loudest_hertz(waveform) == pytest.approx(440 * speed, abs=2)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_reads_the_usual_formats(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, sine(440, SAMPLE_RATE), SAMPLE_RATE)
    assert loudest_hertz(read(path)) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("channel", "expected"), [(None, [0.25, -0.125]), (0, [0.5, 0.25]), (1, [0.0, -0.5])]
)
def test_channels_are_averaged_unless_one_is_chosen(tmp_path, channel, expected):
    stereo = np.tile([[0.5, 0.0], [0.25, -0.5]], (400, 1))
    soundfile.write(tmp_path / "clip.wav", stereo, SAMPLE_RATE)
    waveform = read(tmp_path / "clip.wav", channel=channel)
    np.testing.assert_allclose(waveform, np.tile(expected, 400), atol=1e-4)


def test_channels_that_cancel_are_no_silence(tmp_path):
    voice = sine(440, SAMPLE_RATE)
    soundfile.write(tmp_path / "clip.wav", np.stack([voice, -0.95 * voice], axis=1), SAMPLE_RATE)
    with pytest.raises(AudioError, match=r"clip\.wav: its 2 channels cancel.*take one"):
        read(tmp_path / "clip.wav")
    np.testing.assert_allclose(read(tmp_path / "clip.wav", channel=0), voice, atol=1e-4)


@pytest.mark.parametrize("others", [0.0, 0.01])
def test_one_channel_of_many_that_has_sound_is_no_cancelling(tmp_path, others):
    noise = np.random.default_rng(0).normal(0, 0.1, (SAMPLE_RATE, 16)) * ([1.0] + [others] * 15)
    soundfile.write(tmp_path / "clip.wav", noise, SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "clip.wav"), noise.mean(axis=1), atol=1e-6)


def test_a_slice_of_a_wav_holds_exactly_its_samples(tmp_path):
    ramp = (np.arange(32_000) / 32_768).astype(np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, SAMPLE_RATE, subtype="FLOAT")
    waveform = read(tmp_path / "ramp.wav", offset=0.5, duration=0.25)
    np.testing.assert_array_equal(waveform, ramp[8_000:12_000])


def test_a_slice_that_reaches_past_the_end_stops_there(tmp_path):
    soundfile.write(tmp_path / "clip.wav", sine(440, SAMPLE_RATE), SAMPLE_RATE)
    assert len(read(tmp_path / "clip.wav", offset=0.75, duration=9.0)) == 4_000


def test_reads_each_channel_of_a_video_container(stereo_mp4):
    assert len(read(stereo_mp4)) == pytest.approx(4 * SAMPLE_RATE, abs=400)
    assert loudest_hertz(read(stereo_mp4, duration=1.5, channel=0)) == pytest.approx(300, abs=2)
    assert loudest_hertz(read(stereo_mp4, duration=1.5, channel=1)) == pytest.approx(700, abs=2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "aac"])
@pytest.mark.parametrize("offset", [0.3, 1.9, 3.2])
def test_a_slice_of_a_container_equals_that_part_of_the_whole(tmp_path, suffix, offset):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 64_000)).astype(np.float32)
    path = write_mp4(tmp_path / f"noise.{suffix}", noise, SAMPLE_RATE)
    whole = read(path)
    first = round(offset * SAMPLE_RATE)
    part = read(path, offset=offset, duration=0.5)
    np.testing.assert_allclose(part, whole[first : first + 8_000], atol=1e-5)


def test_integer_samples_of_a_container_are_scaled_to_one(tmp_path):
    samples = np.array([[8192, -16384] * 2_000], dtype=np.int16)
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_array_equal(read(tmp_path / "clip.mkv"), [0.25, -0.5] * 2_000)


def test_a_container_with_the_suffix_of_another_format_is_still_read(stereo_mp4):
    renamed = stereo_mp4.rename(stereo_mp4.with_suffix(".wav"))
    assert loudest_hertz(read(renamed, duration=1.5, channel=0)) == pytest.approx(300, abs=2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"nothing\.wav: does not exist"):
        read(tmp_path / "nothing.wav")


def test_a_folder_is_no_audio_file(tmp_path):
    with pytest.raises(AudioError, match=f"{tmp_path.name}: is a folder"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["broken.wav", "broken.mp4"])
def test_bytes_that_are_no_audio_do_not_decode(tmp_path, name):
    (tmp_path / name).write_bytes(b"no audio at all " * 40)
    with pytest.raises(AudioError, match=rf"{name}: does not decode \(Invalid data.*640 bytes\)"):
        read(tmp_path / name)


def test_a_clip_that_breaks_off_is_refused_as_a_whole(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 64_000)).astype(np.float32)
    path = write_mp4(tmp_path / "clip.mp4", noise, SAMPLE_RATE, movflags="faststart")
    with av.open(str(path)) as container:
        begins = [packet.pos for packet in container.demux() if packet.size]
    path.write_bytes(path.read_bytes()[: begins[len(begins) // 2]])
    with pytest.raises(AudioError, match=r"breaks off after [12]\.\d\d s, expected 4\.\d\d s"):
        read(path)
    assert len(read(path, duration=0.5)) == 8_000


def test_a_video_without_sound_has_no_audio_stream(tmp_path):
    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        picture = np.zeros((32, 32, 3), dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"silent\.mp4: no audio stream, found streams: video"):
        read(tmp_path / "silent.mp4")


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_that_does_not_exist_is_refused(tmp_path, channel):
    soundfile.write(tmp_path / "clip.wav", np.zeros((800, 2)), SAMPLE_RATE)
    with pytest.raises(AudioError, match=f"channel {channel} does not exist, expected 0 to 1"):
        read(tmp_path / "clip.wav", channel=channel)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_refused(tmp_path, value):
    samples = np.zeros(800, dtype=np.float32)
    samples[123] = value
    soundfile.write(tmp_path / "clip.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=f"sample 123 is {value}"):
        read(tmp_path / "clip.wav")


def test_less_than_one_window_is_refused_and_exactly_one_is_read(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(399), SAMPLE_RATE)
    soundfile.write(tmp_path / "enough.wav", np.zeros(400), SAMPLE_RATE)
    with pytest.raises(AudioError, match=r"short\.wav: 24\.9 ms of audio, expected 25 ms"):
        read(tmp_path / "short.wav")
    assert len(read(tmp_path / "enough.wav")) == MIN_SECONDS * SAMPLE_RATE


def test_a_slice_that_is_too_short_is_named(tmp_path):
    soundfile.write(tmp_path / "clip.wav", np.zeros(16_000), SAMPLE_RATE)
    with pytest.raises(AudioError, match=r"10\.0 ms of audio in 0\.01 s from 0\.5 s"):
        read(tmp_path / "clip.wav", offset=0.5, duration=0.01)
    with pytest.raises(AudioError, match=r"20\.0 ms of audio in the rest from 0\.98 s"):
        read(tmp_path / "clip.wav", offset=0.98)


@pytest.mark.parametrize("offset", [1.0, 7.5])
def test_an_offset_beyond_the_end_is_refused(tmp_path, offset):
    soundfile.write(tmp_path / "clip.wav", np.zeros(16_000), SAMPLE_RATE)
    with pytest.raises(AudioError, match=rf"offset is {offset:g} s, but the audio ends at 1\.000"):
        read(tmp_path / "clip.wav", offset=offset)


def test_a_slice_far_into_matroska_is_sought_and_right_to_a_millisecond(tmp_path, monkeypatch):
    path = write_mp4(tmp_path / "clip.mkv", sine(300, 48_000, 4.0)[None])
    whole = read(path)
    monkeypatch.setattr(decoding, "_FAR_SECONDS", 1.0)
    assert decoding._decode_with_av(path, path, 3.0, 0.5).start == pytest.approx(2.5, abs=0.05)
    part = read(path, offset=3.0, duration=0.5)
    assert len(part) == 8_000
    middle = part[100:-100]  # a slice is resampled from silence at its ends
    errors = [
        np.abs(middle - whole[48_100 + shift : 55_900 + shift]).max() for shift in range(-16, 17)
    ]
    assert min(errors) < 0.06 * 0.5  # half of what 300 Hz changes from sample to sample


def test_an_offset_beyond_the_end_of_a_container_is_refused(stereo_mp4):
    with pytest.raises(AudioError, match=r"offset is 9 s, but the audio ends at 4\.0\d\d s"):
        read(stereo_mp4, offset=9.0)


@pytest.mark.parametrize("offset", [-0.5, float("nan"), float("inf")])
def test_an_offset_before_the_beginning_is_refused(tmp_path, offset):
    soundfile.write(tmp_path / "clip.wav", np.zeros(16_000), SAMPLE_RATE)
    with pytest.raises(AudioError, match=rf"offset is {offset} s, expected 0 s or more"):
        read(tmp_path / "clip.wav", offset=offset)


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan")])
def test_a_duration_must_be_positive(tmp_path, duration):
    soundfile.write(tmp_path / "clip.wav", np.zeros(16_000), SAMPLE_RATE)
    with pytest.raises(AudioError, match=rf"duration is {duration} s, expected more than 0 s"):
        read(tmp_path / "clip.wav", duration=duration)


@pytest.mark.parametrize("error", [MemoryError("9 TiB"), IndexError("no frame"), OSError("disk")])
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, error):
    soundfile.write(tmp_path / "clip.wav", np.zeros(800), SAMPLE_RATE)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("conversation_emotion.utterances.decoding._decode_stream", fail)
    with pytest.raises(AudioError, match=rf"clip\.wav: does not decode \({type(error).__name__}"):
        read(tmp_path / "clip.wav")


@pytest.mark.parametrize("name", [b"2024-05-01T10:30:05.mp4", b"F\xfchrung.mp4", b"F\xfc.wav"])
def test_a_name_with_a_colon_or_not_in_utf_8_is_read(tmp_path, monkeypatch, stereo_mp4, name):
    monkeypatch.chdir(tmp_path)
    if name.endswith(b"wav"):
        soundfile.write(stereo_mp4, sine(440, SAMPLE_RATE, 4.0), SAMPLE_RATE, format="WAV")
    os.rename(stereo_mp4, name)
    assert len(read(os.fsdecode(name))) == pytest.approx(4 * SAMPLE_RATE, abs=400)
    with pytest.raises(AudioError, match="offset is 9 s") as found:
        read(os.fsdecode(name), offset=9.0)
    str(found.value).encode("utf-8")


def test_a_real_clip_that_does_not_decode_is_named():
    path = DATA / "meld_composite" / "train_splits" / "dia125_utt3.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set CONVERSATION_EMOTION_DATA to the folder with data")
    with pytest.raises(AudioError, match=r"dia125_utt3\.mp4: does not decode"):
        read(path)


def test_eight_channels_of_a_film_are_read_each(tmp_path):
    path = tmp_path / "surround.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="7.1")
        levels = np.repeat(np.arange(8, dtype=np.int16)[None] * 1000, 4096, axis=0)
        frame = av.AudioFrame.from_ndarray(levels.reshape(1, -1), format="s16", layout="7.1")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    channels = np.concatenate(list(stream_audio(path)), axis=1)
    np.testing.assert_allclose(channels[:, 100], np.arange(8) * 1000 / 32768, atol=1e-6)
    np.testing.assert_allclose(read(path, channel=7)[100], 7000 / 32768, atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".mkv"])
def test_what_unpacks_to_more_than_memory_should_hold_is_refused(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"clip{suffix}"
    if suffix == ".wav":
        soundfile.write(path, np.full((50_000, 2), 0.1), SAMPLE_RATE)
    else:
        write_mp4(path, np.full((2, 50_000), 0.1, np.float32))
    monkeypatch.setattr(decoding, "_MOST_SAMPLES", 60_000)
    with pytest.raises(AudioError, match=f"{path}: holds more than 60,000 samples of all channels"):
        read(path)
    assert len(read(path, duration=0.2)) == 0.2 * SAMPLE_RATE
