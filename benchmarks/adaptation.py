"""How much do a few labelled turns of a speaker help a model that never met this speaker?

    python -m benchmarks.adaptation --roots emodb=EMODB ravdess=RAVDESS --figure adaptation.png

Leave one speaker out, with the defaults of `experiments.ser`: the model of each fold, calibrated by
its valid part, meets a speaker of whom it knows nothing. Half of the speaker's utterances, drawn
once by class, are the test, the same at every number of turns. Of the other half 1, 2, 4, ... are
drawn at random, so that few turns hold few classes, and the model is adapted to these alone by
each method of `conversation_emotion.models.adaptation`. Next to them the same draws without labels:
means and deviations of features are those of the speaker, drawn towards those of all others where
turns are few (`conversation_emotion.datasets.group_statistics`), in a model that was trained on
speakers who were standardised alike.

Scores are UAR over all speakers together, mean of the draws; intervals and p are jackknifed over
speakers, p corrected for all rows of a method, 0 turns among them (Holm, 1979).

RAVDESS has two sentences, each said twice with each emotion: what is drawn is often the same as
what is tested but for the take. With `--by-text` the two halves share no sentence.

`--choose` compares the strengths of the priors in place of that. Those of EmoDB are the best on
RAVDESS and the other way round, so that no adapted speaker had a part in them.
"""

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from conversation_emotion.api import EmotionRecognition
from conversation_emotion.corpora import load_corpus
from conversation_emotion.datasets.batches import ModalityArrays, WindowLoader
from conversation_emotion.datasets.group_statistics import fit_groups
from conversation_emotion.datasets.windows import Windows
from conversation_emotion.evaluation.calibration import (
    Calibration,
    apply_calibration,
    fit_calibration,
    score_calibration,
)
from conversation_emotion.evaluation.metrics import Interval, score_predictions
from conversation_emotion.evaluation.significance import compare_predictions, correct_by_holm
from conversation_emotion.features.extract import Features
from conversation_emotion.models.adaptation import (
    BIAS_PRIOR,
    LORA_PRIOR,
    SCALE_PRIOR,
    Adapt,
    adapt_classes,
    adapt_low_rank,
)
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import (
    Predictions,
    UtteranceEmotion,
    name_probabilities,
    predict_windows,
)
from conversation_emotion.training.cross_validation import train_fold

NUMBERS = (1, 2, 4, 8, 16)

CHOSEN_AT = (4, 8, 16)
"""Numbers of turns that ``--choose`` scores; the mean chooses."""

CHOSEN = {"emodb": (0.3, 1.0, 3.0), "ravdess": (0.3, 10.0, 10.0)}
"""Priors of biases, scale and adapters for a corpus, those that are best on the other one."""

BIAS_PRIORS, SCALE_PRIORS = (0.3, 1.0, 3.0), (1.0, 10.0)
LORA_PRIORS = (0.3, 1.0, 3.0, 10.0)
"""Strengths that ``--choose`` compares."""


class Speaker(NamedTuple):
    """A fold: its model and calibration, and the halves of its test speaker's rows."""

    fold: Fold
    model: nn.Module
    calibration: Calibration
    pool: NDArray[np.int64]
    test: NDArray[np.int64]


def halve(
    task: UtteranceEmotion, rows: NDArray[np.int64], *, by_text: bool = False
) -> tuple[NDArray[np.int64], ...]:
    """Draws a half of the rows of each class, or of every second text: (N,) -> two parts."""
    if by_text:
        texts = pd.factorize(task.dataset.utterances["text"], sort=True)[0][rows]
        return rows[texts % 2 == 0], rows[texts % 2 == 1]
    generator, classes = np.random.default_rng(0), task.dataset.classes()[rows]
    order = generator.permutation(len(rows))
    order = order[np.argsort(classes[order], kind="stable")]
    return np.sort(rows[order[::2]]), np.sort(rows[order[1::2]])


def train_speakers(task: UtteranceEmotion, *, by_text: bool) -> Iterator[Speaker]:
    """Trains and calibrates the model of each fold."""
    for fold in task.dataset.split.folds:
        trained = train_fold(task, fold, 0)
        valid = trained.predictions[trained.predictions["part"] == "valid"]
        calibration = fit_calibration(valid, task.labels, 0.9)
        yield Speaker(fold, trained.model, calibration, *halve(task, fold.test, by_text=by_text))


def draw(speaker: Speaker, number: int, seed: int) -> NDArray[np.int64]:
    """Draws turns of a speaker; those of a smaller number are among them."""
    return np.random.default_rng(seed).permutation(speaker.pool)[:number]


def load(
    task: UtteranceEmotion, rows: NDArray[np.int64], arrays: Mapping[str, ModalityArrays]
) -> WindowLoader:
    """Returns the batches of some rows."""
    windows: Windows = task.inputs.windows.select(rows)
    return WindowLoader(windows, arrays, task.dataset.emotion_classes, batch_size=256)


