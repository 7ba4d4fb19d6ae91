"""Text encoders that can be trained: the indices of a text's tokens in, token states out."""

import torch
from torch import Tensor, nn

from speech_encoders.checkpoint import library_versions
from speech_encoders.tunable import TunableEncoder
from text_encoders.bert import BertEncoder, load_bert
from text_encoders.checkpoint import find_checkpoint, fingerprint
from text_encoders.contract import StringEncoder

FORMAT = 1
"""Number in the reader's identity; grows when the same text gives other indices."""


class TunableBert(TunableEncoder):
    """BERT and models of its shape with gradients.

    Args:
        encoder: The frozen encoder, whose model is trained in place.
        identity: What the indices of tokens depend on.
        trains_front_end: Whether the embeddings are trained.
    """

    adapted = ("query", "key", "value", "dense")

    def __init__(self, encoder: BertEncoder, identity: str, *, trains_front_end: bool) -> None:
        super().__init__(encoder.model, encoder.tokenizer, "layer")
        self.reader = TokenReader(encoder, identity)
        self._padding: int = encoder.tokenizer.pad_token_id  # pyright: ignore
        self.model.requires_grad_(True)
        self.model.get_submodule("embeddings").requires_grad_(trains_front_end)
        pooler = getattr(self.model, "pooler", None)
        if isinstance(pooler, nn.Module):  # changes no token state
            pooler.requires_grad_(False)

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes indices: (B, T, 1), (B,) -> (B, T, D), (B,)."""
        mask = torch.arange(inputs.size(1), device=inputs.device) < lengths[:, None]
        indices = inputs.squeeze(-1).long().masked_fill(~mask, self._padding)
        output = self.model(input_ids=indices, attention_mask=mask.long())
        return output.last_hidden_state, lengths


class TokenReader(StringEncoder):
    """The indices of a text's tokens as frames of one feature."""

    num_layers = 1
    hidden_size = 1

    def __init__(self, encoder: BertEncoder, identity: str) -> None:
        self._encoder = encoder
        self.identity = identity

    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Tokenizes one batch: B texts -> (B, T, 1, 1), (B,)."""
        tokens = self._encoder.tokenize(texts)
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
    versions = library_versions("transformers")
    identity = f"indices format={FORMAT} sha256={fingerprint(folder)} {versions}"
    return TunableBert(encoder, identity, trains_front_end=trains_front_end)
