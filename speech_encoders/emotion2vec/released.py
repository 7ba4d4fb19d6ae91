"""Reads released emotion2vec files: weights alone, never code, and every weight accounted for.

One that is missing, unknown or of another shape than expected is an error. What else a training run
left in the file (an optimiser's state, its settings) is named and left out.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from speech_encoders.emotion2vec.classification import Emotion2vecForSequenceClassification
from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.front_end import FIRST_KERNEL, KERNELS
from speech_encoders.emotion2vec.modeling import Emotion2vecModel, Emotion2vecPreTrainedModel
from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIX = "d2v_model."
_NESTED_TEACHER = "_ema"

_AUDIO = "modality_encoders.AUDIO"
_FRONT_END = "front_end.convolutions."
_PRENET = f"{_AUDIO}.context_encoder.blocks"
_CONVOLUTION = f"{_AUDIO}.relative_positional_encoder"
_DECODER = f"{_AUDIO}.decoder"
_HEAD = "proj"
_BLOCK_PARTS = {
    "norm1": "attention_norm", "attn.qkv": "attention.query_key_value",
    "attn.proj": "attention.output", "norm2": "output_norm", "mlp.fc1": "up", "mlp.fc2": "down",
}  # fmt: skip


class Layout(NamedTuple):
    """The shape of a model, read from the weights of a released file.

    Attributes:
        config: Shape of the model.
        num_prenet: Blocks that are named as part of the context encoder; they come first.
        has_decoder: Whether the pre-training decoder is there.
        num_classes: Classes of the head; 0 if there is none.
    """

    config: Emotion2vecConfig
    num_prenet: int
    has_decoder: bool
    num_classes: int


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
        layout = _read_layout(tensors)
        with torch.device("meta"):  # no random weights, which would change later random numbers
            model = _build(layout)
        shapes = {name: weight.shape for name, weight in model.state_dict().items()}
        model.load_state_dict(_rename(tensors, layout, shapes), assign=True)
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
    except MemoryError:
        raise
    except Exception as error:  # of damaged bytes, PyTorch raises many kinds
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
    has_head = f"{_HEAD}.weight" in state
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        bare = name.removeprefix(_PREFIX)
        if bare.split(".")[0] == _NESTED_TEACHER or (has_head and bare.startswith(f"{_DECODER}.")):
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


def _read_layout(tensors: Mapping[str, Tensor]) -> Layout:
    """Reads the shape of a model from its weights.

    Args:
        tensors: Weights by their released names, without the prefix of a classifier's file.

    Raises:
        ValueError: A weight that determines a size is missing or has another number of axes.
    """

    def shape(name: str, num_axes: int | None) -> list[int]:
        if name not in tensors:
            raise ValueError(f"weight {name!r} is missing")
        sizes = list(tensors[name].shape)
        if num_axes is not None and len(sizes) != num_axes:
            raise ValueError(f"weight {name!r} has shape {tuple(sizes)}, expected {num_axes} axes")
        return sizes

    _, num_tokens, hidden_size = shape(f"{_AUDIO}.extra_tokens", 3)
    _, position_inputs, position_kernel = shape(f"{_CONVOLUTION}.1.0.weight", 3)
    num_prenet = _count(tensors, _PRENET)
    has_decoder = any(name.startswith(f"{_DECODER}.") for name in tensors)
    settings = {
        "conv_dim": shape(f"{_AUDIO}.local_encoder.conv_layers.0.0.weight", 3)[0],
        "hidden_size": hidden_size,
        "num_hidden_layers": num_prenet + _count(tensors, "blocks"),
        "num_attention_heads": max(shape(f"{_AUDIO}.alibi_scale", None), default=1),
        "intermediate_size": shape("blocks.0.mlp.fc1.weight", 2)[0],
        "conv_pos_layers": _count(tensors, _CONVOLUTION) - 1,
        "conv_pos_kernel": position_kernel,
        "conv_pos_groups": hidden_size // position_inputs,
        "num_extra_tokens": num_tokens,
    }
    if has_decoder:
        decoder_dim, decoder_inputs, decoder_kernel = shape(f"{_DECODER}.blocks.0.0.weight", 3)
        settings |= {
            "decoder_dim": decoder_dim,
            "decoder_layers": _count(tensors, f"{_DECODER}.blocks"),
            "decoder_kernel": decoder_kernel,
            "decoder_groups": hidden_size // decoder_inputs,
        }
    num_classes = shape(f"{_HEAD}.weight", 2)[0] if f"{_HEAD}.weight" in tensors else 0
    if num_classes:
        settings["num_labels"] = num_classes
    return Layout(Emotion2vecConfig.from_dict(settings), num_prenet, has_decoder, num_classes)


def _rename(
    tensors: Mapping[str, Tensor], layout: Layout, shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Returns every weight with this package's name and layout.

    Args:
        tensors: Weights by their released names.
        layout: Shape of the model.
        shapes: Shapes of the model's weights by this package's names.

    Raises:
        ValueError: A weight is missing, is no weight of such a model, or has another shape.
    """
    names = _released_names(layout)
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"{len(missing)} weights are missing, first {missing[0]!r}")
    if unexpected := [name for name in tensors if name not in names]:
        raise ValueError(
            f"{len(unexpected)} weights are none of such a model, first {unexpected[0]!r}"
        )
    return {new: _lay_out(old, new, tensors[old], shapes[new]) for old, new in names.items()}


