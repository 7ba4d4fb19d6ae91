r"""Fits the forecaster that comes with the package, and scores it on dialogues never seen.

    python -m experiments.ser --corpus joint --roots emodb=EmoDB ravdess=RAVDESS --num-folds 11 \
        --valid fold --layer-mixture join --trimmed
    python -m benchmarks.forecasts RUN --meld MELD \
        --output conversation_emotion/inference/forecaster/forecaster.json

RUN is the id that the first prints: the eleven models of the default recipe. What follows what in
conversations is taken from MELD's annotation (the folder of ``train_sent_emo.csv``, ``dev_`` and
``test_``), which has no sound here. So that the forecaster reads what a recogniser gives, each
utterance gets the calibrated probabilities that the recogniser gave for some recording of the same
emotion, of a speaker whom it did not train on; recordings of train, valid and test are of different
speakers. Scored on MELD's test dialogues, with 95 % intervals over dialogues, against the shares of
classes in train (majority) and the recogniser's own probabilities of the present turn (inertia, at
a temperature fitted on valid).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray

from conversation_emotion.evaluation.calibration import (
    Calibration,
    fit_temperature,
    score_calibration,
)
from conversation_emotion.evaluation.jackknife import Numbers, interval_bounds, jackknife
from conversation_emotion.evaluation.metrics import score_predictions
from conversation_emotion.inference.forecast import (
    NEXT,
    Forecaster,
    Regression,
    describe_history,
    fit_regression,
)
from conversation_emotion.training.calibration import calibrate_test
from experiments.tracking.finished import read_systems

EMOTIONS = {
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprise": "surprise",
}
"""The recogniser's emotion by MELD's."""

OUTPUTS = tuple(EMOTIONS.values())

_PARTS = {"train": "train", "valid": "dev", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """What to fit on, and where to."""

    run: tyro.conf.Positional[str]
    """Id of the run of the default recipe."""

    meld: Path
    """Folder of MELD's annotation."""

    output: Path | None = None
    """File to write; none writes nothing."""

    draws: int = 5
    """Recordings that are drawn for each utterance, one after another."""


def main(settings: ForecastSettings) -> None:
    """Fits, writes and prints the table."""
    systems = read_systems([settings.run])
    (predictions,) = systems.predictions.values()
    calibrated = calibrate_test(predictions, systems.labels, 0.9, on_all=True)
    assert calibrated is not None
    pools = split_speakers(calibrated)
    data = {
        part: simulate(
            pd.read_csv(settings.meld / f"{name}_sent_emo.csv"),
            pools[part],
            systems.labels,
            settings.draws,
        )
        for part, name in _PARTS.items()
    }
    models: dict[str, Regression] = {}
    print("| next turn of | forecast by | UAR | WA | log loss | ECE |\n|---|---|---|---|---|---|")
    for kind in NEXT:
        parts = {part: table[table[f"{kind}_is_there"]] for part, table in data.items()}
        read = {part: _read(table, kind) for part, table in parts.items()}
        models[kind] = fit_regression(read["train"], read["valid"], len(OUTPUTS))
        for name, found in compare(models[kind], read, systems.labels).items():
            print(f"| {kind} | {name} | {_score(parts['test'], found, read['test'][1])} |")
    forecaster = Forecaster(
        labels=systems.labels, outputs=OUTPUTS, same=models["same"], other=models["other"]
    )
    print({kind: models[kind].temperature for kind in NEXT})
    if settings.output is not None:
        settings.output.parent.mkdir(parents=True, exist_ok=True)
        forecaster.write(settings.output)
        print(f"{settings.output}: {settings.output.stat().st_size / 1000:.1f} kB")


