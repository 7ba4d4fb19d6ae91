"""Sentence embeddings (Reimers and Gurevych, 2019): one vector per text and layer."""

from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from text_encoders.checkpoint import fingerprint, library_versions, quiet_loading
from text_encoders.texts import check_texts

FORMAT = 2
"""Number in the identity; grows when the same checkpoint gives other features."""

_BATCH_SIZE = 64


class SentenceEncoder:
    """The embedding that the model defines as its last layer, and the means of those below.

    Layers below the last, the token embeddings included, are averaged over the real tokens; the
    last is pooled and normalised as the model itself says. A model whose embedding has another
    size than its hidden states gives the embedding alone. Longer texts are cut at the model's own
    maximum. An instance is a `text_encoders.TextEncoder` with one token per text.

    Args:
        model: A sentence-transformers model.
        identity: All that the embeddings depend on.
    """

    def __init__(self, model: SentenceTransformer, *, identity: str) -> None:
        size = model.get_embedding_dimension()
        assert size is not None, "a sentence-transformers model knows the size of its embeddings"
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

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encodes texts: B texts -> (B, L, 1, D), (B,); see `TextEncoder`."""
        check_texts(texts)
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        batches = [
            order[first : first + _BATCH_SIZE] for first in range(0, len(order), _BATCH_SIZE)
        ]
        found = torch.cat([self._encode([texts[place] for place in batch]) for batch in batches])
        layers = torch.empty_like(found)
        layers[order] = found
        counts = torch.ones(len(texts), dtype=torch.long, device=layers.device)
        return layers.unsqueeze(2), counts

    def _encode(self, texts: list[str]) -> Tensor:
        """Encodes one batch: B texts -> (B, L, D)."""
        features = self.model.preprocess(texts)
        features = {
            name: value.to(self.model.device) if isinstance(value, Tensor) else value
            for name, value in features.items()
        }
        output = self.model(features)
        embedding = output["sentence_embedding"].unsqueeze(1)
        if not self._has_layers:
            return embedding
        mask = output["attention_mask"].unsqueeze(-1).to(embedding.dtype)
        below = output["all_layer_embeddings"][:-1]
        means = [(states * mask).sum(dim=1) / mask.sum(dim=1) for states in below]
        return torch.cat([torch.stack(means, dim=1), embedding], dim=1)


def load_sentence_encoder(folder: Path, device: str) -> SentenceEncoder:
    """Loads a folder that sentence-transformers wrote, in float32."""
    with quiet_loading():
        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
    versions = library_versions("torch", "transformers", "sentence-transformers")
    return SentenceEncoder(
        model, identity=f"sentence format={FORMAT} sha256={fingerprint(folder)} {versions}"
    )