def tabulate(task: UtteranceEmotion, speaker: Speaker, found: Predictions) -> pd.DataFrame:
    """Returns calibrated predictions with their sets, clusters being speakers."""
    table = task.dataset.utterances[["utterance_id", "speaker"]].iloc[found.target_rows]
    table = table.assign(
        cluster=table["speaker"],
        fold="all",
        target=found.targets,
        predicted=found.probabilities.argmax(axis=1),
        **name_probabilities(task.labels, found.probabilities),
    )
    return apply_calibration(table, task.labels, speaker.calibration)


def adapt_speaker(
    task: UtteranceEmotion, adapt: Adapt, speaker: Speaker, rows: NDArray[np.int64]
) -> pd.DataFrame:
    """Predicts the test half after adaptation to some rows."""
    arrays = task.inputs.arrays[speaker.fold.name]
    model = speaker.model
    if len(rows):
        model = copy.deepcopy(model)
        batches = list(load(task, rows, arrays))
        model.load_state_dict(adapt(speaker.model, batches, speaker.calibration.temperature))
    return tabulate(task, speaker, predict_windows(model, load(task, speaker.test, arrays)))


def standardise_task(task: UtteranceEmotion) -> tuple[UtteranceEmotion, Features]:
    """Returns the task on features that are standardised speaker by speaker, and those before."""
    (name,) = next(iter(task.inputs.arrays.values()))
    arrays = next(iter(task.inputs.arrays.values()))[name]
    rows = np.arange(len(task.dataset.utterances))
    vectors = arrays.stack_frames(rows)  # a frame of each, for the default pools them
    states = [one[:, None] for one in vectors]
    statistics = fit_groups(states, task.dataset.utterances["speaker"])
    standard = statistics.standardise(vectors, rows)
    found = ModalityArrays(Features([one[:, None] for one in standard], {}), name)
    moved = copy.copy(task)
    moved.inputs = task.inputs._replace(arrays={fold: {name: found} for fold in task.inputs.arrays})
    moved.costs = {}
    return moved, Features(states, {})


def standardise_speaker(
    task: UtteranceEmotion, raw: Features, speaker: Speaker, rows: NDArray[np.int64]
) -> pd.DataFrame:
    """Predicts the test half, standardised by some rows of the speaker and the train part."""
    names = task.dataset.utterances["speaker"]
    prior = fit_groups(
        [raw.states[row] for row in speaker.fold.train], names.iloc[speaker.fold.train]
    ).whole
    mine = fit_groups(
        [raw.states[row] for row in [*rows, speaker.test[0]]],
        pd.Series([*names.iloc[rows], None]),
        prior=prior,
    )
    states: list[NDArray | None] = [None] * len(names)
    for row in speaker.test:
        one = np.asarray(raw.states[row])[:, 0]
        states[row] = ((one - mine.centres[0]) / mine.scales[0])[:, None]
    (name,) = next(iter(task.inputs.arrays.values()))
    arrays = {name: ModalityArrays(Features(states, {}), name)}
    return tabulate(task, speaker, predict_windows(speaker.model, load(task, speaker.test, arrays)))


Predict = Callable[[Speaker, NDArray[np.int64]], pd.DataFrame]
"""From a speaker and the turns that are known to the predictions of the test half."""


def sweep(speakers: Sequence[Speaker], predict: Predict, number: int, draws: int) -> pd.DataFrame:
    """Predicts all speakers with so many turns of each draw."""
    return pd.concat(
        [
            predict(speaker, draw(speaker, number, seed)).assign(seed=seed)
            for seed in range(draws)
            for speaker in speakers
        ],
        ignore_index=True,
    )


class Result(NamedTuple):
    """A method with a number of turns, and how much better it is than the model as it was."""

    method: str
    number: int
    uar: Interval
    difference: Interval
    p_value: float
    ece: float
    coverage: float


def compare(
    task: UtteranceEmotion,
    speakers: Sequence[Speaker],
    predicts: Mapping[str, tuple[Sequence[Speaker], Predict]],
    draws: int,
) -> Iterator[Result]:
    """Yields the results of each method and number, first those of the model as it is."""
    base = sweep(speakers, partial(adapt_speaker, task, adapt_classes), 0, draws)
    most = min(len(one.pool) for one in speakers)
    for method, (own, predict) in predicts.items():
        found = []
        for number in (0, *(n for n in NUMBERS if n <= most), max(len(o.pool) for o in own)):
            table = sweep(own, predict, number, draws)
            difference, p_value = compare_predictions(table, base, len(task.labels))
            scores = score_calibration(table, task.labels)
            uar = score_predictions(table, len(task.labels))["uar"]
            rest = scores["ece"].score, scores["coverage"].score
            found.append(Result(method, number, uar, difference, p_value, *rest))
        corrected = correct_by_holm([one.p_value for one in found])
        yield from (one._replace(p_value=p) for one, p in zip(found, corrected, strict=True))


