r"""Dimensional emotion: how well do contexts of CPC predict activation, valence and dominance?

    python -m experiments.dimensional --speech-encoder mfcc PRETRAINED_CPC --seeds 5
    python -m experiments.dimensional --speech-encoder mfcc end-to-end mini-cpc PRETRAINED_CPC
    python -m experiments.dimensional --corpus iemocap --root IEMOCAP_full_release \
        --split leave-one-session-out --stride 1 --seeds 5

The recogniser of Li et al. (2021) on frames: eight heads of attention, mean and deviation over
time, two layers, and the loss 1 - CCC. mfcc is their supervised row, end-to-end trains CPC's
encoder with the recogniser, mini-cpc first pre-trains it on the train part of each fold without
labels; PRETRAINED_CPC is a folder that experiments.pretrain_cpc wrote, or any other encoder of the
suite. On the demo corpus a frozen encoder takes some minutes on two cores; end-to-end and mini-cpc
want a GPU. Prints one row per encoder and writes mlruns/.
"""

from collections.abc import Iterator

from conversation_emotion.settings.dimensional import MINI_CPC, DimensionalSettings, MiniSettings
from conversation_emotion.settings.flags import change
from conversation_emotion.settings.space import Range, Trial, propose
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Runs, Task


class Dimensional(Experiment[DimensionalSettings]):
    """A row per encoder."""

    name = "dimensional"
    settings = DimensionalSettings
    heading = "Activation, valence and dominance of single utterances: {settings.data.corpus}"
    published_by = ("corpus",)
    columns = ("ccc_mean", "ccc_arousal", "ccc_valence", "ccc_dominance")

    def rows(self, settings: DimensionalSettings) -> dict[str, DimensionalSettings]:
        """Returns a run for each encoder."""
        rows = {}
        for name in settings.features.speech_encoder:
            mini = settings.mini if name == MINI_CPC else MiniSettings()
            rows[name] = change(settings, speech_encoder=(name,), mini=mini)
        return rows

    def task(self, row: DimensionalSettings, memory: Memory) -> Task:
        """Extracts the frames of an encoder, which mini-cpc pre-trains first."""
        from experiments.framework.pretraining.rating_inputs import prepare_ratings

        return prepare_ratings(row, memory)

    def protocol(self, settings: DimensionalSettings, runs: Runs) -> Iterator[str]:
        """Describes the scores, with n of each dimension."""
        from conversation_emotion.evaluation.metrics import describe_metric
        from conversation_emotion.training.cross_validation import describe_protocol

        scores = runs[0].scores["model"]
        n = {describe_metric(name).title: scores[name].n for name in self.columns[1:]}
        yield from describe_protocol(runs[0].task, n, self.bounds(runs))
        weights = ", ".join(f"{weight:.2f}" for weight in settings.features.loss_weights)
        yield f"CCC over the whole test part of a fold; loss weights {weights}"
        yield f"{settings.features.stride} frame(s) averaged to one"

    def search_space(self, trial: Trial, settings: DimensionalSettings) -> DimensionalSettings:
        """Varies encoder, dropout, optimizer and batch size."""
        return propose(
            trial,
            self.propose_row(trial, settings, "speech_encoder"),
            dropout=Range(0.0, 0.6),
            learning_rate=Range(5e-5, 5e-3, log=True),
            weight_decay=Range(1e-6, 1e-2, log=True),
            batch_size=[32, 64, 128],
        )


EXPERIMENT = Dimensional()


if __name__ == "__main__":
    EXPERIMENT.main()
