"""Converts released emotion2vec files into folders that ``from_pretrained`` reads.

    python -m speech_encoders.emotion2vec.convert emotion2vec_base.pt --output emotion2vec_base
    python -m speech_encoders.emotion2vec.convert plus/model.pt --output emotion2vec_plus_base
    python -m speech_encoders.emotion2vec.convert pretrained --output small --half-precision

Every weight of the file is accounted for; what else a training run left in it is named and left
out. The classes of an emotion2vec+ model are named by the tokens.txt next to it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import nn

from speech_encoders.checkpoint import load_encoder
from speech_encoders.emotion2vec.feature_extraction import Emotion2vecFeatureExtractor
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.released import Released, read_released


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Settings of a conversion."""

    file: tyro.conf.Positional[Path]
    """Released file, such as emotion2vec_base.pt or the model.pt of an emotion2vec+ model; or a
    folder that experiments.pretrain_emotion2vec wrote, of which the encoder is kept."""

    output: Path
    """Folder to write, for from_pretrained and load_speech_encoder."""

    labels: tuple[str, ...] = ()
    """Names of a classifier's classes in their order; read from tokens.txt next to the file if not
    given."""

    half_precision: bool = False
    """Write weights of 16 bits, half the size; features are computed in 32 all the same."""


def convert(
    path: Path, folder: Path, labels: Sequence[str] = (), *, half_precision: bool = False
) -> Released:
    """Reads a released file, or a pre-trained folder, and saves it with its feature extractor.

    Raises:
        FileNotFoundError: As `read_released` or `load_encoder`.
        ValueError: As these, or the folder to write is a file.
    """
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; pass a folder to write")
    if path.is_dir():
        released = Released(load_encoder(Emotion2vecModel, str(path)), [])
    else:
        released = read_released(path, labels)
    if half_precision:
        nn.Module.to(released.model, torch.float16)
    released.model.save_pretrained(folder)
    Emotion2vecFeatureExtractor().save_pretrained(folder)
    return released


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; what cannot be converted ends it with the reason."""
    settings = tyro.cli(
        Convert,
        prog="python -m speech_encoders.emotion2vec.convert",
        description=__doc__,
        args=argv,
    )
    try:
        released = convert(
            settings.file,
            settings.output,
            settings.labels,
            half_precision=settings.half_precision,
        )
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
    num_parameters = sum(parameter.numel() for parameter in released.model.parameters())
    print(f"{settings.output}: {type(released.model).__name__}, {num_parameters:,} parameters")
    if released.left_out:
        print(f"left out: {', '.join(released.left_out)}")


if __name__ == "__main__":
    main()
