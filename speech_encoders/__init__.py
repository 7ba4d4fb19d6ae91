"""Speech encoders: waveforms in, hidden states of every layer out.

Leaves of the suite: no encoder depends on tables, corpora or experiments. `load_speech_encoder`
loads one by its name; all are a `speech_encoders.contract.WaveformEncoder`.

Tensor shapes are written with one alphabet:

    B  clips in a batch     L  layers of an encoder
    S  samples              T  frames
    D  features
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speech_encoders.contract import WaveformEncoder
    from speech_encoders.whisper.transcription import Transcriber


def load_speech_encoder(name: str, *, device: str = "cpu") -> WaveformEncoder:
    """Loads a speech encoder.

    Args:
        name: A name in `BUILDERS`; else a Hugging Face hub id or a local folder of a wav2vec 2.0,
            HuBERT, WavLM, data2vec-audio or Whisper checkpoint, of Whisper only the encoder, with
            ``padded:`` before it on windows of 30 s, as it was trained; for emotion2vec a released
            ``.pt`` file or a converted folder, with ``emotion2vec:`` before a hub id; a folder that
            CPC's pre-training wrote, with ``cpc:`` before a hub id;
            ``speechbrain/spkrec-ecapa-voxceleb`` or a folder with its ``embedding_model.ckpt``;
            ``untrained:`` and a size or folder of emotion2vec for random weights; ``int8:`` and any
            of these that has linear maps, to multiply in 8 bits on the processor.
        device: Where it computes, for instance ``cpu`` or ``cuda:0``.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ModuleNotFoundError: The encoder needs a package that is not installed.
        ValueError: The checkpoint is of another model family, or lacks weights.
    """
    if name in BUILDERS:
        return BUILDERS[name](name, device)
    return _FAMILIES.get(_find_family(name), _lazily("pretrained"))(name, device)


def identify(name: str) -> str | None:
    """Returns the ``identity`` of the encoder that has a name, from its files: none is loaded.

    None where they do not tell: most encoders of this package are known by their weights.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ValueError: The checkpoint is of another model family.
    """
    family = _find_family(name)
    if family == "int8":
        from speech_encoders.int8 import identify
    elif name == "whisper-base-lower" or family == "whisper-lower":
        from speech_encoders.whisper.lower import identify
    elif name in BUILDERS or family in _FAMILIES:
        return None
    else:
        from speech_encoders.pretrained import identify
    return identify(name)


def load_transcriber(name: str, *, device: str = "cpu") -> Transcriber:
    """Loads a Whisper checkpoint with its decoder, by hub id or folder, to write down words.

    Raises:
        FileNotFoundError: There is no such checkpoint, or it lacks files that words need.
        ValueError: The checkpoint is of another model family, or an encoder alone.
    """
    from speech_encoders.whisper.transcription import load

    return load(name, device)


def _find_family(name: str) -> str:
    if name.startswith("speechbrain/spkrec-ecapa") or _holds_voices(name):
        return "voices"
    path, kind = Path(name).expanduser(), name.partition(":")[0]
    if kind == name or kind not in _FAMILIES:
        kind = "emotion2vec" if path.suffix == ".pt" else read_model_type(path)
    return kind or ""


def _holds_voices(name: str) -> bool:
    """Whether a name is a folder with a checkpoint of SpeechBrain's ECAPA."""
    return (Path(name).expanduser() / "embedding_model.ckpt").is_file()


def read_model_type(folder: Path) -> str | None:
    """Reads which model a folder holds; None without a ``config.json``.

    Raises:
        ValueError: The file is no JSON of a checkpoint.
    """
    file = folder / "config.json"
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text("utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{file}: is no configuration of a checkpoint ({error}); fetch it again"
        ) from error


def _lazily(module: str) -> Callable[[str, str], WaveformEncoder]:
    """Returns the ``load`` of a module, imported when it is called: this package needs no torch."""

    def load(name: str, device: str) -> WaveformEncoder:
        return importlib.import_module(f"speech_encoders.{module}").load(name, device)

    return load


_FAMILIES = {
    "padded": _lazily("pretrained"),
    "int8": _lazily("int8"),
    "whisper-lower": _lazily("whisper.lower"),
    "untrained": _lazily("emotion2vec.encoder"),
    "emotion2vec": _lazily("emotion2vec.encoder"),
    "cpc": _lazily("cpc.encoder"),
    "voices": _lazily("voices"),
}
"""Builders by the prefix of a name or the model type of a folder."""

BUILDERS: dict[str, Callable[[str, str], WaveformEncoder]] = {
    "fbank": _lazily("spectral"),
    "mfcc": _lazily("spectral"),
    "egemaps": _lazily("egemaps"),
    "resemblyzer": _lazily("voices"),
    "samples": _lazily("cpc.encoder"),
    "emotion2vec": _lazily("emotion2vec.encoder"),
    "emotion2vec-mini": _lazily("emotion2vec.encoder"),
    "whisper-base-lower": _lazily("whisper.lower"),
}
"""Builders of the encoders that have a name of their own: (name, device) -> encoder."""
