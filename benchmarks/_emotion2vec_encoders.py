"""emotion2vec of this suite and of FunASR behind one call: waveforms in, frames out."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speech_encoders.emotion2vec import Emotion2vecModel, iterate_windows, normalize
from speech_encoders.emotion2vec.front_end import count_frames
from speech_encoders.emotion2vec.released import read_released
from speech_encoders.emotion2vec.windows import WINDOW_FRAMES
from tests.funasr_emotion2vec import Shape, build_funasr

Encode = Callable[[list[Tensor]], Iterator[Tensor]]


def save_weights(path: Path) -> None:
    """Writes random weights of the base size in the released layout."""
    with contextlib.redirect_stdout(sys.stderr):
        torch.save({"model": build_funasr(Shape(), seed=0).state_dict()}, path)


@torch.inference_mode()
def encode_ours(
    model: Emotion2vecModel, waveforms: list[Tensor], batch_size: int
) -> Iterator[Tensor]:
    """Gives the frames of batches of similar clips, and of windows of recordings."""
    waveforms = sorted(waveforms, key=len)
    short = [clip for clip in waveforms if count_frames(len(clip)) <= WINDOW_FRAMES]
    for start in range(0, len(short), batch_size):
        clips = [normalize(clip) for clip in short[start : start + batch_size]]
        lengths = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        batch = pad_sequence(clips, batch_first=True)
        is_real = torch.arange(batch.size(1), device=batch.device) < lengths[:, None]
        yield model(batch, None if len(clips) == 1 else is_real).last_hidden_state
    for waveform in waveforms[len(short) :]:
        for window in iterate_windows(model, normalize(waveform)):
            yield window.states


@torch.inference_mode()
def encode_theirs(model: nn.Module, waveforms: list[Tensor]) -> Iterator[Tensor]:
    """Gives the frames of one clip after the other, as FunASR's inference does."""
    extract = cast("Callable[..., dict[str, Tensor]]", model.extract_features)
    for waveform in waveforms:
        yield extract(normalize(waveform)[None], padding_mask=None)["x"]


def load_ours(weights: Path, device: str, attention: str, batch_size: int) -> Encode:
    """Loads this suite's model from a file in the released layout."""
    model = read_released(weights).encoder
    model.config._attn_implementation = attention
    nn.Module.to(model, device)
    return lambda waveforms: encode_ours(model, waveforms, batch_size)


def load_theirs(weights: Path, device: str) -> Encode:
    """Loads FunASR's model from the same file."""
    with contextlib.redirect_stdout(sys.stderr):  # the table alone goes to the output
        model = build_funasr(Shape(), seed=0)
    model.load_state_dict(torch.load(weights, weights_only=True)["model"])
    model.to(device)
    return lambda waveforms: encode_theirs(model, waveforms)
