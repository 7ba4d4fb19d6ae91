"""emotion2vec as a speech encoder: clips and recordings in, hidden states of all layers out."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from speech_encoders import read_model_type
from speech_encoders.checkpoint import digest_weights, library_versions, load_encoder
from speech_encoders.contract import WaveformEncoder
from speech_encoders.emotion2vec.configuration import SIZES, Emotion2vecConfig
from speech_encoders.emotion2vec.front_end import FRAMING, HOP, RECEPTIVE_FIELD
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.released import read_released
from speech_encoders.emotion2vec.windows import (
    CONTEXT_FRAMES,
    WINDOW_FRAMES,
    iterate_windows,
    normalize,
)
from speech_encoders.waveforms import SAMPLE_RATE, real_positions

FORMAT = 1
"""Number in the identity; grows when the same weights give other features."""

SEED = 0
"""Seed of random weights, so that the same name always gives the same encoder."""

SHIPPED = "emotion2vec-mini"
"""Name of the encoder whose weights come with the package; ``mini/README.md`` is its card."""

_PREFIX, _UNTRAINED = "emotion2vec:", "untrained:"
_SHIPPED_FOLDER = Path(__file__).parent / "mini"


class Emotion2vecEncoder(WaveformEncoder):
    """The input of the first block of a model in evaluation mode, the output of each; 50 Hz.

    `speech_encoders.emotion2vec.frame_times` gives the seconds of the frames. Clips of similar
    length are encoded together, padded and masked; those longer than a window window by window, see
    `speech_encoders.emotion2vec.windows`.
    """

    frame_rate = SAMPLE_RATE / HOP
    min_samples = RECEPTIVE_FIELD

    def __init__(self, model: Emotion2vecModel) -> None:
        self.model = model
        config = model.config
        self.num_layers = config.num_hidden_layers + 1
        self.hidden_size = config.hidden_size
        # Of weights, not files: the same for a released file and its converted folder.
        header = f"{config.num_attention_heads} {config.layer_norm_eps}\n"
        digest = digest_weights(model.state_dict(), header)
        self.identity = (
            f"emotion2vec format={FORMAT} sha256={digest} "
            f"window={WINDOW_FRAMES} context={CONTEXT_FRAMES} {library_versions()}"
        )
        # A processor gains nothing from a batch, and padding costs it what a clip of that size
        # costs; an accelerator waits for small batches.
        self.max_padding = 0.0 if model.device.type == "cpu" else 0.25

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes clips together and recordings by windows: (B, S), (B,) -> (B, L, T, D), (B,)."""
        waveforms, lengths = waveforms.to(self.model.device), lengths.to(self.model.device)
        num_frames = FRAMING.count_each(lengths)
        states = waveforms.new_zeros(
            len(waveforms), self.num_layers, int(num_frames.max()), self.hidden_size
        )
        for rows in _similar(lengths.tolist(), self.max_padding):
            if int(num_frames[rows].max()) <= WINDOW_FRAMES:
                part = self._encode_clips(waveforms[rows], lengths[rows])
                states[rows, :, : part.size(2)] = part
            else:
                for row in rows:
                    self._encode_recording(waveforms[row, : lengths[row]], states[row])
        return states, num_frames

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


def load(name: str, device: str) -> Emotion2vecEncoder:
    """Loads `SHIPPED`, a folder, hub id or ``.pt``, ``emotion2vec:`` before it or not.

    After ``untrained:``, a size or a folder's shape gives what the architecture gives before any
    training. Errors are those of `load_speech_encoder`.
    """
    if name.startswith(_UNTRAINED):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = Emotion2vecModel(_find_config(name, name.removeprefix(_UNTRAINED)))
    else:
        model = _load_trained(name, name.removeprefix(_PREFIX))
        # Triton compiles FlexAttention; it comes with PyTorch for Linux.
        if torch.device(device).type == "cuda" and importlib.util.find_spec("triton"):
            model.config._attn_implementation = "flex_attention"
    nn.Module.to(model.eval(), device)
    return Emotion2vecEncoder(model)


def _load_trained(name: str, source: str) -> Emotion2vecModel:
    if source in ("", "emotion2vec"):
        raise FileNotFoundError(
            f"{name}: names no weights; pass {SHIPPED}, which comes with this package, or "
            "'emotion2vec:' and a released .pt file, the folder that "
            "'python -m speech_encoders.emotion2vec.convert' made of one, or a hub id"
        )
    path = _SHIPPED_FOLDER if source == SHIPPED else Path(source).expanduser()
    if path.suffix == ".pt":
        return read_released(path).encoder
    return load_encoder(Emotion2vecModel, str(path))


def _find_config(name: str, source: str) -> Emotion2vecConfig:
    for size in SIZES:
        if source == size:
            return Emotion2vecConfig.of_size(size)
    folder = Path(source).expanduser()
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{name}: no config.json in {folder}; pass a folder of emotion2vec, or one "
            f"of its sizes: {', '.join(SIZES)}"
        )
    if (model_type := read_model_type(folder)) != Emotion2vecConfig.model_type:
        raise ValueError(
            f"{name}: model type {model_type!r} is not emotion2vec, the only one that "
            "can be untrained"
        )
    return Emotion2vecConfig.from_pretrained(folder, local_files_only=True)


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
