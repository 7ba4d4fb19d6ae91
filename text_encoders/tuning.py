"""Text encoders that can be trained: the indices of a text's tokens in, token states out."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from text_encoders.bert import BertEncoder, load_bert, tokenize
from text_encoders.checkpoint import (
    digest_weights,
    find_checkpoint,
    fingerprint,
    library_versions,
    quiet_loading,
)
from text_encoders.contract import StringEncoder

FORMAT = 1
"""Number in the reader's identity; grows when the same text gives other indices."""


class TunableBert(nn.Module):
    """BERT and models of its shape with gradients.

    Args:
        encoder: The frozen encoder, whose model is trained in place.
        identity: What the indices of tokens depend on.
        trains_front_end: Whether the embeddings are trained.

    Attributes:
        hidden_size: Features of a token (D).
        num_blocks: Transformer blocks.
        adapted: Last names of the linear maps within blocks that low-rank adapters may change.
        reader: Turns texts into inputs.
    """

    adapted: tuple[str, ...] = ("query", "key", "value", "dense")

    def __init__(self, encoder: BertEncoder, identity: str, *, trains_front_end: bool) -> None:
        super().__init__()
        self.model: PreTrainedModel = encoder.model
        self.tokenizer = encoder.tokenizer
        self.hidden_size = encoder.hidden_size
        self.num_blocks = encoder.num_layers - 1
        self.reader = TokenReader(encoder.tokenizer, encoder.max_tokens, identity)
        self.model.requires_grad_(True)
        self.model.get_submodule("embeddings").requires_grad_(trains_front_end)
        pooler = getattr(self.model, "pooler", None)
        if isinstance(pooler, nn.Module):  # changes no token state
            pooler.requires_grad_(False)

    @property
    def identity(self) -> str:
        """Digest of all weights."""
        return digest_weights(self.state_dict())

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes indices: (B, T, 1), (B,) -> (B, T, D), (B,)."""
        mask = torch.arange(inputs.size(1), device=inputs.device) < lengths[:, None]
        indices = inputs.squeeze(-1).long().masked_fill(~mask, self.reader.padding)
        output = self.model(input_ids=indices, attention_mask=mask.long())
        return output.last_hidden_state, lengths

    def keep_blocks(self, count: int) -> None:
        """Removes all but the lowest blocks."""
        encoder = self.model.get_submodule("encoder")
        encoder.layer = encoder.get_submodule("layer")[:count]  # pyright: ignore
        self.num_blocks = self.model.config.num_hidden_layers = count

    def recompute_activations(self) -> None:
        """Computes activations twice instead of storing them: less memory, more time."""
        # Renamed within transformers 5; both take the arguments of PyTorch's function first.
        name = "activation_checkpointing_enable"
        enable = getattr(self.model, name, None) or self.model.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    def save(self, folder: Path, settings: dict[str, object]) -> None:
        """Writes model, configuration and tokenizer as a folder for `load_text_encoder`."""
        for name, value in settings.items():
            setattr(self.model.config, name, value)
        with quiet_loading():
            self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


class TokenReader(StringEncoder):
    """The indices of a text's tokens as frames of one feature.

    Args:
        tokenizer: Of the model.
        max_tokens: Longer texts are cut, the special tokens kept.
        identity: What the indices depend on.
    """

    num_layers = 1
    hidden_size = 1

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_tokens: int, identity: str) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self.identity = identity
        self.padding: int = tokenizer.pad_token_id  # pyright: ignore[reportAttributeAccessIssue]

    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Tokenizes one batch: B texts -> (B, T, 1, 1), (B,)."""
        tokens = tokenize(self._tokenizer, texts, self._max_tokens)
        # Features are stored as floats, which represent the indices of all vocabularies exactly.
        indices = tokens["input_ids"].float()
        return indices[..., None, None], tokens["attention_mask"].sum(dim=1)


def load_tunable(name: str, *, trains_front_end: bool = False) -> TunableBert:
    """Loads an encoder to be trained, in float32 on the CPU.

    Args:
        name: As for `text_encoders.load_text_encoder`; of a sentence-transformers model the
            token states are trained.
        trains_front_end: Whether the embeddings are trained too.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ValueError: The checkpoint is no text encoder, or lacks weights.
    """
    folder = find_checkpoint(name.removeprefix("tokens:"))
    encoder = load_bert(name, folder, "cpu")
    identity = f"indices format={FORMAT} sha256={fingerprint(folder)} " + library_versions(
        "transformers"
    )
    return TunableBert(encoder, identity, trains_front_end=trains_front_end)
