"""From the plan to sound: espeak-ng speaks each utterance, a dialogue becomes one recording."""

import io
import shutil
import subprocess
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import soundfile
from numpy.typing import NDArray

from conversation_emotion.corpora.demo.plan import PlannedUtterance

SAMPLE_RATE = 16_000
_NOISE_LEVEL = 0.002
_SILENT_BELOW = 0.004
_MARGIN_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.3


class Span(NamedTuple):
    """When an utterance begins and ends, in seconds from the beginning of its dialogue."""

    start: float
    end: float


class Recording(NamedTuple):
    """One dialogue: its waveform of shape (S,) and the spans of its utterances."""

    waveform: NDArray[np.float64]
    spans: list[Span]


def find_espeak() -> str:
    """Path of the program espeak-ng.

    Raises:
        FileNotFoundError: It is not installed.
    """
    if (program := shutil.which("espeak-ng")) is None:
        raise FileNotFoundError(
            "espeak-ng is not on the PATH; making the demo corpus needs it: install the package "
            "espeak-ng (the shipped corpus was made with version 1.51)"
        )
    return program


def speak(utterance: PlannedUtterance, program: str) -> NDArray[np.float64]:
    """Speaks one utterance: 16 kHz, without the silence around it, of shape (S,).

    Args:
        utterance: What to say, with whose voice, and how.
        program: Path of espeak-ng.
    """
    prosody = utterance.prosody
    text = f'<prosody range="{prosody.pitch_range}%">{escape(utterance.text)}</prosody>'
    command = [program, "--stdout", "-m", "-v", utterance.speaker.voice]
    command += ["-s", str(prosody.rate), "-p", str(prosody.pitch), "-a", str(prosody.loudness)]
    spoken = subprocess.run([*command, f"<speak>{text}</speak>"], capture_output=True, check=True)
    waveform, sample_rate = soundfile.read(io.BytesIO(spoken.stdout))
    return resample(_trim(np.asarray(waveform, dtype=np.float64), sample_rate), sample_rate)


def record(
    dialogue: list[PlannedUtterance], program: str, generator: np.random.Generator
) -> Recording:
    """Speaks a dialogue into one recording with pauses and a little noise.

    Args:
        dialogue: Its utterances in the order of speaking.
        program: Path of espeak-ng.
        generator: Source of the noise.
    """
    pieces: list[NDArray[np.float64]] = []
    spans: list[Span] = []
    position = 0
    for utterance in dialogue:
        pause = np.zeros(round(utterance.pause * SAMPLE_RATE))
        speech = speak(utterance, program)
        start = position + len(pause)
        position = start + len(speech)
        spans.append(Span(round(start / SAMPLE_RATE, 4), round(position / SAMPLE_RATE, 4)))
        pieces += [pause, speech]
    waveform = np.concatenate([*pieces, np.zeros(round(_LAST_PAUSE_SECONDS * SAMPLE_RATE))])
    noise = generator.normal(scale=_NOISE_LEVEL, size=len(waveform))
    return Recording(np.clip(waveform + noise, -1.0, 1.0), spans)


def resample(waveform: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Brings a waveform to 16 kHz in the frequency domain: (S,) -> (S',)."""
    length = round(len(waveform) * SAMPLE_RATE / sample_rate)
    spectrum = np.fft.rfft(waveform)[: length // 2 + 1]
    return np.fft.irfft(spectrum, n=length) * (length / len(waveform))


def _trim(waveform: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Cuts the silence before and after, except for a margin: (S,) -> (S',)."""
    audible = np.flatnonzero(np.abs(waveform) > _SILENT_BELOW)
    margin = round(_MARGIN_SECONDS * sample_rate)
    return waveform[max(0, audible[0] - margin) : audible[-1] + margin]
