"""Fusion of frames as a task: several encoders of an utterance, before or after aggregators."""

from functools import partial

from torch import nn

from conversation_emotion.datasets.inputs import Inputs, extract_features, prepare_inputs
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.models.fusion import FRAME_FUSIONS, FusionModel
from conversation_emotion.models.perception import LayerSum, fit_on_rows, make_aggregator
from conversation_emotion.settings.fusion import ROWS, FusionRow, FusionSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import Classification
from conversation_emotion.tasks.prepare import add_kept, prepare_dataset
from conversation_emotion.tasks.voted import VotedTargets, learn_votes
from conversation_emotion.tracker import Memory


class FrameFusion(Classification):
    """Emotion of single utterances from the frames of several encoders, each by its flag."""

    def __init__(
        self,
        inputs: Inputs,
        settings: FusionSettings,
        row: FusionRow,
        voted: VotedTargets | None = None,
    ) -> None:
        super().__init__(inputs, settings.training)
        self.settings, self.row, self.voted = settings, row, voted

    def build(self, fold: Fold) -> nn.Module:
        """Builds a model with the statistics of the training windows."""
        rows, arrays = self.train_rows(fold), self.inputs.arrays[fold.name]
        row, settings = self.row, self.settings
        fused = FRAME_FUSIONS[row.fusion]({name: array.size for name, array in arrays.items()})
        channels = settings.aggregator_size if row.aggregator == "ecapa" else None
        return FusionModel(
            {
                name: nn.Sequential(
                    fit_on_rows(array, rows),
                    LayerSum(array.num_layers, array.size),
                )
                for name, array in arrays.items()
            },
            fused,
            {
                name: make_aggregator(row.aggregator, size, channels)
                for name, size in fused.output_sizes.items()
            },
            fusion=row.fusion,
            num_classes=len(self.labels),
            dropout=settings.dropout,
            source_dropout={"bert": settings.text_dropout},
        )


def prepare_fusion(settings: FusionSettings, memory: Memory) -> FrameFusion:
    """Prepares one row of the table; encoders that rows share are run once."""
    row, data = ROWS[int(settings.rows)], settings.data
    words = settings.words
    dataset = prepare_dataset(data, settings.training.max_folds, memory, words)

    found = {}
    for flag in row.encoders:
        features = settings.features_of(flag)
        extract = partial(extract_features, dataset, features, strict=data.strict)
        key = ("fusion", data, words, len(dataset.split.folds), features)
        (found[flag],) = memory.recall(key, extract).values()
    windows = single_utterances(dataset.classes())
    voted = learn_votes(dataset, settings.votes)
    inputs = prepare_inputs(dataset, windows, windows, found)
    return FrameFusion(add_kept(inputs, voted, UtteranceModelSettings()), settings, row, voted)
