"""Pre-training objectives by the settings: what learns, and how to keep what it has learnt."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate.utils import set_seed

from speech_encoders.cpc import (
    ContrastivePrediction,
    ContrastSettings,
    CpcConfig,
    CpcForPreTraining,
    make_feature_extractor,
)
from speech_encoders.emotion2vec import (
    Emotion2vecConfig,
    Emotion2vecFeatureExtractor,
    Emotion2vecForPreTraining,
)
from speech_encoders.emotion2vec.distillation import DistillationSettings, OnlineDistillation
from speech_encoders.emotion2vec.warm_start import start_from

if TYPE_CHECKING:
    from experiments.pretrain_cpc import CpcSettings
    from experiments.pretrain_emotion2vec import Emotion2vecSettings

COLD_LEARNING_RATE = 7.5e-4
"""Step size of data2vec 2.0 (Baevski et al., 2023), whose training emotion2vec's continues."""

WARM_LEARNING_RATE = 7.5e-5
"""Step size of emotion2vec (Ma et al., 2024), which starts from data2vec 2.0."""

CPC_LEARNING_RATE = 2e-4
"""Step size of Li et al. (2021)."""


@dataclass(frozen=True, kw_only=True)
class Emotion2vecLearner:
    """emotion2vec with what its training needs; see `experiments.pretraining.command.Learner`."""

    objective: OnlineDistillation
    learning_rate: float
    no_decay: tuple[str, ...] = ("alibi_scale",)

    @property
    def least_deviations(self) -> dict[str, float]:
        """Returns what is a collapse, over time as in data2vec 2.0."""
        settings = self.objective.settings
        least = {"target_over_time": 0.1, "target_over_clips": 1e-3}
        if settings.frame_weight:
            least["prediction_over_time"] = 0.01
        if settings.utterance != "none" and settings.utterance_weight:
            least["prediction_over_clips"] = 1e-3
        if settings.utterance_target == "literal":
            least.pop("prediction_over_clips", None)  # the literal target is the same for all
        return least

    def save(self, folder: Path) -> None:
        """Writes the student, with its decoder, and the feature extractor."""
        self.objective.student.save_pretrained(folder)
        Emotion2vecFeatureExtractor().save_pretrained(folder)


def build_emotion2vec(settings: "Emotion2vecSettings", seed: int) -> Emotion2vecLearner:
    """Builds student and teacher, cold or warm.

    Raises:
        FileNotFoundError: There is no checkpoint of the name.
        ValueError: It does not fit the model.
    """
    set_seed(seed)
    places = ("input_dropout", "hidden_dropout", "attention_dropout", "decoder_dropout")
    config = Emotion2vecConfig.of_size(settings.size, **dict.fromkeys(places, settings.dropout))
    student = Emotion2vecForPreTraining(config)
    if settings.start is not None:
        anew = start_from(student, settings.start)
        print(f"starts from {settings.start}; {len(anew)} weights begin anew: {', '.join(anew)}")
    distillation = DistillationSettings(
        mask=settings.mask,
        mask_share=settings.mask_share,
        mask_length=settings.mask_length,
        num_clones=settings.num_clones,
        top_blocks=settings.top_blocks,
        utterance=settings.utterance,
        utterance_target=settings.utterance_target,
        frame_weight=settings.frame_weight,
        utterance_weight=settings.utterance_weight,
        anchor_weight=settings.anchor_weight,
        tau_start=settings.tau_start,
        tau_end=settings.tau_end,
        tau_anneal=settings.tau_anneal,
    )
    return Emotion2vecLearner(
        objective=OnlineDistillation(student, distillation),
        learning_rate=COLD_LEARNING_RATE if settings.start is None else WARM_LEARNING_RATE,
    )


@dataclass(frozen=True, kw_only=True)
class CpcLearner:
    """CPC with what its training needs; see `experiments.pretraining.command.Learner`."""

    objective: ContrastivePrediction
    learning_rate: float = CPC_LEARNING_RATE
    no_decay: tuple[str, ...] = ()

    @property
    def least_deviations(self) -> dict[str, float]:
        """Returns nothing: answers that are the same everywhere are no minimum of InfoNCE."""
        return {}

    def save(self, folder: Path) -> None:
        """Writes the encoder, with its predictors, and the feature extractor."""
        self.objective.model.save_pretrained(folder)
        make_feature_extractor().save_pretrained(folder)


def build_cpc(settings: "CpcSettings", seed: int) -> CpcLearner:
    """Builds the encoder and its predictors from random weights."""
    set_seed(seed)
    model = CpcForPreTraining(CpcConfig(has_norms=settings.norms))
    contrast = ContrastSettings(
        num_negatives=settings.negatives,
        source=settings.negatives_from,
        temperature=settings.temperature,
    )
    return CpcLearner(objective=ContrastivePrediction(model, contrast))
