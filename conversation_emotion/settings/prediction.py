"""Settings of predictions: which model predicts what, and where the results go."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from conversation_emotion.settings.flags import check_unique, refuse_given
from conversation_emotion.settings.page import PageSettings
from conversation_emotion.settings.turns import TABLES, TurnSettings

AdaptationMethod = Literal["classes", "lora"]
"""How a model is adapted to a speaker."""


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Which model predicts what."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Recordings; folders of them, searched with all subfolders; patterns; annotation or tables of
    turns; or a manifest as experiments read it."""

    model: str = "default"
    """Name of a registered model, its latest version or NAME/VERSION; or id of a run; or folder of
    a saved model; or default, which comes with the package."""

    audio: Path | None = None
    """Recording of the annotation that is given, or folder of its recordings; without it they are
    looked for next to the annotation."""

    turns: TurnSettings = field(default_factory=TurnSettings)

    asr: str | None = None
    """Whisper with its decoder, which writes down turns without text: hub id or folder, such as
    openai/whisper-base."""

    language: str | None = None
    """Language of what --asr writes down, such as de or German; detected for each recording if
    none."""

    sentiment: str = "default-sentiment"
    """Model of the sentiment of words, as --model; or none."""

    text_model: str = "default-text"
    """Model of the emotion of words without sound, as --model; or none."""

    classes: tuple[str, ...] = ()
    """Emotions to choose from; without any, all that the model knows."""

    min_confidence: float = 0.0
    """Probability below which no emotion is named."""

    mc_dropout: int = 0
    """Networks to draw from a model that was trained with dropout, each without some of its units:
    their mean predicts, and the column disagreement is how far they differ. 0 draws none."""

    adapt: Path | None = None
    """Table of turns with a column emotion, of the people who speak: the model is adapted to them.
    Where the turns and what is predicted name speakers, each speaker has an adaptation of their
    own."""

    adapt_by: AdaptationMethod = "classes"
    """What is adapted: a scale and a bias of each class; or low-rank updates of the model's linear
    maps (lora)."""

    adapt_output: Path | None = None
    """Folder to save the adapted model to, which --model then takes."""

    output: Path = Path("predictions.csv")
    """File to write; one that exists is replaced. .csv, .jsonl and .parquet hold all columns;
    .rttm, .TextGrid, .eaf and .vtt the emotions of turns."""

    frames: Path | None = None
    """File to write curves over time to, .csv, .jsonl or .parquet: a row for each window of 2 s,
    every 0.5 s, within a turn. They cost about eight times what turns do."""

    explain: Path | None = None
    """File to write explanations to, .csv, .jsonl or .parquet: a row for each moment, word, turn of
    the context and modality that a prediction rests on, and what it adds. Sound is encoded once
    more."""

    page: PageSettings = field(default_factory=PageSettings)

    def __post_init__(self) -> None:
        for name in ("frames", "explain"):
            path: Path | None = getattr(self, name)
            if path is not None and path.suffix.lower() not in TABLES:
                raise ValueError(
                    f"--{name} ends in {path.suffix!r}, expected one of {', '.join(TABLES)}"
                )
        if not self.paths:
            raise ValueError("pass recordings, folders or tables to predict")
        if self.adapt is None:
            refuse_given(self, "needs --adapt", "adapt_by", "adapt_output")
        check_unique("--classes", self.classes)
        if self.mc_dropout < 0 or self.mc_dropout == 1:
            raise ValueError(f"--mc-dropout must be 0, or 2 or more, got {self.mc_dropout}")
        if self.language is not None and self.asr is None:
            raise ValueError("--language is that of --asr, which is not given")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"--min-confidence must lie in [0, 1], got {self.min_confidence:g}")
