"""Sources of features: each encoder that the settings name, and which of its states are kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.features.clips import Advance
from conversation_emotion.features.encoders import Encoder, SpeechEncoder, TextEncoder, load_encoder
from conversation_emotion.features.extract import (
    Features,
    extract_speech,
    extract_text,
    extract_waveforms,
)
from conversation_emotion.features.key import FeatureKey, FileDigests, Layers, Pooling
from conversation_emotion.features.store import FeatureStore
from conversation_emotion.settings.features import (
    ONE_LAYER,
    ONE_VECTOR,
    FeatureSettings,
    split_encoder,
)


class Source(NamedTuple):
    """An encoder of ``speech`` or ``text``, and which of its hidden states are kept."""

    modality: str
    encoder: str
    layers: Layers
    pooling: Pooling
    half_precision: bool


def list_sources(settings: FeatureSettings) -> dict[str, Source]:
    """Lists the sources of the settings by name: ``speech``, ``text``, and ``speech2`` on.

    Speech encoders to concatenate are a source each; those that have one layer, or one frame, give
    that.
    """
    sources = {}
    for modality in settings.modalities():
        encoder, layers, pooling = (
            getattr(settings, f"{modality}_{name}") for name in ("encoder", "layers", "pooling")
        )
        names = split_encoder(encoder) if modality == "speech" else (encoder,)
        are_several = len(names) > 1
        for number, name in enumerate(names, 1):
            is_pooled = are_several and name in ONE_VECTOR and pooling != "frames"
            sources[modality if number == 1 else f"{modality}{number}"] = Source(
                modality,
                name,
                "last" if are_several and name in ONE_LAYER else layers,
                "mean" if is_pooled else pooling,
                settings.half_precision,
            )
    return sources


def load_encoders(settings: FeatureSettings, device: str | None = None) -> dict[str, Encoder]:
    """Loads the encoder of each source of the settings; see `load_encoder` for the device."""
    return {
        name: load_encoder(source.modality, source.encoder, device)
        for name, source in list_sources(settings).items()
    }


def encode(
    utterances: pd.DataFrame,
    settings: FeatureSettings,
    encoders: Mapping[str, Encoder],
    cache: Path,
    advance: Advance | None = None,
) -> dict[str, Features]:
    """Returns the hidden states of each source, a row per utterance; see `encode_source`."""
    return {
        name: encode_source(utterances, source, encoders[name], cache, advance=advance)
        for name, source in list_sources(settings).items()
    }


def encode_source(
    utterances: pd.DataFrame,
    source: Source,
    encoder: Encoder,
    cache: Path,
    *,
    strict: bool = False,
    advance: Advance | None = None,
) -> Features:
    """Returns the hidden states of one source, a row per utterance; see `extract_speech`.

    ``cache`` is the folder of the stored features; ``strict`` raises at clips that cannot be used;
    ``advance`` takes the seconds of audio that are done.
    """
    key = _key(source, encoder)
    store = FeatureStore(key, cache)
    if source.modality == "text":
        return extract_text(utterances, cast(TextEncoder, encoder), store)
    digests = FileDigests(cache / "digests.db")
    speech = cast(SpeechEncoder, encoder)
    return extract_speech(utterances, speech, store, digests, strict=strict, advance=advance)


def encode_waveforms(
    waveforms: Sequence[NDArray[np.float32] | None],
    settings: FeatureSettings,
    encoders: Mapping[str, Encoder],
) -> dict[str, Features]:
    """Returns the hidden states of each source of waveforms, see `extract_waveforms`.

    They have no words: there are none of a source of text.
    """
    found = {}
    for name, source in list_sources(settings).items():
        key = _key(source, encoders[name])
        speech = waveforms if source.modality == "speech" else [None] * len(waveforms)
        found[name] = extract_waveforms(speech, cast(SpeechEncoder, encoders[name]), key)
    return found


def _key(source: Source, encoder: Encoder) -> FeatureKey:
    return FeatureKey(
        encoder=encoder.identity,
        layers=source.layers,
        pooling=source.pooling,
        half_precision=source.half_precision,
    )
