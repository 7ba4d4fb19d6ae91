"""Reads released emotion2vec files: weights alone, never code, and every weight accounted for.

One that is missing, unknown or of another shape than expected is an error. What else a training run
left in the file (an optimiser's state, its settings) is named and left behind.
"""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from speech_encoders.emotion2vec.modeling import (
    Emotion2vecForSequenceClassification,
    Emotion2vecModel,
    Emotion2vecPreTrainedModel,
)
from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.released_weights import Layout, read_layout, rename

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_CLASSIFIER_PREFIX = "d2v_model."
_NESTED_TEACHER = "_ema"


class Released(NamedTuple):
    """A model read from a released file.

    Attributes:
        model: All that the file holds: a classifier, an encoder with its decoder, or an encoder.
        left_behind: Entries of the file that are no weights of it.
    """

    model: Emotion2vecPreTrainedModel
    left_behind: list[str]

    @property
    def encoder(self) -> Emotion2vecModel:
        """The encoder alone."""
        encoder = self.model.base_model
        assert isinstance(encoder, Emotion2vecModel)
        return encoder


def read_released(path: Path, labels: Sequence[str] = ()) -> Released:
    """Reads a released file in float32.

    Args:
        path: The ``.pt`` file; the ``tokens.txt`` beside it names the classes of a classifier.
        labels: Names of the classes, instead of ``tokens.txt``.

    Raises:
        FileNotFoundError: There is no such file, or nothing names a classifier's classes.
        ValueError: The file holds more than weights and plain data, or not exactly the weights of
            an emotion2vec model, or the names are not as many as the classes.
    """
    content = _load(path)
    state, left_behind = _unwrap(content)
    tensors = _take_tensors(path, state)
    left_behind += [name for name in state if _is_nested_teacher(name)]
    try:
        layout = read_layout(tensors)
        weights = rename(tensors, layout)
        layout.config.id2label = _name_classes(path, layout.num_classes, labels)
        model = _build(layout)
        _fill(model, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; pass a released emotion2vec file") from error
    return Released(model.eval(), sorted(left_behind))


def _load(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; pass a released emotion2vec .pt file")
    is_mappable = zipfile.is_zipfile(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mappable)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: is no file of weights, or holds other objects, which could run code "
            f"({str(error).splitlines()[0][:200]}); if you trust its source, keep the weights and "
            "convert those: torch.save({'model': torch.load("
            f"'{path.name}', weights_only=False)['model']}}, 'weights.pt')"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected weights by name")
    return content


def _unwrap(content: Mapping[str, object]) -> tuple[Mapping[str, object], list[str]]:
    """Finds the weights in a file: -> weights by name, and the other entries."""
    left_behind: list[str] = []
    for wrapper in _WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            left_behind += [name for name in content if name != wrapper]
            content = inner
    return content, left_behind


def _is_nested_teacher(name: str) -> bool:
    return name.removeprefix(_CLASSIFIER_PREFIX).split(".")[0] == _NESTED_TEACHER


def _take_tensors(path: Path, state: Mapping[str, object]) -> dict[str, Tensor]:
    """Keeps the weights under bare names; a nested moving average (``_ema``) stays behind."""
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if _is_nested_teacher(name):
            continue
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{path}: {name!r} is a {type(value).__name__}, expected a tensor; pass a released "
                "emotion2vec file"
            )
        tensors[name.removeprefix(_CLASSIFIER_PREFIX)] = value
    return tensors


def _build(layout: Layout) -> Emotion2vecPreTrainedModel:
    if layout.num_classes:
        return Emotion2vecForSequenceClassification(layout.config)
    if layout.has_decoder:
        return Emotion2vecForPreTraining(layout.config)
    return Emotion2vecModel(layout.config)


def _fill(model: Emotion2vecPreTrainedModel, weights: dict[str, Tensor]) -> None:
    """Loads the weights; the encoder's own names lack its prefix in an encoder alone.

    Raises:
        ValueError: A weight has another shape than the model's.
    """
    prefix = "emotion2vec." if isinstance(model, Emotion2vecModel) else ""
    expected = model.state_dict()
    filled = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    for name, tensor in filled.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"weight {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
    model.load_state_dict(filled)


def _name_classes(path: Path, num_classes: int, labels: Sequence[str]) -> dict[int, str] | None:
    """Finds the names of a classifier's classes; None if there is no classifier."""
    if not num_classes:
        return None
    tokens = path.with_name("tokens.txt")
    if not labels and not tokens.is_file():
        raise FileNotFoundError(
            f"{tokens}: no such file, but it names the {num_classes} classes of {path.name}; "
            "put it there, or pass --labels"
        )
    # A released line holds the Chinese name, a slash, and the English one.
    lines = labels or tokens.read_text(encoding="utf-8").split()
    names = [line.rsplit("/", 1)[-1] for line in lines]
    if len(names) != num_classes or len(set(names)) != len(names):
        raise ValueError(
            f"the classifier has {num_classes} classes, but the labels are {names}, "
            "expected one name for each"
        )
    return dict(enumerate(names))
