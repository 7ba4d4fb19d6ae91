"""Token states of BERT (Devlin et al., 2019) and models of its shape, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from speech_encoders.checkpoint import (
    library_versions,
    load_whole,
    naming_errors,
    quiet_loading,
)
from text_encoders.checkpoint import check_vocabulary, fingerprint, limit_tokens
from text_encoders.contract import StringEncoder

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

FORMAT = 1
"""Number in the identity; grows when the same checkpoint gives other features."""

_NOT_USED = "pooler."  # an untrained pooler changes no token state


class BertEncoder(StringEncoder):
    """The token embeddings and the output of each layer.

    Special tokens count as tokens, as in the pooling of the models themselves: a text of one word
    has three with BERT, ``[CLS] word [SEP]``. Longer texts are cut at the model's maximum, the
    special tokens kept.

    Args:
        model: A bidirectional Transformer encoder.
        tokenizer: Its tokenizer.
        identity: All that the hidden states depend on.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, identity: str
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.identity = identity
        self.num_layers = model.config.num_hidden_layers + 1
        self.hidden_size = model.config.hidden_size
        self.max_tokens = limit_tokens(model, tokenizer)

    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Encodes one batch: B texts -> (B, T, L, D), (B,)."""
        tokens = self.tokenize(texts).to(self.model.device)
        output = self.model(**tokens, output_hidden_states=True)
        return torch.stack(output.hidden_states, dim=2), tokens["attention_mask"].sum(dim=1)

    def find_spans(self, text: str) -> list[tuple[int, int]] | None:
        """Returns where each token of a text begins and ends in it; special ones nowhere, at 0.

        None if the tokenizer, one in Python alone, does not know.
        """
        if not self.tokenizer.is_fast:
            return None
        found = self.tokenizer(
            text, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True
        )
        return [(int(start), int(end)) for start, end in found["offset_mapping"]]

    def tokenize(self, texts: list[str]) -> BatchEncoding:
        """Returns indices and mask of B texts, each (B, T), padded on the right and cut."""
        return self.tokenizer(
            texts,
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )


def identify(folder: Path) -> str:
    """Returns the identity of the encoder of a folder, from its files alone."""
    return f"tokens format={FORMAT} sha256={fingerprint(folder)} {library_versions()}"


def load_bert(name: str, folder: Path, device: str) -> BertEncoder:
    """Loads the folder of a checkpoint in float32; ``name`` is for errors.

    Raises:
        ValueError: The checkpoint is no bidirectional encoder with padding, or lacks weights.
    """
    from transformers import AutoModel, AutoTokenizer

    with quiet_loading(), naming_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = load_whole(cast("type[PreTrainedModel]", AutoModel), name, folder, optional=_NOT_USED)
    if model.config.is_encoder_decoder or tokenizer.pad_token is None:
        raise ValueError(
            f"{name}: model type {model.config.model_type!r} is no BERT-like encoder with a "
            "padding token; choose a BERT, RoBERTa or DeBERTa checkpoint"
        )
    embeddings = cast(nn.Embedding, model.get_input_embeddings())
    check_vocabulary(name, folder, tokenizer, embeddings.num_embeddings)
    nn.Module.to(model, device)
    return BertEncoder(model, tokenizer, identity=identify(folder))
