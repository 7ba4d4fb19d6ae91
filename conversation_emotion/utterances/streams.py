"""Streams of sound that were joined in one file, and whether the end of the last is there."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

NO_PROMISE = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Sizes that a writer puts where it does not know the size yet."""

_BEGINS = {
    b"RIFF": re.compile(rb"RIFF.{4}WAVE", re.DOTALL),
    b"RF64": re.compile(rb"RF64.{4}WAVE", re.DOTALL),
    b"FORM": re.compile(rb"FORM.{4}AIF[CF]", re.DOTALL),
    b"fLaC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
}
"""By the first bytes of a file: the begin of a stream."""

_PAGE = re.compile(rb"OggS\x00([\x00-\x07]).{20}(.)", re.DOTALL)
_FIRST_PAGE, _LAST_PAGE = 2, 4  # flags of a page of Ogg (RFC 3533)

# A frame of MP3, after its side information the header of Xing: flags (1: frames are counted, 2:
# bytes are), frames, bytes.
_XING = re.compile(
    rb"\xff[\xe0-\xff][^\xff].(?:.{9}|.{11}|.{17}|.{19}|.{32}|.{34})(?:Xing|Info)\x00\x00\x00"
    rb"(.)(.{4})(.{4})",
    re.DOTALL,
)


_SPHERE = re.compile(rb"(sample_count|sample_n_bytes|channel_count) -i (\d+)")
_TAG = re.compile(rb"ID3[\x02-\x04].[\x00-\xf0][\x00-\x7f]{4}", re.DOTALL)
_LEAST_FRAME = 24  # bytes of a frame of 8 kbit/s at 24 kHz


class Stream(NamedTuple):
    """A stream by its bytes in the file.

    ``is_whole`` is False where its end is known to be missing; ``has_length`` is False where its
    header gives no length to rely on.
    """

    start: int
    end: int
    is_whole: bool = True
    has_length: bool = True


def find_streams(path: Path) -> Sequence[Stream]:
    """Returns the streams of WAV, FLAC, Ogg or MP3 that were written one after the other.

    A file of another format is one stream.
    """
    status = path.stat()
    return _find_streams(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _find_streams(path: Path, size: int, _: int) -> Sequence[Stream]:
    """Remembers the streams of a file of this size and time: slices of one are read in turn."""
    if not size:
        return [Stream(0, 0)]
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        begin = _skip_tag(data, 0)
        first = data[begin : begin + 4]
        if first == b"OggS":
            return list(_find_chains(data))
        if first in _BEGINS and data[8:12] != b"AVI ":
            streams = _cut([found.start() for found in _BEGINS[first].finditer(data)], size)
            return _note_lengths(data, streams) if first == b"fLaC" else streams
        if _is_frame(first):
            return list(_find_mp3(data))
        return [Stream(0, size, is_whole=_promised_end(data) <= size)]


def _cut(begins: list[int], size: int) -> list[Stream]:
    """Divides a file before each stream but the first, to which what lies before it belongs."""
    starts = [0, *begins[1:]]
    return [Stream(*place) for place in zip(starts, [*starts[1:], size], strict=True)]


def _promised_end(data: mmap) -> int:
    """Returns where a file of AVI, CAF or SPHERE ends by its header, 0 where none says it."""
    if data[:4] == b"RIFF":
        size = int.from_bytes(data[4:8], "little")
        return 0 if size in NO_PROMISE else 8 + size
    if data[:4] == b"caff":
        place = 8
        while data[place : place + 4] not in (b"data", b""):
            place += 12 + int.from_bytes(data[place + 4 : place + 12])
        size = int.from_bytes(data[place + 4 : place + 12], signed=True)
        return place + 12 + size  # of a size that is not known, -1, this is within the file
    fields = dict(_SPHERE.findall(data[:1024])) if data[:8] == b"NIST_1A\n" else {}
    if b"shorten" in data[:1024] or not {b"sample_count", b"sample_n_bytes"} <= fields.keys():
        return 0
    sizes = (fields[b"sample_count"], fields[b"sample_n_bytes"], fields.get(b"channel_count", 1))
    return int(data[8:16]) + math.prod(map(int, sizes))


def _note_lengths(data: mmap, streams: list[Stream]) -> list[Stream]:
    """Notes which streams of FLAC count their samples: 36 bits that are 0 if they do not."""
    counts = [data[stream.start + 21 : stream.start + 26] for stream in streams]
    return [
        stream._replace(has_length=bool(count and (count[0] & 0x0F or any(count[1:]))))
        for stream, count in zip(streams, counts, strict=True)
    ]


def _find_chains(data: mmap) -> Iterator[Stream]:
    """Yields the chains of Ogg: each begins with first pages, one for each of its parts."""
    pages = [(page.start(), page[1][0], page[2][0]) for page in _PAGE.finditer(data)]
    if not pages:
        yield Stream(0, len(data), is_whole=False)
        return
    begins = [
        place
        for number, (place, flags, _) in enumerate(pages)
        if flags & _FIRST_PAGE and not (number and pages[number - 1][1] & _FIRST_PAGE)
    ]
    for stream in _cut(begins, len(data)):
        place, flags, num_segments = next(page for page in reversed(pages) if page[0] < stream.end)
        sizes = data[place + 27 : place + 27 + num_segments]
        end = place + 27 + num_segments + sum(sizes)
        yield stream._replace(is_whole=flags & _LAST_PAGE > 0 and end <= len(data))


def _find_mp3(data: mmap) -> Iterator[Stream]:
    """Yields streams of MP3: behind each tag, from each header of Xing, behind what that counts."""
    headers = {header.start(): header for header in _XING.finditer(data)}
    tags = {_skip_tag(data, place): place for place in _find_tags(data)}
    starts = sorted({_skip_tag(data, 0), *headers, *tags})
    ends = [tags.get(start, start) for start in starts[1:]]
    for start, end in zip(starts, [*ends, len(data)], strict=True):
        header = headers.get(start)
        if header is None:
            yield Stream(start, end, has_length=False)
            continue
        size, flags = end - start, header[1][0]
        num_frames, num_bytes = (int.from_bytes(header[number]) for number in (2, 3))
        num_bytes = num_bytes if flags & 3 == 3 and num_bytes not in NO_PROMISE else size
        has_length = flags & 1 > 0 and num_frames not in NO_PROMISE
        is_whole = num_bytes <= 1.01 * size and (
            not has_length or num_frames * _LEAST_FRAME <= size
        )
        last = start + num_bytes
        has_more = last < end and _is_frame(data[last : last + 4])
        yield Stream(start, last if has_more else end, is_whole=is_whole, has_length=has_length)
        if has_more:
            yield Stream(last, end, has_length=False)


def _find_tags(data: mmap) -> Iterator[int]:
    """Yields the places of tags of ID3v2 in a file, but the first, that frames follow."""
    for tag in _TAG.finditer(data, 1):
        behind = _skip_tag(data, tag.start())
        if _is_frame(data[behind : behind + 4]):
            yield tag.start()


def _skip_tag(data: mmap, place: int) -> int:
    """Returns the place behind a tag of ID3v2, which holds its size in four times seven bits."""
    if data[place : place + 3] != b"ID3" or place + 10 > len(data):
        return place
    size = 0
    for byte in data[place + 6 : place + 10]:
        size = size << 7 | byte & 0x7F
    return place + 10 + size


def _is_frame(header: bytes) -> bool:
    """Whether four bytes begin a frame of MPEG audio, by values that are reserved in none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return False
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    return version != 1 and layer != 0 and header[2] >> 4 != 15 and header[2] >> 2 & 3 != 3
