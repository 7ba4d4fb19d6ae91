"""How fast do files become features, next to a plain loop over them?

    python -m benchmarks.extraction
    python -m benchmarks.extraction --encoder fbank --clips 1000

FLAC files of two to five seconds, noise and tones; some at 48 kHz, which are resampled. This suite
decodes ahead while the encoder works, and encodes clips of similar length as one batch, into a new
store. The plain loop reads a file, encodes it alone, and keeps the result, as most scripts of the
field do. Both use the same encoder and decoder and take turns in one process; a ratio is of two
neighbouring turns, on the clock and of processor time.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
import tyro

from benchmarks.board.row import Cost, Plan, Row, count_flops, time_turns
from conversation_emotion.features.encoders import SpeechEncoder
from conversation_emotion.features.sources import Source, encode_source, load_encoder
from conversation_emotion.utterances.audio import read_audio
from tests.funasr_emotion2vec import make_waveform


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the comparison."""

    encoder: str = "emotion2vec-mini"
    """Name, hub id or folder of a speech encoder."""

    clips: int = 64
    """Files."""

    threads: int = 2
    """Threads of the encoder."""

    repetitions: int = 3
    """Pairs of turns, after one that does not count."""

    def __post_init__(self) -> None:
        for name in ("clips", "threads", "repetitions"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, got {getattr(self, name)}")


def write_files(number: int, folder: Path) -> tuple[pd.DataFrame, float]:
    """Writes FLAC files, every fourth at 48 kHz -> their utterance table, and seconds of audio."""
    import soundfile

    lengths = np.random.default_rng(0).uniform(2, 5, number).round(2).tolist()
    paths = [folder / f"{place}.flac" for place in range(number)]
    for place, (path, seconds) in enumerate(zip(paths, lengths, strict=True)):
        factor = 1 if place % 4 else 3
        waveform = make_waveform(place, factor * seconds).numpy()
        soundfile.write(path, 0.9 * waveform / abs(waveform).max(), 16_000 * factor)
    unknown = dict.fromkeys(("offset", "duration", "channel"), np.nan)
    ids = [str(place) for place in range(number)]
    table = pd.DataFrame({"utterance_id": ids, "audio": [str(one) for one in paths], **unknown})
    return table, sum(lengths)


class Sides:
    """Both ways from files to features."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        torch.set_num_threads(settings.threads)
        self.folder = folder
        self.encoder = cast(SpeechEncoder, load_encoder("speech", settings.encoder, "cpu"))
        self.source = Source("speech", settings.encoder, "last", "mean", half_precision=False)
        self.table, self.audio = write_files(settings.clips, folder)

    def ours(self) -> None:
        """Extracts into a new store."""
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            encode_source(
                self.table, self.source, self.encoder, Path(cache), advance=lambda seconds: None
            )

    def theirs(self) -> None:
        """Reads and encodes file after file."""
        found = []
        for path in self.table["audio"]:
            waveform = torch.from_numpy(read_audio(path))[None]
            states, _ = self.encoder(waveform, torch.tensor([waveform.size(1)]))
            found.append(states[0, -1].mean(dim=0).numpy())
        np.save(self.folder / "plain.npy", np.stack(found))


def measure(settings: Settings) -> Iterator[tuple[str, list[tuple[float, ...]], float]]:
    """Measures by each clock -> its name, seconds per second of audio of both sides, FLOPs."""
    with tempfile.TemporaryDirectory() as place:
        sides = Sides(settings, Path(place))
        flops = count_flops(sides.theirs) / sides.audio
        turns = time_turns([sides.ours, sides.theirs], settings.repetitions)
        for place, name in enumerate(Cost._fields):
            yield name, [tuple(one[place] / sides.audio for one in side) for side in turns], flops


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures files of two to five seconds, with the plain loop as the peer."""
    clips = 48 if plan.is_quick else 256
    settings = Settings(threads=plan.threads, repetitions=plan.repetitions, clips=clips)
    for name, seconds, flops in measure(settings):
        yield Row(
            name=f"{clips} files, {settings.encoder}",
            per="second of audio",
            ours=seconds[0],
            is_clock=name == "clock",
            peer="file after file",
            theirs=seconds[1],
            flops=flops,
        )


def main() -> None:
    """Measures both and prints the table."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.extraction", description=__doc__)
    print(f"{settings}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}\n")
    print("| seconds of | ours, s per s | file after file, s per s | ratio (range) |")
    print("|---|---|---|---|")
    for name, (ours, theirs), _ in measure(settings):
        ratios = [other / one for one, other in zip(ours, theirs, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        cells = [f"{statistics.median(one):.4f}" for one in (ours, theirs)]
        print(f"| {' | '.join([name, *cells, spread])} |")


if __name__ == "__main__":
    main()
