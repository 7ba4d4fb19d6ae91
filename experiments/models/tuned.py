"""Tasks whose encoder is trained."""

from collections.abc import Callable
from typing import cast

from conversation_emotion.datasets.clip_batches import ClipInputs, prepare_clips
from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.evaluation.word_errors import Spellings, spell
from conversation_emotion.models.fine_tuned import Encoding
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.fine_tuning import (
    FinetuneSettings,
    MultitaskSettings,
    TunableSettings,
)
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.fine_tuning import EmotionWithTranscript, FineTuning
from conversation_emotion.tasks.prepare import (
    add_kept,
    prepare_dataset,
    prepare_utterances,
)
from conversation_emotion.tasks.voted import learn_votes
from conversation_emotion.tracker import Memory
from conversation_emotion.training.optimisation import choose_precision
from speech_encoders import tuning as speech
from text_encoders import tuning as text

Load = Callable[[str], Encoding]
"""Loads an encoder to be trained, by name, hub id or folder."""


class FineTuningWithFrozen(FineTuning):
    """Fine-tuning, with the probe of the frozen encoder that it is compared with."""

    frozen: UtteranceEmotion


def prepare_fine_tuning(settings: FinetuneSettings, memory: Memory) -> FineTuningWithFrozen:
    """Prepares clips for the trained encoder, and features of the frozen one."""
    training, tuned, data = settings.training, settings.tuned, settings.data
    dataset = prepare_dataset(data, training.max_folds, memory)
    load = _make_loader(settings.modality, tuned)
    inputs = _prepare_clips(dataset, load, settings.encoder, settings, settings.modality)
    task = FineTuningWithFrozen(
        inputs,
        tuned,
        training,
        load,
        encoder=settings.encoder,
        is_bf16=choose_precision(tuned.precision) == "bf16",
        voted=learn_votes(dataset, settings.votes),
    )
    features = _frozen_features(settings)
    probe = TrainingSettings(
        epochs=100,
        patience=20,
        select_by=training.select_by,
        class_weights=training.class_weights,
        reweight_groups=training.reweight_groups,
        loss=training.loss,
        sampling=training.sampling,
        mixup=training.mixup,
        seeds=training.seeds,
    )
    head = UtteranceModelSettings(head="linear")
    frozen = add_kept(prepare_utterances(dataset, features, data, memory), task.voted, head)
    task.frozen = UtteranceEmotion(frozen, features, head, probe, voted=task.voted)
    task.fingerprint += frozen.fingerprint
    return task


def _frozen_features(settings: FinetuneSettings) -> FeatureSettings:
    if settings.modality == "text":
        name = settings.encoder.removeprefix("tokens:")
        return FeatureSettings(modality="text", text_encoder=f"tokens:{name}", text_layers="last")
    encoder = settings.encoder
    return FeatureSettings(modality="speech", speech_encoder=encoder, speech_pooling="mean")


def prepare_transcription(settings: MultitaskSettings, memory: Memory) -> EmotionWithTranscript:
    """Prepares clips and transcripts for one alpha.

    Raises:
        ValueError: A train or test part has no transcript.
    """
    training, tuned, data = settings.training, settings.tuned, settings.data
    dataset = prepare_dataset(data, training.max_folds, memory)
    load, name = _make_loader("speech", tuned), tuned.speech_encoder

    def prepare() -> tuple[ClipInputs, Spellings]:
        inputs = _prepare_clips(dataset, load, name, settings, "speech", needs_text=True)
        spellings = spell(dataset.utterances)
        for fold in dataset.split.folds:
            for part in ("train", "test"):
                rows = inputs.clips.usable(getattr(fold, part))
                if not any(spellings.texts[row] for row in rows):
                    raise ValueError(
                        f"{dataset.split.name}, fold {fold.name!r}: no utterance of the {part} "
                        "part has a transcript"
                    )
        return inputs, spellings

    key = ("transcripts", data, training.max_folds, tuned)
    inputs, spellings = memory.recall(key, prepare)
    (alpha,) = settings.alphas
    return EmotionWithTranscript(
        inputs,
        tuned,
        training,
        load,
        encoder=name,
        spellings=spellings,
        weight=alpha,
        pooling=settings.pooling,
        is_bf16=choose_precision(tuned.precision) == "bf16",
    )


def _make_loader(modality: str, tuned: TunableSettings) -> Load:
    load = (text if modality == "text" else speech).load_tunable
    return lambda name: cast(Encoding, load(name, trains_front_end=tuned.freeze == "nothing"))


def _prepare_clips(
    dataset: Dataset,
    load: Load,
    name: str,
    settings: FinetuneSettings | MultitaskSettings,
    modality: str,
    *,
    needs_text: bool = False,
) -> ClipInputs:
    """Computes the input of an encoder for every utterance, and checks every fold."""
    encoder, blocks = load(name), settings.tuned.blocks
    if blocks is not None and blocks <= encoder.num_blocks:
        encoder.keep_blocks(blocks)
    return prepare_clips(
        dataset,
        encoder.reader,
        name=name,
        identity=encoder.identity,
        modality=modality,
        strict=settings.data.strict,
        needs_text=needs_text,
    )
