"""Clips of a dataset as the input of an encoder that is trained, checked fold by fold."""

from typing import NamedTuple

import numpy as np

from conversation_emotion.datasets.clip_batches import Clips
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.datasets.encoder_families import refuse_leak
from conversation_emotion.datasets.inputs import extract_source, make_fingerprint
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.sources import Source
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.table import has_text


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
    return inputs


def _check_folds(inputs: ClipInputs) -> None:
    """Refuses a fold with an empty part, or with a class that train has no example of."""
    dataset, clips = inputs.dataset, inputs.clips
    for fold in dataset.split.folds:
        name = f"{dataset.split.name}, fold {fold.name!r}"
        for part in ("train", "valid", "test"):
            if not len(clips.usable(getattr(fold, part))):
                raise ValueError(f"{name}: nothing usable with a class in the {part} part")
        found = clips.classes[clips.usable(fold.train)]
        counts = np.bincount(found[found != IGNORED], minlength=len(dataset.labels))
        if absent := [x for x, n in zip(dataset.labels, counts, strict=True) if n == 0]:
            raise ValueError(
                f"{name}: the train part has no example of {', '.join(absent)}; choose other "
                "--labels or another --split"
            )
