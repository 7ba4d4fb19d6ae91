"""Speech encoders: waveforms in, hidden states of every layer out.

Leaves of the suite: no encoder knows tables, corpora or experiments. `load_speech_encoder` turns a
name into one; all of them answer the same call, `SpeechEncoder`.

Tensor shapes are written with one alphabet:

    B  clips in a batch     L  layers of an encoder
    S  samples              T  frames
    D  features
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class SpeechEncoder(Protocol):
    """Turns clips into hidden states; padding and batch-mates never change a clip's result."""

    @property
    def identity(self) -> str:
        """All that the features depend on: kind, settings, weights, format, library versions."""
        ...

    @property
    def num_layers(self) -> int:
        """Layers of hidden states (L), the input of the first Transformer layer included."""
        ...

    @property
    def hidden_size(self) -> int:
        """Features of a frame (D)."""
        ...

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        ...

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that gives a frame."""
        ...

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch in inference mode.

        Args:
            waveforms: Mono speech at 16 kHz in [-1, 1], float32 of shape (B, S); what lies behind
                a clip's length is never looked at.
            lengths: Real samples of each clip, shape (B,).

        Returns:
            Hidden states of shape (B, L, T, D), zero at padded frames, and the number of real
            frames of each clip, shape (B,), both on the encoder's device.

        Raises:
            ValueError: The shapes do not fit, or a clip is shorter than `min_samples`.
        """
        ...


def load_speech_encoder(name: str, *, device: str = "cpu") -> SpeechEncoder:
    """Loads a speech encoder.

    Args:
        name: A name in `BUILDERS`; else a Hugging Face hub id or a local folder of a wav2vec 2.0,
            HuBERT, WavLM, data2vec-audio or Whisper checkpoint, of Whisper only the encoder; for
            emotion2vec a released ``.pt`` file or a converted folder, with ``emotion2vec:`` before
            a hub id; a folder that CPC's pre-training wrote; ``untrained:`` and a size or folder of
            emotion2vec for random weights.
        device: Where it computes, for instance ``cpu`` or ``cuda:0``.

    Raises:
        FileNotFoundError: The checkpoint is neither here nor to be had from the hub.
        ModuleNotFoundError: The encoder needs a package that is not installed.
        ValueError: The checkpoint is of another model family, or lacks weights.
    """
    if name.startswith("untrained:"):
        return _build_untrained(name, device)
    if name.startswith("emotion2vec:") or _is_emotion2vec(Path(name).expanduser()):
        return _build_emotion2vec(name, device)
    if name.startswith("cpc:") or _read_model_type(Path(name).expanduser()) == "cpc":
        return _build_cpc(name, device)
    return BUILDERS.get(name, _build_pretrained)(name, device)


def _build_spectral(name: str, device: str) -> SpeechEncoder:
    from speech_encoders.spectral import fbank, mfcc

    return {"fbank": fbank, "mfcc": mfcc}[name](device=device)


def _build_egemaps(name: str, device: str) -> SpeechEncoder:
    del name
    from speech_encoders.egemaps import EgemapsEncoder

    return EgemapsEncoder(device=device)


def _build_pretrained(name: str, device: str) -> SpeechEncoder:
    from speech_encoders.pretrained import load_pretrained

    return load_pretrained(name, device)


def _build_samples(name: str, device: str) -> SpeechEncoder:
    del name, device
    from speech_encoders.cpc.modeling import RECEPTIVE_FIELD
    from speech_encoders.samples import SampleEncoder

    return SampleEncoder(RECEPTIVE_FIELD)


def _is_emotion2vec(path: Path) -> bool:
    """Tells a released file or a converted folder of emotion2vec from other checkpoints."""
    return path.suffix == ".pt" or _read_model_type(path) == "emotion2vec"


def _read_model_type(path: Path) -> str | None:
    """Tells what model a folder holds, if it is one."""
    config = path / "config.json"
    return json.loads(config.read_text()).get("model_type") if config.is_file() else None


def _build_emotion2vec(name: str, device: str) -> SpeechEncoder:
    from speech_encoders.emotion2vec import load_emotion2vec

    return load_emotion2vec(name, device)


def _build_cpc(name: str, device: str) -> SpeechEncoder:
    from speech_encoders.cpc import load_cpc

    return load_cpc(name, device)


def _build_untrained(name: str, device: str) -> SpeechEncoder:
    from speech_encoders.untrained import load_untrained

    return load_untrained(name, device)


BUILDERS: dict[str, Callable[[str, str], SpeechEncoder]] = {
    "fbank": _build_spectral,
    "mfcc": _build_spectral,
    "egemaps": _build_egemaps,
    "samples": _build_samples,
    "emotion2vec": _build_emotion2vec,
    "emotion2vec-mini": _build_emotion2vec,
}
"""Builders of the encoders that have a name of their own: (name, device) -> encoder."""
