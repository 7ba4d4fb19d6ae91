"""Emotion prediction in conversation: which emotion will the next turn carry?

    python -m experiments.epc --modality speech+text
    python -m experiments.epc --corpus meld --root MELD.Raw --modality text --seeds 3
    python -m experiments.epc --corpus iemocap --root IEMOCAP_full_release

The context is the previous six turns; the turn to come is never seen. --horizon 0 recognises the
emotion of the turn that just ended instead. The first command needs no download and takes about a
minute on two cores. Prints the table of the README's section on results, and writes mlruns/.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from conversation_emotion.settings.models import DialogueModel, Fusion
from conversation_emotion.settings.prediction import EPCSettings
from experiments.experiment import Experiment, RowRun

if TYPE_CHECKING:
    import optuna

    from conversation_emotion.evaluation.results import RowResult
    from conversation_emotion.tasks.emotion import TurnEmotion
    from conversation_emotion.tracker import Memory


class EPC(Experiment[EPCSettings]):
    """One model, next to the last emotion, the majority and what was published."""

    name = "epc"
    settings = EPCSettings

    def rows(self, settings: EPCSettings) -> dict[str, EPCSettings]:
        """Returns the one run."""
        model = settings.model
        given = ", given the past" if model.history_labels == "gold" else ""
        return {f"{model.dialogue_model} GRU, {model.fusion} fusion{given}": settings}

    def task(self, row: EPCSettings, memory: "Memory") -> "TurnEmotion":
        """Finds the context of every target, and extracts the features of both modalities."""
        from conversation_emotion.tasks.prepare import prepare_prediction

        return prepare_prediction(row.data, row.features, row.model, row.training, memory)

    def title(self, settings: EPCSettings) -> str:
        """Names the horizon, the corpus and the modality."""
        ahead = f"prediction, {settings.model.horizon} turn(s) ahead"
        task = ahead if settings.model.horizon else "recognition"
        return (
            f"Emotion in conversation: {task}; {settings.data.corpus}, {settings.features.modality}"
        )

    def published(self, settings: EPCSettings, runs: Sequence[RowRun]) -> "Sequence[RowResult]":
        """Returns the ceiling of the demo corpus, and figures of the same task."""
        from conversation_emotion.evaluation.published import find_published

        label_set = runs[0].task.dataset.label_map.label_set
        if settings.model.horizon != 1 or label_set != "4-class":
            return []
        corpus, modality = settings.data.corpus, settings.features.modality
        return [
            *_ceiling(corpus),
            *find_published("epc", corpus=corpus, label_set=label_set, modality=modality),
        ]

    def notes(self, settings: EPCSettings, runs: Sequence[RowRun]) -> Iterator[str]:
        """Marks the variant that is given the past."""
        if settings.model.history_labels == "gold":
            yield "variant --history-labels gold: the model is given the gold emotions of the past"

    def search_space(self, trial: "optuna.trial.BaseTrial", settings: EPCSettings) -> EPCSettings:
        """Varies fusion, dialogue model, features, sizes, dropouts, auxiliary tasks, optimizer."""
        from conversation_emotion.settings.space import propose_features, propose_training

        model, choose, draw = settings.model, trial.suggest_categorical, trial.suggest_float
        features = propose_features(trial, settings.features)
        if len(features.modalities()) > 1:
            model = replace(model, fusion=choose("fusion", get_args(Fusion)))
        model = replace(
            model,
            dialogue_model=choose("dialogue_model", get_args(DialogueModel)),
            hidden_size=choose("hidden_size", [64, 128, 256]),
            dropout=draw("dropout", 0.1, 0.6),
            input_dropout=draw("input_dropout", 0.1, 0.8),
            recognition_weight=draw("recognition_weight", 0.0, 1.0),
            emotion_weight=draw("emotion_weight", 0.0, 1.0),
        )
        training = propose_training(trial, settings.training, most_decay=0.1)
        return replace(settings, features=features, model=model, training=training)


def _ceiling(corpus: str) -> "Iterator[RowResult]":
    """Yields what the process that made the demo corpus allows at most."""
    from conversation_emotion.corpora.demo.process import CEILING_UAR
    from conversation_emotion.evaluation.results import RowResult

    if corpus == "demo":
        name = "ceiling: given the process and the gold past"
        yield RowResult(name=name, kind="reference", values={"uar": CEILING_UAR})


EXPERIMENT = EPC()


if __name__ == "__main__":
    EXPERIMENT.main()
