"""Emotion and transcript at once, step by step: prepare, train each alpha, report."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from conversation_emotion.evaluation.metrics import Interval, score_predictions
from conversation_emotion.evaluation.word_errors import (
    CHARACTERS,
    Spellings,
    count_without_words,
    count_word_errors,
    decode,
    score_word_errors,
    spell,
)
from conversation_emotion.models.tuned import fold_folder
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tracker import Curves, Memory, Validation
from experiments import _published, _report, _tuning
from experiments._folds import PREDICTIONS
from experiments._report import Row
from experiments._tuning import TunedFold, TuningData, TuningRecipe
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.multitask import MultitaskConfig

COLUMNS = ("uar", "wa", "macro_f1")
"""Scores of the emotion in the table, before the word error rate."""


class PreparedMultitask(NamedTuple):
    """A corpus ready for training.

    Attributes:
        data: Clips, classes, folds.
        spellings: The transcript of every utterance.
    """

    data: TuningData
    spellings: Spellings


class AlphaScores(NamedTuple):
    """What one alpha reached on test.

    Attributes:
        emotion: Intervals by metric.
        word_errors: Word error rate.
        transcripts: Columns ``utterance_id``, ``reference`` and ``spelt``.
    """

    emotion: dict[str, Interval]
    word_errors: Interval
    transcripts: pd.DataFrame


def prepare(config: "MultitaskConfig") -> PreparedMultitask:
    """Reads the corpus and its transcripts, before any training."""
    data = _tuning.prepare(config.data, _recipe(config, config.alphas[0]), needs_text=True)
    utterances = data.corpus.utterances
    spellings = spell(utterances)
    clips = _replace_spellings(data, spellings)
    prepared = PreparedMultitask(clips, spellings)
    for fold in data.corpus.split.folds:
        for part in ("train", "test"):
            rows = data.clips.usable(cast(NDArray[np.int64], getattr(fold, part)))
            if not any(spellings.texts[row] for row in rows):
                raise ValueError(
                    f"{data.corpus.split.name}, fold {fold.name!r}: no utterance of the {part} "
                    "part has a transcript"
                )
    return prepared


def validate(config: "MultitaskConfig", memory: Memory) -> Iterator[Validation]:
    """Trains each fold and seed with the one alpha and yields its UAR on valid."""
    (alpha,) = config.alphas
    key = (config.data, config.tuned, config.training.max_folds)
    prepared = memory.recall(key, lambda: prepare(config))
    data, recipe = prepared.data, _recipe(config, alpha)
    for fold in data.corpus.split.folds:
        for seed in range(config.training.seeds):
            curves = Curves()
            with tempfile.TemporaryDirectory() as folder:
                tuned = _tuning.tune_fold(data, fold, seed, recipe, Path(folder), curves)
            judged = _tuning.judge_rows(tuned.model, data, data.clips.usable(fold.valid), recipe)
            yield Validation(
                f"{fold.name}-seed{seed}",
                judged.scores()["uar"],
                sum(weights.numel() for weights in tuned.model.parameters()),
                curves.points,
            )


def train(
    config: "MultitaskConfig", prepared: PreparedMultitask, parents: Sequence[ParentRun]
) -> dict[float, AlphaScores]:
    """Trains each fold and seed with each alpha, and scores it under the alpha's run."""
    results = {}
    for alpha, parent in zip(config.alphas, parents, strict=True):
        predictions = _train_folds(config, prepared, alpha, parent)
        results[alpha] = _score(config, prepared, predictions, parent)
    return results


def report(
    config: "MultitaskConfig",
    prepared: PreparedMultitask,
    results: Mapping[float, AlphaScores],
    runs: Sequence[ParentRun],
) -> None:
    """Prints one table with a row per alpha, and some transcripts."""
    corpus = prepared.data.corpus
    published = _published.MULTITASK.get((config.data.corpus, corpus.label_map.label_set), [])
    columns = [*(_report.TITLES[name] for name in COLUMNS), "WER"]
    _report.print_table(
        f"Emotion and transcript at once: {config.tuned.encoder}; {config.data.corpus}",
        _rows(results, published),
        _captions(config, prepared, results),
        runs,
        columns=columns,
    )
    last = results[config.alphas[-1]].transcripts
    some = last.iloc[np.linspace(0, len(last) - 1, min(config.shown, len(last))).astype(int)]
    print(f"transcripts of test, alpha {config.alphas[-1]:g}:")
    for utterance_id, reference, spelt in some.itertuples(index=False):
        print(f"  {utterance_id}: {reference}\n    heard: {spelt or '(nothing)'}")


def _recipe(config: "MultitaskConfig", alpha: float) -> TuningRecipe:
    return TuningRecipe(
        config.tuned,
        config.training,
        pooling=config.pooling,
        num_characters=len(CHARACTERS),
        transcript_weight=alpha,
    )


def _replace_spellings(data: TuningData, spellings: Spellings) -> TuningData:
    import dataclasses

    return data._replace(clips=dataclasses.replace(data.clips, spellings=spellings.indices))


