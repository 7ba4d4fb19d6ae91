"""emotion2vec's pre-training by online distillation: an encoder of emotion from unlabelled speech.

    python -m experiments.pretrain_emotion2vec --size mini --root recordings --max-minutes 2
    python -m experiments.pretrain_emotion2vec --size base --root iemocap=IEMOCAP_full_release
        --start facebook/data2vec-audio-base --accumulate 4
    accelerate launch --multi_gpu -m experiments.pretrain_emotion2vec --size base --root recordings
    python -m experiments.pretrain_emotion2vec --size mini --root recordings --frame-weight 0
        --utterance none --teacher openai/whisper-base --teacher-layers 2-4

A masked student predicts the outputs of its own moving average on the whole clip: every masked
frame, and the utterance (Ma et al., 2024). Beside that, or alone, it predicts hidden states of a
frozen teacher (Chang et al., 2022), which are extracted once and stored. Prints throughput, keeps
curves in mlruns/, and ends with a folder that every experiment takes as --speech-encoder. A killed
command continues where it was.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversation_emotion.settings.flags import flag_of
from conversation_emotion.settings.pretraining import PretrainingSettings
from conversation_emotion.settings.space import Range, Trial, propose
from experiments.framework.pretraining.experiment import Pretraining
from experiments.framework.pretraining.settings import Emotion2vecSettings

if TYPE_CHECKING:
    from conversation_emotion.features.encoders import SpeechEncoder
    from conversation_emotion.pretraining.loop import Objective


@dataclass(frozen=True, kw_only=True)
class PretrainEmotion2vecSettings(PretrainingSettings):
    """Settings of one pre-training."""

    model: Emotion2vecSettings = field(default_factory=Emotion2vecSettings)

    def __post_init__(self) -> None:
        if not self.model.has_teacher:
            return
        for name in ("speed", "pitch"):
            if value := getattr(self.audio, name):
                raise ValueError(
                    f"{flag_of(name)} {value:g} changes clips whose hidden states --teacher has "
                    f"stored; leave {flag_of(name)} out"
                )
        crop = self.audio.crop_seconds or 0.0
        if self.audio.min_seconds < crop or self.audio.max_seconds < 2 * crop:  # pieces are halves
            raise ValueError(
                f"--crop-seconds {crop:g} would repeat shorter clips, and the hidden states of "
                f"--teacher do not repeat; set --min-seconds to {crop:g} and --max-seconds to "
                f"{2 * crop:g} or more"
            )


class PretrainEmotion2vec(Pretraining[PretrainEmotion2vecSettings]):
    """Online distillation on unlabelled speech."""

    name = "pretrain_emotion2vec"
    settings = PretrainEmotion2vecSettings

    def build(
        self, settings: PretrainEmotion2vecSettings
    ) -> "tuple[Objective, SpeechEncoder | None]":
        """Builds student and teachers."""
        from experiments.framework.pretraining.objectives import build_emotion2vec, load_teacher

        teacher = load_teacher(settings.model)
        return build_emotion2vec(settings.model, settings.training.seed, teacher), teacher

    def search_space(
        self, trial: Trial, settings: PretrainEmotion2vecSettings
    ) -> PretrainEmotion2vecSettings:
        """Varies masks, loss weights, dropout, the teacher's start and the step size."""
        training = {
            "dropout": Range(0.0, 0.3),
            "learning_rate": Range(1e-5, 2e-3, log=True),
            "weight_decay": Range(1e-6, 1e-1, log=True),
        }
        if not settings.model.distils:  # the rest has no effect
            return propose(trial, settings, **training)
        return propose(
            trial,
            settings,
            mask_share=Range(0.3, 0.8),
            mask_length=Range(2, 10),
            utterance_weight=Range(0.0, 10.0),
            anchor_weight=Range(0.0, 1.0),
            tau_start=[0.99, 0.999, 0.9997],
            **training,
        )


EXPERIMENT = PretrainEmotion2vec()


if __name__ == "__main__":
    EXPERIMENT.main()
