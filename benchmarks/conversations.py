r"""From a recording to its turns and emotions, and the same while it is still coming: how true?

    python -m experiments.ser --corpus joint --roots emodb=EmoDB ravdess=WITHOUT --num-folds 9 \
        --valid fold --layer-mixture join --register without --train-on-all
    python -m benchmarks.conversations --root MELD_COMPOSITE --ravdess RAVDESS --model without

The model that comes with the package learnt from the voices of this corpus, whose clips are
recordings of RAVDESS under MELD's dialogues. The first command trains it once more, by its own
recipe, from a folder of links to the actors 01 to 08; conversations are made here of the clips of
the others alone, which are known by their loudness over time. A clip is followed by a pause of
0.5 s; dialogues follow one another. One conversation is mono; in another each channel is a speaker,
one dialogue after the other, of those with two speakers or more the two who speak most.

Speech in truth is what voice activity finds in each clip alone. Shown are: speech that is missed or
invented, per speech; the diarisation error rate without a collar (missed, invented and confused
speech, per speech), of mono by --num-speakers and without; UAR of the emotions of the found turns,
each with the clip that it overlaps most, and of the clips by themselves; and speechbrain's emotion
diarisation error rate, in which silence counts as neutral. Needs pyannote.metrics. Then what
prediction costs, of a process of its own on ``--threads`` threads; and the same recording through
`Predictor.stream` in chunks of 20 ms.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
import tyro

from benchmarks._made_conversations import Clip, list_sounds, write_channels, write_mono
from conversation_emotion.inference.turns.turn import LabelledTurn
from conversation_emotion.inference.turns.write import label_turns

CHUNK = 0.02
"""Seconds of a chunk of a stream."""


@dataclass(frozen=True, kw_only=True)
class ConversationSettings:
    """Which corpora, model and how much."""

    root: Path
    """Folder of MELD_COMPOSITE."""

    ravdess: Path
    """Folder of RAVDESS."""

    model: str
    """Model that did not hear the actors."""

    actors: tuple[str, ...] = ("09", "10", "11", "12")
    """Actors of RAVDESS whose clips the conversations are made of."""

    minutes: float = 30.0
    """Length of the mono conversation; the one of channels has a third of it."""

    threads: int = 2
    """Threads of the process that is measured."""

    speaker_encoder: str | None = None
    """Encoder of voices for clusters; none takes the best at hand."""


class Measured(NamedTuple):
    """What a process took."""

    clock: float
    processor: float
    megabytes: float


def main(settings: ConversationSettings) -> None:
    """Makes the conversations, predicts them, and prints the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = list_sounds(
            settings.root, settings.ravdess, settings.actors, settings.minutes * 60
        )
        mono, truth = write_mono(sounds, folder / "mono.wav", settings.minutes * 60)
        channels, own = write_channels(sounds, folder / "channels.wav", settings.minutes * 20)
        num_speakers = len({clip.speaker for clip in truth})
        print("| conversation | clips | speakers | missed | invented | DER | UAR | EDER |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        flags = ["--num-speakers", str(num_speakers)]
        if settings.speaker_encoder:
            flags += ["--speaker-encoder", settings.speaker_encoder]
        runs = {
            "mono, speakers unknown": (mono, truth, ["--speakers", "unknown"]),
            f"mono, {num_speakers} speakers": (mono, truth, flags),
            "channels": (channels, own, ["--speakers", "channels"]),
        }
        costs = {}
        for what, (recording, clips, given) in runs.items():
            table = folder / "turns.parquet"
            costs[what] = predict(settings, recording, table, given)
            turns = label_turns(pd.read_parquet(table), table)
            print(f"| {what} | {len(clips)} | {score(clips, turns)} |", flush=True)
        print(f"\nUAR of the clips by themselves: {score_clips(settings, mono, truth):.1%}")
        print("\n| conversation | audio, s | clock, s | processor, s | times real time | peak MB |")
        print("|---|---|---|---|---|---|")
        for what, cost in costs.items():
            seconds = soundfile.info(runs[what][0]).duration
            print(f"| {what} | {seconds:.0f} | {_write_cost(cost, seconds, settings.threads)} |")
        print("\n" + "\n".join(compare_stream(settings, mono, folder)))


def predict(
    settings: ConversationSettings, recording: Path, output: Path, flags: list[str]
) -> Measured:
    """Runs the command in a process of its own, on so many threads."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.conversations",
        "--measured",
        str(settings.threads),
    ]
    told = [str(recording), "--model", settings.model, "--output", str(output), *flags]
    done = subprocess.run([*command, *told], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def measure(threads: int, flags: list[str]) -> None:
    """Predicts, and prints what it took; imports and loading are counted."""
    began = time.perf_counter()
    import torch

    from experiments import predict as command

    torch.set_num_threads(threads)
    sys.argv = ["predict", *flags]
    command.main()
    used = resource.getrusage(resource.RUSAGE_SELF)
    cost = Measured(
        time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000
    )
    print(json.dumps(cost._asdict()))


def score(clips: list[Clip], turns: list[LabelledTurn]) -> str:
    """Returns the cells of a row of the table."""
    from pyannote.core import Annotation, Segment  # pyright: ignore[reportMissingImports]
    from pyannote.metrics.diarization import (  # pyright: ignore[reportMissingImports]
        DiarizationErrorRate,
    )

    truth, found = Annotation(), Annotation()
    for clip in clips:
        if clip.speech_end > clip.speech_start:
            truth[Segment(clip.speech_start, clip.speech_end)] = clip.speaker
    for number, turn in enumerate(turns):
        found[Segment(turn.start, turn.end), number] = turn.speaker or "unknown"
    metric = DiarizationErrorRate()
    metric(truth, found)
    parts = metric.accumulated_
    missed, invented = (
        parts[name] / parts["total"] for name in ("missed detection", "false alarm")
    )
    speakers = {turn.speaker for turn in turns} - {None}
    given = str(len(speakers)) if speakers else "unknown"
    rate = f"{abs(metric):.1%}" if speakers else ""
    return " | ".join(
        [
            given,
            f"{missed:.1%}",
            f"{invented:.1%}",
            rate,
            f"{score_emotions(clips, turns):.1%}",
            f"{score_diarisation(clips, turns):.1%}",
        ]
    )


def score_emotions(clips: list[Clip], turns: list[LabelledTurn]) -> float:
    """Returns the UAR of turns, each of the emotion of the clip that it overlaps most."""
    pairs = []
    for turn in turns:
        overlaps = [
            min(turn.end, clip.speech_end) - max(turn.start, clip.speech_start) for clip in clips
        ]
        best = int(np.argmax(overlaps))
        if overlaps[best] > 0:
            pairs.append((clips[best].emotion, turn.emotion))
    return _average_recall(pairs)


def _average_recall(pairs: list[tuple[str, str | None]]) -> float:
    table = pd.DataFrame(pairs, columns=["true", "found"])
    return float((table["true"] == table["found"]).groupby(table["true"]).mean().mean())


def score_clips(settings: ConversationSettings, mono: Path, clips: list[Clip]) -> float:
    """Returns the UAR where the clips are given: turns need not be found."""
    from conversation_emotion.inference.predictor import Predictor

    rows = pd.DataFrame(
        {
            "audio": str(mono),
            "offset": [clip.start for clip in clips],
            "duration": [clip.end - clip.start for clip in clips],
        }
    )
    found = Predictor.load(settings.model).predict(rows)["emotion"]
    return _average_recall(list(zip([clip.emotion for clip in clips], found, strict=True)))


def score_diarisation(clips: list[Clip], turns: list[LabelledTurn]) -> float:
    """Returns speechbrain's error, of each clip with the pause behind it, by length in the mean.

    speechbrain compares first letters; those of sadness and surprise are the same.
    """
    from speechbrain.utils.EDER import EDER  # pyright: ignore[reportMissingTypeStubs]

    letters = {"surprise": "x"}
    step, errors, lengths = 0.01, [], []
    whole = np.full(int(clips[-1].end / step) + 100, "n")
    for turn in turns:
        emotion = turn.emotion or "neutral"
        whole[round(turn.start / step) : round(turn.end / step)] = letters.get(emotion, emotion[0])
    for clip in clips:
        duration = clip.end - clip.start
        predicted = whole[round(clip.start / step) : round(clip.end / step)]
        emotion = {
            "emo": letters.get(clip.emotion, clip.emotion),
            "start": clip.speech_start - clip.start,
            "end": clip.speech_end - clip.start,
        }
        errors.append(EDER(predicted.tolist(), "clip", duration, [emotion], step, step))
        lengths.append(duration)
    return float(np.average(errors, weights=lengths))


def compare_stream(settings: ConversationSettings, mono: Path, folder: Path) -> Iterator[str]:
    """Yields how far the rows of a stream are from those of the file, and how late they are."""
    import torch

    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import predict_rows, read_rows
    from conversation_emotion.settings.turns import TurnSettings

    torch.set_num_threads(settings.threads)
    predictor, turns = Predictor.load(settings.model), TurnSettings(speakers="unknown")
    rows = read_rows([mono], turns, is_conversation=False)
    offline = predict_rows(predictor, rows, classes=(), min_confidence=0.0)
    samples, rate = soundfile.read(mono, dtype="float32")
    stream = predictor.stream(rate, settings=turns, recording=str(mono))
    size, parts, delays, times = round(CHUNK * rate), [], [], []
    began = time.process_time()
    for first in range(0, len(samples), size):
        now = time.process_time()
        found = stream.push(samples[first : first + size])
        times.append((time.process_time() - now, len(found)))
        parts.append(found)
        delays += ((first + size) / rate - found["end"]).tolist()
    parts.append(stream.finish())
    spent = time.process_time() - began
    streamed = pd.concat(parts, ignore_index=True)
    names = [name for name in offline if str(name).startswith("p_")]
    is_same = streamed[["start", "end"]].equals(offline[["start", "end"]])
    rows = f"{len(streamed)} rows, {len(offline)} of the file"
    yield f"stream in chunks of {1000 * CHUNK:.0f} ms: {rows}"
    if len(streamed) == len(offline):
        far = np.abs(streamed[names].to_numpy() - offline[names].to_numpy()).max()
        yield f"times {'equal' if is_same else 'differ'}; probabilities differ by {far:.1e} at most"
    yield (
        f"a row comes {np.median(delays):.2f} s after its turn ended, {max(delays):.2f} s at most"
    )
    quiet, turn = ([one for one, count in times if bool(count) == has] for has in (False, True))
    yield (
        f"processor time: {1000 * np.median(quiet):.1f} ms for a chunk without a row, "
        f"{1000 * np.median(turn):.0f} ms with one, {1000 * max(turn):.0f} ms at most; "
        f"{len(samples) / rate / spent:.1f} s of sound in a second"
    )


def _write_cost(cost: Measured, seconds: float, threads: int) -> str:
    free = threads * seconds / cost.processor
    times = f"{seconds / cost.clock:.1f} (were {threads} cores free: {free:.1f})"
    return f"{cost.clock:.0f} | {cost.processor:.0f} | {times} | {cost.megabytes:,.0f}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measured"]:
        measure(int(sys.argv[2]), sys.argv[3:])
    else:
        main(tyro.cli(ConversationSettings))
