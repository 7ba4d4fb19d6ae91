"""Do exported models recognise emotions as well as the models that they were made of?

    python -m benchmarks.export_accuracy --root EMODB

For every speaker of EmoDB the default recipe of `experiments.ser` is trained on the others (the
next one chooses its C), exported to ONNX in single precision and in 8 bits, and all three predict
the speaker, who is in no training. UAR with intervals over speakers; p is of a paired t test over
speakers against the saved model, as between the rows of any table. Seconds are of one thread, for
a second of audio, reading not included.
"""

import contextlib
import io
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray

from conversation_emotion.corpora import load_corpus
from conversation_emotion.evaluation.metrics import score_predictions
from conversation_emotion.evaluation.significance import compare_predictions
from conversation_emotion.features.sources import list_sources
from conversation_emotion.inference.onnx_export import quantise, run_graph, write_graph
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.cache import passing_cache
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE, read_audio
from experiments import ser
from experiments.framework.commandline import parse
from experiments.tracking.registry import find_model
from speech_encoders import load_speech_encoder
from speech_encoders.traceable import make_traceable


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the comparison."""

    root: Path
    """EmoDB's folder."""

    speakers: int | None = None
    """Only the first so many."""


def train(table: pd.DataFrame, speaker: str, valid: str, folder: Path) -> Predictor:
    """Trains the default recipe without a speaker, and loads it back."""
    parts = table["speaker"].map({speaker: "test", valid: "valid"}).fillna("train")
    file = folder / f"without-{speaker}.csv"
    names = table["audio"].map(lambda path: Path(str(path)).name)
    table.assign(split=parts, audio=names).drop(columns="corpus").to_csv(file, index=False)
    name = f"without-{speaker}"
    flags = ["--corpus", "manifest", "--root", str(file), "--labels", "all", "--register", name]
    with contextlib.redirect_stdout(io.StringIO()):
        ser.EXPERIMENT.run(parse(SERSettings, flags))
    return Predictor.load(find_model(name))


def predict_all(
    predictor: Predictor, clips: list[NDArray[np.float32]], paths: list[str], folder: Path
) -> dict[str, tuple[NDArray[np.floating], float]]:
    """Predicts clips with a model and its two graphs -> probabilities (N, C), and seconds."""
    saved = predictor.saved
    encoders = {
        name: make_traceable(load_speech_encoder(source.encoder))
        for name, source in list_sources(saved.card.features).items()
    }
    whole, small = folder / "model.onnx", folder / "model.int8.onnx"
    write_graph(saved, encoders, whole)
    quantise(whole, small)
    columns = [f"p_{label}" for label in saved.card.labels]
    runs = {
        "saved model": lambda: predictor.predict(paths)[columns].to_numpy(),
        "ONNX": lambda: run_graph(whole, clips),
        "ONNX, 8 bits": lambda: run_graph(small, clips),
    }
    found = {}
    for name, run in runs.items():
        began = time.perf_counter()
        with passing_cache():  # or the saved model reads the features of its training
            found[name] = run(), time.perf_counter() - began
    return found


def main() -> None:
    """Prints a row for each form of the model."""
    settings = tyro.cli(Settings, description=__doc__)
    table = load_corpus("emodb", settings.root)
    speakers = sorted(table["speaker"].unique())
    predictions: dict[str, list[pd.DataFrame]] = {}
    seconds: dict[str, float] = {}
    labels: list[str] = []
    audio = largest = 0.0
    with tempfile.TemporaryDirectory() as place:
        for path in table["audio"]:  # a manifest's recordings lie below it
            shutil.copy(path, place)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place}/runs.db"
        for number, speaker in enumerate(speakers[: settings.speakers]):
            valid = speakers[(number + 1) % len(speakers)]
            predictor = train(table, speaker, valid, Path(place))
            tested = table[table["speaker"] == speaker]
            paths = tested["audio"].tolist()
            clips = [read_audio(path) for path in paths]
            audio += sum(map(len, clips)) / SAMPLE_RATE
            labels = list(predictor.saved.card.labels)
            found = predict_all(predictor, clips, paths, Path(place))
            for name, (probabilities, taken) in found.items():
                seconds[name] = seconds.get(name, 0.0) + taken
                rows = pd.DataFrame(
                    {
                        "fold": speaker,
                        "seed": 0,
                        "part": "test",
                        "utterance_id": tested["utterance_id"].to_numpy(),
                        "dialogue_id": tested["dialogue_id"].to_numpy(),
                        "speaker": speaker,
                        "target": [labels.index(emotion) for emotion in tested["emotion"]],
                        "predicted": probabilities.argmax(axis=1),
                        "cluster": speaker,
                    }
                )
                predictions.setdefault(name, []).append(rows)
            largest = max(largest, float(np.abs(found["ONNX"][0] - found["saved model"][0]).max()))
            print(f"speaker {speaker}: {len(tested)} clips", flush=True)
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in predictions.items()}
    print(f"\nlargest difference of a probability, ONNX against saved model: {largest:.1e}\n")
    print(
        "| form | UAR | n | same class | p | seconds per audio second |\n|---|---|---|---|---|---|"
    )
    saved = tables["saved model"]
    for name, rows in tables.items():
        score = score_predictions(rows, len(labels))["uar"]
        same = (rows["predicted"] == saved["predicted"]).mean()
        p = "" if rows is saved else f"{compare_predictions(rows, saved, len(labels))[1]:.2f}"
        print(
            f"| {name} | {score.score:.1%} [{score.low:.1%}, {score.high:.1%}] | {score.n} | "
            f"{same:.1%} | {p} | {seconds[name] / audio:.3f} |"
        )


if __name__ == "__main__":
    main()
