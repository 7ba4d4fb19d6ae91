"""Fine-tuned encoders on disk: encoder, head and record as one folder."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from safetensors.torch import load_file, save_file
from torch import nn

from conversation_emotion.datasets.encoder_families import HEAD, TuningRecord, read_record
from conversation_emotion.models.fine_tuned import EncoderModel, Encoding, TimePooling


class Tuned(NamedTuple):
    """A tuned encoder with its head, in evaluation mode, and the record of its training."""

    model: EncoderModel
    record: TuningRecord


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


def read_tuned(folder: Path, load: Callable[[str], Encoding]) -> Tuned:
    """Reads the folder that `save_tuned` wrote; ``load`` loads its encoder, to be trained.

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
    heads = load_file(folder / HEAD)
    config = json.loads((folder / "config.json").read_text())
    encoder = load(str(folder))
    spelling = heads.get("spelling.weight")
    model = EncoderModel(
        cast(nn.Module, encoder),
        len(record.labels),
        pooling=cast(TimePooling, config["tuned_pooling"]),
        num_characters=0 if spelling is None else len(spelling),
    )
    model.load_state_dict(heads, strict=False)
    return Tuned(model.eval(), record)
