"""Whole files of every kind that is broken: sound, tables, annotation, models, and results."""

import csv
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow
import soundfile
import torch
from pyarrow import parquet

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.results import ResultsTable, RowResult
from conversation_emotion.inference.turns.subtitles import format_webvtt
from conversation_emotion.inference.turns.tiers import format_elan, format_textgrid
from conversation_emotion.inference.turns.turn import LabelledTurn
from speech_encoders.emotion2vec import Emotion2vecFeatureExtractor
from tests.emotion2vec_models import STORED, make_model
from tests.layouts import IEMOCAP_EVALUATION, IEMOCAP_TRANSCRIPT, MELD_COLUMNS, meld_row

PACKAGE = Path(__file__).parents[2] / "conversation_emotion"

SHIPPED_MODEL = PACKAGE / "inference" / "default-text"

_SECONDS, _RATE = 0.4, 16_000

_SOUNDFILE = (
    *(("wav", "WAV", "PCM_16"), ("wav", "WAV", "FLOAT"), ("wav", "WAV", "ULAW")),
    *(("wav", "WAVEX", "PCM_24"), ("rf64", "RF64", "PCM_16"), ("w64", "W64", "PCM_16")),
    *(("flac", "FLAC", "PCM_16"), ("ogg", "OGG", "VORBIS"), ("opus", "OGG", "OPUS")),
    *(("mp3", "MP3", "MPEG_LAYER_III"), ("aiff", "AIFF", "PCM_16"), ("au", "AU", "PCM_16")),
    *(("caf", "CAF", "PCM_16"), ("wav", "WAV", "IMA_ADPCM"), ("voc", "VOC", "PCM_16")),
)
_FFMPEG = (
    *(("m4a", "mp4", "aac"), ("mp4", "mp4", "aac"), ("mkv", "matroska", "aac")),
    *(("webm", "webm", "libopus"), ("avi", "avi", "mp3"), ("flv", "flv", "aac")),
    *(("aac", "adts", "aac"), ("ts", "mpegts", "aac"), ("mov", "mov", "pcm_s16le")),
    *(("wma", "asf", "wmav2"), ("amr", "amr", "libopencore_amrnb"), ("ac3", "ac3", "ac3")),
)


def make_sounds() -> dict[str, list[bytes]]:
    """Returns short recordings by their suffix, in each container that there is a writer for."""
    sounds: dict[str, list[bytes]] = {}
    time = np.arange(int(_SECONDS * _RATE)) / _RATE
    waves = np.stack([np.sin(440 * time), np.sin(900 * time)]).astype(np.float32) / 2
    for suffix, container, subtype in _SOUNDFILE:
        file = io.BytesIO()
        soundfile.write(file, waves.T, _RATE, format=container, subtype=subtype)
        sounds.setdefault(suffix, []).append(file.getvalue())
    for suffix, container, codec in _FFMPEG:
        if codec in av.codecs_available:
            sounds.setdefault(suffix, []).append(_encode(waves, container, codec))
    return sounds


