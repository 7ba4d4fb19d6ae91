"""Builds the objectives of pre-training from the settings of their commands."""

from typing import cast

from accelerate.utils import set_seed

from conversation_emotion.features.encoders import SpeechEncoder, load_encoder
from conversation_emotion.pretraining.teacher import ChosenLayers
from experiments.framework.pretraining.settings import CpcSettings, Emotion2vecSettings
from speech_encoders.cpc import ContrastivePrediction, CpcConfig, CpcForPreTraining
from speech_encoders.emotion2vec import Emotion2vecConfig, Emotion2vecForPreTraining
from speech_encoders.emotion2vec.distillation import (
    COLD_LEARNING_RATE,
    WARM_LEARNING_RATE,
    OnlineDistillation,
)
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from speech_encoders.emotion2vec.warm_start import start_from
from speech_encoders.settings import parse_layers


def load_teacher(settings: Emotion2vecSettings) -> SpeechEncoder | None:
    """Loads the layers of the frozen teacher, None where the settings have none.

    Raises:
        FileNotFoundError: There is no encoder of the name.
        ValueError: It has another frame rate, or not these layers.
    """
    if settings.teacher is None or not settings.has_teacher:
        return None
    teacher = cast(SpeechEncoder, load_encoder("speech", settings.teacher))
    if teacher.frame_rate != Emotion2vecEncoder.frame_rate:
        raise ValueError(
            f"--teacher {settings.teacher} has {teacher.frame_rate:g} frames a second, the student "
            f"{Emotion2vecEncoder.frame_rate:g}; choose a teacher of as many, such as a Whisper, "
            "wav2vec 2.0, HuBERT, WavLM or emotion2vec"
        )
    first, last = parse_layers(settings.teacher_layers) or (0, teacher.num_layers - 1)
    if last >= teacher.num_layers:
        raise ValueError(
            f"--teacher-layers {settings.teacher_layers}: {settings.teacher} has layers 0 to "
            f"{teacher.num_layers - 1}"
        )
    return ChosenLayers(teacher, range(first, last + 1))


def build_emotion2vec(
    settings: Emotion2vecSettings, seed: int, teacher: SpeechEncoder | None = None
) -> OnlineDistillation:
    """Builds student and moving average, with random weights or those of a checkpoint.

    Raises:
        FileNotFoundError: There is no checkpoint of the name.
        ValueError: It does not fit the model.
    """
    set_seed(seed)
    places = ("input_dropout", "hidden_dropout", "attention_dropout", "decoder_dropout")
    config = Emotion2vecConfig.of_size(settings.size, **dict.fromkeys(places, settings.dropout))
    student = Emotion2vecForPreTraining(config)
    student.emotion2vec.front_end.freeze(settings.frozen_convolutions)
    num_states = teacher.num_layers * teacher.hidden_size if teacher else 0
    rate = COLD_LEARNING_RATE
    if settings.start is not None:
        initial = start_from(student, settings.start)
        rate = WARM_LEARNING_RATE
        print(
            f"starts from {settings.start}; {len(initial)} weights are random: {', '.join(initial)}"
        )
    return OnlineDistillation(student, settings, rate, num_states)


def build_cpc(settings: CpcSettings, seed: int) -> ContrastivePrediction:
    """Builds the encoder and its predictors with random weights."""
    set_seed(seed)
    model = CpcForPreTraining(CpcConfig(has_norms=settings.norms))
    return ContrastivePrediction(model, settings)
