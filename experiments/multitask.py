r"""Two tasks at once: does an encoder that also learns the transcript recognise emotion better?

    python -m experiments.multitask --max-folds 1
    python -m experiments.multitask --corpus iemocap --root IEMOCAP_full_release \
        --split recording-prefix --speech-encoder facebook/wav2vec2-base --blocks None \
        --pooling sum --freeze nothing --learning-rate 5e-5 --epochs 100 --patience 100
    python -m experiments.multitask --corpus iemocap --root IEMOCAP_full_release \
        --split leave-one-speaker-out --speech-encoder facebook/wav2vec2-base --blocks None \
        --learning-rate 5e-5 --epochs 100 --patience 100

One encoder with two heads (Cai et al., 2021): the emotion from the pooled frames, and a character
of the transcript or a blank from every frame, with the loss CE + alpha CTC. Each alpha is trained
alike; with alpha 0 the second head stays untrained. The folds of the second command are those that
were published: each is a recording session of one marker-wearer, and both actors of that session
also speak in train, so it leaks; the third command's do not. Prints the table and some transcripts
of the last alpha. The first command, for minutes on two cores, trains the lowest three blocks of
emotion2vec-mini on one fold of the demo corpus, whose sentences nearly all occur in train as well.
"""

from collections.abc import Iterator
from dataclasses import replace

from conversation_emotion.settings.fine_tuning import MultitaskSettings
from conversation_emotion.settings.space import Range, Trial, propose
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Rows, Runs, Table, Task


class Multitask(Experiment[MultitaskSettings]):
    """A row per alpha."""

    name = "multitask"
    settings = MultitaskSettings
    heading = (
        "Emotion and transcript at once: {settings.tuned.speech_encoder}; {settings.data.corpus}"
    )
    published_by = ("corpus", "label_set")
    columns = ("uar", "wa", "macro_f1", "wer")

    def rows(self, settings: MultitaskSettings) -> dict[str, MultitaskSettings]:
        """Returns a run for each alpha."""
        return {f"alpha {alpha:g}": replace(settings, alphas=(alpha,)) for alpha in settings.alphas}

    def task(self, row: MultitaskSettings, memory: Memory) -> Task:
        """Prepares clips and transcripts."""
        from experiments.models.tuned import prepare_transcription

        return prepare_transcription(row, memory)

    def notes(self, settings: MultitaskSettings, runs: Runs) -> Iterator[str]:
        """Describes the transcripts, and how many could be known by heart."""
        yield from runs[0].task.describe_transcripts()  # type: ignore[attr-defined]
        best, metric = settings.training.average_best, runs[0].task.select_by
        yield f"{settings.pooling} of the real frames; mean of the {best} best by valid {metric}"

    def show(self, settings: MultitaskSettings, runs: Runs) -> Table:
        """Shows the table, then some transcripts of the last alpha, from the whole test part."""
        from conversation_emotion.tasks.fine_tuning import sample_transcripts

        table = super().show(settings, runs)
        print(f"transcripts of test, alpha {settings.alphas[-1]:g}:")
        for utterance_id, reference, spelt in sample_transcripts(
            runs[-1].predictions, settings.shown
        ):
            print(f"  {utterance_id}: {reference}\n    decoded: {spelt or '(nothing)'}")
        return table

    def results(self, settings: MultitaskSettings, runs: Runs) -> Rows:
        """Lays out a row per alpha and the published ones; the majority has no transcript."""
        return [*map(self.result, runs), *self.published(settings, runs)]

    def search_space(self, trial: Trial, settings: MultitaskSettings) -> MultitaskSettings:
        """Varies alpha, pooling, step size and dropout."""
        alpha = trial.suggest_float("alpha", 1e-4, 1.0, log=True)
        return propose(
            trial,
            replace(settings, alphas=(alpha,)),
            pooling=["mean", "sum"],
            learning_rate=Range(1e-5, 1e-3, log=True),
            dropout=Range(0.0, 0.5),
        )


EXPERIMENT = Multitask()


if __name__ == "__main__":
    EXPERIMENT.main()
