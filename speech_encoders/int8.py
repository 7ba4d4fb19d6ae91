"""``int8:NAME``: an encoder whose linear maps multiply in 8 bits, for extraction on a processor.

Weights have a scale for each output; inputs one for each clip, so that a clip is encoded by itself
and batch-mates never change its result. Maps to fewer features stay in single precision: they
follow the nonlinearity of a block, whose few very large activations leave no steps for the others.
"""

import warnings

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speech_encoders import identify as identify_encoder
from speech_encoders import load_speech_encoder
from speech_encoders.contract import WaveformEncoder

PREFIX = "int8:"

_MOST = 127


def load(name: str, device: str) -> "Int8Encoder":
    """Loads any encoder with linear maps, ``int8:`` before its name; it computes on the processor.

    Raises:
        ValueError: The encoder has no linear map. Other errors are those of `load_speech_encoder`.
    """
    encoder = load_speech_encoder(name.removeprefix(PREFIX))
    model = getattr(encoder, "model", None)
    if not (isinstance(model, nn.Module) and _quantise(model)):
        raise ValueError(
            f"{name}: has no linear maps to compute in 8 bits; leave out {PREFIX}, or name an "
            "encoder with a Transformer"
        )
    return Int8Encoder(encoder)


def identify(name: str) -> str | None:
    """Returns the identity of the encoder of a name, from its files; None where they do not say."""
    identity = identify_encoder(name.removeprefix(PREFIX))
    return None if identity is None else _identify(identity)


def _identify(identity: str) -> str:
    return f"int8 format=1 engine={torch.backends.quantized.engine} {identity}"


class Int8Encoder(WaveformEncoder):
    """Encodes clip after clip with an encoder whose maps are `Int8Linear`."""

    def __init__(self, encoder: WaveformEncoder) -> None:
        self.identity = _identify(encoder.identity)
        self.num_layers = encoder.num_layers
        self.hidden_size = encoder.hidden_size
        self.frame_rate = encoder.frame_rate
        self.min_samples = encoder.min_samples
        self._encoder = encoder

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes clip after clip: (B, S), (B,) -> (B, L, T, D), (B,)."""
        encoded = [
            self._encoder.encode(waveform[None, : int(length)], length[None])
            for waveform, length in zip(waveforms, lengths, strict=True)
        ]
        states = [clip[0].transpose(0, 1) for clip, _ in encoded]  # frames first, to be padded
        num_frames = torch.cat([count for _, count in encoded])
        return pad_sequence(states, batch_first=True).transpose(1, 2).contiguous(), num_frames


class Int8Linear(nn.Module):
    """A linear map in 8 bits: one scale for each output, one for the whole input."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / _MOST).clamp(min=torch.finfo(torch.float32).tiny)
        zeros = torch.zeros(len(weight), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors in 8 bits, which are to be replaced
            quantised = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantised, linear.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (..., D) -> (..., H)."""
        # Inputs in 7 bits: sums of two products fit the 16 bits of processors without VNNI.
        return torch.ops.quantized.linear_dynamic(inputs, self._packed, reduce_range=True)


def _quantise(model: nn.Module) -> int:
    """Replaces the linear maps that do not narrow -> how many."""
    count = 0
    for name, module in [*model.named_children()]:
        # Not its subclasses: the library reads the weights of some itself.
        if type(module) is not nn.Linear:
            count += _quantise(module)
        elif module.in_features <= module.out_features:
            setattr(model, name, Int8Linear(module))
            count += 1
    return count
