"""Features of a corpus by the settings: loads the encoders, asks the store, reports the clips."""

import dataclasses
from typing import cast

import pandas as pd

from conversation_emotion.datasets.dataset import Corpus
from conversation_emotion.features.encoders import SpeechEncoder, TextEncoder
from conversation_emotion.features.extract import Features, extract_speech, extract_text
from conversation_emotion.features.key import FeatureKey, FileDigests
from conversation_emotion.features.store import FeatureStore
from conversation_emotion.models.tuned import find_family
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.features import FeatureSettings
from experiments._encoders import Source, list_sources


def extract_features(
    utterances: pd.DataFrame, settings: FeatureSettings, *, strict: bool, corpus: Corpus
) -> dict[str, Features]:
    """Returns the hidden states of each source, a row per utterance, and names failing clips.

    Of a family of tuned encoders, a folder with one for each fold, each fold hears its own.

    Raises:
        LeakageError: An encoder was tuned on people whom the split of the corpus tests.
    """
    sources = list_sources(settings)
    families = {name: find_family(source.encoder, corpus) for name, source in sources.items()}
    found = {}
    for name, family in families.items():
        source = sources[name]
        if not family:
            found[name] = _extract(utterances, source, strict=strict)
            continue
        folds = {
            fold: _extract(utterances, source._replace(encoder=str(folder)), strict=strict)
            for fold, folder in family.items()
        }
        failures = {key: why for part in folds.values() for key, why in part.failures.items()}
        keys = " ".join(part.key for part in folds.values())
        recordings = next(iter(folds.values())).recordings
        found[name] = Features([], failures, keys, folds, recordings)
    return found


def _extract(utterances: pd.DataFrame, source: Source, *, strict: bool) -> Features:
    encoder = source.load()
    key = source.key(encoder)
    if source.modality == "speech":
        speech = cast(SpeechEncoder, encoder)
        return extract_with(utterances, speech, key, name=source.encoder, strict=strict)
    features = extract_text(utterances, cast(TextEncoder, encoder), FeatureStore(key))
    print(f"text, {source.encoder}: {_describe(features, utterances)}")
    return features


def extract_with(
    utterances: pd.DataFrame, encoder: SpeechEncoder, key: FeatureKey, *, name: str, strict: bool
) -> Features:
    """Returns what an encoder makes of the speech, a row per utterance, and names failing clips."""
    digests = FileDigests(cache_folder() / "digests.db")
    features = extract_speech(utterances, encoder, FeatureStore(key), digests, strict=strict)
    for utterance_id, why in features.failures.items():
        print(f"  clip of {utterance_id} cannot be used, its utterance stays: {why}")
    found = _describe(features, utterances)
    print(f"speech, {name}: {found}; {len(features.failures)} clips failed")
    return features


def _describe(features: Features, utterances: pd.DataFrame) -> str:
    return f"{int(features.is_present().sum())} of {len(utterances)} utterances have it"


def as_extracted(settings: FeatureSettings) -> FeatureSettings:
    """Returns the settings that extraction depends on; what the model alone reads is unset."""
    unset = FeatureSettings()
    return dataclasses.replace(
        settings,
        speech_components=unset.speech_components,
        text_components=unset.text_components,
        layer_mixture=unset.layer_mixture,
        aggregator=unset.aggregator,
        aggregator_size=unset.aggregator_size,
    )
