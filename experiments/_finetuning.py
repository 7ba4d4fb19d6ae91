"""Fine-tuning, step by step: prepare, tune each fold and save its encoder, report."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.encoder_families import make_record
from conversation_emotion.datasets.windows import Windows, single_utterances
from conversation_emotion.models.build import fit_perceptions
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.models.fine_tuned import EncoderModel
from conversation_emotion.models.tuned import fold_folder, read_tuned, save_tuned
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.baselines import predict_majority
from conversation_emotion.training.fit import FitSettings
from experiments import _published, _report, _tuning
from experiments._features import extract_features
from experiments._folds import PREDICTIONS, Prepared, Recipe, prepare_windows, run_folds
from experiments._published import Published
from experiments._report import MODEL, Row, Scores
from experiments._tuning import TunedFold, TuningData, TuningRecipe
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.finetune import FinetuneConfig

SINGLE, FROZEN, MAJORITY = "single", "frozen", "majority"
"""What stands beside the averaged encoder, by column of the predictions."""


class PreparedTuning(NamedTuple):
    """A corpus ready for fine-tuning.

    Attributes:
        data: Clips, classes, folds.
        frozen: The same with the features of the frozen encoder.
        recipe: How the encoder is tuned.
        fingerprint: Digest of both.
    """

    data: TuningData
    frozen: Prepared
    recipe: TuningRecipe
    fingerprint: str


def prepare(config: "FinetuneConfig") -> PreparedTuning:
    """Reads the corpus, what the encoder hears of it, and what it makes of it untuned."""
    recipe = TuningRecipe(config.tuned, config.training, config.modality)
    data = _tuning.prepare(config.data, recipe)
    windows = single_utterances(data.corpus.classes())
    found = extract_features(
        data.corpus.utterances,
        _frozen_features(config),
        strict=config.data.strict,
        corpus=data.corpus,
    )
    frozen = prepare_windows(data.corpus, windows, windows, found)
    return PreparedTuning(data, frozen, recipe, data.fingerprint + frozen.fingerprint)


def train(config: "FinetuneConfig", prepared: PreparedTuning, parent: ParentRun) -> pd.DataFrame:
    """Tunes each fold with each seed and returns what every system says of valid and test."""
    features = _frozen_features(config)

    def build(train: Windows, arrays: Mapping[str, ModalityArrays]) -> UtteranceModel:
        perceptions = fit_perceptions(features, arrays, train)
        num_classes = len(prepared.data.corpus.label_map.labels)
        return UtteranceModel(perceptions, None, num_classes=num_classes)

    probe = TrainingSettings(epochs=100, patience=20, seeds=config.training.seeds)
    settings = FitSettings(
        epochs=probe.epochs,
        patience=probe.patience,
        learning_rate=probe.learning_rate,
        average_best=probe.average_best,
    )
    recipe = Recipe(build, settings, probe, {MAJORITY: predict_majority})
    frozen = run_folds(prepared.frozen, recipe, parent)
    tuned = _tune_folds(config, prepared, parent)
    keys = ["utterance_id", "fold", "seed", "part"]
    beside = frozen[[*keys, "predicted", MAJORITY]].rename(columns={"predicted": FROZEN})
    table = tuned.merge(beside, on=keys, how="right", validate="one_to_one", suffixes=("", "_"))
    return _judge_unheard(table, frozen)


def report(
    config: "FinetuneConfig",
    prepared: PreparedTuning,
    predictions: pd.DataFrame,
    run: ParentRun,
) -> None:
    """Scores all predictions, keeps them with the run, and prints the table."""
    scores = _report.score(
        prepared.frozen,
        predictions,
        run,
        baselines=[SINGLE, FROZEN, MAJORITY],
        num_resamples=config.training.resamples,
    )
    label_set = prepared.data.corpus.label_map.label_set
    key = (config.data.corpus, label_set, config.modality)
    published = _published.FINETUNED.get(key, [])
    _report.print_table(
        f"Fine-tuned encoder: {config.tuned.encoder}; {config.data.corpus}, {config.modality}",
        _rows(config, scores, published),
        _captions(config, prepared, scores, published, encoder_folder(config, run)),
        [run],
    )


def encoder_folder(config: "FinetuneConfig", run: ParentRun) -> Path:
    """Gives the folder that holds the encoder of each fold."""
    return config.out or _tuning.training_folder(run) / "encoders"


def _tune_folds(
    config: "FinetuneConfig", prepared: PreparedTuning, parent: ParentRun
) -> pd.DataFrame:
    folds = prepared.data.corpus.split.folds
    jobs = [(fold, seed) for fold in folds for seed in range(config.training.seeds)]
    tables = []
    for fold, seed in tqdm(jobs, desc="folds x seeds", unit="training", leave=False):
        name = f"tuned-{fold.name}-seed{seed}"
        family = encoder_folder(config, parent)
        out = fold_folder(family if seed == 0 else family / f"seed{seed}", fold.name)
        table = parent.read_finished(name, PREDICTIONS)
        if table is None or not out.is_dir():
            table = _tune_fold(prepared, fold, seed, parent, name, out)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _tune_fold(
    prepared: PreparedTuning, fold: Fold, seed: int, parent: ParentRun, name: str, out: Path
) -> pd.DataFrame:
    """Tunes one fold with one seed, saves the encoder, and judges by what was saved."""
    data, recipe = prepared.data, prepared.recipe
    folder = fold_folder(_tuning.training_folder(parent) / f"seed{seed}", fold.name)
    with parent.open_child(name, {"fold": fold.name, "seed": seed}) as child:
        tuned = _tuning.tune_fold(data, fold, seed, recipe, folder, child)
        corpus = data.corpus
        labels = corpus.label_map
        record = make_record(
            corpus.utterances, fold, corpus.split.name, labels.label_set, labels.labels
        )
        save_tuned(tuned.model, record, out)
        is_trained = recipe.tuned.freeze == "nothing"
        saved = read_tuned(out, recipe.modality, trains_front_end=is_trained).model
        table = _judge_parts(prepared, fold, tuned, saved).assign(fold=fold.name, seed=seed)
        child.log_table(table, PREDICTIONS)
        test = table[table["part"] == "test"]
        right = {"averaged": test["predicted"], SINGLE: test[SINGLE]}
        child.log_metrics(
            {f"test/wa_{system}": (test["target"] == said).mean() for system, said in right.items()}
        )
    shutil.rmtree(folder)
    return table


def _judge_parts(
    prepared: PreparedTuning, fold: Fold, tuned: TunedFold, saved: EncoderModel
) -> pd.DataFrame:
    """Judges valid and test by the averaged weights as saved, and by the best single ones."""
    data, tables = prepared.data, []
    tuned.model.load_state_dict(tuned.single)
    for part in ("valid", "test"):
        rows = data.clips.usable(cast(NDArray[np.int64], getattr(fold, part)))
        averaged = _tuning.judge_rows(saved, data, rows, prepared.recipe)
        single = _tuning.judge_rows(tuned.model, data, rows, prepared.recipe)
        judged = data.corpus.utterances.iloc[rows]
        table = judged[["utterance_id", "dialogue_id", "speaker"]].reset_index(drop=True)
        table = table.assign(
            target=averaged.targets,
            predicted=averaged.probabilities.argmax(axis=1),
            **{SINGLE: single.probabilities.argmax(axis=1)},
            part=part,
        )
        for number, label in enumerate(data.corpus.label_map.labels):
            table[f"p_{label}"] = averaged.probabilities[:, number]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _judge_unheard(table: pd.DataFrame, frozen: pd.DataFrame) -> pd.DataFrame:
    """Judges clips that cannot be heard to be the commonest class of train."""
    unheard = table["predicted"].isna()
    for column in ("dialogue_id", "speaker", "target"):
        table[column] = frozen[column].to_numpy()
    for column in ("predicted", SINGLE):
        table[column] = table[column].where(~unheard, table[MAJORITY]).astype("int64")
    return table


def _frozen_features(config: "FinetuneConfig") -> FeatureSettings:
    encoder = config.tuned.encoder
    if config.modality == "text":
        return FeatureSettings(
            modality="text",
            text_encoder=f"tokens:{encoder.removeprefix('tokens:')}",
            text_layers="last",
        )
    return FeatureSettings(modality="speech", speech_encoder=encoder, speech_pooling="mean")


def _rows(config: "FinetuneConfig", scores: Scores, published: list[Published]) -> Iterator[Row]:
    training = config.training
    how = "greedy soup of the" if training.average == "greedy" else "mean of the"
    names = {
        FROZEN: "frozen, the same head",
        SINGLE: "tuned, best single checkpoint",
        MODEL: f"tuned, {how} best {training.average_best}",
        MAJORITY: "majority",
    }
    yield from (_report.scored_row(name, scores[system]) for system, name in names.items())
    yield from map(_report.published_row, published)


def _captions(
    config: "FinetuneConfig",
    prepared: PreparedTuning,
    scores: Scores,
    published: list[Published],
    encoders: Path,
) -> Iterator[str]:
    data, training = prepared.data, config.training
    num_judged = scores[MODEL]["uar"].num_judged
    yield from _report.describe_protocol(data.corpus, training, num_judged)
    if len(data.corpus.split.folds) < data.num_folds:
        yield f"only the first {len(data.corpus.split.folds)} of {data.num_folds} folds"
    yield f"checkpoints ranked by valid {training.select_by}, one after each epoch"
    yield from _report.describe_failures(data.failures)
    yield f"encoders of the folds: {encoders}"
    yield from _report.describe_sources(published)
