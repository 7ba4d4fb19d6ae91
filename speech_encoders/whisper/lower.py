"""The lower blocks of a Whisper encoder, in 8 bits: small enough to come with the package.

    python -m speech_encoders.whisper.lower openai/whisper-base --blocks 5 --output FOLDER

makes ``whisper-base-lower``, byte for byte as it is shipped; ``base_lower/README.md`` is its card.
The last block of Whisper turns to words, and tells least of emotion.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from torch import nn

from speech_encoders import load_speech_encoder
from speech_encoders.checkpoint import (
    find_checkpoint,
    fingerprint,
    library_versions,
    naming_errors,
)
from speech_encoders.quantised import read_quantised, write_quantised

if TYPE_CHECKING:
    from speech_encoders.whisper.encoder import WhisperEncoder

MODEL_TYPE = "whisper-lower"
"""What ``config.json`` calls such a folder."""

SHIPPED = "whisper-base-lower"
"""Name of the encoder whose weights come with the package."""

_SHAPE = (
    "d_model",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "max_source_positions",
    "num_mel_bins",
    "scale_embedding",
)
_WEIGHTS = "model.safetensors"
_SHIPPED_FOLDER = Path(__file__).parent / "base_lower"


def identify(name: str) -> str:
    """Returns the identity of the encoder of a name or folder, from its files alone."""
    return f"{MODEL_TYPE} format=1 sha256={fingerprint(_find(name))} {library_versions()}"


def _find(name: str) -> Path:
    return find_checkpoint(str(_SHIPPED_FOLDER) if name == SHIPPED else name)


def load(name: str, device: str) -> "WhisperEncoder":
    """Loads `SHIPPED`, or a folder that `make` wrote.

    Raises:
        FileNotFoundError: The folder is incomplete.
        ValueError: A file is broken.
    """
    from transformers import WhisperConfig

    from speech_encoders.whisper.encoder import WhisperEncoder
    from speech_encoders.whisper.modeling import WhisperModel

    folder = _find(name)
    with naming_errors(folder):
        settings = json.loads((folder / "config.json").read_text("utf-8"))
        config = WhisperConfig(**{**settings, "model_type": "whisper"})
        config._attn_implementation = "sdpa"
        model = WhisperModel(config)
        model.load_state_dict(read_quantised(folder / _WEIGHTS))
    nn.Module.to(model.eval(), device)
    return WhisperEncoder(model, identity=identify(name))


def make(source: str, num_blocks: int, folder: Path) -> None:
    """Writes the lowest blocks of a Whisper encoder into a folder.

    Args:
        source: Hub id or folder of a Whisper checkpoint.
        num_blocks: Transformer blocks to keep.
        folder: Where to write; existing files of it are replaced.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is not of Whisper, or has fewer blocks.
    """
    from speech_encoders.whisper.encoder import WhisperEncoder

    whole = load_speech_encoder(source)
    if not isinstance(whole, WhisperEncoder):
        raise ValueError(f"{source}: is no checkpoint of Whisper; pass one, as openai/whisper-base")
    most = whole.num_layers - 1
    if not 1 <= num_blocks <= most:
        raise ValueError(f"--blocks must be 1 to {most}, the blocks of {source}; got {num_blocks}")
    config = whole.model.config
    settings = {name: getattr(config, name) for name in _SHAPE}
    settings |= {"model_type": MODEL_TYPE, "encoder_layers": num_blocks, "final_norm": False}
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; pass a folder to write")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    upper = tuple(f"layers.{number}." for number in range(num_blocks, most))
    weights = {
        name: weight
        for name, weight in whole.model.state_dict().items()
        if not name.startswith((*upper, "layer_norm."))
    }
    write_quantised(weights, folder / _WEIGHTS)


@dataclass(frozen=True)
class Options:
    """What to make of which checkpoint."""

    source: tyro.conf.Positional[str]
    """Hub id or folder of a Whisper checkpoint."""

    output: Path
    """Folder to write, for load_speech_encoder."""

    blocks: int = 5
    """Transformer blocks to keep, the lowest."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; what cannot be made ends it with the reason."""
    prog = "python -m speech_encoders.whisper.lower"
    options = tyro.cli(Options, prog=prog, description=__doc__, args=argv)
    try:
        make(options.source, options.blocks, options.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{options.output}: {(options.output / _WEIGHTS).stat().st_size / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