def split_speakers(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Gives half of the recogniser's speakers to train, and a quarter each to valid and test."""
    numbers = pd.factorize(predictions["speaker"], sort=True)[0] % 4
    return {
        "train": predictions[numbers < 2],
        "valid": predictions[numbers == 2],
        "test": predictions[numbers == 3],
    }


def simulate(
    utterances: pd.DataFrame, pool: pd.DataFrame, labels: tuple[str, ...], draws: int
) -> pd.DataFrame:
    """Describes the dialogues as a recogniser would: a row for each utterance and draw.

    Columns: ``seed``, ``dialogue_id``, ``features``; ``same`` and ``other``, the class of the next
    turn of the speaker and of anybody else, and whether there is one that is to be forecast.
    """
    generator = np.random.default_rng(0)
    vectors = pool[[f"p_{label}" for label in labels]].to_numpy()
    by_class = {
        name: vectors[(pool["target"] == labels.index(name)).to_numpy()] for name in OUTPUTS
    }
    rows = []
    for draw in range(draws):
        for number, turns in utterances.sort_values("Utterance_ID").groupby("Dialogue_ID"):
            emotions = [EMOTIONS[name] for name in turns["Emotion"]]
            speakers = turns["Speaker"].to_numpy(object)
            soft = np.array([generator.choice(by_class[name]) for name in emotions])
            same, other = describe_history(soft, speakers)
            for turn in range(len(turns)):
                later = speakers[turn + 1 :] == speakers[turn]
                row: dict[str, object] = {"seed": draw, "dialogue_id": number}
                row["features"] = same[turn]
                for kind, is_it, known in (("same", later, same), ("other", ~later, other)):
                    is_there = bool(is_it.any() and not np.isnan(known[turn, 0]))
                    row[f"{kind}_is_there"] = is_there
                    following = emotions[turn + 1 + int(is_it.argmax())] if is_there else OUTPUTS[0]
                    row[kind] = OUTPUTS.index(following)
                rows.append(row)
    return pd.DataFrame(rows)


def compare(
    model: Regression,
    parts: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]],
    labels: tuple[str, ...],
) -> dict[str, NDArray[np.float64]]:
    """Returns the probabilities on test by what gives them."""
    shares = np.bincount(parts["train"][1], minlength=len(OUTPUTS)) / len(parts["train"][1])
    chosen = [labels.index(name) for name in OUTPUTS]
    present = {part: found[0][:, chosen] for part, found in parts.items()}
    present = {part: p / p.sum(axis=1, keepdims=True) for part, p in present.items()}
    temperature = fit_temperature(present["valid"], parts["valid"][1])
    inertia = Calibration(
        temperature=temperature, threshold=0, coverage=0, num_targets=0, num_speakers=0
    )
    return {
        "majority": np.tile(shares, (len(parts["test"][1]), 1)),
        "inertia": inertia.temper(present["test"]),
        "forecaster": model.predict(parts["test"][0]),
    }


def _read(table: pd.DataFrame, kind: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return np.stack(table["features"].tolist()), table[kind].to_numpy(np.int64)


def _score(table: pd.DataFrame, found: NDArray[np.float64], targets: NDArray[np.int64]) -> str:
    """Returns the cells of a row of the table."""
    predictions = table[["seed", "dialogue_id"]].assign(
        fold="test",
        utterance_id=table.groupby("seed").cumcount(),
        speaker=table["dialogue_id"],
        target=targets,
        predicted=found.argmax(axis=1),
        loss=-np.log(np.maximum(found[np.arange(len(found)), targets], np.finfo(float).tiny)),
        **{f"p_{name}": found[:, number] for number, name in enumerate(OUTPUTS)},
    )
    scores = score_predictions(predictions, len(OUTPUTS))
    loss = jackknife(predictions, _loss_terms, lambda sums: (sums[..., 0] / sums[..., 1])[None])
    low, high = interval_bounds(loss, "error")[:, 0]
    ece = score_calibration(predictions, OUTPUTS)["ece"]
    return " | ".join(
        [
            *(f"{s.score:.1%} [{s.low:.1%}, {s.high:.1%}]" for s in (scores["uar"], scores["wa"])),
            f"{loss.score[0]:.3f} [{low:.3f}, {high:.3f}]",
            f"{ece.score:.1%} [{ece.low:.1%}, {ece.high:.1%}]",
        ]
    )


def _loss_terms(part: pd.DataFrame) -> Numbers:
    return np.column_stack([part["loss"], np.ones(len(part))])


if __name__ == "__main__":
    main(tyro.cli(ForecastSettings))