def _encode(waves: np.ndarray, container: str, codec: str) -> bytes:
    """Encodes (2, S) by FFmpeg, with a picture where the container is one of films."""
    file = io.BytesIO()
    rate = 8_000 if "amr" in codec else 48_000
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = 12_200 if "amr" in codec else 64_000
        stream.layout = "mono" if "amr" in codec else "stereo"
        frame = av.AudioFrame.from_ndarray(waves, format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base = _RATE, Fraction(1, _RATE)
        graph = av.AudioResampler(
            format=stream.codec_context.format, layout=stream.layout, rate=rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )  # fmt: skip
        for part in [*graph.resample(frame), *graph.resample(None), None]:
            output.mux(stream.encode(part))
    return file.getvalue()


def make_silence(seconds: int) -> bytes:
    """Returns eight channels of silence at 192 kHz as FLAC: 1.6 kB for 6 MB of numbers."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 192_000, 8, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(seconds):
            sound.write(np.zeros((192_000, 8), dtype=np.int16))
    return file.getvalue()


def make_claims() -> Iterator[tuple[str, bytes]]:
    """Yields files that claim to hold what no file of their size does, or what no sound is."""
    flac = make_silence(10)
    # The 36 bits of the number of samples, all set: 49 hours at 384 kHz.
    yield "claims.flac", flac[:21] + bytes([flac[21] | 0x0F]) + b"\xff" * 4 + flac[26:12_000]
    file = io.BytesIO()
    soundfile.write(file, np.zeros((48_000, 1)), 48_000, format="OGG", subtype="VORBIS")
    ogg = file.getvalue()
    last = ogg.rindex(b"OggS")
    yield "claims.ogg", ogg[: last + 6] + (1 << 40).to_bytes(8, "little") + ogg[last + 14 :]
    yield "hundred.wav", _wave(channels=100, rate=16_000, data=b"\1\0" * 100 * 800)
    yield "channels.wav", _wave(channels=65_535, rate=16_000, data=b"\1\0" * 65_535 * 20)
    for rate in (0, 1, 7, 999, 767_999, 1 << 31, (1 << 32) - 1):
        yield f"rate_{rate}.wav", _wave(channels=1, rate=rate, data=b"\1\0" * 8_000)
    floats = np.array([0.0, np.nan, np.inf, -np.inf, 1e38] * 400, dtype="<f4").tobytes()
    yield "floats.wav", _wave(channels=1, rate=16_000, data=floats, tag=3, bits=32)
    yield "none.wav", _wave(channels=1, rate=16_000, data=b"")
    yield "no_channels.wav", _wave(channels=0, rate=16_000, data=b"\0" * 800)
    yield "empty.wav", b""


def _wave(*, channels: int, rate: int, data: bytes, tag: int = 1, bits: int = 16) -> bytes:
    """Writes a WAV as its header says, whatever that is."""
    block = channels * bits // 8 % (1 << 16)
    speed = rate * block % (1 << 32)
    form = struct.pack("<HHIIHH", tag, channels, rate, speed, block, bits)
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


_TURNS = [
    LabelledTurn(start=0.0, end=0.2, speaker="anna", text='R&D "<now>"?', emotion="angry"),
    LabelledTurn(start=0.15, end=0.35, speaker="ben", text="Hello, there.", emotion="sad"),
]

_SEGMENTS = [
    {"start": one.start, "end": one.end, "text": one.text, "speaker": one.speaker, "words": []}
    for one in _TURNS
]

ANNOTATION: Mapping[str, list[str]] = {
    "rttm": [
        ";; a comment\nSPEAKER a 1 0.0 0.2 <NA> <NA> anna 0.9 <NA>\n"
        "SPEAKER a 2 0.1 0.2 <NA> <NA> ben <NA> <NA>\n"
    ],
    "srt": [
        "1\n00:00:00,000 --> 00:00:00,200\n[anna]: <i>Hi</i>\n\n2\n00:00:00,100 --> "
        "00:00:00,300\nHello\n"
    ],
    "vtt": [format_webvtt(_TURNS)],
    "TextGrid": [format_textgrid(_TURNS, 0.4)],
    "eaf": [format_elan(_TURNS, "a.wav")],
}

TRANSCRIPTS = [
    json.dumps({"segments": _SEGMENTS, "language": "en", "word_segments": []}),
    json.dumps(_SEGMENTS),
    json.dumps({"text": "Hi", "chunks": [{"timestamp": [0.0, 0.2], "text": "Hi"}]}),
    json.dumps(
        [
            {
                "key": "a",
                "text": "Hi",
                "timestamp": [[0, 200]],
                "sentence_info": [{"text": "Hi", "start": 0, "end": 200, "spk": 0}],
            }
        ]
    ),
    json.dumps([{"key": "a", "text": "Hi", "timestamp": [[0, 200], [210, 250]]}]),
]

ROWS = [
    {
        "utterance_id": f"u{number}", "dialogue_id": "d", "order": number, "speaker": "anna",
        "audio": "a.wav", "text": "Hi, all", "emotion": "angry", "start": 0.0, "end": 0.2,
        "split": "train", "language": "en", "votes": '{"angry": 2, "sad": 1}', "corpus": "mine",
    }
    for number in range(3)
]  # fmt: skip
"""Of a manifest; some of its columns are those of a table that is to be predicted."""

TURN_ROWS = [
    {"audio": "a.wav", "text": "Hi", "speaker": "anna", "start": 0.0, "end": 0.2, "channel": 0,
     "language": "en"}
] * 2  # fmt: skip


def write_table(rows: list[dict[str, object]], suffix: str) -> bytes:
    """Writes rows as CSV, JSON Lines or Parquet."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode(errors="replace")
    if suffix == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode()
    cells = {name: [row.get(name) for row in rows] for name in columns}
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({name: _array(cell) for name, cell in cells.items()}), file)
    return file.getvalue()


def _array(cells: list[object]) -> pyarrow.Array:
    """Makes a column of a kind that fits, else of text."""
    try:
        return pyarrow.array(cells)
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
        return pyarrow.array([str(cell).encode(errors="replace").decode() for cell in cells])


def write_meld_table(rows: list[dict[str, str]]) -> str:
    """Writes an annotation of MELD."""
    text = io.StringIO()
    writer = csv.DictWriter(text, MELD_COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


MELD = write_meld_table([meld_row(0, number) for number in range(3)])

IEMOCAP = {"EmoEvaluation": IEMOCAP_EVALUATION, "transcriptions": IEMOCAP_TRANSCRIPT}

RESULTS = ResultsTable(
    title="A table",
    columns=("uar", "wa"),
    rows=(
        RowResult(
            name="row", metrics={"uar": Interval(0.5, 0.4, 0.6, 0.1, 10)}, values={"wa": 0.5},
            settings={"seed": "1"}, num_folds=1, num_seeds=1, n=10,
        ),
    ),
    notes=("a note",),
).to_json()  # fmt: skip


class Intruder:
    """Pickled, it writes a file where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def make_pickles(intruded: Path) -> dict[str, bytes]:
    """Returns files of weights whose reading would write a file, by the way they are pickled."""
    intruder = {"model": Intruder(intruded), "fc.conv.weight": torch.ones(1)}
    zipped, old = io.BytesIO(), io.BytesIO()
    torch.save(intruder, zipped)
    torch.save(intruder, old, _use_new_zipfile_serialization=False)
    command = b"cos\nsystem\n(S'touch " + str(intruded).encode() + b"'\ntR."
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", command)
        file.writestr("archive/version", "3\n")
    return {
        "zipped": zipped.getvalue(), "old": old.getvalue(), "plain": pickle.dumps(intruder),
        "command": command, "archive": archive.getvalue(),
    }  # fmt: skip


def make_checkpoint(folder: Path) -> dict[str, bytes]:
    """Returns the files of a small encoder of speech, as transformers writes it, by their names."""
    Emotion2vecFeatureExtractor().save_pretrained(folder)
    make_model().save_pretrained(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def make_states() -> list[bytes]:
    """Returns checkpoints of trainings, and weights as emotion2vec was released."""
    file = io.BytesIO()
    torch.save({"weights": torch.ones(3, 2), "epoch": 3, "best": {"uar": 0.5}}, file)
    return [file.getvalue(), (STORED / "released.pt").read_bytes()]
