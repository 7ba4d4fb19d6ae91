"""Speech encoders that can be trained: what a frozen front end makes of clips, or samples, in.

A tunable encoder says by its ``reader``, a `speech_encoders.SpeechEncoder`, what it is to be given:
the samples themselves, or the output of its convolutions, which is worth keeping where they are
frozen, since it never changes. Padding and batch-mates change nothing, as for frozen encoders.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from speech_encoders import SpeechEncoder


class TunableEncoder(Protocol):
    """A module that hears clips with gradients.

    Attributes:
        hidden_size: Features of a frame (D).
        num_blocks: Transformer blocks.
        adapted: Last names of the linear maps within blocks that low-rank adapters may change.
    """

    hidden_size: int
    num_blocks: int
    adapted: tuple[str, ...]

    @property
    def model(self) -> PreTrainedModel:
        """The model of the transformers library that is trained."""
        ...

    @property
    def reader(self) -> "SpeechEncoder":
        """Makes clips what the encoder takes."""
        ...

    def __call__(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, N, D') inputs of (B,) lengths -> frames (B, T, D), their number (B,)."""
        ...

    def keep_blocks(self, count: int) -> None:
        """Leaves out the blocks above the lowest ones."""
        ...

    def save(self, folder: Path, settings: dict[str, object]) -> None:
        """Writes a folder for `load_speech_encoder`, with ``settings`` in its configuration."""
        ...


def load_tunable(name: str, *, trains_front_end: bool = False) -> TunableEncoder:
    """Loads an encoder to be trained, in float32 on the CPU.

    Args:
        name: As for `speech_encoders.load_speech_encoder`, of wav2vec 2.0, HuBERT, WavLM,
            data2vec-audio or emotion2vec.
        trains_front_end: Whether the convolutions learn too; the encoder then hears samples.

    Raises:
        FileNotFoundError: The checkpoint is neither here nor to be had from the hub.
        ValueError: The encoder cannot be trained, or its checkpoint lacks weights.
    """
    from speech_encoders import load_speech_encoder
    from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
    from speech_encoders.emotion2vec.tuning import TunableEmotion2vec
    from speech_encoders.tunable_wav2vec2 import TunableWav2Vec2
    from speech_encoders.wav2vec2 import Wav2Vec2Encoder

    encoder = load_speech_encoder(name)
    if isinstance(encoder, Emotion2vecEncoder):
        return TunableEmotion2vec(encoder.model, trains_front_end=trains_front_end)
    if isinstance(encoder, Wav2Vec2Encoder):
        return TunableWav2Vec2(
            encoder.model, do_normalize=encoder.do_normalize, trains_front_end=trains_front_end
        )
    raise ValueError(
        f"{name}: {type(encoder).__name__} cannot be trained; choose a checkpoint of wav2vec 2.0, "
        "HuBERT, WavLM, data2vec-audio or emotion2vec"
    )


def recompute_activations(model: PreTrainedModel) -> None:
    """Lets a model compute activations twice instead of keeping them."""
    # Renamed within transformers 5; both take the arguments of PyTorch's function first.
    name = "activation_checkpointing_enable"
    enable = getattr(model, name, None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def describe_front_end(kind: str, digest: str, versions: str) -> str:
    """Gives the identity of a frozen front end's output, as JSON with sorted names."""
    return json.dumps({"front_end": kind, "format": 1, "sha256": digest, "versions": versions})
