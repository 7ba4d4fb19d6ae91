"""Makes the demo corpus: lets espeak-ng speak its plan, writes the table and the recordings.

    python -m conversation_emotion.corpora.demo.make --output DIR

Needs espeak-ng and takes about two minutes. With version 1.51 the table equals the shipped one byte
for byte; other versions speak a little faster or slower, which changes the times and nothing else.
The bytes of the recordings differ between runs, since an Ogg stream begins with a random number.
"""

import argparse
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from conversation_emotion.corpora.demo import TABLE
from conversation_emotion.corpora.demo.plan import SEED, SESSIONS, PlannedUtterance, plan_session

_NOISE_STREAM = 1
"""Keeps the noise apart from the random numbers of the plan."""

_COMPRESSION = 0.967
"""Opus level between 0 (256 kbit/s) and 1 (6 kbit/s)."""

SAMPLE_RATE = 16_000
_NOISE_LEVEL = 0.002
_SILENT_BELOW = 0.004
_MARGIN_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.3


def main() -> None:
    """Makes all sessions in the folder that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m conversation_emotion.corpora.demo.make",
        description="Makes the demo corpus with espeak-ng.",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for table and recordings"
    )
    out: Path = parser.parse_args().output
    if (program := shutil.which("espeak-ng")) is None:
        parser.error(
            "espeak-ng is not on the PATH; making the demo corpus needs it: install the package "
            "espeak-ng (the shipped corpus was made with version 1.51)"
        )
    out.mkdir(parents=True, exist_ok=True)
    rows = [row for session in SESSIONS for row in make_session(session, program, out)]
    pd.DataFrame(rows).to_csv(out / TABLE, index=False, lineterminator="\n")
    print(f"{len(rows)} utterances in {out}")


def make_session(session: str, program: str, out: Path) -> Iterator[dict[str, object]]:
    """Records the dialogues of one session in a folder and yields the rows of its utterances.

    ``program`` is the path of espeak-ng.
    """
    generator = np.random.default_rng([SEED, SESSIONS.index(session), _NOISE_STREAM])
    for dialogue in plan_session(session):
        waveform, spans = record(dialogue, program, generator)
        audio = f"{dialogue[0].row['dialogue_id']}.ogg"
        soundfile.write(
            out / audio,
            waveform,
            SAMPLE_RATE,
            format="OGG",
            subtype="OPUS",
            compression_level=_COMPRESSION,
        )
        for utterance, (start, end) in zip(dialogue, spans, strict=True):
            yield {**utterance.row, "audio": audio, "start": start, "end": end}


def record(
    dialogue: list[PlannedUtterance], program: str, generator: np.random.Generator
) -> tuple[NDArray[np.float64], list[tuple[float, float]]]:
    """Speaks a dialogue into one recording with pauses and a little noise.

    Returns:
        The waveform (S,), and the seconds at which each utterance begins and ends.
    """
    pieces: list[NDArray[np.float64]] = []
    spans = []
    position = 0
    for utterance in dialogue:
        pause = np.zeros(round(utterance.pause * SAMPLE_RATE))
        speech = _speak(utterance, program)
        start = position + len(pause)
        position = start + len(speech)
        spans.append((round(start / SAMPLE_RATE, 4), round(position / SAMPLE_RATE, 4)))
        pieces += [pause, speech]
    waveform = np.concatenate([*pieces, np.zeros(round(_LAST_PAUSE_SECONDS * SAMPLE_RATE))])
    noise = generator.normal(scale=_NOISE_LEVEL, size=len(waveform))
    return np.clip(waveform + noise, -1.0, 1.0), spans


def _speak(utterance: PlannedUtterance, program: str) -> NDArray[np.float64]:
    """Speaks one utterance at 16 kHz, without the silence around it but for a margin: (S,)."""
    prosody = utterance.prosody
    text = f'<prosody range="{prosody.pitch_range}%">{escape(utterance.text)}</prosody>'
    command = [program, "--stdout", "-m", "-v", utterance.voice]
    command += ["-s", str(prosody.rate), "-p", str(prosody.pitch), "-a", str(prosody.loudness)]
    spoken = subprocess.run([*command, f"<speak>{text}</speak>"], capture_output=True, check=True)
    waveform, sample_rate = soundfile.read(io.BytesIO(spoken.stdout))
    waveform = np.asarray(waveform, dtype=np.float64)
    audible = np.flatnonzero(np.abs(waveform) > _SILENT_BELOW)
    margin = round(_MARGIN_SECONDS * sample_rate)
    trimmed = waveform[max(0, audible[0] - margin) : audible[-1] + margin]
    return resample(trimmed, sample_rate)


def resample(waveform: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Brings a waveform to 16 kHz in the frequency domain: (S,) -> (S',)."""
    length = round(len(waveform) * SAMPLE_RATE / sample_rate)
    spectrum = np.fft.rfft(waveform)[: length // 2 + 1]
    return np.fft.irfft(spectrum, n=length) * (length / len(waveform))


if __name__ == "__main__":
    main()