def _released_names(layout: Layout) -> dict[str, str]:
    """Maps the released name of every weight to this package's name."""
    config = layout.config
    base = "emotion2vec." if layout.has_decoder or layout.num_classes else ""
    names = {
        f"{_AUDIO}.extra_tokens": f"{base}extra_tokens",
        f"{_AUDIO}.alibi_scale": f"{base}alibi_scale",
    }
    modules = {
        f"{_AUDIO}.project_features.1": f"{base}front_end.projection_norm",
        f"{_AUDIO}.project_features.2": f"{base}front_end.projection",
        f"{_AUDIO}.context_encoder.norm": f"{base}encoder.norm",
    }
    for layer in range(1 + len(KERNELS)):
        old, new = f"{_AUDIO}.local_encoder.conv_layers.{layer}", f"{base}front_end"
        names[f"{old}.0.weight"] = f"{new}.convolutions.{layer}.weight"
        modules[f"{old}.2.1"] = f"{new}.norms.{layer}"
    for layer in range(config.conv_pos_layers):
        modules[f"{_CONVOLUTION}.{layer + 1}.0"] = f"{base}positional.convolutions.{layer}"
    for number in range(config.num_hidden_layers):
        is_prenet = number < layout.num_prenet
        old = f"{_PRENET}.{number}" if is_prenet else f"blocks.{number - layout.num_prenet}"
        for part, new_part in _BLOCK_PARTS.items():
            modules[f"{old}.{part}"] = f"{base}encoder.blocks.{number}.{new_part}"
    if layout.has_decoder:
        for layer in range(config.decoder_layers):
            modules[f"{_DECODER}.blocks.{layer}.0"] = f"decoder.convolutions.{layer}"
        modules[f"{_DECODER}.proj"] = "decoder.projection"
    if layout.num_classes:
        modules[_HEAD] = "classifier"
    for old, new in modules.items():
        names |= {f"{old}.{part}": f"{new}.{part}" for part in ("weight", "bias")}
    return names


def _lay_out(old: str, new: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """Returns a weight in the layout of this package's modules, in float32."""
    expected = _released_shapes(new, shape)
    if tuple(tensor.shape) not in expected:
        raise ValueError(
            f"weight {old!r} has shape {tuple(tensor.shape)}, "
            f"expected {' or '.join(map(str, expected))}"
        )
    if _FRONT_END in new:
        tensor = tensor.transpose(1, 2)
    return tensor.to(torch.float32, copy=True).reshape(shape)  # a copy, not the mapped file


def _released_shapes(name: str, shape: torch.Size) -> list[tuple[int, ...]]:
    """Returns the shapes that a weight of this package may have in a released file."""
    if _FRONT_END in name:
        kernel = (FIRST_KERNEL, *KERNELS)[int(name.split(".")[-2])]
        return [
            (shape[0], shape[1] // kernel, kernel)
        ]  # here the taps of a channel are not adjacent
    if name.endswith("extra_tokens"):
        return [(1, *shape)]
    if name.endswith("alibi_scale"):
        return [(1, 1, *shape, 1, 1), (1, *shape, 1, 1)]  # the second in old files
    return [tuple(shape)]


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Counts numbered modules by the highest number in use."""
    numbers = [
        int(match[1])
        for name in tensors
        if (match := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name))
    ]
    return 1 + max(numbers, default=-1)
