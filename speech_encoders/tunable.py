"""What encoders that are trained have in common, and how clips become their inputs."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel, SequenceFeatureExtractor

from speech_encoders.checkpoint import digest_weights, library_versions, quiet_loading
from speech_encoders.contract import WaveformEncoder


class TunableEncoder(nn.Module, ABC):
    """An encoder with gradients; padding and batch-mates change nothing, as for frozen ones.

    Its inputs are what its ``reader`` makes of clips: the samples themselves, or the output of its
    convolutions, which is worth storing where they are frozen, since it never changes.

    Args:
        model: The model of the transformers library to train.
        extractor: How the model expects its clips, for the folders that are saved.
        blocks: Name of the Transformer blocks in the model's encoder.

    Attributes:
        hidden_size: Features of a frame (D).
        num_blocks: Transformer blocks.
        adapted: Last names of the linear maps within blocks that low-rank adapters may change.
        reader: Turns clips into inputs.
    """

    adapted: tuple[str, ...]
    reader: WaveformEncoder

    def __init__(
        self, model: PreTrainedModel, extractor: SequenceFeatureExtractor, blocks: str
    ) -> None:
        super().__init__()
        self.model = model
        self.hidden_size: int = model.config.hidden_size
        self.num_blocks: int = model.config.num_hidden_layers
        self._extractor = extractor
        self._blocks = blocks

    @property
    def identity(self) -> str:
        """Digest of all weights."""
        return digest_weights(self.state_dict())

    @abstractmethod
    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, N, D') inputs of (B,) lengths -> frames (B, T, D), their number (B,)."""

    @abstractmethod
    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""

    def keep_blocks(self, count: int) -> None:
        """Removes all but the lowest blocks."""
        encoder = self.model.get_submodule("encoder")
        kept = encoder.get_submodule(self._blocks)[:count]  # pyright: ignore[reportIndexIssue]
        setattr(encoder, self._blocks, kept)
        self.num_blocks = self.model.config.num_hidden_layers = count

    def recompute_activations(self) -> None:
        """Computes activations twice instead of storing them: less memory, more time."""
        # Renamed within transformers 5; both take the arguments of PyTorch's function first.
        name = "activation_checkpointing_enable"
        enable = getattr(self.model, name, None) or self.model.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    def save(self, folder: Path, settings: dict[str, object]) -> None:
        """Writes a folder for `load_speech_encoder`, with ``settings`` in its configuration."""
        for name, value in settings.items():
            setattr(self.model.config, name, value)
        with quiet_loading():
            self.model.save_pretrained(folder)
        self._extractor.save_pretrained(folder)


class ConvolutionReader(WaveformEncoder):
    """The output of frozen convolutions as the one layer.

    Args:
        encoder: The encoder whose convolutions are used.
        kind: What the output depends on besides the weights.
        weights: Weights of the convolutions by name.
        hidden_size: Their channels.
        frame_rate: Frames per second.
        min_samples: Samples of the shortest clip that gives a frame.
    """

    num_layers = 1

    def __init__(
        self,
        encoder: TunableEncoder,
        kind: str,
        weights: Mapping[str, Tensor],
        *,
        hidden_size: int,
        frame_rate: float,
        min_samples: int,
    ) -> None:
        self._encoder = encoder
        self.hidden_size, self.frame_rate = hidden_size, frame_rate
        self.min_samples = min_samples
        self.identity = json.dumps(
            {
                "front_end": kind,
                "format": 1,
                "sha256": digest_weights(weights),
                "versions": library_versions(),
            }
        )

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions: (B, S), (B,) -> (B, 1, T, C), (B,)."""
        device = self._encoder.model.device
        frames, num_frames = self._encoder.convolve(waveforms.to(device), lengths.to(device))
        return frames[:, None], num_frames
