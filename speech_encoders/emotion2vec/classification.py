"""Classification with emotion2vec: a linear head on the mean of the frames, as in emotion2vec+."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_outputs import SequenceClassifierOutput

from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.modeling import (
    Emotion2vecModel,
    Emotion2vecPreTrainedModel,
    mean_frames,
)


class Emotion2vecForSequenceClassification(Emotion2vecPreTrainedModel):
    """A linear head on the mean frame; the configuration names its classes (``id2label``)."""

    _keys_to_ignore_on_load_unexpected = [r"^decoder\."]  # noqa: RUF012

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__(config)
        self.emotion2vec = Emotion2vecModel(config)
        self.classifier = nn.Linear(config.hidden_size, len(config.id2label or {}))
        self.post_init()

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        masked_labels: Sequence[str] | None = None,
        output_hidden_states: bool | None = None,
    ) -> SequenceClassifierOutput:
        """Classifies normalised clips.

        Args:
            input_values: Clips as `Emotion2vecModel.forward` takes them, (B, S).
            attention_mask: Real samples, (B, S); None if all are.
            labels: Target classes, shape (B,), for the cross-entropy over all classes.
            masked_labels: Labels that get the logit -inf in evaluation mode; None takes those of
                the configuration.
            output_hidden_states: Whether to keep the states between the blocks.

        Returns:
            Logits of shape (B, classes) and, if asked for, loss and hidden states.

        Raises:
            ValueError: A clip is too short, or a masked label is no label of the model.
        """
        output = self.emotion2vec(input_values, attention_mask, output_hidden_states)
        logits = self.classifier(mean_frames(output.last_hidden_state, output.frame_mask))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        if not self.training and (classes := masked_classes(self.config, masked_labels)):
            logits = logits.index_fill(1, torch.tensor(classes, device=logits.device), -torch.inf)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states
        )


def masked_classes(config: Emotion2vecConfig, labels: Sequence[str] | None = None) -> list[int]:
    """Returns the classes that are never predicted.

    Args:
        config: Names the classes, and the masked ones where ``labels`` is None; by default
            these are ``<unk>`` and the labels that begin with ``unuse``.
        labels: Labels to mask.

    Raises:
        ValueError: A masked label is no label of the model, or nothing else is left.
    """
    names = config.id2label or {}
    labels = config.masked_labels if labels is None else labels
    if labels is None:
        labels = [name for name in names.values() if name == "<unk>" or name.startswith("unuse")]
    if unknown := sorted(set(labels) - set(names.values())):
        raise ValueError(
            f"masked labels {unknown} are not among the model's labels {list(names.values())}"
        )
    classes = [int(index) for index, name in names.items() if name in labels]
    if names and len(classes) == len(names):
        raise ValueError(f"all labels {list(names.values())} are masked; leave one or more")
    return classes
