"""Which encoder is fine-tuned, and how much of it."""

from dataclasses import dataclass
from typing import Literal

from conversation_emotion.settings.flags import check_at_least
from conversation_emotion.settings.training import Precision


@dataclass(frozen=True, kw_only=True)
class TunableSettings:
    """Which encoder is trained, and how much of it."""

    speech_encoder: str = "emotion2vec-mini"
    """Encoder to tune: emotion2vec-mini, or a checkpoint of wav2vec 2.0, HuBERT, WavLM, data2vec or
    emotion2vec, by hub id or folder."""

    freeze: Literal["front-end", "nothing"] = "front-end"
    """What stays as it is: the convolutional front end (the embeddings, for text), whose output is
    then computed once and stored; or nothing."""

    blocks: int | None = None
    """Keep only this many of the encoder's Transformer blocks, the lowest; none keeps all."""

    lora_rank: int | None = None
    """Train low-rank changes of the linear maps (Hu et al., 2022) of this rank, not all weights."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""

    precision: Precision = "auto"
    """Of the products in training; auto is bf16 on devices built for it."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "lora_rank", "blocks")
