"""The kinds of hostile files: how a case of each is laid out, and what breaks it."""

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from hypothesis import strategies as st

from tests.fuzz import samples
from tests.fuzz.mutations import (
    VALUES,
    WORDS,
    broken_bytes,
    broken_json,
    broken_text,
    broken_weights,
)
from tests.layouts import write_iemocap_dialogue

File = tuple[str, bytes]
"""The path of a hostile file from the root of its case on, and what it holds."""


def _lay_out_nothing(root: Path) -> None:
    root.mkdir()


class Kind(NamedTuple):
    """A kind of hostile files.

    Attributes:
        reader: Function of `tests.fuzz.readers`.
        share: Cases of a thousand.
        cases: What is drawn.
        lay_out: Makes the folder of a case, with all that the hostile file stands among.
        fixed: Files that are read in any case.
    """

    reader: str
    share: int
    cases: st.SearchStrategy[File]
    lay_out: Callable[[Path], object] = _lay_out_nothing
    fixed: tuple[File, ...] = ()


def _named(name: str, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[File]:
    return content.map(lambda drawn: (name, drawn))


def _with_sound(root: Path) -> None:
    root.mkdir()
    soundfile.write(root / "a.wav", np.tile([0.1, -0.1], 3_200), 16_000)


def _sounds() -> st.SearchStrategy[File]:
    sounds = samples.make_sounds()
    mixed = [one for files in sounds.values() for one in files]
    kept = [_named(f"sound.{suffix}", broken_bytes(files)) for suffix, files in sounds.items()]
    swapped = st.tuples(st.sampled_from(sorted(sounds)), broken_bytes(mixed))
    return st.one_of(*kept, swapped.map(lambda drawn: (f"sound.{drawn[0]}", drawn[1])))


@st.composite
def _tables(draw: st.DrawFn, rows: list[dict[str, object]]) -> File:
    """A table with cells of other kinds, columns lost or with other names, rows twice or none."""
    table = [dict(row) for row in rows]
    values = st.one_of(st.sampled_from(WORDS), st.sampled_from(VALUES), st.text(max_size=20))
    for _ in range(draw(st.integers(1, 4))):
        row = draw(st.sampled_from(table))
        column = draw(st.sampled_from(sorted(rows[0])))
        kind = draw(st.sampled_from(("cell", "cell", "cell", "column", "name", "row")))
        if kind == "cell":
            row[column] = draw(values)
        elif kind == "row":
            table.append(dict(row))
        else:
            name = draw(st.sampled_from(WORDS)) if kind == "name" else None
            for one in table:
                cell = one.pop(column, None)
                one |= {} if name is None else {name: cell}
    suffix = draw(st.sampled_from(("csv", "jsonl", "parquet")))
    content = samples.write_table(table, suffix)
    breaks = draw(st.integers(0, 5))
    if breaks == 0:
        content = draw(broken_bytes([content]))
    elif breaks == 1 and suffix != "parquet":
        content = draw(broken_text([content.decode()]))
    return f"table.{suffix}", content


def _make_bad_tables() -> Iterator[File]:
    """Yields tables with a text of 100 MB, and ones that are deep, doubled, or of another kind."""
    text = "x" * 100_000_000
    for suffix in ("csv", "jsonl", "parquet"):
        yield f"long.{suffix}", samples.write_table([{**samples.ROWS[0], "text": text}], suffix)
    yield "deep.jsonl", b'{"utterance_id": ' + b"[" * 200_000
    yield "digits.jsonl", b'{"utterance_id": ' + b"9" * 10_000 + b', "text": "a"}'
    for suffix in ("csv", "jsonl", "parquet"):
        yield f"empty.{suffix}", b""
        yield f"zip.{suffix}", b"PK\x03\x04" + b"\0" * 200
        outside = {**samples.ROWS[0], "audio": "../../../../etc/passwd"}
        yield f"outside.{suffix}", samples.write_table([outside], suffix)
        linked = {**samples.ROWS[0], "audio": "link.wav"}
        yield f"linked.{suffix}", samples.write_table([linked], suffix)
        yield f"twice.{suffix}", samples.write_table([samples.ROWS[0]] * 2, suffix)


def _with_link(root: Path) -> None:
    _with_sound(root)
    (root / "link.wav").symlink_to("/etc/passwd")


def _annotation() -> st.SearchStrategy[File]:
    texts = [_named(f"a.{end}", broken_text(bases)) for end, bases in samples.ANNOTATION.items()]
    return st.one_of(*texts, _named("a.json", broken_json(samples.TRANSCRIPTS)))


def _make_bad_annotation() -> Iterator[File]:
    entities = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise("abcdefghi")
    )
    bomb = f'<!DOCTYPE x [<!ENTITY a "{"x" * 1000}">{entities}]><ANNOTATION_DOCUMENT>&i;'
    yield "bomb.eaf", f"{bomb}</ANNOTATION_DOCUMENT>".encode()
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    yield "outside.eaf", f"{outside}<ANNOTATION_DOCUMENT>&a;</ANNOTATION_DOCUMENT>".encode()
    yield "deep.eaf", b"<a>" * 300_000
    yield "deep.json", b"[" * 300_000
    yield "digits.json", b'{"segments": [{"start": ' + b"9" * 10_000 + b"}]}"
    yield "surrogate.json", b'{"segments": [{"start": 0, "end": 0.2, "text": "\\ud800"}]}'
    yield "tags.vtt", b"WEBVTT\n\n00:00.000 --> 00:00.200\n" + b"<" * 200_000
    yield "voices.vtt", b"WEBVTT\n\n00:00.000 --> 00:00.200\n" + b"<v " * 100_000
    yield "arrows.srt", b"--> " * 200_000
    yield "braces.srt", b"1\n00:00:00,000 --> 00:00:00,200\n" + b"{\\" * 100_000
    yield "spaces.srt", b"1\n" + b" " * 200_000 + b"00:00:00,000"
    yield "fields.rttm", b"SPEAKER " + b"a " * 200_000
    yield "many.rttm", b"SPEAKER a 1 0.0 0.2 <NA> <NA> anna 0.9 <NA>\n" * 20_000
    for suffix in samples.ANNOTATION:
        yield f"zeros.{suffix}", b"\0" * 4096
        yield f"empty.{suffix}", b""


