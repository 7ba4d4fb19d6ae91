"""What experiments that train encoders have in common: clips, checks, the training of a fold."""

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.clip_batches import Clips
from conversation_emotion.datasets.dataset import Corpus, read_corpus
from conversation_emotion.features.encoders import TextEncoder
from conversation_emotion.features.extract import Features, extract_text
from conversation_emotion.features.key import FeatureKey
from conversation_emotion.features.store import FeatureStore
from conversation_emotion.models.adapters import add_adapters, merge_adapters
from conversation_emotion.models.averaging import Weights
from conversation_emotion.models.fine_tuned import EncoderModel, TimePooling
from conversation_emotion.models.tuned import Modality, load_tunable, refuse_leak
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tracker import CurveKeeper
from conversation_emotion.training.clip_judging import Judged, TuningSettings, judge
from conversation_emotion.training.finetuning import Finetuning
from conversation_emotion.training.fit import balanced_class_weights
from conversation_emotion.utterances.table import has_text
from experiments._features import extract_with
from experiments._folds import make_fingerprint
from experiments._tuning_settings import TunableSettings, TuningTraining
from experiments.pretraining.command import choose_precision
from experiments.tracking.runs import ParentRun
from speech_encoders.tunable import TunableEncoder
from text_encoders.tuning import TokenReader, TunableBert


class TuningData(NamedTuple):
    """A corpus ready for the training of an encoder.

    Attributes:
        corpus: Utterances, classes, and the folds to train.
        num_folds: Folds of the whole protocol.
        clips: What the encoder is given of each utterance.
        failures: Clips that could not be used.
        fingerprint: Digest of utterances, clips and the encoder's weights.
    """

    corpus: Corpus
    num_folds: int
    clips: Clips
    failures: dict[str, str]
    fingerprint: str


class TuningRecipe(NamedTuple):
    """How a model comes to be.

    Attributes:
        tuned: Which encoder learns, and how much of it.
        training: How it is trained.
        modality: Speech or text.
        pooling: What becomes of the frames.
        num_characters: Characters of the second head, 0 for none.
        transcript_weight: Weight of the second head's loss (alpha).
    """

    tuned: TunableSettings
    training: TuningTraining
    modality: Modality = "speech"
    pooling: TimePooling = "mean"
    num_characters: int = 0
    transcript_weight: float = 0.0


class TunedFold(NamedTuple):
    """What the training of a fold gives.

    Attributes:
        model: With the averaged weights, in evaluation mode.
        single: Weights of the best single checkpoint.
    """

    model: EncoderModel
    single: Weights


def prepare(data: CorpusSettings, recipe: TuningRecipe, *, needs_text: bool = False) -> TuningData:
    """Reads the corpus and all that the encoder hears of it, and checks every fold.

    Raises:
        LeakageError: The encoder knows people whom the split tests.
        ValueError: Labels, texts, or the examples of a class in a fold are missing.
    """
    corpus = read_corpus(data)
    num_folds = len(corpus.split.folds)
    corpus = corpus._replace(split=corpus.split.first(recipe.training.max_folds or num_folds))
    if (needs_text or recipe.modality == "text") and not has_text(corpus.utterances).any():
        raise ValueError(f"{data.corpus}: no utterance has a text, which this experiment needs")
    if not (corpus.classes() >= 0).any():
        raise ValueError(
            f"{data.corpus}: no utterance has one of the classes "
            f"{', '.join(corpus.label_map.labels)}; choose other --labels"
        )
    refuse_leak(recipe.tuned.encoder, corpus)
    encoder = _load_encoder(recipe)
    found = _read_inputs(corpus, encoder, recipe, strict=data.strict)
    rate = float(getattr(encoder.reader, "frame_rate", np.inf))
    weights = encoder.identity
    prepared = TuningData(
        corpus,
        num_folds,
        Clips(inputs=found.states, classes=corpus.classes(), rate=rate),
        found.failures,
        make_fingerprint(
            corpus.utterances, found.failures, {"inputs": found.key, "weights": weights}
        ),
    )
    for fold in corpus.split.folds:
        _check_fold(prepared, fold)
    return prepared


