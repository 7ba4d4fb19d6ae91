"""Predicts the emotions of recordings: who felt what, when, and how probable each emotion is.

    python -m experiments.predict RECORDING
    python -m experiments.predict FOLDER interview.mp4 turns.rttm --output turns.vtt
    python -m experiments.predict RECORDINGS --model voices

Without --model a model predicts that comes with the package, see its card in
conversation_emotion/inference/default. Others are those that an experiment registered (--register),
by name, or name and version such as voices/2; or a run that kept one; or the folder of a saved
model.

A recording of up to 30 seconds is one turn; of a longer one voice activity finds the turns. RTTM,
SRT, WebVTT, TextGrid, ELAN, the JSON of Whisper, WhisperX and FunASR, and tables with audio, text,
speaker, start, end, or some of them, give turns of their own. Writes a row for each turn: the most
probable emotion, the probability of each, and why a row has no prediction. --report adds a page of
timelines with their sound: one file, which needs no network.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from conversation_emotion.settings.flags import check_unique
from conversation_emotion.settings.page import PageSettings
from conversation_emotion.settings.turns import TABLES, TurnSettings
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

    classes: tuple[str, ...] = ()
    """Emotions to choose from; without any, all that the model knows."""

    min_confidence: float = 0.0
    """Probability below which no emotion is named."""

    output: Path = Path("predictions.csv")
    """File to write; one that exists is replaced. .csv, .jsonl and .parquet hold all columns;
    .rttm, .TextGrid, .eaf and .vtt the emotions of turns."""

    frames: Path | None = None
    """File to write curves over time to, .csv, .jsonl or .parquet: a row for each window of 2 s,
    every 0.5 s, within a turn. They cost about eight times what turns do."""

    page: PageSettings = field(default_factory=PageSettings)

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames.suffix.lower() not in TABLES:
            raise ValueError(
                f"--frames ends in {self.frames.suffix!r}, expected one of {', '.join(TABLES)}"
            )
        if not self.paths:
            raise ValueError("pass recordings, folders or tables to predict")
        check_unique("--classes", self.classes)
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"--min-confidence must lie in [0, 1], got {self.min_confidence:g}")


def run(settings: PredictSettings) -> None:
    """Loads the model, predicts every turn, writes the table and summarises it."""
    from conversation_emotion.inference.curves import check_has_curves, predict_curves
    from conversation_emotion.inference.page import read_about, render_page, write_page
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import predict_rows, read_rows, summarise
    from conversation_emotion.inference.saved_model import find_model
    from conversation_emotion.inference.turns import write_turns

    predictor = Predictor.load(settings.model)
    card = predictor.saved.card
    if settings.frames is not None:
        check_has_curves(card)
    rows = read_rows(
        settings.paths,
        settings.turns,
        audio=settings.audio,
        is_conversation=card.is_conversation,
    )
    table = predict_rows(
        predictor, rows, classes=settings.classes, min_confidence=settings.min_confidence
    )
    write_turns(table, settings.output)
    curves = None
    if settings.frames is not None:
        curves = predict_curves(predictor, rows, classes=settings.classes)
        write_turns(curves, settings.frames)
    if settings.page.report is not None:
        about = read_about(find_model(settings.model), card)
        shown = table.assign(offset=rows.get("offset"))
        page = render_page(shown, card, settings.page, about=about, frames=curves)
        write_page(settings.page.report, page)
    summarise(card, table, settings.output)


def main() -> None:
    """Predicts from the command line."""
    launch(run, PredictSettings, "predict")


if __name__ == "__main__":
    main()
