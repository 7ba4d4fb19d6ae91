"""Settings of the fusion table, and its rows: those of Morais et al. (2022), then ours."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import (
    Aggregator,
    FeatureSettings,
    StorageSettings,
    check_aggregator,
    check_encoders,
)
from conversation_emotion.settings.flags import change, check_share, refuse_given
from conversation_emotion.settings.models import Fusion
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.settings.votes import VoteSettings
from conversation_emotion.settings.words import GIVEN, WordSettings


class FusionRow(NamedTuple):
    """A line of the table.

    Attributes:
        title: "+" concatenates frames before one aggregator, "&" utterance vectors after one for
            each.
        encoders: The flags that name the encoders.
        fusion: Where they are fused; of a single encoder, nowhere.
        aggregator: What pools the frames.
        is_averaged: Whether the best weights are averaged, or the best single ones taken.
        decisions_of: Rows whose decisions are fused; such a row trains nothing itself.
    """

    title: str
    encoders: tuple[str, ...]
    fusion: Fusion = "late"
    aggregator: Aggregator = "ecapa"
    is_averaged: bool = True
    decisions_of: tuple[int, ...] = ()


_NAMES = {
    "fbank": "Fbank",
    "wav2vec2": "W2V2",
    "hubert": "HuBERT",
    "bert": "BERT",
    "emotion2vec": "emotion2vec",
}
"""What the titles of rows call the encoders."""

_ENCODERS = {*_NAMES}
_SPEECH = ("hubert", "wav2vec2")
_OURS = ("emotion2vec", "bert")

ROWS: dict[int, FusionRow] = {
    1: FusionRow("W2V2, one checkpoint", ("wav2vec2",), "late", "mean", False),
    2: FusionRow("HuBERT, one checkpoint", ("hubert",), "late", "mean", False),
    3: FusionRow("W2V2", ("wav2vec2",), "late", "mean"),
    4: FusionRow("HuBERT", ("hubert",), "late", "mean"),
    5: FusionRow("W2V2", ("wav2vec2",)),
    6: FusionRow("HuBERT", ("hubert",)),
    7: FusionRow("HuBERT + W2V2", _SPEECH, "early"),
    8: FusionRow("HuBERT & W2V2", _SPEECH),
    9: FusionRow("Fbank", ("fbank",)),
    10: FusionRow("BERT", ("bert",)),
    11: FusionRow("Fbank & BERT", ("fbank", "bert")),
    12: FusionRow("Fbank + BERT", ("fbank", "bert"), "early"),
    13: FusionRow("Fbank & BERT, gated", ("fbank", "bert"), "gated"),
    14: FusionRow("Fbank & BERT, cross-attention", ("fbank", "bert"), "cross-attention"),
    15: FusionRow("emotion2vec", ("emotion2vec",)),
    16: FusionRow("emotion2vec & BERT", _OURS),
    17: FusionRow("emotion2vec & BERT, gated", _OURS, "gated"),
    18: FusionRow("emotion2vec & BERT, cross-attention", _OURS, "cross-attention"),
    19: FusionRow("Fbank, BERT: decisions", ("fbank", "bert"), decisions_of=(9, 10)),
    20: FusionRow("emotion2vec, BERT: decisions", _OURS, decisions_of=(15, 10)),
}
"""1 to 11 are those of the paper, 12 to 20 ours."""


def read_rows(text: str) -> tuple[int, ...]:
    """Reads the numbers of rows, ``9,10,11`` or ``1-8,11``; rows that others fuse come before them.

    Raises:
        ValueError: There are none, or one that the table does not have.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ValueError(f"--rows takes numbers such as 9,10,11 or 1-8, got {text!r}")
        numbers += range(int(first), int(last or first) + 1)
    if strange := [number for number in numbers if number not in ROWS]:
        raise ValueError(f"--rows: the table has the rows 1 to {max(ROWS)}, not {strange[0]}")
    joined = [part for number in numbers for part in (*ROWS[number].decisions_of, number)]
    return tuple(dict.fromkeys(joined))


@dataclass(frozen=True, kw_only=True)
class FusionSettings(StorageSettings):
    """Settings of one table of fusions."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            epochs=30, patience=30, schedule="cosine", average_best=5
        )
    )

    votes: VoteSettings = field(default_factory=VoteSettings)

    words: WordSettings = field(default_factory=WordSettings)

    rows: str = "9-14"
    """Rows of the table: 1 to 11 as in the paper, 12 to 20 ours; 9,10,11 or 1-8."""

    fbank: str = "fbank"
    """Encoder that the rows call Fbank."""

    wav2vec2: str = "facebook/wav2vec2-large-robust"
    """Encoder of the rows with W2V2: hub id, folder, or a folder of experiments.finetune."""

    hubert: str = "facebook/hubert-large-ll60k"
    """Encoder of the rows with HuBERT."""

    bert: str = "tokens:all-MiniLM-L6-v2"
    """Encoder of the rows with BERT; tokens:google-bert/bert-base-uncased in the paper."""

    emotion2vec: str = "emotion2vec-mini"
    """Encoder of the rows with emotion2vec."""

    aggregator_size: int = 32
    """Channels of ECAPA-TDNN, 512 as published."""

    dropout: float = 0.3
    """On the utterance vectors."""

    text_dropout: float = 0.5
    """Chance that an utterance with speech loses its text in training: without it the model
    memorises a few hundred texts first, and the speech is never used."""

    def __post_init__(self) -> None:
        read_rows(self.rows)
        self.votes.check_learning(self.training)
        self.votes.refuse_in("fusion", self.training.select_by)
        for name in sorted(_ENCODERS - {"bert"}):
            check_encoders((getattr(self, name),), concatenated=False)
        check_aggregator("ecapa", self.aggregator_size)
        check_share(self, "dropout", "text_dropout")
        used = {flag for number in read_rows(self.rows) for flag in ROWS[number].encoders}
        refuse_given(self, f"is the encoder of none of the --rows {self.rows}", *_ENCODERS - used)
        self.words.check(reads_text="bert" in used)
        if "bert" not in used:
            refuse_given(self, f"needs a row with BERT, not {self.rows}", "text_dropout")

    def for_row(self, number: int) -> "FusionSettings":
        """Returns the settings of the run of one row."""
        row = ROWS[number]
        best = self.training.average_best if row.is_averaged else 1
        unused = _ENCODERS - {*row.encoders}
        unused |= {"text_dropout"} if "bert" not in row.encoders else set()
        defaults = {name: getattr(FusionSettings, name) for name in unused}
        if "bert" not in row.encoders:
            defaults |= vars(GIVEN)
        return change(self, rows=str(number), average_best=best, **defaults)

    def title(self, number: int) -> str:
        """Returns the title of a row, in which other encoders have their own names."""
        title = ROWS[number].title
        for flag in ROWS[number].encoders:
            if (encoder := getattr(self, flag)) != getattr(FusionSettings, flag):
                title = title.replace(_NAMES[flag], Path(encoder).name)
        return title

    def features_of(self, flag: str) -> FeatureSettings:
        """Returns the features of the encoder that a row names."""
        modality = "text" if flag == "bert" else "speech"
        own = {
            f"{modality}_encoder": getattr(self, flag),
            f"{modality}_layers": "all" if flag == "emotion2vec" else "last",
            f"{modality}_pooling": "frames",
        }
        common = FeatureSettings(layer_mixture="sum", half_precision=self.half_precision)
        return replace(common, modality=modality, **own)
