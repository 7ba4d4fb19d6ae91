"""Reads released emotion2vec files: weights alone, never code, and every weight accounted for.

One that is missing, unknown or of another shape than expected is an error. What else a training run
left in the file (an optimiser's state, its settings) is named and left out.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from speech_encoders.emotion2vec.classification import Emotion2vecForSequenceClassification
from speech_encoders.emotion2vec.modeling import Emotion2vecModel, Emotion2vecPreTrainedModel
from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.released_weights import (
    DECODER,
    HEAD,
    Layout,
    read_layout,
    rename,
)

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIX = "d2v_model."
_NESTED_TEACHER = "_ema"


class Released(NamedTuple):
    """A model read from a released file.

    Attributes:
        model: A classifier, an encoder with its decoder, or an encoder.
        left_out: Entries of the file that are no weights of it.
    """

    model: Emotion2vecPreTrainedModel
    left_out: list[str]

    @property
    def encoder(self) -> Emotion2vecModel:
        """The encoder alone."""
        encoder = self.model.base_model
        assert isinstance(encoder, Emotion2vecModel)
        return encoder


def read_released(path: Path, labels: Sequence[str] = ()) -> Released:
    """Reads a released file in float32.

    Args:
        path: The ``.pt`` file; the ``tokens.txt`` next to it names the classes of a classifier.
        labels: Names of the classes, instead of ``tokens.txt``.

    Raises:
        FileNotFoundError: There is no such file, or nothing names a classifier's classes.
        ValueError: The file holds more than weights and plain data, or not exactly the weights of
            an emotion2vec model, or the names are not as many as the classes.
    """
    content = _load(path)
    state, left_out = _unwrap(content)
    try:
        tensors = _take_tensors(state)
        left_out += [name for name in state if name.removeprefix(_PREFIX) not in tensors]
        layout = read_layout(tensors)
        with torch.device("meta"):  # no random weights, which would change later random numbers
            model = _build(layout)
        shapes = {name: weight.shape for name, weight in model.state_dict().items()}
        model.load_state_dict(rename(tensors, layout, shapes), assign=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; pass a released emotion2vec file") from error
    if layout.num_classes:
        names = _name_classes(path, layout.num_classes, labels)
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: number for number, name in enumerate(names)}
    return Released(model.eval(), sorted(left_out))


def _load(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; pass a released emotion2vec .pt file")
    is_mappable = zipfile.is_zipfile(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mappable)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ValueError(
                f"{path}: holds more than weights, a {found[1]}, which could run code; if you "
                "trust its source, keep the weights and convert those: torch.save({'model': "
                f"torch.load('{path.name}', weights_only=False)['model']}}, 'weights.pt')"
            ) from error
        raise ValueError(
            f"{path}: is no file of weights, or a damaged one; download it again"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected weights by name")
    return content


def _unwrap(content: Mapping[str, object]) -> tuple[Mapping[str, object], list[str]]:
    """Returns the weights in a file: -> weights by name, and the other entries."""
    left_out: list[str] = []
    for wrapper in _WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            left_out += [str(name) for name in content if name != wrapper]
            content = inner
    return content, left_out


def _take_tensors(state: Mapping[str, object]) -> dict[str, Tensor]:
    """Keeps the model's weights under bare names.

    Leaves out a nested moving average, and a decoder next to a classifier's head.

    Raises:
        ValueError: An entry is no tensor, or two have the same name.
    """
    if unnamed := [name for name in state if not isinstance(name, str)]:
        raise ValueError(f"an entry has the name {unnamed[0]!r}, expected weights by name")
    has_head = f"{HEAD}.weight" in state
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        bare = name.removeprefix(_PREFIX)
        if bare.split(".")[0] == _NESTED_TEACHER or (has_head and bare.startswith(f"{DECODER}.")):
            continue
        if not isinstance(value, Tensor):
            raise ValueError(f"{name!r} is a {type(value).__name__}, expected a tensor")
        if bare in tensors:
            raise ValueError(f"weight {bare!r} is there twice, with {_PREFIX!r} and without")
        tensors[bare] = value
    return tensors


def _build(layout: Layout) -> Emotion2vecPreTrainedModel:
    if layout.num_classes:
        return Emotion2vecForSequenceClassification(layout.config)
    if layout.has_decoder:
        return Emotion2vecForPreTraining(layout.config)
    return Emotion2vecModel(layout.config)


def _name_classes(path: Path, num_classes: int, labels: Sequence[str]) -> list[str]:
    """Returns the names of a classifier's classes."""
    tokens = path.with_name("tokens.txt")
    names = list(labels)
    if not names:
        if not tokens.is_file():
            raise FileNotFoundError(
                f"{tokens}: no such file, but it names the {num_classes} classes of {path.name}; "
                "put it there, or pass --labels"
            )
        # A released line holds the Chinese name, a slash, and the English one.
        lines = tokens.read_text(encoding="utf-8").splitlines()
        names = [line.strip().rsplit("/", 1)[-1] for line in lines if line.strip()]
    if len(names) != num_classes or len(set(names)) != len(names):
        raise ValueError(
            f"{path}: the classifier has {num_classes} classes, but the labels are {names}; give "
            "each its name in tokens.txt or --labels"
        )
    return names
