"""Emotion prediction in conversation: which emotion will the next turn carry?

    python -m experiments.epc --modality speech+text
    python -m experiments.epc --corpus meld --root MELD.Raw --modality text --seeds 3
    python -m experiments.epc --corpus iemocap --root IEMOCAP_full_release

The context is the previous six turns; the turn to come is never seen. --horizon 0 recognises the
emotion of the turn that just ended instead. The first command needs no download and takes about a
minute on two cores. Prints the table of the README's section on results, and writes mlruns/.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from conversation_emotion.settings.models import DialogueModel, Fusion
from conversation_emotion.settings.recognition import EPCSettings
from conversation_emotion.settings.space import OPTIMIZER, Range, Trial, propose, propose_features
from conversation_emotion.settings.votes import split_targets
from conversation_emotion.settings.words import split_words
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Rows, Runs, Task


class EPC(Experiment[EPCSettings]):
    """One model, next to the last emotion, the majority and what was published."""

    name = "epc"
    settings = EPCSettings
    published_by = ("corpus", "label_set", "modality")

    def rows(self, settings: EPCSettings) -> dict[str, EPCSettings]:
        """Returns a run for each target, and whose words it reads."""
        model = settings.model
        given = ", given the past" if model.history_labels == "gold" else ""
        name = f"{model.dialogue_model} GRU, {model.fusion} fusion{given}"
        return split_words(split_targets({name: settings}))

    def task(self, row: EPCSettings, memory: Memory) -> Task:
        """Finds the context of every target, and extracts the features of both modalities."""
        from conversation_emotion.tasks.prepare import prepare_prediction

        given = row.features, row.model, row.training
        return prepare_prediction(row.data, *given, memory, row.votes, row.words)

    def title(self, settings: EPCSettings) -> str:
        """Names the horizon, the corpus and the modality."""
        ahead = f"prediction, {settings.model.horizon} turn(s) ahead"
        task = ahead if settings.model.horizon else "recognition"
        return (
            f"Emotion in conversation: {task}; {settings.data.corpus}, {settings.features.modality}"
        )

    def published(self, settings: EPCSettings, runs: Runs) -> Rows:
        """Returns the ceiling of the demo corpus, and figures of the same task."""
        label_set = runs[0].task.dataset.label_map.label_set
        if settings.model.horizon != 1 or label_set != "4-class":
            return []
        figures = super().published(settings, runs)
        if settings.data.corpus != "demo":
            return figures
        from conversation_emotion.corpora.demo.process import CEILING_UAR
        from conversation_emotion.evaluation.results import RowResult

        name = "ceiling: given the process and the gold past"
        return [RowResult(name=name, kind="reference", values={"uar": CEILING_UAR}), *figures]

    def notes(self, settings: EPCSettings, runs: Runs) -> Iterator[str]:
        """Marks the variant that is given the past."""
        if settings.model.history_labels == "gold":
            yield "variant --history-labels gold: the model is given the gold emotions of the past"

    def search_space(self, trial: Trial, settings: EPCSettings) -> EPCSettings:
        """Varies fusion, dialogue model, features, sizes, dropouts, auxiliary tasks, optimizer."""
        settings.words.check_one("a trial")
        settings = self.propose_row(trial, settings, "targets")
        features = propose_features(trial, settings.features)
        fusions = {"fusion": get_args(Fusion)} if len(features.modalities()) > 1 else {}
        return propose(
            trial,
            replace(settings, features=features),
            **fusions,
            dialogue_model=get_args(DialogueModel),
            hidden_size=[64, 128, 256],
            dropout=Range(0.1, 0.6),
            input_dropout=Range(0.1, 0.8),
            recognition_weight=Range(0.0, 1.0),
            emotion_weight=Range(0.0, 1.0),
            **OPTIMIZER,
            weight_decay=Range(1e-4, 0.1, log=True),
        )


EXPERIMENT = EPC()


if __name__ == "__main__":
    EXPERIMENT.main()