def tune_fold(
    data: TuningData, fold: Fold, seed: int, recipe: TuningRecipe, folder: Path, run: CurveKeeper
) -> TunedFold:
    """Trains the encoder on a fold, from where an interrupted training of it stopped.

    Args:
        data: Clips and classes.
        fold: Its train part is learnt from, its valid part ranks the checkpoints.
        seed: Of everything left to chance.
        recipe: How the model comes to be.
        folder: Keeps state and checkpoints.
        run: Keeps the curves.
    """
    accelerator = Accelerator()
    set_seed(seed)
    model = build_model(data, recipe)
    export = nn.Module.state_dict
    if recipe.tuned.lora_rank is not None:
        add_adapters(model, recipe.tuned.lora_rank)
        export = merge_adapters
    training = Finetuning(
        model,
        data.clips,
        data.clips.usable(fold.train),
        data.clips.usable(fold.valid),
        tuning_settings(recipe, seed),
        folder,
        class_weights=_weigh_classes(data, fold, recipe.training),
        accelerator=accelerator,
        export=export,
    )

    def show(epoch: int, metrics: dict[str, float]) -> None:
        run.log_step(epoch, metrics)
        run.flush()

    best = training.run(show)
    tuned = build_model(data, recipe).to(accelerator.device)

    def score(weights: Weights) -> float:
        tuned.load_state_dict(weights)
        rows = data.clips.usable(fold.valid)
        judged = judge(tuned, data.clips, rows, tuning_settings(recipe, seed), accelerator)
        return judged.scores()[recipe.training.select_by]

    tuned.load_state_dict(training.average(recipe.training.average, score))
    return TunedFold(tuned.eval(), training.read(best[0]))


def judge_rows(
    model: EncoderModel, data: TuningData, rows: NDArray[np.int64], recipe: TuningRecipe
) -> Judged:
    """Judges usable rows."""
    accelerator = Accelerator()
    settings = tuning_settings(recipe, 0)
    return judge(model.to(accelerator.device), data.clips, rows, settings, accelerator)


def build_model(data: TuningData, recipe: TuningRecipe) -> EncoderModel:
    """Loads the encoder anew and puts untrained heads on it."""
    encoder = _load_encoder(recipe)
    if recipe.tuned.gradient_checkpointing:
        encoder.recompute_activations()
    return EncoderModel(
        cast(nn.Module, encoder),
        len(data.corpus.label_map.labels),
        pooling=recipe.pooling,
        num_characters=recipe.num_characters,
        dropout=recipe.training.dropout,
    )


def training_folder(parent: ParentRun) -> Path:
    """Gives the folder of a run's states and encoders, beside the database of this folder."""
    return Path.cwd() / "mlruns" / "finetuning" / parent.run_id


def tuning_settings(recipe: TuningRecipe, seed: int) -> TuningSettings:
    """Collects what the training needs."""
    training = recipe.training
    return TuningSettings(
        epochs=training.epochs,
        patience=training.patience,
        learning_rate=training.learning_rate,
        head_learning_rate=training.head_learning_rate,
        layer_decay=training.layer_decay,
        weight_decay=training.weight_decay,
        warmup=training.warmup,
        batch_size=training.batch_size,
        batch_seconds=training.batch_seconds,
        accumulate=training.accumulate,
        transcript_weight=recipe.transcript_weight,
        select_by=training.select_by,
        keep=training.average_best,
        is_bf16=choose_precision(recipe.tuned.precision) == "bf16",
        seed=seed,
    )


def _load_encoder(recipe: TuningRecipe) -> TunableEncoder | TunableBert:
    tuned = recipe.tuned
    encoder = load_tunable(
        tuned.encoder, recipe.modality, trains_front_end=tuned.freeze == "nothing"
    )
    if tuned.blocks is not None:
        if tuned.blocks > encoder.num_blocks:
            raise ValueError(
                f"--blocks {tuned.blocks}: {tuned.encoder} has {encoder.num_blocks} blocks"
            )
        encoder.keep_blocks(tuned.blocks)
    return encoder


def _read_inputs(
    corpus: Corpus, encoder: TunableEncoder | TunableBert, recipe: TuningRecipe, *, strict: bool
) -> Features:
    reader = encoder.reader
    key = FeatureKey(encoder=reader.identity, layers="last", pooling="frames")
    if recipe.modality == "text":
        return extract_text(corpus.utterances, cast(TextEncoder, reader), FeatureStore(key))
    assert not isinstance(reader, TokenReader)
    what = "samples" if recipe.tuned.freeze == "nothing" else "front end"
    name = f"{recipe.tuned.encoder}, {what}"
    return extract_with(corpus.utterances, reader, key, name=name, strict=strict)


def _weigh_classes(data: TuningData, fold: Fold, training: TuningTraining) -> Tensor:
    labels = data.corpus.label_map.labels
    if training.class_weights == "none":
        return torch.ones(len(labels))
    return balanced_class_weights(data.clips.classes[data.clips.usable(fold.train)], labels)


def _check_fold(data: TuningData, fold: Fold) -> None:
    """Refuses a fold with an empty part, or with a class that train has no example of."""
    name = f"{data.corpus.split.name}, fold {fold.name!r}"
    for part in ("train", "valid", "test"):
        if not len(data.clips.usable(getattr(fold, part))):
            raise ValueError(f"{name}: nothing usable with a class in the {part} part")
    try:
        rows = data.clips.usable(fold.train)
        balanced_class_weights(data.clips.classes[rows], data.corpus.label_map.labels)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; choose other --labels or another --split") from error
