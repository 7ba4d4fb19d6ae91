"""emotion2vec as a speech encoder: clips and recordings in, hidden states of all layers out."""

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from speech_encoders.checkpoint import find_checkpoint, library_versions, quiet_loading
from speech_encoders.emotion2vec.front_end import HOP, RECEPTIVE_FIELD, count_frames
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.released import read_released
from speech_encoders.emotion2vec.windows import (
    CONTEXT_FRAMES,
    WINDOW_FRAMES,
    iterate_windows,
    normalize,
)
from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions

FORMAT = 1
"""Number in the identity; grows when the same weights give other features."""

SHIPPED = "emotion2vec-mini"
"""Name of the encoder whose weights come with the package; ``mini/README.md`` is its card."""

_PREFIX = "emotion2vec:"
_SHIPPED_FOLDER = Path(__file__).parent / "mini"


class Emotion2vecEncoder:
    """The input of the first block and the output of each; frames at 50 Hz.

    `speech_encoders.emotion2vec.frame_times` gives the seconds of the frames.

    Clips of similar length are encoded together, padded and masked; longer ones than a window as
    `speech_encoders.emotion2vec.windows` says. An instance is a `speech_encoders.SpeechEncoder`.

    Args:
        model: The model in evaluation mode.
    """

    frame_rate = SAMPLE_RATE / HOP
    min_samples = RECEPTIVE_FIELD

    def __init__(self, model: Emotion2vecModel) -> None:
        self.model = model
        self.num_layers: int = model.config.num_hidden_layers + 1
        self.hidden_size: int = model.config.hidden_size
        self.identity = (
            f"emotion2vec format={FORMAT} sha256={_digest(model)} "
            f"window={WINDOW_FRAMES} context={CONTEXT_FRAMES} {library_versions()}"
        )
        # A processor gains nothing from a batch, and padding costs it what a clip of that size
        # costs; an accelerator waits for small batches.
        self.max_padding = 0.0 if model.device.type == "cpu" else 0.25

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch: (B, S), (B,) -> (B, L, T, D), (B,); see `SpeechEncoder`."""
        check_waveforms(waveforms, lengths, self.min_samples)
        waveforms, lengths = waveforms.to(self.model.device), lengths.to(self.model.device)
        num_frames = (lengths - RECEPTIVE_FIELD) // HOP + 1
        states = waveforms.new_zeros(
            len(waveforms), self.num_layers, int(num_frames.max()), self.hidden_size
        )
        for rows in _similar(lengths.tolist(), self.max_padding):
            if count_frames(int(lengths[rows].max())) <= WINDOW_FRAMES:
                part = self._encode_clips(waveforms[rows], lengths[rows])
                states[rows, :, : part.size(2)] = part
            else:
                for row in rows:
                    self._encode_recording(waveforms[row, : lengths[row]], states[row])
        padding = ~real_positions(num_frames, states.size(2))
        return states.masked_fill_(padding[:, None, :, None], 0.0), num_frames

    def _encode_clips(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Encodes clips that fit into a window: (B, S), (B,) -> (B, L, T, D)."""
        size = int(lengths.max())
        clips = waveforms.new_zeros(len(waveforms), size)
        for clip, waveform, length in zip(clips, waveforms, lengths.tolist(), strict=True):
            clip[:length] = normalize(waveform[:length])
        mask = real_positions(lengths, size)
        output = self.model(clips, None if bool(mask.all()) else mask, output_hidden_states=True)
        return torch.stack(output.hidden_states, dim=1)

    def _encode_recording(self, waveform: Tensor, states: Tensor) -> None:
        """Writes a recording's hidden states: (S,), (L, T, D)."""
        for window in iterate_windows(self.model, normalize(waveform), all_layers=True):
            stop = window.first_frame + window.states.size(1)
            states[:, window.first_frame : stop] = window.states


def load_emotion2vec(name: str, device: str) -> Emotion2vecEncoder:
    """Loads emotion2vec in float32.

    Args:
        name: `SHIPPED`; or a converted folder, a Hugging Face hub id, or a released ``.pt`` file,
            with or without ``emotion2vec:`` before it.
        device: Where to compute.

    Raises:
        FileNotFoundError: The weights are neither here nor to be had from the hub.
        ValueError: The weights are incomplete or of another model.
    """
    source = name.removeprefix(_PREFIX)
    if source in ("", "emotion2vec"):
        raise FileNotFoundError(
            f"{name}: names no weights; pass {SHIPPED}, which comes with this package, or "
            "'emotion2vec:' and a released .pt file, the folder that "
            "'python -m speech_encoders.emotion2vec.convert' made of one, or a hub id"
        )
    path = _SHIPPED_FOLDER if source == SHIPPED else Path(source).expanduser()
    model = read_released(path).encoder if path.suffix == ".pt" else read_encoder(str(path))
    nn.Module.to(model.eval(), device)
    # Triton compiles FlexAttention; it comes with PyTorch for Linux.
    if model.device.type == "cuda" and importlib.util.find_spec("triton"):
        model.config._attn_implementation = "flex_attention"
    return Emotion2vecEncoder(model)


def read_encoder(name: str) -> Emotion2vecModel:
    """Reads the encoder of a folder or hub id in float32, whatever else is there.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It lacks weights, or is of another model.
    """
    folder = find_checkpoint(name)
    model_type = json.loads((folder / "config.json").read_text()).get("model_type")
    if model_type != "emotion2vec":
        raise ValueError(
            f"{name}: model type {model_type!r} is not emotion2vec; leave out the prefix"
        )
    with quiet_loading():
        loaded = Emotion2vecModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    model, report = cast("tuple[Emotion2vecModel, dict[str, set[str]]]", loaded)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(
            f"{name}: the checkpoint lacks {len(missing)} weights, first {missing[0]!r}; without "
            "them the features would be random"
        )
    return model


def _digest(model: Emotion2vecModel) -> str:
    """Digests all that frames depend on, the same for a released file and its converted folder."""
    config = model.config
    digest = hashlib.sha256(f"{config.num_attention_heads} {config.layer_norm_eps}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _similar(lengths: list[int], max_padding: float) -> Iterator[list[int]]:
    """Groups clips whose longest exceeds the shortest by at most a share: -> rows of each group."""
    rows = sorted(range(len(lengths)), key=lengths.__getitem__)
    group = rows[:1]
    for row in rows[1:]:
        if lengths[row] > lengths[group[0]] * (1 + max_padding):
            yield group
            group = []
        group.append(row)
    yield group
