"""Batches of unlabelled clips of one length, in an order that the step number alone decides.

Clips of similar length share a batch that is filled by seconds, not by number (lhotse). All are
cropped at random places to the shortest, or to a given length up to which shorter ones are
repeated, so that nothing is padded. Every random choice (order, crop, augmentation) comes from the
seed, the epoch and the batch's number: training can stop anywhere and continue as if it had not.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from lhotse import CutSet, MonoCut
from lhotse.dataset.sampling import BucketingSampler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from conversation_emotion.pretraining.augmentation import augment
from conversation_emotion.pretraining.recordings import Clip, Recordings
from conversation_emotion.pretraining.teacher import TeacherStates
from conversation_emotion.settings.pretraining import AudioSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE, explain, read_audio

_NUM_BUCKETS = 30


class ClipBatch(NamedTuple):
    """Clips of one length at 16 kHz, without padding (B, S); B is 0 where none could be read.

    ``seed`` is that of all other random choices of the step; ``broken`` is why a clip could not be
    read, by path; ``states`` are those of a frozen teacher, (B, T, L, D), where there is one.
    """

    waveforms: Tensor
    seed: int
    broken: dict[str, str]
    states: Tensor | None = None


@dataclass(eq=False)
class ClipStream:
    """Endless batches whose position can be saved and restored.

    Args:
        sources: Where clips come from.
        settings: How batches are made.
        seed: Of order, crops and augmentation.
        rank: Number of this process.
        world_size: Processes that share the clips.
        teacher: Hidden states of a frozen teacher, of which each clip gets its own.

    Attributes:
        epoch: Epoch of the next batch.
        position: Number of the next batch in its epoch.

    Raises:
        ValueError: There are no clips, or not a weight for each source.
    """

    sources: Sequence[Recordings]
    settings: AudioSettings
    _: KW_ONLY
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    teacher: TeacherStates | None = None
    epoch: int = field(default=0, init=False)
    position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not any(source.clips for source in self.sources):
            raise ValueError("there are no clips to train on; pass other sources")
        given, expected = len(self.settings.weights), len(self.sources)
        if given and given != expected:
            raise ValueError(f"{given} weights for {expected} sources; pass one for each")

    def __iter__(self) -> Iterator[ClipBatch]:
        while True:
            plan = self._plan_epoch()[self.position :]
            seeds = [self.seed, self.epoch, self.rank]
            batches = _Batches(plan, self.settings, seeds, self.position, self.teacher)
            loader = DataLoader(
                batches, batch_size=None, num_workers=self.settings.workers, shuffle=False
            )
            for batch in loader:
                self.position += 1
                yield batch
            self.epoch, self.position = self.epoch + 1, 0

    def _plan_epoch(self) -> list[list[Clip]]:
        """Divides the clips of an epoch into batches, as many for every process."""
        clips = choose_clips(self.sources, self.settings.weights, self.seed, self.epoch)
        crop = self.settings.crop_seconds
        usual = 1_000_000 if torch.accelerator.is_available() else 320_000
        longest = round(SAMPLE_RATE * self.settings.longest_seconds)
        most_samples = self.settings.batch_samples or max(usual, longest)
        cuts = CutSet.from_cuts(
            MonoCut(id=str(number), start=0.0, duration=crop or clip.seconds, channel=0)
            for number, clip in enumerate(clips)
        )
        sampler = BucketingSampler(
            cuts,
            max_duration=most_samples / SAMPLE_RATE,
            num_buckets=1 if crop else max(1, min(_NUM_BUCKETS, len(clips) // 8)),
            shuffle=True,
            seed=self.seed,
            rank=self.rank,
            world_size=self.world_size,
        )
        sampler.set_epoch(self.epoch)
        # A cut that is repeated to give every process as many batches is named NUMBER_dupTIMES.
        numbers = [[int(cut.id.partition("_")[0]) for cut in batch] for batch in sampler]
        return [[clips[number] for number in batch] for batch in numbers]


def choose_clips(
    sources: Sequence[Recordings], weights: Sequence[float], seed: int, epoch: int
) -> list[Clip]:
    """Chooses the clips of an epoch: each once, or from each source its share of as many."""
    if not weights:
        return [clip for source in sources for clip in source.clips]
    rng = np.random.default_rng([seed, epoch])
    total = sum(len(source.clips) for source in sources)
    chosen: list[Clip] = []
    for source, weight in zip(sources, weights, strict=True):
        count = round(total * weight / sum(weights))
        repeats = math.ceil(count / max(1, len(source.clips)))
        drawn = np.concatenate([rng.permutation(len(source.clips)) for _ in range(repeats)] or [[]])
        chosen += [source.clips[int(number)] for number in drawn[:count]]
    return chosen


@dataclass(eq=False)
class _Batches(Dataset[ClipBatch]):
    """The batches of (the rest of) an epoch, each made from its number alone."""

    plan: list[list[Clip]]
    settings: AudioSettings
    seeds: list[int]
    first: int
    teacher: TeacherStates | None

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> ClipBatch:
        rng = np.random.default_rng([*self.seeds, self.first + number])
        crop = self.settings.crop_seconds
        least = round((crop or self.settings.min_seconds) * SAMPLE_RATE)
        clips, waveforms, broken = [], [], {}
        for clip in self.plan[number]:
            try:
                waveform = augment(_read(clip), self.settings, rng)
            except Exception as error:  # of libraries, on one clip; it must not end the rest
                broken[clip.path] = explain(clip.path, error)
                continue
            # Too short clips are repeated, also those that augmentation made too short. With a
            # teacher none is, but for what a header promised and the file does not hold.
            repeats = 1 if self.teacher else -(-least // len(waveform))
            waveforms.append(waveform.repeat(repeats))
            clips.append(clip)
        if not waveforms:
            return ClipBatch(torch.empty(0, least), 0, broken)
        shortest = min(map(len, waveforms))
        size = min(round(crop * SAMPLE_RATE), shortest) if crop else shortest
        # A crop that begins with a frame of the teacher has the frames of the whole clip.
        step = self.teacher.hop if self.teacher else 1
        starts = [step * int(rng.integers((len(one) - size) // step + 1)) for one in waveforms]
        cropped = [one[start : start + size] for one, start in zip(waveforms, starts, strict=True)]
        states = self.teacher.cut_all(clips, starts, size) if self.teacher else None
        return ClipBatch(torch.stack(cropped), int(rng.integers(2**31)), broken, states)


def _read(clip: Clip) -> Tensor:
    # A whole file is read without a slice: its header may promise a little more than it holds.
    offset, seconds = clip.offset or None, clip.seconds
    waveform = read_audio(clip.path, offset=offset, duration=seconds, channel=clip.channel)
    return torch.from_numpy(waveform)
