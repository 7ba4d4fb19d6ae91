"""What encoders that are trained have in common, those of speech and those of text."""

from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, SequenceFeatureExtractor

from speech_encoders.checkpoint import digest_weights, quiet_loading


class TunableEncoder(nn.Module, ABC):
    """An encoder with gradients; padding and batch-mates change nothing, as for frozen ones.

    Its inputs are what the frozen encoder ``reader`` makes of clips or texts.

    Args:
        model: The model of the transformers library to train.
        preparation: How the model expects clips or texts, for the folders that are saved.
        blocks: Name of the Transformer blocks within the model.

    Attributes:
        hidden_size: Features of a frame or token (D).
        num_blocks: Transformer blocks.
        adapted: Last names of the linear maps within blocks that low-rank adapters may change.
    """

    adapted: tuple[str, ...]

    def __init__(
        self,
        model: PreTrainedModel,
        preparation: SequenceFeatureExtractor | PreTrainedTokenizerBase,
        blocks: str,
    ) -> None:
        super().__init__()
        self.model = model
        self.hidden_size: int = model.config.hidden_size
        self.num_blocks: int = model.config.num_hidden_layers
        self._preparation = preparation
        self._blocks = blocks

    @property
    def identity(self) -> str:
        """Digest of all weights."""
        return digest_weights(self.state_dict())

    @abstractmethod
    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, N, D') inputs of (B,) lengths -> frames (B, T, D), their number (B,)."""

    def keep_blocks(self, count: int) -> None:
        """Removes all but the lowest blocks."""
        kept = self.model.get_submodule(self._blocks)[:count]  # pyright: ignore[reportIndexIssue]
        self.model.set_submodule(self._blocks, kept)
        self.num_blocks = self.model.config.num_hidden_layers = count

    def recompute_activations(self) -> None:
        """Computes activations twice instead of storing them: less memory, more time."""
        # Renamed within transformers 5; both take the arguments of PyTorch's function first.
        name = "activation_checkpointing_enable"
        enable = getattr(self.model, name, None) or self.model.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    def save(self, folder: Path, settings: dict[str, object]) -> None:
        """Writes a folder that encoders are loaded from, ``settings`` in its configuration."""
        for name, value in settings.items():
            setattr(self.model.config, name, value)
        with quiet_loading():
            self.model.save_pretrained(folder)
        self._preparation.save_pretrained(folder)
