"""Writes a saved model with its speech encoder as ONNX, in single precision and in 8 bits.

    python -m experiments.ser --register voices
    conversation-emotion export --model voices --output voices-onnx
    conversation-emotion export --model voices --output voices-onnx --root RECORDINGS

The model is one of single utterances, as `predict` takes it: a registered name, a run or a folder.
model.onnx takes waveforms and their lengths, of any batch, and gives the probability of each class;
its metadata hold the labels in order, the sampling rate, the front end and the card. It is written
only if onnxruntime gives the probabilities of the saved model, to 1e-4, on recordings: those under
--root, else those of the demo corpus. model.int8.onnx is the same with the weights of linear maps
in 8 bits; what that changes is printed. docs/export.md shows how to use them.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments.framework.commandline import launch

MOST_CLIPS = 32
"""Recordings of a check."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Which model is written where."""

    model: str
    """Name of a registered model, its latest version or NAME/VERSION; or id of a run; or folder of
    a saved model."""

    root: Path | None = None
    """Recordings of the check: a folder, searched with all its subfolders, or one file; those of
    the demo corpus if none."""

    output: Path = Path("exported")
    """Folder to write; files of an earlier export are replaced."""


def run(settings: ExportSettings) -> None:
    """Exports a model, checks it on recordings, and prints size and agreement of both files."""
    from conversation_emotion.corpora.demo import DATA
    from conversation_emotion.features.sources import list_sources
    from conversation_emotion.inference.onnx_export import export, require_exportable
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import find_recordings
    from conversation_emotion.inference.saved_model import load_model
    from experiments.tracking.registry import find_model
    from speech_encoders import load_speech_encoder
    from speech_encoders.traceable import make_traceable

    saved = load_model(find_model(settings.model))
    require_exportable(saved.card)
    encoders = {
        name: load_speech_encoder(source.encoder)
        for name, source in list_sources(saved.card.features).items()
    }
    traceable = {name: make_traceable(encoder) for name, encoder in encoders.items()}
    exported = export(
        Predictor(saved, encoders),
        traceable,
        find_recordings(settings.root or DATA)[:MOST_CLIPS],
        settings.output,
    )
    for name, why in exported.left_out.items():
        print(f"  {name} is not compared: {why}")
    for file, found in exported.files.items():
        print(
            f"{file}: {file.stat().st_size / 1e6:.1f} MB; on {found.num_clips} recordings "
            f"probabilities differ by at most {found.difference:.1e}, {found.num_same} have the "
            "same class"
        )


main = partial(launch, run, ExportSettings, "models.export")

if __name__ == "__main__":
    main()
