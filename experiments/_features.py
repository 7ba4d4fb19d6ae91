"""Features of a corpus by the settings: loads the encoders, asks the store, reports the clips."""

import dataclasses

import pandas as pd

from conversation_emotion.features.encoders import SpeechEncoder
from conversation_emotion.features.extract import Features, extract_speech, extract_text
from conversation_emotion.features.key import FeatureKey, FileDigests, cache_folder
from conversation_emotion.features.store import FeatureStore
from experiments._corpus import Corpus
from experiments._settings import FeatureSettings
from experiments._tuned_encoders import find_family


def extract_features(
    utterances: pd.DataFrame, settings: FeatureSettings, *, strict: bool, corpus: Corpus
) -> dict[str, Features]:
    """Returns the hidden states of each modality, a row per utterance, and names failing clips.

    Of a family of tuned encoders, a folder with one for each fold, each fold hears its own.

    Raises:
        LeakageError: An encoder was tuned on people whom the split of the corpus tests.
    """
    extractors = {
        "speech": (_extract_speech, settings.speech_encoder),
        "text": (_extract_text, settings.text_encoder),
    }
    families = {name: find_family(extractors[name][1], corpus) for name in settings.modalities()}
    found = {}
    for modality, family in families.items():
        extract, encoder = extractors[modality]
        if not family:
            found[modality] = extract(utterances, settings, encoder, strict)
            continue
        folds = {
            fold: extract(utterances, settings, str(folder), strict)
            for fold, folder in family.items()
        }
        failures = {key: why for part in folds.values() for key, why in part.failures.items()}
        keys = " ".join(part.key for part in folds.values())
        found[modality] = Features([], failures, keys, folds)
    return found


def _extract_speech(
    utterances: pd.DataFrame, settings: FeatureSettings, name: str, strict: bool
) -> Features:
    from speech_encoders import load_speech_encoder

    encoder = load_speech_encoder(name, device=_device())
    key = FeatureKey(
        encoder=encoder.identity,
        layers=settings.speech_layers,
        pooling=settings.speech_pooling,
        half_precision=settings.half_precision,
    )
    return extract_with(utterances, encoder, key, name=name, strict=strict)


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


def _extract_text(
    utterances: pd.DataFrame, settings: FeatureSettings, name: str, strict: bool
) -> Features:
    del strict
    from text_encoders import load_text_encoder

    encoder = load_text_encoder(name, device=_device())
    key = FeatureKey(
        encoder=encoder.identity,
        layers=settings.text_layers,
        pooling=settings.text_pooling,
        half_precision=settings.half_precision,
    )
    features = extract_text(utterances, encoder, FeatureStore(key))
    print(f"text, {name}: {_describe(features, utterances)}")
    return features


def _describe(features: Features, utterances: pd.DataFrame) -> str:
    return f"{int(features.is_present().sum())} of {len(utterances)} utterances have it"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


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
