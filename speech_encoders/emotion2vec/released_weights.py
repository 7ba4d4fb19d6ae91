"""How the released emotion2vec files name and lay out the weights of a model."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.front_end import FIRST_KERNEL, KERNELS

_AUDIO = "modality_encoders.AUDIO"
_FRONT_END = "front_end.convolutions."
_PRENET = f"{_AUDIO}.context_encoder.blocks"
_CONVOLUTION = f"{_AUDIO}.relative_positional_encoder"
DECODER = f"{_AUDIO}.decoder"
"""Name of the pre-training decoder."""

HEAD = "proj"
"""Name of a classifier's head."""

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


def read_layout(tensors: Mapping[str, Tensor]) -> Layout:
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
    has_decoder = any(name.startswith(f"{DECODER}.") for name in tensors)
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
        decoder_dim, decoder_inputs, decoder_kernel = shape(f"{DECODER}.blocks.0.0.weight", 3)
        settings |= {
            "decoder_dim": decoder_dim,
            "decoder_layers": _count(tensors, f"{DECODER}.blocks"),
            "decoder_kernel": decoder_kernel,
            "decoder_groups": hidden_size // decoder_inputs,
        }
    num_classes = shape(f"{HEAD}.weight", 2)[0] if f"{HEAD}.weight" in tensors else 0
    if num_classes:
        settings["num_labels"] = num_classes
    return Layout(Emotion2vecConfig.from_dict(settings), num_prenet, has_decoder, num_classes)


def rename(
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
    names = released_names(layout)
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"{len(missing)} weights are missing, first {missing[0]!r}")
    if unexpected := [name for name in tensors if name not in names]:
        raise ValueError(
            f"{len(unexpected)} weights are none of such a model, first {unexpected[0]!r}"
        )
    return {new: _lay_out(old, new, tensors[old], shapes[new]) for old, new in names.items()}


def released_names(layout: Layout) -> dict[str, str]:
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
            modules[f"{DECODER}.blocks.{layer}.0"] = f"decoder.convolutions.{layer}"
        modules[f"{DECODER}.proj"] = "decoder.projection"
    if layout.num_classes:
        modules[HEAD] = "classifier"
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
