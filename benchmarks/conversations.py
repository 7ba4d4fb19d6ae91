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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
import tyro
from numpy.typing import NDArray

from conversation_emotion.corpora.meld import load_meld
from conversation_emotion.inference.turns.turn import LabelledTurn
from conversation_emotion.inference.turns.voice_activity import FRAME_SECONDS, SpeechDetector
from conversation_emotion.inference.turns.write import label_turns
from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, read_audio

PAUSE = 0.5
"""Seconds between clips."""

CHUNK = 0.02
"""Seconds of a chunk of a stream."""

EMOTIONS = {"joy": "happiness"}
"""The recogniser's emotion by MELD's, where they differ."""

_HOP = SAMPLE_RATE // 100  # samples over which loudness is measured
_SLACK = 0.15  # seconds by which a clip's length differs from its recording's, from coding
_MOST_SHIFT = 9  # hops by which coding moves a clip, or less
_ALIKE = 0.98  # correlation of the loudness of a clip with that of its recording


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


class Sound(NamedTuple):
    """The sound of an utterance, (S,) at 16 kHz, and whose voice it is."""

    dialogue: str
    actor: str
    emotion: str
    waveform: NDArray[np.float32]

    @property
    def padded(self) -> NDArray[np.float32]:
        """Sound and pause."""
        return np.pad(self.waveform, (0, round(PAUSE * SAMPLE_RATE)))


class Clip(NamedTuple):
    """A clip in a conversation, with its true speech in seconds."""

    speaker: str
    emotion: str
    start: float
    end: float
    speech_start: float
    speech_end: float


class Measured(NamedTuple):
    """What a process took."""

    clock: float
    processor: float
    megabytes: float


def main(settings: ConversationSettings) -> None:
    """Makes the conversations, predicts them, and prints the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = list_sounds(settings, settings.minutes * 60)
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


def list_sounds(settings: ConversationSettings, seconds: float) -> list[Sound]:
    """Lists the clips of the actors, dialogue by dialogue."""
    utterances = load_meld(settings.root)
    recordings = {
        path: read_audio(path)
        for path in sorted(settings.ravdess.glob("**/*.wav"))
        if path.stem.startswith("03-01")
    }
    find = _Finder(recordings)
    kept, total, others = [], 0.0, 0
    for row in utterances.to_dict("records"):
        if total > 1.3 * seconds:
            break
        try:
            waveform = read_audio(str(row["audio"]))
        except (AudioError, OSError, TypeError):
            continue
        actor = find(waveform)
        if actor is None or actor not in settings.actors:
            others += 1
            continue
        total += len(waveform) / SAMPLE_RATE + PAUSE
        emotion = EMOTIONS.get(str(row["emotion"]), str(row["emotion"]))
        kept.append(Sound(str(row["dialogue_id"]), actor, emotion, waveform))
    print(
        f"{len(kept)} clips of {', '.join(settings.actors)}; {others} of others are left out",
        flush=True,
    )
    return kept


class _Finder:
    """Finds the actor of a clip by the loudness of recordings over time."""

    def __init__(self, recordings: dict[Path, NDArray[np.float32]]) -> None:
        self._actors = [path.stem.rpartition("-")[2] for path in recordings]
        self._loudness = [_measure_loudness(waveform) for waveform in recordings.values()]

    def __call__(self, waveform: NDArray[np.float32]) -> str | None:
        """Returns the actor whose recording is most alike, None where none is alike enough."""
        clip, most = _measure_loudness(waveform), round(_SLACK * SAMPLE_RATE / _HOP)
        close = [
            number
            for number, known in enumerate(self._loudness)
            if abs(len(known) - len(clip)) <= most
        ]
        if not close:
            return None
        known = [self._loudness[number] for number in close]
        size = min(len(clip), *map(len, known)) - _MOST_SHIFT
        alike = np.stack(
            [
                _standardise(np.stack([one[back : back + size] for one in known]))
                @ _standardise(clip[shift : shift + size])
                for shift, back in [
                    *((shift, 0) for shift in range(_MOST_SHIFT)),
                    *((0, back) for back in range(1, _MOST_SHIFT)),
                ]
            ]
        ).max(axis=0)
        best = int(alike.argmax())
        return self._actors[close[best]] if alike[best] >= _ALIKE else None


def _standardise(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centres and scales to unit length, so that a product is a correlation: (..., T)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=-1, keepdims=True)


def _measure_loudness(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    frames = waveform[: len(waveform) // _HOP * _HOP].reshape(-1, _HOP)
    return np.log(np.square(frames).mean(axis=1) + 1e-7)


def write_mono(sounds: list[Sound], path: Path, seconds: float) -> tuple[Path, list[Clip]]:
    """Writes clips one after another; an actor is a speaker."""
    clips, parts, start = [], [], 0.0
    for sound in sounds:
        if start >= seconds:
            break
        clips.append(_place(sound, sound.actor, start))
        parts.append(sound.padded)
        start += len(parts[-1]) / SAMPLE_RATE
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path, clips


def write_channels(sounds: list[Sound], path: Path, seconds: float) -> tuple[Path, list[Clip]]:
    """Writes dialogues of two, one after another: each channel is one of the two."""
    clips, parts, start = [], [], 0.0
    for _, dialogue in groupby(sounds, key=lambda sound: sound.dialogue):
        turns = list(dialogue)
        speakers = [actor for actor, _ in Counter(turn.actor for turn in turns).most_common(2)]
        if len(speakers) < 2 or start >= seconds:
            continue
        for sound in (turn for turn in turns if turn.actor in speakers):
            channel = speakers.index(sound.actor)
            clips.append(_place(sound, f"speaker_{channel + 1}", start))
            samples = np.zeros((len(sound.padded), 2), dtype=np.float32)
            samples[:, channel] = sound.padded
            parts.append(samples)
            start += len(samples) / SAMPLE_RATE
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path, clips


def _place(sound: Sound, speaker: str, start: float) -> Clip:
    probabilities, _ = SpeechDetector(1).push(sound.waveform[None])
    spoken = np.flatnonzero(probabilities[0] >= 0.5)
    first, last = (spoken[0], spoken[-1] + 1) if len(spoken) else (0, 0)
    return Clip(
        speaker,
        sound.emotion,
        start,
        start + len(sound.waveform) / SAMPLE_RATE,
        start + float(first) * FRAME_SECONDS,
        start + float(last) * FRAME_SECONDS,
    )


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
