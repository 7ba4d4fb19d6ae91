"""Conversation experiments, step by step: prepare a corpus, fit each fold and seed, predict."""

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from conversation_emotion.baselines import predict_last_emotion, predict_majority
from conversation_emotion.batching import ModalityArrays, make_loader
from conversation_emotion.corpora import load_corpus
from conversation_emotion.corpora.iemocap import select_scenario
from conversation_emotion.figures import draw_confusions
from conversation_emotion.labels import LabelMap, Targets, find_label_map, map_labels
from conversation_emotion.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.splits import Fold, Split, SplitOptions, make_split
from conversation_emotion.training import (
    Predictions,
    balanced_class_weights,
    fit,
    predict,
)
from conversation_emotion.windows import Windows, build_windows, learn_more
from experiments._features import extract_features
from experiments._models import ConversationConfig, build_model, fit_settings
from experiments._settings import CorpusSettings
from experiments._tracking import ParentRun, TrackedRun

AUTOMATIC_SPLITS = {
    "demo": "leave-one-session-out",
    "iemocap": "leave-one-speaker-out",
    "meld": "official",
}
"""The protocol of each corpus where none is named."""

PREDICTIONS = "predictions.parquet"


class Prepared(NamedTuple):
    """A corpus ready for training.

    Attributes:
        utterances: The utterance table.
        label_map: Classes to judge.
        targets: Class of every utterance among them.
        heard_labels: All emotions that the corpus names (R), for auxiliary recognition.
        heard_classes: Class of every utterance among those.
        split: Audited folds.
        windows: Every judged emotion with its context.
        learning: What the train part may learn from, see ``--learn-from``.
        arrays: Hidden states of each modality.
        failures: Clips that could not be used.
        fingerprint: Digest of all of this.
    """

    utterances: pd.DataFrame
    label_map: LabelMap
    targets: Targets
    heard_labels: tuple[str, ...]
    heard_classes: NDArray[np.int64]
    split: Split
    windows: Windows
    learning: Windows
    arrays: dict[str, ModalityArrays]
    failures: dict[str, str]
    fingerprint: str


class _Part(NamedTuple):
    windows: Windows
    loader: DataLoader[int]


def prepare(config: ConversationConfig) -> Prepared:
    """Reads the corpus, maps its labels, splits it and finds the features of its utterances."""
    utterances = load_utterances(config.data)
    label_map = find_label_map(config.data.corpus, config.data.labels, utterances["emotion"])
    targets = map_labels(utterances["emotion"], label_map)
    heard_map = find_label_map(config.data.corpus, "all", utterances["emotion"])
    heard_classes = map_labels(utterances["emotion"], heard_map).classes.to_numpy()
    split = choose_split(utterances, config.data)
    windows = build_windows(
        utterances, targets.classes.to_numpy(), history=config.history, horizon=config.horizon
    )
    learning = windows
    if config.learn_from == "every":
        learning = learn_more(
            utterances,
            targets.classes.to_numpy(),
            heard_classes,
            history=config.history,
            horizon=config.horizon,
        )
    found = extract_features(utterances, config.features, strict=config.data.strict)
    arrays = {name: ModalityArrays(features, name) for name, features in found.items()}
    failures = {key: why for features in found.values() for key, why in features.failures.items()}
    fingerprint = _fingerprint(utterances, failures)
    return Prepared(
        utterances,
        label_map,
        targets,
        heard_map.labels,
        heard_classes,
        split,
        windows,
        learning,
        arrays,
        failures,
        fingerprint,
    )


def load_utterances(settings: CorpusSettings) -> pd.DataFrame:
    """Reads the corpus that the settings name, and says how much of it was found."""
    utterances = load_corpus(settings.corpus, settings.root)
    if settings.corpus == "iemocap":
        utterances = select_scenario(utterances, settings.scenario)
    print(
        f"{settings.corpus}: {len(utterances):,} utterances read, "
        f"{utterances['dialogue_id'].nunique():,} dialogues, "
        f"{utterances['speaker'].nunique()} speakers"
    )
    return utterances


def choose_split(utterances: pd.DataFrame, settings: CorpusSettings) -> Split:
    """Makes the split that is named, or the one that suits the corpus."""
    name = settings.split
    if name == "auto":
        own = "official" if utterances["split"].notna().any() else "speaker-k-fold"
        name = AUTOMATIC_SPLITS.get(settings.corpus, own)
    options = SplitOptions(num_folds=settings.num_folds, superb_folds=settings.superb_folds)
    return make_split(name, utterances, options)


