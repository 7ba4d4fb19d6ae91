r"""Fine-tuning: does an encoder that is trained beat the frozen one, and does averaging help?

    python -m experiments.finetune
    python -m experiments.finetune --corpus emodb --root EmoDB
    python -m experiments.finetune --corpus iemocap --root IEMOCAP_full_release \
        --split leave-one-session-out --speech-encoder facebook/wav2vec2-base \
        --learning-rate 2e-5 --epochs 20 --patience 20
    python -m experiments.finetune --modality text --text-encoder google-bert/bert-base-uncased \
        --learning-rate 2e-5 --lora-rank 8

The set-up of Morais et al. (2022): encoder, mean of the frames and a linear classifier are trained
together, for each fold; the five best checkpoints by valid accuracy are averaged. The table has the
best single checkpoint of the same training, and the same head on the frozen encoder. The averaged
encoder of each fold is a folder that any experiment takes as an encoder; the folder above them is a
family, of which each fold gets its own. An experiment refuses an encoder that was tuned on people
whom it tests. On one core a fold of the second command, ten folds of EmoDB, takes four minutes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from conversation_emotion.settings.tuning_experiments import FinetuneSettings
from experiments.experiment import Experiment, Job, RowRun, training_folder

if TYPE_CHECKING:
    import optuna

    from conversation_emotion.evaluation.results import RowResult
    from conversation_emotion.tasks.fine_tuning import FineTuning
    from conversation_emotion.tracker import Memory


class Finetune(Experiment[FinetuneSettings]):
    """One run: frozen, best single checkpoint, averaged, majority."""

    name = "finetune"
    settings = FinetuneSettings
    baselines = {  # noqa: RUF012
        "frozen": "frozen, the same head",
        "single": "tuned, best single checkpoint",
    }

    def rows(self, settings: FinetuneSettings) -> dict[str, FinetuneSettings]:
        """Returns the one run."""
        how = "greedy soup of the" if settings.training.average == "greedy" else "mean of the"
        return {f"tuned, {how} best {settings.training.average_best}": settings}

    def task(self, row: FinetuneSettings, memory: "Memory") -> "FineTuning":
        """Prepares clips for the trained encoder, and features of the frozen one."""
        from experiments.encoders import prepare_fine_tuning

        return prepare_fine_tuning(row, memory)

    def train(self, job: Job, before: Sequence[RowRun]) -> RowRun:
        """Trains the probe of the frozen encoder, and the encoder itself, on the same folds."""
        from conversation_emotion.tasks.emotion import add_system
        from conversation_emotion.tasks.fine_tuning import FROZEN
        from conversation_emotion.training.cross_validation import cross_validate, evaluate

        task, folder = job.task, training_folder(job.run)
        task.folder = job.settings.output or folder / "encoders"
        frozen = cross_validate(task.frozen, job.run)
        predictions = add_system(cross_validate(task, job.run, folder=folder), frozen, FROZEN)
        return RowRun(*job, predictions, evaluate(task, predictions, job.run))

    def title(self, settings: FinetuneSettings) -> str:
        """Names encoder, corpus and modality."""
        corpus = settings.data.corpus
        return f"Fine-tuned encoder: {settings.encoder}; {corpus}, {settings.modality}"

    def results(self, settings: FinetuneSettings, runs: Sequence[RowRun]) -> "list[RowResult]":
        """Lays out the frozen encoder, the best single checkpoint, the average, the majority."""
        (run,) = runs
        return [
            self.baseline(run, "frozen"),
            self.baseline(run, "single"),
            self.result(run),
            self.baseline(run, "majority"),
            *self.published(settings, runs),
        ]

    def published(
        self, settings: FinetuneSettings, runs: Sequence[RowRun]
    ) -> "Sequence[RowResult]":
        """Returns the figures of the same corpus, classes and modality."""
        from conversation_emotion.evaluation.published import find_published

        label_set = runs[0].task.dataset.label_map.label_set
        where = {"corpus": settings.data.corpus, "modality": settings.modality}
        return find_published("finetune", label_set=label_set, **where)

    def notes(self, settings: FinetuneSettings, runs: Sequence[RowRun]) -> Iterator[str]:
        """Describes the selection, and names the folder of the encoders."""
        yield f"checkpoints ranked by valid {runs[0].task.select_by}, one after each epoch"
        folder = settings.output or training_folder(runs[0].run) / "encoders"
        yield f"encoders of the folds: {folder}"

    def search_space(
        self, trial: "optuna.trial.BaseTrial", settings: FinetuneSettings
    ) -> FinetuneSettings:
        """Varies step size, layer decay, dropout and batch size."""
        draw = trial.suggest_float
        training = replace(
            settings.training,
            learning_rate=draw("learning_rate", 1e-5, 1e-3, log=True),
            layer_decay=draw("layer_decay", 0.6, 1.0),
            dropout=draw("dropout", 0.0, 0.5),
            batch_size=trial.suggest_categorical("batch_size", [8, 16, 32]),
        )
        return replace(settings, training=training)


EXPERIMENT = Finetune()


if __name__ == "__main__":
    EXPERIMENT.main()
