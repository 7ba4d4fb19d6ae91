"""Makes the demo corpus: plans it, lets espeak-ng speak it, writes the table and the recordings.

    python -m conversation_emotion.corpora.demo.make --output DIR

Needs espeak-ng and takes about two minutes. With version 1.51 the table equals the shipped one byte
for byte; other versions speak a little faster or slower, which changes the times and nothing else.
The bytes of the recordings differ between runs, since an Ogg stream begins with a random number.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from conversation_emotion.corpora.demo import TABLE
from conversation_emotion.corpora.demo.plan import SEED, SESSIONS, plan_session
from conversation_emotion.corpora.demo.synthesis import SAMPLE_RATE, find_espeak, record

_NOISE_STREAM = 1
"""Keeps the noise apart from the random numbers of the plan."""

_COMPRESSION = 0.967
"""Opus level between 0 (256 kbit/s) and 1 (6 kbit/s)."""


def make_session(session: str, out: Path) -> Iterator[dict[str, object]]:
    """Records the dialogues of one session and yields the rows of its utterances.

    Args:
        session: Name of the session, such as Ses01.
        out: Folder for the recordings.

    Raises:
        FileNotFoundError: espeak-ng is not installed.
    """
    program = find_espeak()
    generator = np.random.default_rng([SEED, SESSIONS.index(session), _NOISE_STREAM])
    for dialogue in plan_session(session):
        recording = record(dialogue, program, generator)
        audio = f"{dialogue[0].row['dialogue_id']}.ogg"
        soundfile.write(
            out / audio,
            recording.waveform,
            SAMPLE_RATE,
            format="OGG",
            subtype="OPUS",
            compression_level=_COMPRESSION,
        )
        for utterance, span in zip(dialogue, recording.spans, strict=True):
            yield {**utterance.row, "audio": audio, "start": span.start, "end": span.end}


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
    try:
        find_espeak()
    except FileNotFoundError as error:
        parser.error(str(error))
    out.mkdir(parents=True, exist_ok=True)
    rows = [row for session in SESSIONS for row in make_session(session, out)]
    pd.DataFrame(rows).to_csv(out / TABLE, index=False, lineterminator="\n")
    print(f"{len(rows)} utterances in {out}")


if __name__ == "__main__":
    main()