def run_folds(config: ConversationConfig, prepared: Prepared, parent: ParentRun) -> pd.DataFrame:
    """Trains each fold with each seed and returns all predictions on valid and test.

    The table has a row per judged utterance and training, with the columns of
    `_tabulate_predictions`. What the run had finished before it was interrupted is read back.
    """
    jobs = [(fold, seed) for fold in prepared.split.folds for seed in range(config.training.seeds)]
    tables = []
    for fold, seed in tqdm(jobs, desc="folds x seeds", unit="training", leave=False):
        name = f"{fold.name}-seed{seed}"
        table = parent.read_finished(name, PREDICTIONS)
        if table is None:
            table = _run_fold(config, prepared, fold, seed, parent, name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _run_fold(
    config: ConversationConfig,
    prepared: Prepared,
    fold: Fold,
    seed: int,
    parent: ParentRun,
    name: str,
) -> pd.DataFrame:
    """Trains one fold with one seed, and keeps its curves, predictions and confusions."""
    with parent.open_child(name, {"fold": fold.name, "seed": seed}) as child:
        set_seed(seed)
        parts = _make_parts(config, prepared, fold, seed)
        model = build_model(
            config,
            prepared.arrays,
            parts["learning"].windows,
            num_classes=len(prepared.label_map.labels),
            num_emotions=len(prepared.heard_labels),
        )
        accelerator = Accelerator()
        fitted = fit(
            model,
            parts["learning"].loader,
            parts["valid"].loader,
            fit_settings(config),
            class_weights=balanced_class_weights(
                parts["train"].windows.targets, prepared.label_map.labels
            ),
            accelerator=accelerator,
            on_epoch=child.log_step,
        )
        table = pd.concat(
            [
                _tabulate_predictions(
                    predict(fitted, accelerator.prepare(parts[part].loader), accelerator),
                    prepared,
                    parts["train"].windows,
                    parts[part].windows,
                ).assign(fold=fold.name, seed=seed, part=part)
                for part in ("valid", "test")
            ],
            ignore_index=True,
        )
        child.log_table(table, PREDICTIONS)
        _log_confusions(child, table, prepared.label_map.labels, name)
    return table


def _make_parts(
    config: ConversationConfig, prepared: Prepared, fold: Fold, seed: int
) -> dict[str, _Part]:
    """Cuts the windows into the parts of a fold; only what is learnt from is shuffled."""
    parts = {}
    for part in ("train", "valid", "test", "learning"):
        source = prepared.learning if part == "learning" else prepared.windows
        windows = source.select(fold.train if part == "learning" else getattr(fold, part))
        if not len(windows):
            raise ValueError(
                f"{prepared.split.name}: nothing to judge in the {part} part of fold {fold.name!r}"
            )
        loader = make_loader(
            windows,
            prepared.arrays,
            prepared.heard_classes,
            batch_size=config.training.batch_size if part == "learning" else 256,
            seed=seed if part == "learning" else None,
        )
        parts[part] = _Part(windows, loader)
    return parts


def _tabulate_predictions(
    predictions: Predictions, prepared: Prepared, train: Windows, windows: Windows
) -> pd.DataFrame:
    """Puts a model's judgements beside those of the baselines, a row per judged utterance."""
    assert (predictions.judged == windows.judged).all(), "predictions out of order"
    judged = prepared.utterances.iloc[predictions.judged]
    table = pd.DataFrame(
        {
            "utterance_id": judged["utterance_id"].to_numpy(),
            "dialogue_id": judged["dialogue_id"].to_numpy(),
            "speaker": judged["speaker"].to_numpy(),
            "target": predictions.targets,
            "predicted": predictions.probabilities.argmax(axis=1),
            "majority": predict_majority(train, windows),
            "last_emotion": predict_last_emotion(
                train, windows, prepared.targets.classes.to_numpy()
            ),
        }
    )
    for number, label in enumerate(prepared.label_map.labels):
        table[f"p_{label}"] = predictions.probabilities[:, number]
    return table


def _log_confusions(
    child: TrackedRun, table: pd.DataFrame, labels: tuple[str, ...], title: str
) -> None:
    test = table[table["part"] == "test"]
    confusions = count_confusions(
        test["target"].to_numpy(), test["predicted"].to_numpy(), len(labels)
    )
    child.log_metrics({"test/uar": float(unweighted_average_recall(confusions))})
    child.log_figure(draw_confusions(confusions, labels, title), "confusions.png")


def _fingerprint(utterances: pd.DataFrame, failures: dict[str, str]) -> str:
    rows = pd.util.hash_pandas_object(utterances.astype(str), index=False).to_numpy()
    return hashlib.sha256(rows.tobytes() + repr(sorted(failures)).encode()).hexdigest()[:32]
