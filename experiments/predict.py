"""Predicts the emotions of recordings with a model that was trained here.

    python -m experiments.ser --register voices
    python -m experiments.predict RECORDINGS --model voices
    python -m experiments.predict --model turns --root conversations.csv --output predictions.csv

The model is one that an experiment registered (--register), by its name, or name and version such
as voices/2; or a run that kept one; or the folder of a saved model. A model of single utterances
takes every recording under a folder; a model of conversations needs a manifest that says who speaks
when. Writes a table with a row for each recording or row of the manifest: the most probable
emotion, the probability of each, and why a row has no prediction.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from experiments.commandline import launch


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Which model predicts what."""

    model: str
    """Name of a registered model, its latest version or NAME/VERSION; or id of a run; or folder of
    a saved model."""

    root: Path
    """A recording; or a folder of them, searched with all its subfolders; or a manifest as
    experiments read."""

    output: Path = Path("predictions.csv")
    """Table to write; one that exists is replaced."""


def run(settings: PredictSettings) -> None:
    """Loads the model, predicts every row, writes the table and summarises it."""
    from conversation_emotion.features.sources import load_encoders
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import read_rows, summarise, write_table
    from conversation_emotion.inference.saved_model import load_model
    from experiments.tracking.registry import find_model

    saved = load_model(find_model(settings.model))
    rows = read_rows(settings.root, is_conversation=saved.card.is_conversation)
    predictions = Predictor(saved, load_encoders(saved.card.features)).predict(rows)
    write_table(rows, predictions, settings.output)
    summarise(saved.card, predictions, settings.output)


def main() -> None:
    """Predicts from the command line, where the recordings may come first without ``--root``."""
    if not sys.argv[1:2] or sys.argv[1].startswith("-"):
        launch(run, PredictSettings, "predict")
    else:
        sys.argv.insert(1, "--root")
        main()


if __name__ == "__main__":
    main()