@st.composite
def _iemocap(draw: st.DrawFn) -> File:
    folder = draw(st.sampled_from(sorted(samples.IEMOCAP)))
    content = draw(broken_text([samples.IEMOCAP[folder]]))
    return f"Session1/dialog/{folder}/Ses01F_impro01.txt", content


def _with_meld(root: Path) -> None:
    root.mkdir()
    for part in ("train", "dev", "test"):
        (root / f"{part}_sent_emo.csv").write_text(samples.MELD)


def _with_model(root: Path) -> None:
    shutil.copytree(samples.SHIPPED_MODEL, root, ignore=shutil.ignore_patterns("SHA256SUMS"))


def _models() -> st.SearchStrategy[File]:
    card = (samples.SHIPPED_MODEL / "config.json").read_text("utf-8")
    weights = (samples.SHIPPED_MODEL / "model.safetensors").read_bytes()
    return st.one_of(
        _named("config.json", broken_json([card])),
        _named("model.safetensors", broken_weights([weights])),
    )


def _make_bad_models() -> Iterator[File]:
    """Yields cards of other versions, and weights that are none."""
    card = json.loads((samples.SHIPPED_MODEL / "config.json").read_text("utf-8"))
    for version in (None, 0, 1, 3, "2", 2.5, [2], 10**400):
        yield "config.json", json.dumps({**card, "format": version}).encode()
    yield "config.json", b"[" * 200_000
    yield "config.json", b"\xff\xfe"
    yield "model.safetensors", (1 << 62).to_bytes(8, "little") + b"{}"
    yield "model.safetensors", b""
    huge = {"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    header = json.dumps(huge).encode()
    yield "model.safetensors", len(header).to_bytes(8, "little") + header


def _make_bomb(reader: str) -> Kind:
    return Kind(reader, 0, st.nothing(), fixed=(("long.flac", samples.make_silence(95)),))


def _pickled(name: str, folder: Path) -> tuple[File, ...]:
    return tuple((name, one) for one in samples.make_pickles(folder / INTRUDED).values())


def _encoders(folder: Path) -> Kind:
    files = samples.make_checkpoint(folder / "checkpoint")

    def lay_out(root: Path) -> None:
        shutil.copytree(folder / "checkpoint", root)

    cases = st.one_of(
        _named("config.json", broken_json([files["config.json"].decode()])),
        _named("model.safetensors", broken_weights([files["model.safetensors"]])),
    )
    return Kind("read_encoder", 40, cases, lay_out, _pickled("model.safetensors", folder))


def _weights(reader: str, share: int, name: str) -> Callable[[Path], Kind]:
    """Makes a kind of files that PyTorch pickles."""
    return lambda folder: Kind(
        reader,
        share,
        _named(name, broken_bytes(samples.make_states())),
        fixed=_pickled(name, folder),
    )


def _results(_: Path) -> Kind:
    contents = [json.dumps({"schema_version": version}).encode() for version in (0, 2, "1", None)]
    fixed = [("results.json", content) for content in (*contents, b"[]", b"[" * 200_000, b"")]
    cases = _named("results.json", broken_json([samples.RESULTS]))
    return Kind("read_results", 15, cases, fixed=tuple(fixed))


def _forecasters(_: Path) -> Kind:
    whole = (samples.PACKAGE / "inference/forecaster/forecaster.json").read_text("utf-8")
    return Kind("read_forecaster", 15, _named("forecaster.json", broken_json([whole])))


INTRUDED = "intruded"
"""File that a pickle would write into the folder of all cases."""

KINDS: dict[str, Callable[[Path], Kind]] = {
    "sound": lambda _: Kind("read_sound", 320, _sounds(), fixed=tuple(samples.make_claims())),
    "sound that unpacks to 0.6 GB": lambda _: _make_bomb("read_whole"),
    "the same, block by block": lambda _: _make_bomb("stream_whole"),
    "manifests": lambda _: Kind(
        "load_manifest", 120, _tables(samples.ROWS), _with_link, tuple(_make_bad_tables())
    ),
    "tables to predict": lambda _: Kind(
        "read_prediction_table", 80, _tables(samples.TURN_ROWS), _with_link,
        tuple(_make_bad_tables()),
    ),
    "annotation of turns": lambda _: Kind(
        "read_turns", 160, _annotation(), _with_sound, tuple(_make_bad_annotation())
    ),
    "IEMOCAP": lambda _: Kind("read_iemocap", 60, _iemocap(), write_iemocap_dialogue),
    "MELD": lambda _: Kind(
        "read_meld", 50, _named("dev_sent_emo.csv", broken_text([samples.MELD])), _with_meld
    ),
    "saved models": lambda folder: Kind(
        "read_saved_model", 80, _models(), _with_model,
        (*_make_bad_models(), *_pickled("model.safetensors", folder)),
    ),
    "encoders": _encoders,
    "encoders of speakers": _weights("read_voices", 15, "embedding_model.ckpt"),
    "released emotion2vec": _weights("read_emotion2vec", 30, "weights.pt"),
    "checkpoints of trainings": _weights("read_state", 30, "state.pt"),
    "forecasters": _forecasters,
    "results": _results,
}  # fmt: skip
"""Makes each kind by its title, given a folder of its own."""
