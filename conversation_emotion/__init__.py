"""Emotion in speech and conversation: corpora, features, dialogue models, training, metrics.

The public names are loaded when they are first used, so that the import takes milliseconds.

Tensor shapes are written with one alphabet throughout the suite:

    B  windows or clips in a batch     S  samples of a waveform
    U  utterances                      T  frames or tokens of an utterance
    L  layers of an encoder            D  features
    C  emotion classes                 H  hidden units
    K  folds x seeds                   N  target utterances
    M  real utterances of a batch, those of all its windows one after another

A mask is boolean and ``True`` marks what is real; padding is ``False``.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conversation_emotion.api import (
        EmotionPrediction,
        EmotionRecognition,
        cross_validate,
        make_dataset,
    )
    from conversation_emotion.corpora import load_corpus
    from conversation_emotion.evaluation.results import ResultsTable
    from conversation_emotion.features.files import extract
    from conversation_emotion.features.transcription import transcribe
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.tasks.task import find_tasks

__all__ = [
    "EmotionPrediction",
    "EmotionRecognition",
    "Predictor",
    "ResultsTable",
    "cross_validate",
    "extract",
    "find_tasks",
    "load_corpus",
    "make_dataset",
    "transcribe",
]

_PLACES = {
    "load_corpus": "corpora",
    "ResultsTable": "evaluation.results",
    "extract": "features.files",
    "find_tasks": "tasks.task",
    "Predictor": "inference.predictor",
    "transcribe": "features.transcription",
}
"""Modules of the public names that are not those of `conversation_emotion.api`."""


def __getattr__(name: str) -> object:
    """Imports a public name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
