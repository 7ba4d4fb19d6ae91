"""Emotion by an encoder that is trained, alone or with the transcript as a second task."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from conversation_emotion.datasets.clip_batches import ClipBatch, ClipInputs, ClipLoader
from conversation_emotion.datasets.encoder_families import fold_folder, make_record
from conversation_emotion.evaluation import word_errors
from conversation_emotion.models import fine_tuned
from conversation_emotion.models.conversation import NEVER
from conversation_emotion.models.fine_tuned import ClipOutputs, EncoderModel, Encoding, TimePooling
from conversation_emotion.settings.fine_tuning import TunableSettings
from conversation_emotion.settings.training import FineTuningSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import (
    MAJORITY,
    Predictions,
    balanced_class_weights,
    evaluate_classes,
    find_absent_classes,
    name_probabilities,
)
from conversation_emotion.tasks.losses import Measure, cross_entropy, make_measure, refuse_mixup
from conversation_emotion.tasks.reweighting import describe_weights, weigh_groups
from conversation_emotion.tasks.task import (
    MODEL,
    SINGLE,
    Batches,
    Loss,
    Scores,
    Task,
    Weights,
    find_device,
)
from conversation_emotion.tasks.voted import VotedTargets

BLANK = 0
"""Index of CTC's blank among the characters."""

FROZEN = "frozen"
"""Column of the frozen encoder, where it is compared."""


