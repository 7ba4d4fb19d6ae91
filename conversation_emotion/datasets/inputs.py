"""Inputs: the windows of a dataset with the features of every utterance, ready for training."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.datasets.batches import ModalityArrays, WindowLoader
from conversation_emotion.datasets.dataset import Dataset, note_shared_recordings
from conversation_emotion.datasets.encoder_families import find_family
from conversation_emotion.datasets.group_statistics import find_groups, fit_groups
from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.features.encoders import Encoder, load_encoder
from conversation_emotion.features.extract import Features
from conversation_emotion.features.sources import Source, encode_source, list_sources
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.features import BY_GROUP, FeatureSettings, Standardise
from conversation_emotion.splits.folds import Fold
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.sound_files import printable

_NOUNS = {"speech": "clip", "text": "text"}


class Inputs(NamedTuple):
    """A dataset ready for training.

    ``windows`` are its targets with their visible context, ``training`` those that models are
    fitted on, the same or more. ``arrays`` are the hidden states of each source by fold, which
    differ for a family of tuned encoders. ``failures`` has the reason why a clip could not be used,
    by utterance id; ``fingerprint`` is a digest of all that the features depend on.
    """

    dataset: Dataset
    windows: Windows
    training: Windows
    arrays: Mapping[str, Mapping[str, ModalityArrays]]
    failures: dict[str, str]
    fingerprint: str


def prepare_inputs(
    dataset: Dataset,
    windows: Windows,
    training: Windows,
    features: Mapping[str, Features],
    *,
    standardise: Standardise = "train",
) -> Inputs:
    """Joins windows and features of a dataset, and notes recordings that a split shares.

    ``standardise`` is what is done with the features before a model gets them, which of ``train``
    is nothing.

    Raises:
        ValueError: No target of a part has one of the features.
    """
    for name, found in features.items():
        dataset = note_absent(dataset, windows, name, found)
    recordings = next((found.recordings for found in features.values() if found.recordings), None)
    if recordings is not None:
        dataset = note_shared_recordings(dataset, recordings)
    if standardise in BY_GROUP:
        dataset = dataset.add_note(
            f"features are standardised by all utterances of their {standardise}, those of test "
            "included, without labels (transductive)"
        )
    failures = {key: why for found in features.values() for key, why in found.failures.items()}
    keys = {name: found.key for name, found in features.items()}
    return Inputs(
        dataset,
        windows,
        training,
        _lay_out(dataset, features, standardise),
        failures,
        make_fingerprint(dataset.utterances, failures, keys),
    )


def note_absent(dataset: Dataset, windows: Windows, name: str, found: Features) -> Dataset:
    """Notes how many targets lack a source of features, and refuses a part where all do.

    What counts is the target itself where it is in its own context, else that all its context
    lacks the source. That the corpus names no recording is no better than one that is broken.

    Raises:
        ValueError: No target of a part has the source.
    """
    lacking: set[int] = set()
    tested: set[int] = set()
    for fold in dataset.split.folds:
        has_source = _mark_present(windows, (found.folds or {fold.name: found})[fold.name])
        for part in ("train", "valid", "test"):
            is_target = np.isin(windows.target_rows, getattr(fold, part))
            if is_target.any() and not has_source[is_target].any():
                raise ValueError(
                    f"{dataset.label_map.corpus}, {dataset.split.name}, fold {fold.name!r}: none "
                    f"of {is_target.sum():,} targets in the {part} part has {name}; check that "
                    "the corpus is whole (experiments.corpora check), or leave the modality out"
                )
            absent = windows.target_rows[is_target & ~has_source].tolist()
            lacking.update(absent)
            tested.update(absent if part == "test" else ())
    if not lacking:
        return dataset
    return dataset.add_note(
        f"{len(lacking):,} of {len(windows):,} targets have no {name}, {len(tested):,} of them "
        "in a test part"
    )


def _mark_present(windows: Windows, found: Features) -> NDArray[np.bool_]:
    """Marks the windows that have a source: (N,)."""
    is_present = found.is_present()
    in_context = (is_present[windows.rows] & (windows.rows != PADDING)).any(axis=1)
    is_own = (windows.rows == windows.target_rows[:, None]).any(axis=1)
    return np.where(is_own, is_present[windows.target_rows], in_context)


def _lay_out(
    dataset: Dataset, features: Mapping[str, Features], standardise: Standardise
) -> dict[str, dict[str, ModalityArrays]]:
    """Lays out the hidden states of each fold; what all folds share is laid out once."""
    groups = find_groups(dataset.utterances, standardise)

    def arrange(found: Features, name: str) -> ModalityArrays:
        fitted = None if groups is None else fit_groups(found.states, groups)
        is_clip = standardise == "clip"
        return ModalityArrays(found, name, normalise_clips=is_clip, statistics=fitted)

    arrays: dict[str, dict[str, ModalityArrays]] = {fold.name: {} for fold in dataset.split.folds}
    for name, found in features.items():
        common = None if found.folds else arrange(found, name)
        for fold, sources in arrays.items():
            sources[name] = common or arrange(found.folds[fold], name)
    return arrays


def make_fingerprint(
    utterances: pd.DataFrame, failures: Mapping[str, str], keys: Mapping[str, str]
) -> str:
    """Digests the utterances and everything that their features depend on."""
    rows = pd.util.hash_pandas_object(utterances.astype(str), index=False).to_numpy()
    rest = repr((sorted(failures), sorted(keys.items())))
    return hashlib.sha256(rows.tobytes() + rest.encode()).hexdigest()[:32]


def choose_batch_size(num_windows: int) -> int:
    """Chooses the windows of a batch by the size of train: many updates, and little noise."""
    return min(max(num_windows // 32, 64), 256)


def make_parts(
    inputs: Inputs,
    fold: Fold,
    seed: int,
    batch_size: int | None,
    *,
    evaluation_size: int = 256,
    is_balanced: bool = False,
) -> dict[str, WindowLoader]:
    """Divides the windows into the parts of a fold; only training windows are shuffled.

    ``train`` are the targets of the protocol in the train part, ``training`` the windows that a
    model is fitted on, which may be more, and of which ``is_balanced`` draws each class alike.

    Raises:
        ValueError: A part has no target.
    """
    parts = {}
    for part in ("train", "valid", "test", "training"):
        is_fitted = part == "training"
        source = inputs.training if is_fitted else inputs.windows
        windows = source.select(fold.train if is_fitted else getattr(fold, part))
        if not len(windows):
            raise ValueError(
                f"{inputs.dataset.split.name}: no target in the {part} part of fold {fold.name!r}"
            )
        size = batch_size or choose_batch_size(len(windows))
        parts[part] = WindowLoader(
            windows,
            inputs.arrays[fold.name],
            visible_emotions(inputs.dataset.emotion_classes, fold, part),
            batch_size=size if is_fitted else evaluation_size,
            seed=seed if is_fitted else None,
            is_balanced=is_fitted and is_balanced,
        )
    return parts


def visible_emotions(emotions: NDArray[np.int64], fold: Fold, part: str) -> NDArray[np.int64]:
    """Returns the emotions that the windows of a part may use, `IGNORED` elsewhere: (rows,).

    Where parts share dialogues, the context of a train window holds utterances of valid and test.
    Auxiliary tasks have the emotions of train alone as targets, and a model that is given the past
    trains on those alone; none of test is seen before test.
    """
    rows = np.arange(len(emotions))
    later = {"valid": ~np.isin(rows, fold.test), "test": True}
    return np.where(later.get(part, np.isin(rows, fold.train)), emotions, IGNORED)


def extract_features(
    dataset: Dataset, settings: FeatureSettings, *, strict: bool
) -> dict[str, Features]:
    """Returns the hidden states of each source, a row per utterance, and names failing clips.

    Of a family of tuned encoders, a folder with one for each fold, each fold gets its own.

    Raises:
        LeakageError: An encoder was tuned on people whom the split tests.
    """
    found = {}
    for name, source in list_sources(settings).items():
        family = find_family(source.encoder, dataset)
        if not family:
            found[name] = extract_source(dataset.utterances, source, strict=strict)
            continue
        own = {fold: source._replace(encoder=str(folder)) for fold, folder in family.items()}
        folds = {
            fold: extract_source(dataset.utterances, one, strict=strict)
            for fold, one in own.items()
        }
        failures = {key: why for part in folds.values() for key, why in part.failures.items()}
        keys = " ".join(part.key for part in folds.values())
        recordings = next(iter(folds.values())).recordings
        found[name] = Features([], failures, keys, folds, recordings)
    return found


def extract_source(
    utterances: pd.DataFrame, source: Source, encoder: Encoder | None = None, *, strict: bool
) -> Features:
    """Extracts a source of every utterance, prints how many have it, and names failing clips.

    The encoder is loaded by its name where none is given.
    """
    encoder = encoder or load_encoder(source.modality, source.encoder)
    features = encode_source(utterances, source, encoder, cache_folder(), strict=strict)
    for utterance_id, why in features.failures.items():
        what = f"{_NOUNS[source.modality]} of {printable(utterance_id)}"
        print(f"  {what} cannot be used, its utterance stays: {why}")
    found = f"{int(features.is_present().sum())} of {len(utterances)} utterances have it"
    failed = f"; {len(features.failures)} {_NOUNS[source.modality]}s failed"
    found += failed if source.modality == "speech" or features.failures else ""
    if source.modality == "speech":
        unnamed = int(utterances["audio"].isna().sum())
        found += f"; {unnamed} utterances name no recording" if unnamed else ""
    print(f"{source.modality}, {source.encoder}: {found}")
    return features


def as_extracted(settings: FeatureSettings) -> FeatureSettings:
    """Returns the settings that extraction depends on; those of the model alone are unset."""
    unset, components = FeatureSettings(), ("speech_components", "text_components")
    names = (*components, "layer_mixture", "aggregator", "aggregator_size")
    return replace(settings, **{name: getattr(unset, name) for name in names})