def choose(task: UtteranceEmotion, speakers: Sequence[Speaker], draws: int) -> Iterator[str]:
    """Yields the UAR of each strength of the priors by the number of turns."""
    ways: dict[str, Adapt] = {
        f"lora, {prior:g}": partial(adapt_low_rank, prior=prior) for prior in LORA_PRIORS
    }
    ways |= {
        f"classes, biases {bias:g}, scale {scale:g}": partial(
            adapt_classes, bias_prior=bias, scale_prior=scale
        )
        for scale in SCALE_PRIORS
        for bias in BIAS_PRIORS
    }
    for name, adapt in ways.items():
        scores = []
        for number in (0, *CHOSEN_AT):
            table = sweep(
                speakers, partial(adapt_speaker, task, adapt), number, draws if number else 1
            )
            scores.append(score_predictions(table, len(task.labels))["uar"].score)
        yield f"| {name} | {' | '.join(f'{100 * one:.1f}' for one in scores)} |"


def write_table(results: Sequence[Result]) -> Iterator[str]:
    """Yields the lines of a table."""
    yield "| method | turns | UAR | difference | p, Holm | ECE | coverage of 90% sets |"
    yield "|---|---|---|---|---|---|---|"
    for one in results:
        uar, difference = (
            f"{100 * x.score:{sign}.1f} [{100 * x.low:{sign}.1f}, {100 * x.high:{sign}.1f}]"
            for x, sign in ((one.uar, ""), (one.difference, "+"))
        )
        is_base = one.number == 0 and one.difference.score == 0
        compared = "| | |" if is_base else f"| {difference} | {one.p_value:.3f} |"
        yield (
            f"| {one.method} | {one.number} | {uar} {compared} {100 * one.ece:.1f} | "
            f"{100 * one.coverage:.1f} |"
        )


def draw_curves(results: Mapping[str, Sequence[Result]], file: Path) -> None:
    """Draws the difference to the model as it is by the number of turns, a panel per corpus."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(results), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(results), sharey=True))
    for panel, (corpus, found) in zip(panels, results.items(), strict=True):
        for shift, method in enumerate(dict.fromkeys(one.method for one in found)):
            own = [one for one in found if one.method == method]
            scores = np.array([100 * np.array(one.difference[:3]) for one in own])
            errors = np.abs(scores[:, 1:] - scores[:, :1]).T
            places = np.arange(len(own)) + 0.08 * (shift - 1)
            panel.errorbar(places, scores[:, 0], errors, marker="o", capsize=2, label=method)
            panel.set_xticks(np.arange(len(own)), [str(one.number) for one in own])
        panel.axhline(0, color="grey", linewidth=0.8)
        panel.set(title=corpus, xlabel="labelled turns of the speaker")
    panels[0].set_ylabel("UAR, points more than without")
    panels[0].legend(frameon=False)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Prints the tables of each corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--roots", nargs="+", required=True, metavar="NAME=PATH")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--by-text", action="store_true")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    results = {}
    for corpus, root in (pair.split("=", 1) for pair in given.roots):
        task = EmotionRecognition(load_corpus(corpus, Path(root))).prepare("leave-one-speaker-out")
        speakers = list(train_speakers(task, by_text=given.by_text))
        tested = sum(len(one.test) for one in speakers)
        print(f"\n{corpus}: {len(speakers)} speakers, {tested} turns tested, {given.draws} draws\n")
        if given.choose:
            numbers = " | ".join(map(str, (0, *CHOSEN_AT)))
            print(f"| strength | {numbers} |\n|{'---|' * (len(CHOSEN_AT) + 2)}")
            for line in choose(task, speakers, given.draws):
                print(line, flush=True)
            continue
        standard, raw = standardise_task(task)
        bias, scale, lora = CHOSEN.get(corpus, (BIAS_PRIOR, SCALE_PRIOR, LORA_PRIOR))
        ways: dict[str, Adapt] = {
            "classes": partial(adapt_classes, bias_prior=bias, scale_prior=scale),
            "lora": partial(adapt_low_rank, prior=lora),
        }
        predicts: dict[str, tuple[Sequence[Speaker], Predict]] = {
            name: (speakers, partial(adapt_speaker, task, adapt)) for name, adapt in ways.items()
        }
        moved = list(train_speakers(standard, by_text=given.by_text))
        predicts["standardise"] = moved, partial(standardise_speaker, standard, raw)
        results[corpus] = list(compare(task, speakers, predicts, given.draws))
        print("\n".join(write_table(results[corpus])), flush=True)
    if given.figure is not None and results:
        draw_curves(results, given.figure)


if __name__ == "__main__":
    main()
