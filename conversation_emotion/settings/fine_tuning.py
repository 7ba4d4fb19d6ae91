"""Settings of the experiments that train encoders: fine-tuning, and emotion with transcript."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.flags import check_at_least, check_unique, refuse_given
from conversation_emotion.settings.training import FineTuningSettings, Precision
from conversation_emotion.settings.votes import VoteSettings


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


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Settings of the fine-tuning of one encoder."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    modality: Literal["speech", "text"] = "speech"
    """Modality of the input."""

    text_encoder: str = "all-MiniLM-L6-v2"
    """With --modality text, the encoder to tune: BERT or another model of its shape, by hub id or
    folder."""

    tuned: TunableSettings = field(default_factory=TunableSettings)

    training: FineTuningSettings = field(default_factory=FineTuningSettings)

    votes: VoteSettings = field(default_factory=VoteSettings)

    output: Path | None = None
    """Folder for the averaged encoders, one for each fold; none takes mlruns/finetuning/RUN."""

    def __post_init__(self) -> None:
        self.votes.check_one("finetune, which trains one encoder for each fold,")
        self.votes.check_learning(self.training)
        self.votes.refuse_in("finetune", self.training.select_by)
        is_speech = self.modality == "speech"
        group, unused = (self, "text_encoder") if is_speech else (self.tuned, "speech_encoder")
        refuse_given(group, f"has no effect with --modality {self.modality}", unused)

    @property
    def encoder(self) -> str:
        """The encoder to tune."""
        return self.tuned.speech_encoder if self.modality == "speech" else self.text_encoder


@dataclass(frozen=True, kw_only=True)
class MultitaskSettings:
    """Settings of one ablation of alpha."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    tuned: TunableSettings = field(default_factory=lambda: TunableSettings(blocks=3))

    training: FineTuningSettings = field(
        default_factory=lambda: FineTuningSettings(
            learning_rate=1e-3, head_learning_rate=3e-3, batch_size=8, average_best=3
        )
    )

    alphas: tuple[float, ...] = (0.0, 0.001, 0.01, 0.1, 1.0)
    """Weights of the transcript's loss, each a row of the table and a run of its own."""

    pooling: Literal["mean", "sum"] = "mean"
    """What becomes of the real frames before the emotion's head; published is the sum."""

    shown: int = 5
    """Transcripts to print."""

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) < 0:
            raise ValueError(f"--alphas needs one number or more of 0 and above, got {self.alphas}")
        check_unique("--alphas", self.alphas)
