"""emotion2vec's pre-training by online distillation: an encoder of emotion from unlabelled speech.

    python -m experiments.pretrain_emotion2vec --size mini --root recordings --max-minutes 2
    python -m experiments.pretrain_emotion2vec --size base --root iemocap=IEMOCAP_full_release
        --start facebook/data2vec-audio-base --accumulate 4
    accelerate launch --multi_gpu -m experiments.pretrain_emotion2vec --size base --root recordings

A masked student predicts the outputs of its own moving average on the whole clip: every masked
frame, and the utterance (Ma et al., 2024). Prints throughput, keeps curves in mlruns/, and ends
with a folder that every experiment takes as --speech-encoder. A killed command continues where it
was.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversation_emotion.settings.pretraining import PretrainingSettings
from conversation_emotion.settings.space import Range, Trial, propose
from experiments.pretraining.experiment import Pretraining
from experiments.pretraining.settings import Emotion2vecSettings

if TYPE_CHECKING:
    from conversation_emotion.pretraining.loop import Objective


@dataclass(frozen=True, kw_only=True)
class PretrainEmotion2vecSettings(PretrainingSettings):
    """Settings of one pre-training."""

    model: Emotion2vecSettings = field(default_factory=Emotion2vecSettings)


class PretrainEmotion2vec(Pretraining[PretrainEmotion2vecSettings]):
    """Online distillation on unlabelled speech."""

    name = "pretrain_emotion2vec"
    settings = PretrainEmotion2vecSettings

    def build(self, settings: PretrainEmotion2vecSettings) -> "Objective":
        """Builds student and teacher."""
        from experiments.pretraining.objectives import build_emotion2vec

        return build_emotion2vec(settings.model, settings.training.seed)

    def search_space(
        self, trial: Trial, settings: PretrainEmotion2vecSettings
    ) -> PretrainEmotion2vecSettings:
        """Varies masks, loss weights, dropout, the teacher's start and the step size."""
        return propose(
            trial,
            settings,
            mask_share=Range(0.3, 0.8),
            mask_length=Range(2, 10),
            utterance_weight=Range(0.0, 10.0),
            anchor_weight=Range(0.0, 1.0),
            dropout=Range(0.0, 0.3),
            tau_start=[0.99, 0.999, 0.9997],
            learning_rate=Range(1e-5, 2e-3, log=True),
            weight_decay=Range(1e-6, 1e-1, log=True),
        )


EXPERIMENT = PretrainEmotion2vec()


if __name__ == "__main__":
    EXPERIMENT.main()