def _train_folds(
    config: "MultitaskConfig", prepared: PreparedMultitask, alpha: float, parent: ParentRun
) -> pd.DataFrame:
    folds = prepared.data.corpus.split.folds
    jobs = [(fold, seed) for fold in folds for seed in range(config.training.seeds)]
    tables = []
    bar = tqdm(jobs, desc=f"alpha {alpha:g}: folds x seeds", unit="training", leave=False)
    for fold, seed in bar:
        name = f"{fold.name}-seed{seed}"
        table = parent.read_finished(name, PREDICTIONS)
        if table is None:
            folder = fold_folder(_tuning.training_folder(parent) / f"seed{seed}", fold.name)
            with parent.open_child(name, {"fold": fold.name, "seed": seed}) as child:
                recipe = _recipe(config, alpha)
                tuned = _tuning.tune_fold(prepared.data, fold, seed, recipe, folder, child)
                table = _judge_parts(prepared, fold, tuned, recipe)
                table = table.assign(fold=fold.name, seed=seed)
                child.log_table(table, PREDICTIONS)
                child.log_metrics(_fold_metrics(table))
            shutil.rmtree(folder)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _judge_parts(
    prepared: PreparedMultitask, fold: Fold, tuned: TunedFold, recipe: TuningRecipe
) -> pd.DataFrame:
    data, tables = prepared.data, []
    for part in ("valid", "test"):
        rows = data.clips.usable(cast(NDArray[np.int64], getattr(fold, part)))
        judged = _tuning.judge_rows(tuned.model, data, rows, recipe)
        texts = [prepared.spellings.texts[row] for row in rows]
        heard = [decode(frames) for frames in judged.spelt]
        counts = count_word_errors([text or "-" for text in texts], heard)
        counts[[not text for text in texts]] = 0
        utterances = data.corpus.utterances.iloc[rows]
        table = utterances[["utterance_id", "dialogue_id", "speaker"]].reset_index(drop=True)
        table = table.assign(
            target=judged.targets,
            predicted=judged.probabilities.argmax(axis=1),
            reference=texts,
            spelt=heard,
            errors=counts[:, 0],
            words=counts[:, 1],
            part=part,
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _fold_metrics(table: pd.DataFrame) -> dict[str, float]:
    test = table[table["part"] == "test"]
    return {
        "test/wa": float((test["target"] == test["predicted"]).mean()),
        "test/wer": float(test["errors"].sum() / max(test["words"].sum(), 1)),
    }


def _score(
    config: "MultitaskConfig",
    prepared: PreparedMultitask,
    predictions: pd.DataFrame,
    run: ParentRun,
) -> AlphaScores:
    num_resamples = config.training.resamples
    num_classes = len(prepared.data.corpus.label_map.labels)
    test = predictions[predictions["part"] == "test"]
    emotion = score_predictions(test, num_classes, num_resamples=num_resamples)
    spelt = test[test["words"] > 0]
    word_errors = score_word_errors(spelt, num_resamples=num_resamples)
    metrics = {f"test/{name}": interval.score for name, interval in emotion.items()}
    run.log_metrics({**metrics, "test/wer": word_errors.score})
    run.log_table(predictions, PREDICTIONS)
    return AlphaScores(emotion, word_errors, spelt[["utterance_id", "reference", "spelt"]])


def _rows(
    results: Mapping[float, AlphaScores], published: list[_published.PublishedMultitask]
) -> Iterator[Row]:
    for alpha, scores in results.items():
        cells = [_report.format_interval(scores.emotion[name]) for name in COLUMNS]
        wer = _report.format_interval(scores.word_errors)
        yield Row(f"alpha {alpha:g}", (*cells, wer))
    for entry in published:
        yield Row(
            f"published: alpha {entry.alpha:g}", ("", f"{entry.wa:.2f}", "", f"{entry.wer:.2f}")
        )


def _captions(
    config: "MultitaskConfig",
    prepared: PreparedMultitask,
    results: Mapping[float, AlphaScores],
) -> Iterator[str]:
    data, spellings = prepared.data, prepared.spellings
    num_judged = next(iter(results.values())).emotion["uar"].num_judged
    yield from _report.describe_protocol(data.corpus, config.training, num_judged)
    if len(data.corpus.split.folds) < data.num_folds:
        yield f"only the first {len(data.corpus.split.folds)} of {data.num_folds} folds"
    yield (
        f"transcripts in {len(CHARACTERS)} characters; {spellings.num_unknown:,} of "
        f"{spellings.num_characters:,} are unknown; {count_without_words(spellings.texts)} "
        "utterances have no words"
    )
    repeated = _share_of_known_sentences(prepared)
    yield f"{repeated:.0%} of the test sentences also occur in train, word for word"
    training = config.training
    yield (
        f"{config.pooling} of the real frames; mean of the {training.average_best} best "
        f"checkpoints by valid {training.select_by}"
    )
    yield from _report.describe_failures(data.failures)
    if config.data.corpus == "iemocap":
        yield f"published: {_published.CAI}"


def _share_of_known_sentences(prepared: PreparedMultitask) -> float:
    """Tells how much of the test transcripts could be known by heart."""
    texts = np.array(prepared.spellings.texts, dtype=object)
    shares = [
        np.isin(texts[fold.test], texts[fold.train])[texts[fold.test] != ""].mean()
        for fold in prepared.data.corpus.split.folds
    ]
    return float(np.mean(shares))
