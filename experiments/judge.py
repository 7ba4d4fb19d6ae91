"""Judges recordings by a model that was trained here: which emotion, and how probable?

    python -m experiments.ser --register voices
    python -m experiments.judge --model voices --root RECORDINGS
    python -m experiments.judge --model turns --root conversations.csv --output judged.csv

The model is one that an experiment registered (--register), by its name, name and version such as
voices/2, or the folder of a saved model. A model of single utterances judges every recording under
a folder; a model of conversations needs a manifest that says who speaks when. Writes a table with a
row for each recording or row of the manifest: the most probable emotion, the probability of each,
and what could not be judged and why.
"""

from dataclasses import dataclass
from pathlib import Path

from experiments import commandline as _cli


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Which model judges what."""

    model: str
    """Name of a registered model, its latest version or NAME/VERSION; or the folder of one."""

    root: Path
    """Folder of recordings, searched with all its subfolders; or a manifest as experiments read."""

    output: Path = Path("judged.csv")
    """Table to write; one that exists is replaced."""


def run(config: JudgeConfig) -> None:
    """Loads the model, judges everything, writes the table and says what is in it."""
    from conversation_emotion.inference import recordings as _recordings
    from conversation_emotion.inference.predictor import Judge
    from conversation_emotion.inference.saved_model import load_model
    from experiments.tracking import registry as _registry

    saved = load_model(_registry.find_model(config.model))
    rows = _recordings.read(config.root, is_conversation="horizon" in saved.card.settings)
    judged = Judge(saved).judge(rows)
    _recordings.write(rows, judged, config.output)
    _recordings.summarise(saved.card, judged, config.output)


def main() -> None:
    """Runs the command."""
    _cli.launch(run, JudgeConfig)


if __name__ == "__main__":
    main()
