r"""How do encoders lay out emotion? Held-out utterances on a plane, by arousal and by emotion.

    python -m experiments.visualise
    python -m experiments.visualise --corpus emodb --root EmoDB
    python -m experiments.visualise --corpus iemocap --root IEMOCAP_full_release --fold Ses05 \
        --speech-encoder emotion2vec_base wavlm-base data2vec-audio-base

A picture as that of Ma et al. (2024): the first linear layer of the probe of experiments.ser, after
the same number of epochs for every encoder, is placed on a plane by UMAP (pip install
'conversation-emotion[visual]'). Shown is the test part of one fold: a session of IEMOCAP, a fifth
of the speakers of EmoDB, else that of the corpus' protocol. Arousal is that of the corpus' ratings,
or of each emotion. Writes a PNG and a page (HTML) whose points play their clip: it holds
recordings, so the corpus' licence decides who may have it. EmoDB takes two minutes on two cores.
"""

from collections.abc import Iterator
from pathlib import Path

from conversation_emotion.settings.flags import change
from conversation_emotion.settings.probes import VisualiseSettings
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Job, RowRun, Runs, Table, Task


class Visualise(Experiment[VisualiseSettings]):
    """A row per encoder, and a picture of all."""

    name = "visualise"
    settings = VisualiseSettings
    heading = "How the first linear layer separates held-out utterances; {settings.data.corpus}"
    columns = (
        "uar",
        *("silhouette_arousal", "compactness_arousal"),
        *("silhouette_emotion", "compactness_emotion"),
    )

    def rows(self, settings: VisualiseSettings) -> dict[str, VisualiseSettings]:
        """Returns a run for each encoder."""
        names = settings.stage.speech_encoder
        return {name: change(settings, speech_encoder=(name,), output=None) for name in names}

    def task(self, row: VisualiseSettings, memory: Memory) -> Task:
        """Extracts the features of an encoder, and checks that the fold exists."""
        from conversation_emotion.evaluation.separation import check_umap
        from conversation_emotion.tasks.prepare import prepare_recognition

        check_umap()
        task = prepare_recognition(row.probe(), memory)
        task.dataset.split.fold(row.picture.fold)
        return task

    def train(self, job: Job, before: Runs) -> RowRun:
        """Trains every fold's probe to the stage, and measures all."""
        from conversation_emotion.figures.representation import summarise_measures
        from conversation_emotion.training.representation import represent

        found = represent(job.name, job.task, job.run)
        predictions = found.predictions()
        n = len(predictions.drop_duplicates(["fold", "utterance_id"]))
        measures = summarise_measures(found.measure(), n)
        job.run.log_metrics({f"test/{name}": one.score for name, one in measures.items()})
        job.task.representation = found
        return RowRun(**vars(job), predictions=predictions, scores={"model": measures})

    def protocol(self, settings: VisualiseSettings, runs: Runs) -> Iterator[str]:
        """Describes the spread over trainings, which is no interval of confidence."""
        from conversation_emotion.training.cross_validation import describe_protocol

        n = runs[0].scores["model"]["uar"].n
        yield from describe_protocol(runs[0].task, n, bounds="lowest, highest")

    def notes(self, settings: VisualiseSettings, runs: Runs) -> Iterator[str]:
        """Describes the stage, the fold of the picture, the measures and the arousal."""
        from conversation_emotion.evaluation.published import describe_pretraining
        from conversation_emotion.figures.representation import MEASURES
        from conversation_emotion.utterances.arousal import find_arousal_levels

        fold = runs[0].task.dataset.split.fold(settings.picture.fold)
        _, by_what = find_arousal_levels(runs[0].task.dataset.utterances, fold.train)
        yield f"every probe after {settings.stage.epochs} epochs on train, none selected"
        yield f"the picture is of fold {fold.name}, seed 0"
        yield MEASURES
        yield f"arousal: {by_what}"
        yield from describe_pretraining(settings.stage.speech_encoder, [settings.data.corpus])

    def show(self, settings: VisualiseSettings, runs: Runs) -> Table:
        """Shows the table, and draws one fold."""
        from conversation_emotion.figures import representation as drawing

        table, data = super().show(settings, runs), settings.data.corpus
        fold = runs[0].task.dataset.split.fold(settings.picture.fold)
        files, points, sound = drawing.draw_representations(
            {run.task.representation: run.scores["model"] for run in runs},
            drawing.Picture(data, fold, settings.picture, settings.stage.epochs),
            table.notes,
            settings.picture.output or Path("mlruns") / "visualise" / data,
        )
        for run in runs:
            run.run.log_table(points, "planes.parquet")
            for file in files:
                run.run.log_file(file)
        print(f"pictures: {', '.join(map(str, files))} ({sound})")
        return table


EXPERIMENT = Visualise()


if __name__ == "__main__":
    EXPERIMENT.main()
