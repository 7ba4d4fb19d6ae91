"""Which turns get words, in which language, and how long ones are cut."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.features import transcription
from conversation_emotion.features.transcription import transcribe, write_words
from conversation_emotion.utterances.audio import read_audio
from tests import spoken

RATE = 16_000


class Said(NamedTuple):
    text: str
    language: str
    problem: str


class Parrot:
    """Writes down the length of each clip in tenths of a second; keeps what it was given."""

    name, identity = "parrot", "parrot 1"
    max_samples = 2 * RATE

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.detected: list[int] = []

    def find_language(self, name: str) -> str:
        if name not in ("de", "en", "German"):
            raise ValueError(f"no language {name!r}")
        return {"German": "de"}.get(name, name)

    def detect(self, waveforms, lengths):
        self.detected += lengths.tolist()
        return ["de"] * len(lengths)

    def __call__(self, waveforms, lengths, languages):
        self.batches.append(lengths.tolist())
        return [
            Said(text="", language="en", problem="nobody speaks")
            if not float(clip.abs().max())
            else Said(text=f"{int(length) // 1600}", language=given or "en", problem="")
            for clip, length, given in zip(waveforms, lengths, languages, strict=True)
        ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder with five seconds of noise that is soft from 1.6 to 1.9 s, and one of silence."""
    folder = tmp_path_factory.mktemp("sound")
    noise = np.random.default_rng(0).normal(scale=0.1, size=5 * RATE)
    noise[int(1.6 * RATE) : int(1.9 * RATE)] *= 0.01
    soundfile.write(folder / "noise.wav", noise, RATE)
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    (folder / "broken.wav").write_text("no sound")
    return folder


@pytest.fixture(autouse=True)
def hear_speech_in_noise(monkeypatch):
    monkeypatch.setattr(transcription, "has_speech", lambda clip: bool(np.abs(clip).max()))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path))


def place(sound, start: float, duration: float, **more: object) -> dict[str, object]:
    return {"audio": str(sound / "noise.wav"), "offset": start, "duration": duration, **more}


def test_turns_without_text_are_written_down_in_batches_by_length(sound, monkeypatch):
    monkeypatch.setattr(transcription, "CLIPS_AT_ONCE", 2)
    parrot, lengths = Parrot(), (0.5, 0.2, 0.4, 0.1, 0.3)
    rows = pd.DataFrame([place(sound, 1, length) for length in lengths])
    rows["text"] = [None, None, "given", " ", None]
    found = write_words(rows, parrot, "German")
    assert found["text"].tolist() == ["5", "2", "given", "1", "3"]
    assert found["language"].tolist() == ["de", "de", None, "de", "de"]
    assert parrot.batches == [[1600, 3200], [4800, 8000]]
    assert rows["text"].isna().sum() == 3


def test_a_recording_of_several_turns_has_one_language_by_what_is_said_first(sound):
    parrot = Parrot()
    rows = [place(sound, start, 0.9) for start in (0, 1, 2, 3)]
    rows += [{"audio": str(sound / "silence.wav")}, place(sound, 0, 0.5, language="en")]
    found = write_words(pd.DataFrame(rows), parrot)
    assert parrot.detected == [2 * RATE]
    assert found["language"].tolist() == ["de"] * 4 + [None, "en"]


def test_a_long_turn_is_cut_where_it_is_least_loud_and_joined(sound):
    parrot = Parrot()
    found = write_words(pd.DataFrame([place(sound, 0, 3.0)]), parrot)
    (first,), (second,) = parrot.batches
    assert 1.6 * RATE < first < 1.9 * RATE
    assert first + second == 3 * RATE
    assert found["text"].tolist() == [f"{first // 1600} {second // 1600}"]


def test_broken_sound_and_rows_with_a_problem_have_no_words_and_are_counted(sound, capsys):
    parrot = Parrot()
    rows = pd.DataFrame(
        [
            place(sound, 0, 0.5, problem=""),
            place(sound, 0, 0.5, problem="lasts too long"),
            {"audio": str(sound / "broken.wav"), "duration": 1.0, "problem": ""},
            {"audio": str(sound / "silence.wav"), "problem": ""},
        ]
    )
    found = write_words(rows, parrot)
    assert found["text"].tolist() == ["5", None, None, None]
    printed = capsys.readouterr().out
    assert "words by parrot: 1 rows (1 en)" in printed
    assert "1 without words: nobody speaks" in printed
    assert "1 without words: the sound cannot be read" in printed


def test_a_language_of_a_row_that_the_model_does_not_have_ends_it_before_any_work(sound):
    parrot = Parrot()
    rows = pd.DataFrame([place(sound, 0, 0.5), place(sound, 1, 0.5, language="tlh")])
    with pytest.raises(ValueError, match="no language 'tlh'"):
        write_words(rows, parrot)
    assert not parrot.batches


def test_what_was_written_down_before_an_interruption_is_not_written_again(
    sound, monkeypatch, capsys
):
    class Interrupted(Parrot):
        def __call__(self, waveforms, lengths, languages):
            if self.batches:
                raise KeyboardInterrupt
            return super().__call__(waveforms, lengths, languages)

    monkeypatch.setattr(transcription, "CLIPS_AT_ONCE", 2)
    rows = pd.DataFrame([place(sound, 0, length) for length in (0.1, 0.2, 0.3)])
    with pytest.raises(KeyboardInterrupt):
        write_words(rows, Interrupted())
    parrot = Parrot()
    found = write_words(rows, parrot)
    assert (parrot.batches, parrot.detected) == ([[4800]], [])
    assert found["text"].tolist() == ["1", "2", "3"]
    assert found["language"].tolist() == ["de"] * 3
    assert "words by parrot: 3 rows (3 de); 2 from the cache" in capsys.readouterr().out


def test_other_sound_models_and_languages_are_written_down_anew(sound, tmp_path):
    noise = tmp_path / "noise.wav"
    soundfile.write(noise, np.full(RATE, 0.1), RATE)
    rows, other = pd.DataFrame([{"audio": str(noise), "duration": 0.5}]), Parrot()
    other.identity = "parrot 2"
    write_words(rows, Parrot())
    for transcriber, language in ((Parrot(), "en"), (other, None)):
        write_words(rows, transcriber, language)
        assert transcriber.batches == [[8000]]
    soundfile.write(noise, np.full(RATE, 0.2), RATE)
    again = Parrot()
    write_words(rows.assign(offset=0.25), again)
    write_words(rows, again)
    assert again.batches == [[8000], [8000]]


def test_speech_is_told_from_silence_and_noise(monkeypatch):
    monkeypatch.undo()
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    clips = [0 * noise, noise, read_audio(spoken.RECORDING, duration=2.0)]
    assert [transcription.has_speech(clip) for clip in clips] == [False, False, True]


def test_paths_are_written_down_by_a_model_of_a_name(sound, monkeypatch):
    monkeypatch.setattr(transcription, "load_transcriber", lambda name, device: Parrot())
    found = transcribe(sound / "silence.wav", "parrot")
    assert found["text"].tolist() == [None]
    assert transcribe([sound / "noise.wav"], "parrot")["text"].str.match(r"\d+ \d+ \d+").all()
