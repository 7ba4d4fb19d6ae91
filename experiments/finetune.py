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

from collections.abc import Iterator

from conversation_emotion.settings.fine_tuning import FinetuneSettings
from conversation_emotion.settings.space import Range, Trial, propose
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import (
    Experiment,
    Job,
    RowRun,
    Rows,
    Runs,
    Task,
    training_folder,
)


class Finetune(Experiment[FinetuneSettings]):
    """One run: frozen, best single checkpoint, averaged, majority."""

    name = "finetune"
    settings = FinetuneSettings
    heading = "Fine-tuned encoder: {settings.encoder}; {settings.data.corpus}, {settings.modality}"
    published_by = ("corpus", "label_set", "modality")
    baselines = {  # noqa: RUF012
        "frozen": "frozen, the same head",
        "single": "tuned, best single checkpoint",
    }

    def rows(self, settings: FinetuneSettings) -> dict[str, FinetuneSettings]:
        """Returns the one run."""
        how = "greedy soup of the" if settings.training.average == "greedy" else "mean of the"
        return {f"tuned, {how} best {settings.training.average_best}": settings}

    def task(self, row: FinetuneSettings, memory: Memory) -> Task:
        """Prepares clips for the trained encoder, and features of the frozen one."""
        from experiments.models.tuned import prepare_fine_tuning

        return prepare_fine_tuning(row, memory)

    def train(self, job: Job, before: Runs) -> RowRun:
        """Trains the probe of the frozen encoder, and the encoder itself, on the same folds."""
        from conversation_emotion.tasks.emotion import add_system
        from conversation_emotion.tasks.fine_tuning import FROZEN
        from conversation_emotion.training.cross_validation import cross_validate, evaluate

        task, folder = job.task, training_folder(job.run)
        task.folder = job.settings.output or folder / "encoders"
        frozen = cross_validate(task.frozen, job.run)
        predictions = add_system(cross_validate(task, job.run, folder=folder), frozen, FROZEN)
        scores = evaluate(task, predictions, job.run)
        return RowRun(**vars(job), predictions=predictions, scores=scores)

    def results(self, settings: FinetuneSettings, runs: Runs) -> Rows:
        """Lays out the frozen encoder, the best single checkpoint, the average, the majority."""
        (run,) = runs
        return [
            self.baseline(run, "frozen"),
            self.baseline(run, "single"),
            self.result(run),
            self.baseline(run, "majority"),
            *self.published(settings, runs),
        ]

    def notes(self, settings: FinetuneSettings, runs: Runs) -> Iterator[str]:
        """Describes the selection, and names the folder of the encoders."""
        yield f"checkpoints ranked by valid {runs[0].task.select_by}, one after each epoch"
        folder = settings.output or training_folder(runs[0].run) / "encoders"
        yield f"encoders of the folds: {folder}"

    def search_space(self, trial: Trial, settings: FinetuneSettings) -> FinetuneSettings:
        """Varies step size, layer decay, dropout and batch size."""
        return propose(
            trial,
            settings,
            learning_rate=Range(1e-5, 1e-3, log=True),
            layer_decay=Range(0.6, 1.0),
            dropout=Range(0.0, 0.5),
            batch_size=[8, 16, 32],
        )


EXPERIMENT = Finetune()


if __name__ == "__main__":
    EXPERIMENT.main()
