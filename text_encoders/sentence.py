"""Sentence embeddings (Reimers and Gurevych, 2019): one vector per text."""

from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from text_encoders.checkpoint import fingerprint, library_versions, quiet_loading
from text_encoders.texts import check_texts

FORMAT = 1
"""Number in the identity; grows when the same checkpoint gives other features."""

_BATCH_SIZE = 64


class SentenceEncoder:
    """One embedding per text, pooled and normalised as the model itself defines.

    Longer texts are cut at the model's own maximum. An instance is a `text_encoders.TextEncoder`
    with one layer and one token per text.

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
        self.num_layers = 1
        self.hidden_size = size

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encodes texts: B texts -> (B, 1, 1, D), (B,); see `TextEncoder`."""
        check_texts(texts)
        embeddings = self.model.encode(
            list(texts), batch_size=_BATCH_SIZE, convert_to_tensor=True, show_progress_bar=False
        )
        counts = torch.ones(len(texts), dtype=torch.long, device=embeddings.device)
        return embeddings[:, None, None, :], counts


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
