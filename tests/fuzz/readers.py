"""Reads files of each kind as the commands do; the names are those of the kinds of the trials."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from conversation_emotion.corpora.iemocap import load_iemocap
from conversation_emotion.corpora.manifest import load_manifest
from conversation_emotion.corpora.meld import load_meld
from conversation_emotion.evaluation.results import ResultsTable
from conversation_emotion.inference.forecast import read_forecaster
from conversation_emotion.inference.recordings import read_rows
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.inference.turns import read_turns
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.training.checkpoints import read_state
from conversation_emotion.utterances.audio import (
    AudioError,
    measure_seconds,
    read_audio,
    read_native,
    stream_audio,
)
from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec.released import read_released
from speech_encoders.voices import load as load_voice_encoder

__all__ = ["load_manifest", "load_model", "read_forecaster", "read_state", "read_turns"]


def read_sound(file: Path) -> None:
    """Reads a recording in every way; each gives finite numbers, or an `AudioError`."""
    ways: list[Callable[[], object]] = [
        lambda: measure_seconds(file),
        lambda: read_audio(file),
        lambda: read_audio(file, offset=0.1, duration=0.05),
        lambda: read_audio(file, channel=1),
        lambda: [block.samples for block in read_native(file)],
        lambda: [block[:, :1] for block in stream_audio(file, mix=True)],
        lambda: read_rows([file], TurnSettings(), is_conversation=False).empty,
    ]
    refused = None
    for way in ways:
        try:
            found = way()
            parts = found if isinstance(found, list) else [found]
            assert all(np.isfinite(np.asarray(part)).all() for part in parts), "is not finite"
        except AudioError as error:
            refused = error
    if refused is not None:
        raise refused


def read_whole(file: Path) -> None:
    """Reads all of a recording at once."""
    read_audio(file)


def stream_whole(file: Path) -> None:
    """Reads all of a recording in blocks."""
    for _ in stream_audio(file, mix=True):
        pass


def read_prediction_table(file: Path) -> None:
    """Reads a table that is to be predicted."""
    read_rows([file], TurnSettings(), is_conversation=False)


def read_iemocap(file: Path) -> None:
    """Reads the corpus that a file of a session belongs to."""
    load_iemocap(file.parents[3])


def read_meld(file: Path) -> None:
    """Reads the corpus that a table belongs to."""
    load_meld(file.parent)


def read_saved_model(file: Path) -> None:
    """Reads the model that a card or weights belong to."""
    load_model(file.parent)


def read_results(file: Path) -> None:
    """Reads a results table, and writes it as text."""
    ResultsTable.read(file).render(80)


def read_emotion2vec(file: Path) -> None:
    """Reads the weights that emotion2vec was released as."""
    read_released(file)


def read_voices(file: Path) -> None:
    """Reads the weights of an encoder of speakers."""
    load_voice_encoder(str(file.parent), "cpu")


def read_encoder(file: Path) -> None:
    """Reads the checkpoint that a configuration or weights belong to."""
    load_speech_encoder(str(file.parent))
