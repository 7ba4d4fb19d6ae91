"""A model that trains an encoder, with low-rank adapters where asked, and its folder on disk.

It has one vector per utterance, a linear head, and maybe a second one, which spells the transcript,
a character or blank per frame, as in Cai et al. (2021). The encoder comes as an argument, by the
protocol `Encoding`; adapters are LoRA (Hu et al., 2022), around the linear maps of its blocks.
"""

import copy
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conversation_emotion.datasets.encoder_families import HEAD, TuningRecord, read_record
from conversation_emotion.features.encoders import Encoder

Weights = dict[str, Tensor]

TimePooling = Literal["mean", "sum"]
"""How the frames of an utterance are pooled."""


class Encoding(Protocol):
    """An encoder with gradients; `speech_encoders.tunable.TunableEncoder` is one.

    It has frames of ``hidden_size`` features (D) and L Transformer blocks; ``adapted`` names the
    linear maps that low-rank adapters change.
    """

    hidden_size: int
    num_blocks: int
    adapted: tuple[str, ...]

    @property
    def reader(self) -> Encoder:
        """Encoder of the input: a frozen front end, or the samples themselves."""
        ...

    @property
    def identity(self) -> str:
        """Text that identifies the weights."""
        ...

    def keep_blocks(self, count: int) -> None:
        """Keeps the lowest blocks alone."""

    def recompute_activations(self) -> None:
        """Computes activations twice instead of keeping them."""

    def save(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Writes the encoder as a folder of transformers, with settings in its configuration."""

    def __call__(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, N, D') inputs of (B,) lengths -> frames (B, T, D), their number (B,)."""
        ...


class ClipOutputs(NamedTuple):
    """Logits of the classes (B, C), and ``num_frames`` real frames of each clip (B,).

    ``characters`` are logits of each character and the blank in every frame, (B, T, V); None
    without the second head.
    """

    logits: Tensor
    characters: Tensor | None
    num_frames: Tensor


class EncoderModel(nn.Module):
    """An encoder with the interface of `Encoding`, its real frames pooled, and linear heads.

    Pooling by sum is that of Cai et al. (2021). ``num_characters`` counts those of the second head,
    the blank included (V); with 0 there is none. Dropout is on the frames before the heads.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_classes: int,
        *,
        pooling: TimePooling = "mean",
        num_characters: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        size = cast(Encoding, encoder).hidden_size
        self.pooling: TimePooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size, num_classes)
        self.spelling = nn.Linear(size, num_characters) if num_characters else None

    def forward(self, inputs: Tensor, lengths: Tensor) -> ClipOutputs:
        """Predicts a batch: (B, N, D'), (B,); see `ClipOutputs`."""
        frames, num_frames = self.encoder(inputs, lengths)
        frames = self.dropout(frames)
        logits = self.head(pool_time(frames, num_frames, self.pooling))
        characters = None if self.spelling is None else self.spelling(frames)
        return ClipOutputs(logits, characters, num_frames)


def pool_time(frames: Tensor, num_frames: Tensor, pooling: TimePooling) -> Tensor:
    """Pools the real frames alone: (B, T, D), (B,) -> (B, D).

    The code released with Cai et al. (2021) averages over padded frames as well, so that there a
    clip's result depends on the longest of its batch.
    """
    is_real = torch.arange(frames.size(1), device=frames.device) < num_frames[:, None]
    total = frames.masked_fill(~is_real[..., None], 0.0).sum(dim=1)
    return total if pooling == "sum" else total / num_frames[:, None]


def add_adapters(model: EncoderModel, rank: int) -> None:
    """Adds adapters of a rank to the encoder, in place, and freezes all else but the heads.

    Raises:
        ModuleNotFoundError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--lora-rank needs peft; pip install 'conversation-emotion[lora]'"
        ) from error
    names = "|".join(cast(Encoding, model.encoder).adapted)
    targets = rf"(?:.*\.)?(?:layers?|blocks)\.\d+\.(?:.*\.)?(?:{names})"
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    inject_adapter_in_model(config, model.encoder)
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_("lora_" in name)


def merge_adapters(model: nn.Module) -> Weights:
    """Returns the weights of a model without adapters that computes the same.

    Adapters are merged before checkpoints are averaged: the mean of products is not the product of
    means.
    """
    from peft.tuners.lora import LoraLayer

    merged = copy.deepcopy(model)
    layers = [(name, m) for name, m in merged.named_modules() if isinstance(m, LoraLayer)]
    for name, layer in layers:
        layer.merge()  # type: ignore[operator]
        parent, _, own = name.rpartition(".")
        setattr(merged.get_submodule(parent), own, layer.get_base_layer())
    return merged.state_dict()


def save_tuned(model: EncoderModel, record: TuningRecord, folder: Path) -> None:
    """Writes encoder, head and record as one folder, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    settings = {**record.to_config(), "tuned_pooling": model.pooling}
    cast(Encoding, model.encoder).save(partial, settings)
    heads = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith("encoder.")
    }
    save_file(heads, partial / HEAD)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_tuned(folder: Path, load: Callable[[str], Encoding]) -> EncoderModel:
    """Reads a folder of `save_tuned`, in evaluation mode; ``load`` loads its encoder.

    Raises:
        FileNotFoundError: The folder lacks its encoder or its head.
        ValueError: The encoder has no record, or the record no label map.
    """
    record = read_record(str(folder))
    if record is None:
        raise ValueError(
            f"{folder}: the checkpoint has no label map, so its head cannot be read; pass a folder "
            "that 'python -m experiments.finetune' wrote"
        )
    if not (folder / HEAD).is_file():
        raise FileNotFoundError(f"{folder}: {HEAD} is missing; tune the encoder again")
    heads = read_weights(folder / HEAD)
    config = json.loads((folder / "config.json").read_text())
    spelling = heads.get("spelling.weight")
    model = EncoderModel(
        cast(nn.Module, load(str(folder))),
        len(record.labels),
        pooling=cast(TimePooling, config["tuned_pooling"]),
        num_characters=0 if spelling is None else len(spelling),
    )
    model.load_state_dict(heads, strict=False)
    return model.eval()


def read_weights(file: Path) -> dict[str, Tensor]:
    """Reads a file of weights by name.

    Raises:
        ValueError: The file is cut or broken, or no file of weights.
    """
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file}: is cut or broken ({error}); fetch or save it again") from error
