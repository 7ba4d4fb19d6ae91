"""Whole clips as the input of an encoder that is trained: checked by fold, in batches.

A batch has clips of similar length, in an order that seed and epoch alone decide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from conversation_emotion.datasets.batches import draw_balanced, seed_everything
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.encoder_families import refuse_leak
from conversation_emotion.datasets.inputs import extract_source, make_fingerprint, note_absent
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.sources import Source
from conversation_emotion.utterances.table import has_text

_BATCHES_SORTED_TOGETHER = 16  # long enough to pad little, short enough to keep the order random


class ClipBatch(NamedTuple):
    """Clips that are encoded together.

    Attributes:
        inputs: Inputs of the encoder, zero at padding: (B, N, D).
        lengths: Real inputs of each clip: (B,).
        targets: Class of each: (B,).
        spellings: Characters of all transcripts, concatenated: (sum of lengths,).
        spelling_lengths: Characters of each transcript; 0 where there is none: (B,).
        rows: Row number of each in the utterance table: (B,).
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    spellings: Tensor
    spelling_lengths: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> "ClipBatch":
        """Moves all tensors to a device."""
        return ClipBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass(frozen=True, kw_only=True)
class Clips:
    """All clips of a corpus, a row per utterance, with ``rate`` inputs per second.

    ``inputs`` are (1, N, D) or None where a clip cannot be used, ``classes`` below 0 where there is
    none; ``spellings`` are indices of the characters of each transcript, None without transcripts.
    """

    inputs: Sequence[NDArray[np.floating] | None]
    classes: NDArray[np.int64]
    spellings: Sequence[NDArray[np.int64]] | None = None
    rate: float = 50.0

    def usable(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the rows that have a class and can be used."""
        is_usable = [self.classes[row] >= 0 and self.inputs[row] is not None for row in rows]
        return rows[np.array(is_usable, dtype=bool)]

    def length(self, row: int) -> int:
        """Returns the number of inputs of a clip."""
        found = self.inputs[row]
        return 0 if found is None else found.shape[1]

    def gather(self, rows: NDArray[np.int64]) -> ClipBatch:
        """Returns the batch of some rows, all of them usable."""
        inputs = [
            torch.from_numpy(np.array(found[0], dtype=np.float32))
            for found in (self.inputs[row] for row in rows)
            if found is not None
        ]
        empty = np.empty(0, dtype=np.int64)
        spelt = [empty if self.spellings is None else self.spellings[row] for row in rows]
        return ClipBatch(
            inputs=pad_sequence(inputs, batch_first=True),
            lengths=torch.tensor([len(clip) for clip in inputs]),
            targets=torch.from_numpy(self.classes[rows]),
            spellings=torch.from_numpy(np.concatenate(spelt)),
            spelling_lengths=torch.tensor([len(one) for one in spelt]),
            rows=torch.from_numpy(rows),
        )


class ClipLoader:
    """The batches of some rows; what an epoch does depends on the seed and its number alone.

    A training that was killed can therefore continue at any epoch: the order of the clips and all
    chance of the forward pass (dropout, masks) are those that it would have had. Without a seed,
    clips are sorted by length and chance is left alone. A batch has at most ``batch_size`` clips
    and ``batch_seconds`` of audio, padding included; a longer clip is alone. One that
    ``is_balanced`` has as many clips of each class in an epoch, see `draw_balanced`.
    """

    def __init__(
        self,
        clips: Clips,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        batch_seconds: float,
        device: torch.device,
        seed: int | None = None,
        is_balanced: bool = False,
    ) -> None:
        self.is_balanced = is_balanced
        self.clips, self.rows, self.device, self.seed = clips, rows, device, seed
        self.batch_size, self.batch_seconds = batch_size, batch_seconds
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.plan())

    def __iter__(self) -> Iterator[ClipBatch]:
        plan = self.plan()
        if self.seed is not None:
            seed_everything(self.seed * 10_000 + self.epoch)
            self.epoch += 1
        for rows in plan:
            yield self.clips.gather(rows).to(self.device)

    def plan(self) -> list[NDArray[np.int64]]:
        """Divides the rows, every one once unless classes are balanced, into the next batches."""
        lengths = np.array([self.clips.length(row) for row in self.rows])
        if self.seed is None:
            return list(self._cut(np.argsort(-lengths, kind="stable"), lengths))
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(len(self.rows))
        if self.is_balanced:
            order = draw_balanced(self.clips.classes[self.rows], generator)
        size = self.batch_size * _BATCHES_SORTED_TOGETHER
        batches: list[NDArray[np.int64]] = []
        for first in range(0, len(order), size):
            some = order[first : first + size]
            batches += self._cut(some[np.argsort(-lengths[some], kind="stable")], lengths)
        return [batches[number] for number in generator.permutation(len(batches))]

    def _cut(
        self, order: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """Cuts rows sorted from long to short, so that the first of a batch is its longest."""
        most = self.batch_seconds * self.clips.rate
        first = 0
        while first < len(order):
            fitting = min(self.batch_size, most / max(1, lengths[order[first]]))
            last = first + max(1, int(fitting))
            yield self.rows[order[first:last]]
            first = last


class ClipInputs(NamedTuple):
    """A dataset with the encoder's input for each utterance.

    Why a clip could not be used is in ``failures`` by utterance id; ``fingerprint`` is a digest of
    utterances, clips and the encoder's weights.
    """

    dataset: Dataset
    clips: Clips
    failures: dict[str, str]
    fingerprint: str


def prepare_clips(
    dataset: Dataset,
    reader: Encoder,
    *,
    name: str,
    identity: str,
    modality: str,
    strict: bool,
    needs_text: bool,
) -> ClipInputs:
    """Computes the input of a trained encoder for every utterance, and checks every fold.

    ``identity`` identifies the weights of the encoder, whose input ``reader`` computes; with
    ``strict`` a clip that cannot be used is an error.

    Raises:
        LeakageError: The encoder was tuned on people whom the split tests.
        ValueError: Labels, texts, or the examples of a class in a fold are missing.
    """
    utterances, corpus = dataset.utterances, dataset.label_map.corpus
    if (needs_text or modality == "text") and not has_text(utterances).any():
        raise ValueError(f"{corpus}: no utterance has a text, which this experiment needs")
    if not (dataset.classes() >= 0).any():
        raise ValueError(
            f"{corpus}: no utterance has one of the classes {', '.join(dataset.labels)}; choose "
            "other --labels"
        )
    refuse_leak(name, dataset)
    source = Source(modality, f"input of {name}", "last", "frames", half_precision=False)
    found = extract_source(utterances, source, reader, strict=strict)
    rate = float(getattr(reader, "frame_rate", np.inf))
    keys = {"inputs": found.key, "weights": identity}
    inputs = ClipInputs(
        dataset,
        Clips(inputs=found.states, classes=dataset.classes(), rate=rate),
        found.failures,
        make_fingerprint(utterances, found.failures, keys),
    )
    _check_folds(inputs)
    targets = single_utterances(dataset.classes())
    return inputs._replace(dataset=note_absent(dataset, targets, modality, found))


def _check_folds(inputs: ClipInputs) -> None:
    """Refuses a fold with an empty part, or with a class that train has no example of."""
    dataset, clips = inputs.dataset, inputs.clips
    for fold in dataset.split.folds:
        name = f"{dataset.split.name}, fold {fold.name!r}"
        for part in ("train", "valid", "test"):
            if not len(clips.usable(getattr(fold, part))):
                raise ValueError(f"{name}: nothing usable with a class in the {part} part")
        found = clips.classes[clips.usable(fold.train)]
        counts = np.bincount(found, minlength=len(dataset.labels))
        if absent := [x for x, n in zip(dataset.labels, counts, strict=True) if n == 0]:
            raise ValueError(
                f"{name}: the train part has no example of {', '.join(absent)}; choose other "
                "--labels or another --split"
            )
