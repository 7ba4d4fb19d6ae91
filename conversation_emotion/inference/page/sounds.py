"""The sound of recordings within a page: compressed, as text, up to a limit that is reported."""

import base64
import io
from collections.abc import Iterable
from typing import NamedTuple

import av

from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, stream_audio

BIT_RATE = 16_000
"""Bits a second of speech that is easily understood (Opus, wide band)."""

_MIME = "data:audio/ogg;base64,"


class Sounds(NamedTuple):
    """Sound for a page.

    Attributes:
        uris: Ogg Opus as a data URI, by path.
        num_bytes: Their size together, as text.
        left_out: Paths beyond the limit.
        failures: Why a file cannot be read, by path.
    """

    uris: dict[str, str]
    num_bytes: int
    left_out: tuple[str, ...]
    failures: dict[str, str]


def embed_sounds(paths: Iterable[str], limit_bytes: float) -> Sounds:
    """Compresses files in their order, up to a size: from the first that is beyond, none.

    Memory grows with the limit, not with the length of the files.
    """
    uris: dict[str, str] = {}
    failures: dict[str, str] = {}
    left_out: list[str] = []
    num_bytes = 0
    for path in dict.fromkeys(paths):
        if left_out:
            left_out.append(path)
            continue
        try:
            # Base64 writes three bytes as four letters.
            sound = compress(path, (limit_bytes - num_bytes) * 3 / 4)
        except AudioError as error:
            failures[path] = str(error)
            continue
        if sound is None:
            left_out.append(path)
            continue
        uris[path] = _MIME + base64.b64encode(sound).decode("ascii")
        num_bytes += len(uris[path])
    return Sounds(uris, num_bytes, tuple(left_out), failures)


def compress(path: str, most_bytes: float) -> bytes | None:
    """Returns a file as mono Ogg Opus; None, as soon as it is known, if that has more bytes.

    Raises:
        AudioError: The file cannot be read.
    """
    file = io.BytesIO()
    if most_bytes <= 0:
        return None
    # Without a random serial number the same recordings make the same page.
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = BIT_RATE
        stream.options = {"compression_level": "5"}  # half the time of 10, for speech as good
        for block in stream_audio(path, mix=True):
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
            if file.tell() > most_bytes:
                return None
        container.mux(stream.encode(None))
    return file.getvalue() if file.tell() <= most_bytes else None
