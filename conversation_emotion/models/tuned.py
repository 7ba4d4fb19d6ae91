"""Tuned encoders on disk: a folder for each fold, with the head and the record of what it knows."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast
from urllib.parse import quote

from safetensors.torch import load_file, save_file
from torch import nn

from conversation_emotion.datasets.dataset import Corpus
from conversation_emotion.datasets.encoder_families import TuningRecord, refuse_known_speakers
from conversation_emotion.models.fine_tuned import EncoderModel, TimePooling

if TYPE_CHECKING:
    from speech_encoders.tunable import TunableEncoder
    from text_encoders.tuning import TunableBert

HEAD = "head.safetensors"
"""File with the weights of the head, beside those of the encoder."""

Modality = Literal["speech", "text"]


class Tuned(NamedTuple):
    """A tuned encoder with its head, as it was saved.

    Attributes:
        model: Encoder and head in evaluation mode.
        record: What it was tuned on.
    """

    model: EncoderModel
    record: TuningRecord


def load_tunable(
    name: str, modality: Modality, *, trains_front_end: bool
) -> "TunableEncoder | TunableBert":
    """Loads an encoder to be trained, of speech or of text."""
    if modality == "text":
        from text_encoders.tuning import load_tunable as load_text

        return load_text(name, trains_front_end=trains_front_end)
    from speech_encoders.tuning import load_tunable as load_speech

    return load_speech(name, trains_front_end=trains_front_end)


def fold_folder(folder: Path, fold: str) -> Path:
    """Gives the place of a fold's encoder."""
    return folder / quote(fold, safe="")


def save_tuned(model: EncoderModel, record: TuningRecord, folder: Path) -> None:
    """Writes encoder, head and record as one folder, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    settings = {**record.to_config(), "tuned_pooling": model.pooling}
    cast("TunableEncoder", model.encoder).save(partial, settings)
    heads = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith("encoder.")
    }
    save_file(heads, partial / HEAD)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_tuned(folder: Path, modality: Modality, *, trains_front_end: bool) -> Tuned:
    """Reads what `save_tuned` wrote.

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
    encoder = load_tunable(str(folder), modality, trains_front_end=trains_front_end)
    spelling = heads.get("spelling.weight")
    model = EncoderModel(
        cast(nn.Module, encoder),
        len(record.labels),
        pooling=cast(TimePooling, config["tuned_pooling"]),
        num_characters=0 if spelling is None else len(spelling),
    )
    model.load_state_dict(heads, strict=False)
    return Tuned(model.eval(), record)


def read_record(name: str) -> TuningRecord | None:
    """Reads what an encoder was tuned on; None for one that was not, or that is no folder.

    Raises:
        ValueError: The record is incomplete.
    """
    config = Path(name.removeprefix("tokens:").removeprefix("emotion2vec:")).expanduser()
    config = config / "config.json"
    if not config.is_file():
        return None
    return TuningRecord.from_config(json.loads(config.read_text()), name)


def find_family(name: str, corpus: Corpus) -> dict[str, Path]:
    """Finds the encoder of each fold where a name is a folder of several; else refuses leaks.

    Raises:
        LeakageError: An encoder was tuned on people whom its fold tests.
        ValueError: A fold has no encoder, or one of another corpus, split or fold.
    """
    folder = Path(name.removeprefix("tokens:")).expanduser()
    if (folder / "config.json").is_file() or not any(folder.glob(f"*/{HEAD}")):
        refuse_leak(name, corpus)
        return {}
    family = {}
    for fold in corpus.split.folds:
        member = fold_folder(folder, fold.name)
        record = read_record(str(member))
        if record is None:
            found = sorted(path.parent.name for path in folder.glob(f"*/{HEAD}"))
            raise ValueError(
                f"{name}: no encoder for fold {fold.name!r} of {corpus.split.name}, found "
                f"{', '.join(found)}; tune the other folds, or choose the same --split"
            )
        wanted = (str(corpus.utterances["corpus"].iloc[0]), corpus.split.name, fold.name)
        if (given := (record.corpus, record.split, record.fold)) != wanted:
            raise ValueError(
                f"{member}: was tuned on corpus, split and fold {' '.join(map(repr, given))}, "
                f"expected {' '.join(map(repr, wanted))}; features of another fold may leak"
            )
        own = dataclasses.replace(corpus.split, folds=(fold,))
        refuse_known_speakers(record, str(member), corpus.utterances, own)
        family[fold.name] = member
    return family


def refuse_leak(name: str, corpus: Corpus) -> None:
    """Refuses an encoder that was tuned on people whom the corpus' split tests."""
    if (record := read_record(name)) is not None:
        refuse_known_speakers(record, name, corpus.utterances, corpus.split)