@dataclass(eq=False, repr=False)
class FineTuning(Task):
    """Classes of utterances, by an encoder that is trained with a linear head.

    ``load`` loads the encoder by its name, or that of a folder that was saved. With ``is_bf16``
    training multiplies in bfloat16; prediction never does. The encoder of each fold is saved in
    ``folder``, to be used by others; None saves none. ``voted`` is what is learned from votes, None
    where that is the label.
    """

    name: ClassVar[str] = "fine_tuned_emotion"
    metrics = ("uar", "wa", "macro_f1", "weighted_f1")
    prefix = "tuned-"
    is_resumable = True
    scores_single = True
    num_characters = 0

    inputs: ClipInputs
    tuned: TunableSettings
    training: FineTuningSettings
    load: Callable[[str], Encoding]
    _: KW_ONLY
    encoder: str
    pooling: TimePooling = "mean"
    is_bf16: bool = False
    folder: Path | None = None
    voted: VotedTargets | None = None

    def __post_init__(self) -> None:
        inputs, self.labels = self.inputs, self.inputs.dataset.labels
        self.dataset, self.clips = inputs.dataset, inputs.clips
        self.failures, self.fingerprint = inputs.failures, inputs.fingerprint

    def batches(self, fold: Fold, seed: int) -> Batches:
        """Returns the batches of a fold; valid and test are sorted by length."""
        device = find_device()
        size, seconds = self.training.batch_size, self.training.batch_seconds

        def load(part: str, factor: int, seed: int | None) -> ClipLoader:
            return ClipLoader(
                self.clips,
                self._find_clips(fold, part),
                batch_size=factor * size,
                batch_seconds=factor * seconds,
                device=device,
                seed=seed,
                is_balanced=seed is not None and self.training.sampling == "balanced",
            )

        return Batches(load("train", 1, seed), load("valid", 2, None), load("test", 2, None))

    def _find_clips(self, fold: Fold, part: str) -> NDArray[np.int64]:
        """Returns the rows with a class that can be used, and in train those that are kept."""
        rows, clips = getattr(fold, part), self.clips
        if part == "train" and self.voted is not None:
            clips = replace(clips, classes=np.where(self.voted.kept, 0, clips.classes))
        return clips.usable(rows)

    def build(self, fold: Fold) -> nn.Module:
        """Loads the encoder anew, with untrained heads and adapters where they are asked for."""
        model = self._load_model()
        if self.tuned.lora_rank is not None:
            fine_tuned.add_adapters(model, self.tuned.lora_rank)
        return model

    def _load_model(self) -> EncoderModel:
        encoder, blocks = self.load(self.encoder), self.tuned.blocks
        if blocks is not None:
            if blocks > encoder.num_blocks:
                raise ValueError(
                    f"--blocks {blocks}: {self.encoder} has {encoder.num_blocks} blocks"
                )
            encoder.keep_blocks(blocks)
        if self.tuned.gradient_checkpointing:
            encoder.recompute_activations()
        return EncoderModel(
            cast(nn.Module, encoder),
            len(self.labels),
            pooling=self.pooling,
            num_characters=self.num_characters,
            dropout=self.training.dropout,
        )

    def loss(self, fold: Fold, device: torch.device) -> Loss:
        """Returns the weighted cross-entropy of the classes, and what subclasses add."""
        weights = torch.ones(len(self.labels), device=device)
        is_balanced = self.training.class_weights == "balanced"
        if self.voted is not None:
            rows = self._labelled(fold, "train")
            weights = self.voted.weigh_classes(rows, is_balanced=is_balanced).to(device)
        elif is_balanced:
            train = self.clips.classes[self.clips.usable(fold.train)]
            weights = balanced_class_weights(train, self.labels).to(device)
        train_rows = self._labelled(fold, "train")
        absent = find_absent_classes(self.dataset, train_rows, self.voted)
        refuse_mixup(self.training, absent)
        scales = weigh_groups(self.dataset, train_rows, self.training.reweight_groups)
        learn = self._make_measure(fold)

        def loss(model: nn.Module, batch: ClipBatch) -> Tensor:
            with torch.autocast(batch.inputs.device.type, torch.bfloat16, self.is_bf16):
                outputs: ClipOutputs = model(batch.inputs, batch.lengths)
            if absent is not None:
                is_absent = absent[batch.rows.cpu()].to(outputs.logits.device)
                outputs = outputs._replace(logits=outputs.logits.masked_fill(is_absent, NEVER))
            scale = None if scales is None else scales[batch.rows.cpu()]
            return self.measure(outputs, batch, weights, scale, learn)

        return loss

    def _make_measure(self, fold: Fold) -> Measure | None:
        """Returns the loss of the settings; None is plain cross-entropy."""
        if self.training.loss == "cross-entropy" and not self.training.mixup:
            return None
        train = self.clips.classes[self.clips.usable(fold.train)]
        return make_measure(self.training, 1 / balanced_class_weights(train, self.labels))

    def measure(
        self,
        outputs: ClipOutputs,
        batch: ClipBatch,
        weights: Tensor | None,
        scales: Tensor | None = None,
        learn: Measure | None = None,
    ) -> Tensor:
        """Computes the loss of a batch, with weights of the classes (C,) and of its clips (B,).

        ``learn`` is a loss other than the cross-entropy.
        """
        logits = outputs.logits.float()
        if self.voted is not None:
            return self.voted.measure(logits, batch.rows, weights, scales)
        weights = None if weights is None else weights.to(logits.dtype)
        if learn is not None and weights is not None:
            scales = None if scales is None else scales.to(logits.device)
            return learn(logits, batch.targets, weights, scales)
        if scales is not None:
            return cross_entropy(logits, batch.targets, weights, scales.to(logits.device))
        return F.cross_entropy(logits, batch.targets, weight=weights)

    def predict(self, model: nn.Module, batches: Iterable[ClipBatch]) -> Predictions:
        """Predicts every clip once, in evaluation mode, in the order of the utterance table."""
        model.eval()
        found, probabilities, characters, total = [], [], [], 0.0
        with torch.inference_mode():
            for batch in batches:
                outputs: ClipOutputs = model(batch.inputs, batch.lengths)
                total += float(self.measure(outputs, batch, None)) * len(batch.rows)
                found += batch.rows.tolist()
                probabilities.append(outputs.logits.float().softmax(dim=-1).cpu().numpy())
                if outputs.characters is not None:
                    frames = outputs.characters.argmax(dim=-1).cpu().numpy()
                    counts = outputs.num_frames.tolist()
                    characters += [one[:n] for one, n in zip(frames, counts, strict=True)]
        order = np.argsort(found)
        rows = np.array(found, dtype=np.int64)[order]
        return Predictions(
            np.concatenate(probabilities)[order],
            self.clips.classes[rows],
            rows,
            total / len(rows),
            [characters[number] for number in order] if characters else (),
        )

    def score(self, predictions: Predictions) -> dict[str, float]:
        """Scores the most probable classes; the loss decides where checkpoints tie."""
        return {**predictions.scores(), "loss": predictions.loss}

    def tabulate(self, predictions: Predictions, fold: Fold, part: str) -> pd.DataFrame:
        """Returns a row per target; a clip that cannot be used gets the majority of train."""
        classes, rows = self.clips.classes, self._labelled(fold, part)
        train = classes[fold.train]
        majority = int(np.bincount(train[train >= 0]).argmax())
        place = np.searchsorted(rows, predictions.target_rows)
        probabilities = np.full((len(rows), len(self.labels)), np.nan, dtype=np.float32)
        probabilities[place] = predictions.probabilities
        predicted = np.full(len(rows), majority)
        predicted[place] = predictions.probabilities.argmax(axis=1)
        return self.describe(rows).assign(
            target=classes[rows],
            predicted=predicted,
            **{MAJORITY: np.full(len(rows), majority)},
            **name_probabilities(self.labels, probabilities),
        )

    def _labelled(self, fold: Fold, part: str) -> NDArray[np.int64]:
        rows = getattr(fold, part)
        return np.sort(rows[self.clips.classes[rows] >= 0])

    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the averaged weights, and what the table compares them with."""
        compared = [name for name in (SINGLE, FROZEN, MAJORITY) if name in predictions]
        return evaluate_classes(predictions, compared, len(self.labels))

    def notes(self) -> Iterator[str]:
        """Describes the weights of groups."""
        yield from describe_weights(self.dataset, self.training.reweight_groups)

    def export(self, model: nn.Module) -> Weights:
        """Returns a copy of the weights on the processor; adapters are merged into theirs."""
        has_adapters = self.tuned.lora_rank is not None
        state = fine_tuned.merge_adapters(model) if has_adapters else model.state_dict()
        # On the processor `Tensor.cpu` is no copy: all checkpoints would be the last epoch.
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def rebuild(self, model: nn.Module) -> nn.Module:
        """Loads the encoder anew, without adapters."""
        return self._load_model()

    def finish(self, model: nn.Module, fold: Fold, seed: int) -> nn.Module:
        """Saves encoder and head, and returns them as they are read back."""
        if (folder := self._place(fold, seed)) is None:
            return model
        dataset = self.dataset
        split, label_set = dataset.split.name, dataset.label_map.label_set
        record = make_record(dataset.utterances, fold, split, label_set, dataset.labels)
        fine_tuned.save_tuned(cast(EncoderModel, model), record, folder)
        return fine_tuned.read_tuned(folder, self.load)

    def is_finished(self, fold: Fold, seed: int) -> bool:
        """Whether the encoder of a training is there."""
        folder = self._place(fold, seed)
        return folder is None or folder.is_dir()

    def _place(self, fold: Fold, seed: int) -> Path | None:
        if self.folder is None:
            return None
        return fold_folder(self.folder if seed == 0 else self.folder / f"seed{seed}", fold.name)


@dataclass(eq=False, repr=False, kw_only=True)
class EmotionWithTranscript(FineTuning):
    """Emotion, and a character of the transcript or a blank from every frame (Cai et al., 2021).

    ``spellings`` are the transcripts of every utterance, ``weight`` is that of their loss (alpha).
    """

    name: ClassVar[str] = "emotion_and_transcript"
    prefix = ""
    scores_single = False
    num_characters = len(word_errors.CHARACTERS)

    spellings: word_errors.Spellings
    weight: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.clips = replace(self.clips, spellings=self.spellings.indices)

    def measure(
        self,
        outputs: ClipOutputs,
        batch: ClipBatch,
        weights: Tensor | None,
        scales: Tensor | None = None,
        learn: Measure | None = None,
    ) -> Tensor:
        """Adds alpha times the loss of the transcript (CTC) to that of the classes.

        CTC is the negative logarithm of a transcript's probability, averaged over clips, not over
        characters; clips without a transcript, or with more characters than frames can spell, give
        0, where without ``zero_infinity`` they would give infinity.
        """
        loss = super().measure(outputs, batch, weights, scales, learn)
        if not self.weight or outputs.characters is None:
            return loss
        spelling = F.ctc_loss(
            outputs.characters.float().log_softmax(dim=-1).transpose(0, 1),
            batch.spellings,
            outputs.num_frames,
            batch.spelling_lengths,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return loss + self.weight * (spelling * (batch.spelling_lengths > 0)).mean()

    def tabulate(self, predictions: Predictions, fold: Fold, part: str) -> pd.DataFrame:
        """Adds reference and decoded transcript, and their word errors."""
        table = super().tabulate(predictions, fold, part)
        rows = self._labelled(fold, part)
        texts = [self.spellings.texts[row] for row in rows]
        named = zip(predictions.target_rows.tolist(), predictions.characters, strict=True)
        decoded = {row: word_errors.decode(characters) for row, characters in named}
        spelt = [decoded.get(row, "") for row in rows.tolist()]
        # jiwer takes no empty reference; an utterance without words has no errors to count.
        counts = word_errors.count_word_errors([text or "-" for text in texts], spelt)
        counts[[not text for text in texts]] = 0
        return table.assign(reference=texts, spelt=spelt, errors=counts[:, 0], words=counts[:, 1])

    def describe_transcripts(self) -> Iterator[str]:
        """Describes the transcripts, and the share of test sentences that train holds as well."""
        spellings, size = self.spellings, len(word_errors.CHARACTERS)
        without_words = spellings.texts.count("")
        yield (
            f"transcripts in {size} characters; {spellings.num_unknown:,} of "
            f"{spellings.num_characters:,} are unknown; {without_words} utterances have no words"
        )
        texts = np.array(spellings.texts, dtype=object)
        shares = [
            np.isin(texts[fold.test], texts[fold.train])[texts[fold.test] != ""].mean()
            for fold in self.dataset.split.folds
        ]
        yield f"{np.mean(shares):.0%} of the test sentences also occur in train, word for word"

    def evaluate(self, predictions: pd.DataFrame) -> Scores:
        """Scores the classes, and the transcripts by their word error rate."""
        scores = super().evaluate(predictions)
        spelt = predictions[predictions["words"] > 0]
        wer = word_errors.score_word_errors(spelt)
        return {**scores, MODEL: {**scores[MODEL], "wer": wer}}


def sample_transcripts(predictions: pd.DataFrame, number: int) -> Iterator[tuple[str, str, str]]:
    """Yields id, reference and decoded transcript of some test utterances, evenly spread."""
    test = predictions[(predictions["part"] == "test") & (predictions["words"] > 0)]
    chosen = np.linspace(0, len(test) - 1, min(number, len(test))).astype(int)
    columns = ["utterance_id", "reference", "spelt"]
    yield from test.iloc[chosen][columns].itertuples(index=False, name=None)
