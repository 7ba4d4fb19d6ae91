"""Builds the objectives of pre-training from the settings of their commands."""

from accelerate.utils import set_seed

from experiments.pretraining.settings import CpcSettings, Emotion2vecSettings
from speech_encoders.cpc import ContrastivePrediction, CpcConfig, CpcForPreTraining
from speech_encoders.emotion2vec import Emotion2vecConfig, Emotion2vecForPreTraining
from speech_encoders.emotion2vec.distillation import (
    COLD_LEARNING_RATE,
    WARM_LEARNING_RATE,
    OnlineDistillation,
)
from speech_encoders.emotion2vec.warm_start import start_from


def build_emotion2vec(settings: Emotion2vecSettings, seed: int) -> OnlineDistillation:
    """Builds student and teacher, with random weights or those of a checkpoint.

    Raises:
        FileNotFoundError: There is no checkpoint of the name.
        ValueError: It does not fit the model.
    """
    set_seed(seed)
    places = ("input_dropout", "hidden_dropout", "attention_dropout", "decoder_dropout")
    config = Emotion2vecConfig.of_size(settings.size, **dict.fromkeys(places, settings.dropout))
    student = Emotion2vecForPreTraining(config)
    if settings.start is None:
        return OnlineDistillation(student, settings, COLD_LEARNING_RATE)
    initial = start_from(student, settings.start)
    print(f"starts from {settings.start}; {len(initial)} weights are random: {', '.join(initial)}")
    return OnlineDistillation(student, settings, WARM_LEARNING_RATE)


def build_cpc(settings: CpcSettings, seed: int) -> ContrastivePrediction:
    """Builds the encoder and its predictors with random weights."""
    set_seed(seed)
    model = CpcForPreTraining(CpcConfig(has_norms=settings.norms))
    return ContrastivePrediction(model, settings)
