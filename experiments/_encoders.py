"""The encoders of a saved model, and what they make of what it is to judge."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from conversation_emotion.features.encoders import SpeechEncoder, TextEncoder
from conversation_emotion.features.extract import Features, extract_speech, extract_text
from conversation_emotion.features.key import FeatureKey, FileDigests
from conversation_emotion.features.store import FeatureStore
from experiments._settings import FeatureSettings


class Encoders(NamedTuple):
    """The encoder of each modality, None where the settings do without it."""

    speech: SpeechEncoder | None
    text: TextEncoder | None

    def identities(self) -> dict[str, str]:
        """Returns all that the features of each modality depend on."""
        found = {"speech": self.speech, "text": self.text}
        return {name: encoder.identity for name, encoder in found.items() if encoder is not None}


def load_encoders(settings: FeatureSettings) -> Encoders:
    """Loads the encoders that the settings name."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    speech, text = None, None
    if "speech" in settings.modalities():
        from speech_encoders import load_speech_encoder

        speech = load_speech_encoder(settings.speech_encoder, device=device)
    if "text" in settings.modalities():
        from text_encoders import load_text_encoder

        text = load_text_encoder(settings.text_encoder, device=device)
    return Encoders(speech, text)


def encode(
    utterances: pd.DataFrame, settings: FeatureSettings, encoders: Encoders, cache: Path
) -> dict[str, Features]:
    """Returns the hidden states of each modality, a row per utterance.

    Args:
        utterances: The utterance table.
        settings: Which layers, and what becomes of the frames.
        encoders: One for each modality of the settings.
        cache: Folder for what is extracted.
    """
    found = {}
    if encoders.speech is not None:
        key = FeatureKey(
            encoder=encoders.speech.identity,
            layers=settings.speech_layers,
            pooling=settings.speech_pooling,
            half_precision=settings.half_precision,
        )
        digests, store = FileDigests(cache / "digests.db"), FeatureStore(key, cache)
        found["speech"] = extract_speech(utterances, encoders.speech, store, digests)
    if encoders.text is not None:
        key = FeatureKey(
            encoder=encoders.text.identity,
            layers=settings.text_layers,
            pooling=settings.text_pooling,
            half_precision=settings.half_precision,
        )
        found["text"] = extract_text(utterances, encoders.text, FeatureStore(key, cache))
    return found
