"""Sentence embeddings (Reimers and Gurevych, 2019): one vector per text and layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from speech_encoders.checkpoint import library_versions, naming_errors, quiet_loading
from text_encoders.checkpoint import check_vocabulary, fingerprint, limit_tokens
from text_encoders.contract import StringEncoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FORMAT = 2
"""Number in the identity; grows when the same checkpoint gives other features."""


class SentenceEncoder(StringEncoder):
    """The embedding that the model defines as the last layer, one vector per text; means below it.

    Layers below the last, the token embeddings included, are averaged over the real tokens; the
    last is pooled and normalised as the model defines. A model whose embedding has another size
    than its hidden states gives the embedding alone. Longer texts are cut at the model's own
    maximum.

    Args:
        model: A sentence-transformers model.
        identity: All that the embeddings depend on.
    """

    def __init__(self, model: SentenceTransformer, *, identity: str) -> None:
        size = model.get_embedding_dimension()
        assert size is not None, "a sentence-transformers model has a size of its embeddings"
        self.model = model.eval()
        self.tokenizer = model.tokenizer
        self.identity = identity
        self.hidden_size = size
        config = getattr(model.transformers_model, "config", None)
        self._has_layers = getattr(config, "hidden_size", None) == size
        self.num_layers = 1
        if config is not None and self._has_layers:
            config.output_hidden_states = True
            self.num_layers = int(config.num_hidden_layers) + 1

    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Encodes one batch: B texts -> (B, 1, L, D), (B,)."""
        features = self.model.preprocess(texts)
        features = {
            name: value.to(self.model.device) if isinstance(value, Tensor) else value
            for name, value in features.items()
        }
        output = self.model(features)
        embedding = output["sentence_embedding"].unsqueeze(1)
        counts = embedding.new_ones(len(texts), dtype=torch.long)
        if not self._has_layers:
            return embedding[:, None], counts
        mask = output["attention_mask"].unsqueeze(-1).to(embedding.dtype)
        below = output["all_layer_embeddings"][:-1]
        means = [(states * mask).sum(dim=1) / mask.sum(dim=1) for states in below]
        return torch.cat([torch.stack(means, dim=1), embedding], dim=1)[:, None], counts


def identify(folder: Path) -> str:
    """Returns the identity of the encoder of a folder, from its files alone."""
    versions = library_versions("torch", "transformers", "sentence-transformers")
    return f"sentence format={FORMAT} sha256={fingerprint(folder)} {versions}"


def load_sentence_encoder(folder: Path, device: str) -> SentenceEncoder:
    """Loads a folder that sentence-transformers wrote, in float32."""
    from sentence_transformers import SentenceTransformer

    with quiet_loading(), naming_errors(folder):
        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
    inner = model.transformers_model
    if inner is not None:
        embeddings = cast(nn.Embedding, inner.get_input_embeddings())
        check_vocabulary(str(folder), folder, model.tokenizer, embeddings.num_embeddings)
        longest = limit_tokens(inner, model.tokenizer)
        model.max_seq_length = min(model.max_seq_length or longest, longest)
    return SentenceEncoder(model, identity=identify(folder))
