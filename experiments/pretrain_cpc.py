"""Contrastive predictive coding: an encoder that predicts what comes next in unlabelled speech.

    python -m experiments.pretrain_cpc --root recordings --max-minutes 5 --accumulate 1
    python -m experiments.pretrain_cpc --root LibriSpeech/train-clean-100 --max-seconds 36
    accelerate launch --multi_gpu -m experiments.pretrain_cpc --root recordings --accumulate 1

From the context so far, a GRU distinguishes each of the next twelve frames from fifty others (van
den Oord et al., 2018, in the set-up of Li et al., 2021): 10 s of each clip, shorter ones repeated,
64 clips an update. The step size follows the schedule of this suite. Prints throughput and the
accuracy at each horizon, chance being 1 in 51, keeps curves in mlruns/, and ends with a folder that
every experiment takes as --speech-encoder. A killed command continues where it was.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conversation_emotion.settings.pretraining import (
    AudioSettings,
    LoopSettings,
    PretrainingSettings,
)
from conversation_emotion.settings.space import Range, Trial, propose
from experiments.framework.pretraining.experiment import Pretraining
from experiments.framework.pretraining.settings import CpcSettings

if TYPE_CHECKING:
    from conversation_emotion.pretraining.loop import Objective


@dataclass(frozen=True, kw_only=True)
class PretrainCpcSettings(PretrainingSettings):
    """Settings of one pre-training."""

    audio: AudioSettings = field(
        default_factory=lambda: AudioSettings(crop_seconds=10.0, batch_samples=1_280_000)
    )

    training: LoopSettings = field(
        default_factory=lambda: LoopSettings(weight_decay=1e-5, accumulate=8)
    )

    model: CpcSettings = field(default_factory=CpcSettings)


class PretrainCpc(Pretraining[PretrainCpcSettings]):
    """InfoNCE on unlabelled speech."""

    name = "pretrain_cpc"
    settings = PretrainCpcSettings

    def build(self, settings: PretrainCpcSettings) -> "tuple[Objective, None]":
        """Builds encoder and predictors."""
        from experiments.framework.pretraining.objectives import build_cpc

        return build_cpc(settings.model, settings.training.seed), None

    def search_space(self, trial: Trial, settings: PretrainCpcSettings) -> PretrainCpcSettings:
        """Varies negatives, temperature and step size."""
        return propose(
            trial,
            settings,
            negatives=[20, 50, 100],
            negatives_from=["same", "other"],
            temperature=Range(0.1, 2.0, log=True),
            learning_rate=Range(5e-5, 5e-3, log=True),
            weight_decay=Range(1e-6, 1e-1, log=True),
        )


EXPERIMENT = PretrainCpc()


if __name__ == "__main__":
    EXPERIMENT.main()
