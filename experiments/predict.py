"""Predicts the emotions of recordings: who felt what, when, and how probable each emotion is.

    python -m experiments.predict RECORDING
    python -m experiments.predict FOLDER interview.mp4 turns.rttm --output turns.vtt
    python -m experiments.predict RECORDINGS --model voices
    python -m experiments.predict RECORDING --asr openai/whisper-base --language de

Without --model a model predicts that comes with the package, see its card in
conversation_emotion/inference/default. Others are those that an experiment registered (--register),
by name, or name and version such as voices/2; or a run that kept one; or the folder of a saved
model.

A recording of up to 30 seconds is one turn; of a longer one voice activity finds the turns. RTTM,
SRT, WebVTT, TextGrid, ELAN, the JSON of Whisper, WhisperX and FunASR, and tables with audio, text,
speaker, start, end, or some of them, give turns of their own. Writes a row for each turn: the most
probable emotion, the probability of each, and why a row has no prediction. Words, which come with
the turns or by --asr, add their sentiment, and the emotion where there is no sound.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from conversation_emotion.settings.flags import check_unique
from conversation_emotion.settings.turns import TurnSettings
from experiments.commandline import launch


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

    output: Path = Path("predictions.csv")
    """File to write; one that exists is replaced. .csv, .jsonl and .parquet hold all columns;
    .rttm, .TextGrid, .eaf and .vtt the emotions of turns."""

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("pass recordings, folders or tables to predict")
        check_unique("--classes", self.classes)
        if self.language is not None and self.asr is None:
            raise ValueError("--language is that of --asr, which is not given")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"--min-confidence must lie in [0, 1], got {self.min_confidence:g}")


def run(settings: PredictSettings) -> None:
    """Loads the model, predicts every turn, writes the table and summarises it."""
    from conversation_emotion.features.encoders import load_transcriber
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import predict_rows, read_rows, summarise
    from conversation_emotion.inference.transcription import write_words
    from conversation_emotion.inference.turns import write_turns

    sentiment, text_model = (
        None if name == "none" else name for name in (settings.sentiment, settings.text_model)
    )
    predictor = Predictor.load(settings.model, sentiment=sentiment, text_model=text_model)
    card = predictor.saved.card
    transcriber = None if settings.asr is None else load_transcriber(settings.asr)
    if transcriber is not None and settings.language is not None:
        transcriber.find_language(settings.language)  # before any work
    rows = read_rows(
        settings.paths,
        settings.turns,
        audio=settings.audio,
        is_conversation=card.is_conversation,
    )
    if transcriber is not None:
        rows = write_words(rows, transcriber, settings.language)
    table = predict_rows(
        predictor, rows, classes=settings.classes, min_confidence=settings.min_confidence
    )
    write_turns(table, settings.output)
    summarise(card, table, settings.output)


def main() -> None:
    """Predicts from the command line."""
    launch(run, PredictSettings, "predict")


if __name__ == "__main__":
    main()
