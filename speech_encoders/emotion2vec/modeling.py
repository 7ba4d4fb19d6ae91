"""emotion2vec (Ma et al., 2024) in the shape of the transformers library."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import ModelOutput

from speech_encoders.emotion2vec.blocks import BlockOutputs, Blocks
from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.decoder import Decoder
from speech_encoders.emotion2vec.front_end import HOP, RECEPTIVE_FIELD, FrontEnd, count_frames
from speech_encoders.emotion2vec.positions import PositionalConvolutions, alibi_bias, alibi_slopes


@dataclass
class Emotion2vecOutput(ModelOutput):
    """What the encoder hears in a batch of clips; frames are 20 ms apart.

    Attributes:
        last_hidden_state: Frames, (B, T, D); padded ones hold nothing of meaning.
        frame_mask: Real frames, boolean (B, T).
        extra_tokens: Output at the learned tokens, (B, E, D).
        hidden_states: Input of the first block and output of each, (B, T, D) each; None if not
            asked for.
        feed_forward_states: Output of each block's feed-forward part, of which the targets of
            pre-training are made, (B, T, D) each; None if not asked for.
    """

    last_hidden_state: Tensor | None = None
    frame_mask: Tensor | None = None
    extra_tokens: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    feed_forward_states: tuple[Tensor, ...] | None = None


class Emotion2vecPreTrainedModel(PreTrainedModel):
    """What all emotion2vec models share: their configuration and how weights begin."""

    config_class = Emotion2vecConfig
    config: Emotion2vecConfig
    base_model_prefix = "emotion2vec"
    main_input_name = "input_values"
    _supports_sdpa = True
    _no_split_modules = ["Block"]  # noqa: RUF012 (an attribute of the library)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=self.config.initializer_range)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, (nn.Conv1d, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, FrontEnd):
            for convolution in module.convolutions:
                assert isinstance(convolution, nn.Linear)
                init.kaiming_normal_(convolution.weight)
            module.projection.reset_parameters()
        elif isinstance(module, Decoder):
            module.projection.reset_parameters()
        elif isinstance(module, Emotion2vecModel):
            tokens = torch.randn_like(module.extra_tokens)
            tokens[:1] = 0.0
            init.copy_(module.extra_tokens, tokens)
            init.ones_(module.alibi_scale)


class Emotion2vecModel(Emotion2vecPreTrainedModel):
    """The encoder: waveforms in, frames at 50 Hz out.

    Args:
        config: Its shape.
    """

    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__(config)
        self.front_end = FrontEnd(config)
        self.positional = PositionalConvolutions(config)
        self.extra_tokens = nn.Parameter(torch.zeros(config.num_extra_tokens, config.hidden_size))
        self.alibi_scale = nn.Parameter(torch.ones(config.num_attention_heads))
        self.encoder = Blocks(config)
        self.post_init()

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_feed_forward: bool = False,
        return_dict: bool = True,
    ) -> Emotion2vecOutput | tuple[Tensor, ...]:
        """Encodes normalised clips.

        Args:
            input_values: Clips at 16 kHz, each of zero mean and unit variance, shape (B, S).
            attention_mask: Real samples, 1 or True, of shape (B, S); None if all are. What stands
                at the others is never looked at.
            output_hidden_states: Whether to keep the states between the blocks.
            output_feed_forward: Whether to keep the blocks' feed-forward outputs.
            return_dict: False gives a tuple of what is not None.

        Raises:
            ValueError: A clip is too short for a frame.
        """
        mask = None
        if attention_mask is not None:
            input_values = input_values.masked_fill(~attention_mask.bool(), 0.0)
            mask = frame_mask(attention_mask)
        frames = self.front_end(input_values)
        frames = frames + self.positional(frames, mask)
        if output_hidden_states is None:
            output_hidden_states = bool(self.config.output_hidden_states)
        outputs = self.encode(
            frames,
            mask=mask,
            with_states=output_hidden_states,
            with_feed_forward=output_feed_forward,
        )
        num_tokens = self.config.num_extra_tokens
        output = Emotion2vecOutput(
            last_hidden_state=outputs.last[:, num_tokens:],
            frame_mask=frames.new_ones(frames.shape[:2], dtype=torch.bool)
            if mask is None
            else mask,
            extra_tokens=outputs.last[:, :num_tokens],
            hidden_states=tuple(s[:, num_tokens:] for s in outputs.states) or None,
            feed_forward_states=tuple(s[:, num_tokens:] for s in outputs.feed_forward) or None,
        )
        return output if return_dict else output.to_tuple()

    def encode(
        self,
        frames: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        with_states: bool = False,
        with_feed_forward: bool = False,
    ) -> BlockOutputs:
        """Puts the extra tokens before the frames and runs the blocks.

        Args:
            frames: Frames with the positional convolutions added, shape (B, T, D).
            positions: Where each frame stands in its clip, shape (T,) or (B, T); None counts them
                from 0. A masked student passes the original positions of the frames it keeps.
            mask: Real frames, boolean of shape (B, T); None if all are.
            with_states: Whether to keep the states between the blocks.
            with_feed_forward: Whether to keep the blocks' feed-forward outputs.
        """
        if positions is None:
            positions = torch.arange(frames.size(1), device=frames.device)
        slopes = alibi_slopes(self.config.num_attention_heads).to(self.alibi_scale)
        # All blocks share the scale of ALiBi, hence its bias, the largest tensor of a long clip. A
        # kernel that computes the bias from positions instead of reading it (FlexAttention) would
        # take positions and slopes from here.
        bias = alibi_bias(
            positions,
            slopes * self.alibi_scale,
            num_extra_tokens=self.config.num_extra_tokens,
            mask=mask,
        )
        tokens = self.extra_tokens.to(frames.dtype).expand(len(frames), -1, -1)
        return self.encoder(
            torch.cat([tokens, frames], dim=1),
            bias,
            with_states=with_states,
            with_feed_forward=with_feed_forward,
        )


class Emotion2vecForSequenceClassification(Emotion2vecPreTrainedModel):
    """A linear head on the mean of the frames; the configuration names its classes (``id2label``).

    Args:
        config: Shape of the encoder, names of the classes, and the labels never to answer.
    """

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
            labels: Right classes, shape (B,), for the cross-entropy; it counts all classes.
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
    """Finds the classes that are never answered.

    Args:
        config: Names the classes, and the masked ones where ``labels`` is None; where it is silent
            too, these are ``<unk>`` and the labels that begin with ``unuse``.
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


def mean_frames(frames: Tensor, mask: Tensor) -> Tensor:
    """Averages the real frames, the utterance of emotion2vec: (B, T, D), (B, T) -> (B, D)."""
    weights = mask[..., None].to(frames.dtype)
    return frames.masked_fill(~mask[..., None], 0.0).sum(dim=1) / weights.sum(dim=1)


def frame_mask(attention_mask: Tensor) -> Tensor:
    """Marks the frames that see only real samples: (B, S) -> (B, T), boolean.

    Raises:
        ValueError: Padding stands before real samples, or a clip is too short for a frame.
    """
    is_real = attention_mask.bool()
    if bool((is_real[:, 1:] & ~is_real[:, :-1]).any()):
        raise ValueError("attention_mask has padding before real samples; pad clips on the right")
    lengths = is_real.sum(dim=1)
    if (shortest := int(lengths.min())) < RECEPTIVE_FIELD:
        raise ValueError(
            f"a clip has {shortest} samples, expected {RECEPTIVE_FIELD} or more; "
            "leave out shorter clips"
        )
    num_frames = (lengths - RECEPTIVE_FIELD) // HOP + 1
    return torch.arange(count_frames(is_real.size(1)), device=lengths.device) < num_frames[:, None]
