r"""How do encoders lay out emotion? Held-out utterances on a plane, by arousal and by emotion.

    python -m experiments.visualise
    python -m experiments.visualise --corpus emodb --root EmoDB
    python -m experiments.visualise --corpus iemocap --root IEMOCAP_full_release --fold Ses05 \
        --speech-encoder emotion2vec_base wavlm-base data2vec-audio-base

A picture as that of Ma et al. (2024): the first linear layer of the probe of experiments.ser, after
the same number of epochs for every encoder, is placed on a plane by UMAP. Shown is the test part of
one fold: a session of IEMOCAP, a fifth of the speakers of EmoDB, else that of the corpus' protocol.
Arousal is that of the corpus' ratings, high above the median of train, or of each emotion (the map
is in conversation_emotion/utterances/arousal.py). Silhouette and compactness are of the layer, not
of the plane. Writes a PNG and a page (HTML) whose points play their clip: it holds recordings, so
the corpus' licence decides who may have it. Needs umap-learn: pip install
'conversation-emotion[visual]'. EmoDB takes about two minutes on two cores.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from conversation_emotion.settings.probes import VisualiseSettings
from experiments import commandline
from experiments.experiment import Experiment, RowRun

if TYPE_CHECKING:
    from conversation_emotion.evaluation.results import ResultsTable
    from conversation_emotion.splits.folds import Fold
    from conversation_emotion.tasks.emotion import UtteranceEmotion
    from conversation_emotion.tasks.task import Task
    from conversation_emotion.tracker import Memory
    from experiments.tracking.runs import ParentRun

_MEASURES = (
    "silhouette: -1 to 1; compactness: distance between centres of classes over the distance of an "
    "utterance from its own; of the layer itself, not of the plane; higher is better"
)


class Visualise(Experiment[VisualiseSettings]):
    """A row per encoder, and a picture of all."""

    name = "visualise"
    settings = VisualiseSettings
    columns = (
        "uar",
        "silhouette_arousal",
        "compactness_arousal",
        "silhouette_emotion",
        "compactness_emotion",
    )

    def rows(self, settings: VisualiseSettings) -> dict[str, VisualiseSettings]:
        """Returns a run for each encoder."""
        return {name: settings.for_encoder(name) for name in settings.stage.speech_encoder}

    def task(self, row: VisualiseSettings, memory: "Memory") -> "UtteranceEmotion":
        """Extracts the features of an encoder, and makes sure that the fold exists."""
        from conversation_emotion.evaluation.separation import check_umap
        from conversation_emotion.tasks.prepare import prepare_recognition

        check_umap()
        task = prepare_recognition(row.probe(), memory)
        _find_fold(row, task)
        return task

    def inputs(self, row: VisualiseSettings) -> tuple[str, str]:
        """Returns speech and the encoder."""
        return "speech", row.stage.speech_encoder[0]

    def train(
        self,
        name: str,
        row: VisualiseSettings,
        task: "Task",
        parent: "ParentRun",
        before: Sequence[RowRun],
    ) -> RowRun:
        """Trains every fold's probe to the stage, and measures all."""
        from conversation_emotion.figures.representation import summarise_measures
        from conversation_emotion.training.representation import represent

        found = represent(name, cast("UtteranceEmotion", task), parent)
        predictions = found.predictions()
        n = len(predictions.drop_duplicates(["fold", "utterance_id"]))
        measures = summarise_measures(found.measure(), n)
        parent.log_metrics({f"test/{name}": one.score for name, one in measures.items()})
        task.representation = found  # type: ignore[attr-defined]
        return RowRun(name, row, task, parent, predictions, {"model": measures})

    def title(self, settings: VisualiseSettings) -> str:
        """Names the corpus."""
        return f"How the first linear layer separates held-out utterances; {settings.data.corpus}"

    def notes(self, settings: VisualiseSettings, runs: Sequence[RowRun]) -> Iterator[str]:
        """Describes the stage, the fold of the picture, the measures and the arousal."""
        from conversation_emotion.evaluation.published import describe_pretraining
        from conversation_emotion.utterances.arousal import find_arousal_levels

        fold = _find_fold(settings, runs[0].task)
        _, by_what = find_arousal_levels(runs[0].task.dataset.utterances, fold.train)
        yield (
            f"in brackets the lowest and highest of folds and seeds, not an interval; every probe "
            f"after {settings.stage.epochs} epochs on train, none selected"
        )
        yield f"the picture is of fold {fold.name}, seed 0"
        yield _MEASURES
        yield f"arousal: {by_what}"
        yield from describe_pretraining(settings.stage.speech_encoder, [settings.data.corpus])

    def show(self, settings: VisualiseSettings, runs: Sequence[RowRun]) -> "ResultsTable":
        """Shows the table, and draws one fold."""
        from conversation_emotion.figures import representation as drawing

        table, fold = super().show(settings, runs), _find_fold(settings, runs[0].task)
        found = [run.task.representation for run in runs]  # type: ignore[attr-defined]
        picture = drawing.Picture(
            settings.data.corpus,
            fold,
            settings.picture.neighbors,
            settings.picture.audio_mib,
            _title(settings, runs[0].task, fold),
        )
        notes = [picture.title]
        notes += [drawing.describe_measures(run.name, run.scores["model"]) for run in runs]
        folder = settings.picture.output or Path("mlruns") / "visualise" / settings.data.corpus
        files, points, sound = drawing.draw_representations(
            found, picture, [*notes, *table.notes], folder
        )
        for run in runs:
            run.run.log_table(points, "planes.parquet")
            for file in files:
                run.run.log_file(file)
        print(f"pictures: {', '.join(map(str, files))} ({sound})")
        return table


def _find_fold(settings: VisualiseSettings, task: "Task") -> "Fold":
    """Returns the fold to show.

    Raises:
        ValueError: The protocol has no fold of that name.
    """
    split = task.dataset.split
    wanted = settings.picture.fold or split.folds[0].name
    for fold in split.folds:
        if fold.name == wanted:
            return fold
    names = ", ".join(fold.name for fold in split.folds)
    raise ValueError(f"--fold {wanted}: {split.name} has the folds {names}")


def _title(settings: VisualiseSettings, task: "Task", fold: "Fold") -> str:
    dataset = task.dataset
    rows = fold.test[dataset.classes()[fold.test] >= 0]
    train, test = (
        dataset.utterances["speaker"].iloc[part].nunique() for part in (fold.train, rows)
    )
    return (
        f"{settings.data.corpus}: {len(rows):,} held-out utterances of {test} speaker(s), "
        f"{dataset.split.name}, fold {fold.name}\n"
        f"UMAP of the first linear layer, trained on {train} speaker(s) for "
        f"{settings.stage.epochs} epochs"
    )


EXPERIMENT = Visualise()


def main() -> None:
    """Runs the experiment from the command line."""
    commandline.launch(EXPERIMENT.run, VisualiseSettings, EXPERIMENT.name)


if __name__ == "__main__":
    main()
