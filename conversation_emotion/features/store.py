"""Features on disk: memory-mapped arrays and a parquet index, shard by shard, whole or absent.

A store is one folder per `FeatureKey`::

    <cache>/features/<key digest>/key.json
    <cache>/features/<key digest>/<shard>.npy        frames of many utterances: (sum of T, L, D)
    <cache>/features/<key digest>/<shard>.parquet    content, first frame, number of frames

The arrays of a shard are renamed into place before its index, and only an index makes a shard
exist. What a kill or a full disk leaves behind is thus never read, and several processes may write.
A shard that is damaged all the same, as by a loss of power, is named and extracted again. Many
small shards, as many predictions leave behind, are joined to one.
"""

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from conversation_emotion.features.hidden_states import HiddenStates
from conversation_emotion.features.key import FeatureKey

SHARD_BYTES, SHARD_SECONDS = 64 * 2**20, 60.0
"""Size and time after which a shard is written; a kill loses no more than this."""

SMALL_BYTES, MOST_SMALL = 2**20, 64
"""Size below which shards are small, and their number at which they are joined."""


class StoreFullError(OSError):
    """The disk has no room for the features."""


class FeatureStore:
    """Hidden states of utterances by content, of one key, in a cache folder."""

    def __init__(self, key: FeatureKey, cache: Path) -> None:
        self.key = key
        self.folder = cache / "features" / key.digest()
        self._places: dict[str, tuple[str, int, int]] = {}
        self._arrays: dict[str, NDArray[np.floating]] = {}
        self._pending: dict[str, NDArray[np.floating]] = {}
        self._pending_bytes, self._pending_since = 0, 0.0
        self._read_indices()

    def __contains__(self, content: str) -> bool:
        return content in self._places or content in self._pending

    def __len__(self) -> int:
        return len(self._places) + len(self._pending)

    def read(self, contents: Iterable[object]) -> HiddenStates:
        """Returns the hidden states of contents, read-only and memory-mapped.

        None are those of what is no text, and of texts that the store does not hold. What waits to
        be written is written first.
        """
        self.flush()
        wanted = list(contents)
        try:
            return self._map(wanted)
        except FileNotFoundError:  # another process has joined a shard with others
            self._read_indices()
            return self._map(wanted)

    def _map(self, contents: Sequence[object]) -> HiddenStates:
        absent = ("", 0, 0)
        places = [
            self._places.get(content, absent) if isinstance(content, str) else absent
            for content in contents
        ]
        shards = {
            shard: number for number, shard in enumerate(sorted({one[0] for one in places} - {""}))
        }
        for shard in shards:
            if shard not in self._arrays:
                self._arrays[shard] = _open_array(self._find_array(shard))
        numbers, firsts, lengths = (
            np.array(
                [(shards.get(shard, -1), first, length) for shard, first, length in places],
                dtype=np.int64,
            )
            .reshape(-1, 3)
            .T
        )
        return HiddenStates([self._arrays[one] for one in shards], numbers, firsts, lengths)

    def add(self, content: str, states: NDArray[np.floating]) -> None:
        """Takes hidden states of shape (L, T, D); writes a shard when enough have gathered.

        Raises:
            ValueError: A number is not finite.
            StoreFullError: The disk is full; what was stored before stays readable.
        """
        kind = np.float16 if self.key.half_precision else np.float32
        with np.errstate(over="ignore"):  # reported below, with the remedy
            # A copy: a view would keep its tensor, and a tenth of a megabyte of the heap around it.
            frames = np.array(states.transpose(1, 0, 2), dtype=kind, order="C")
        if not np.isfinite(frames).all():
            raise ValueError(
                f"features of content {content[:12]} are not finite in {np.dtype(kind).name}; "
                "the encoder overflowed" + (", try full precision" if kind is np.float16 else "")
            )
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending[content] = frames
        self._pending_bytes += frames.nbytes
        is_due = time.monotonic() - self._pending_since >= SHARD_SECONDS
        if is_due or self._pending_bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what has gathered as one shard."""
        if not self._pending:
            return
        lengths = {content: len(frames) for content, frames in self._pending.items()}
        index = self._find_index(self._write_shard(lengths, list(self._pending.values())))
        self._pending.clear()
        self._pending_bytes = 0
        self._read_index(index)
        with suppress(OSError):  # another process joins them, or has to
            self._join_small()

    def _join_small(self) -> None:
        """Writes small shards as one, and removes them; what was read of them stays readable."""
        known = {shard for shard, _, _ in self._places.values()}
        shards = [one for one in known if self._find_array(one).stat().st_size < SMALL_BYTES]
        if len(shards) < MOST_SMALL:
            return
        places = {
            content: (shard, first, first + num_frames)
            for content, (shard, first, num_frames) in self._places.items()
            if shard in shards
        }
        arrays = {shard: np.load(self._find_array(shard)) for shard in shards}
        kept = [arrays[shard][first:end] for shard, first, end in places.values()]
        lengths = {content: end - first for content, (_, first, end) in places.items()}
        self._read_index(self._find_index(self._write_shard(lengths, kept)))
        for shard in shards:
            self._arrays.pop(shard, None)
            for path in (self._find_index(shard), self._find_array(shard)):
                with suppress(OSError):  # gone already, or still open where that keeps a file
                    path.unlink()

    def _write_shard(
        self, lengths: Mapping[str, int], frames: Sequence[NDArray[np.floating]]
    ) -> str:
        """Writes the frames of contents as a shard, and returns its name."""
        shard = uuid.uuid4().hex
        firsts = np.cumsum([0, *lengths.values()])[:-1]
        index = pd.DataFrame(
            {"content": list(lengths), "first": firsts, "num_frames": list(lengths.values())}
        )
        array = np.concatenate(frames)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (key := self.folder / "key.json").exists():
                write_whole(key, lambda path: path.write_text(self.key.describe()))
            write_whole(self._find_array(shard), lambda path: _save_array(path, array))
            place = self._find_index(shard)
            write_whole(place, lambda path: index.to_parquet(path, index=False))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreFullError(
                error.errno,
                f"no room for {array.nbytes / 2**20:.1f} MiB of features under {self.folder}; "
                "free some space, or set CONVERSATION_EMOTION_CACHE to a larger disk. The features "
                "stored so far are kept",
            ) from error
        return shard

    def _find_array(self, shard: str) -> Path:
        return self.folder / f"{shard}.npy"

    def _find_index(self, shard: str) -> Path:
        return self.folder / f"{shard}.parquet"

    def _read_indices(self) -> None:
        for index in sorted(self.folder.glob("*.parquet")):
            self._read_index(index)

    def _read_index(self, index: Path) -> None:
        """Notes what a shard holds; one that is damaged counts as absent."""
        array = index.with_suffix(".npy")
        try:
            table = pd.read_parquet(index)[["content", "first", "num_frames"]]
            num_frames = len(np.load(array, mmap_mode="r"))
            if num_frames < (table["first"] + table["num_frames"]).max():
                raise ValueError(f"{num_frames} frames are fewer than its index says")
        except (OSError, ValueError, EOFError, KeyError) as error:
            if not index.exists():  # joined with others by now
                return
            tqdm.write(f"note: {array} is damaged ({error}); its features are extracted again")
            if not isinstance(error, OSError):  # a disk may be away for a moment
                index.unlink(missing_ok=True)
            return
        for content, first, length in table.itertuples(index=False):
            self._places[str(content)] = (index.stem, int(first), int(length))


def _open_array(path: Path) -> NDArray[np.floating]:
    """Maps an array; beyond the files that may be open by default, as many as may be at all."""
    try:
        return np.load(path, mmap_mode="r")
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    import resource  # where there is none, there is no such limit

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2**16 if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return np.load(path, mmap_mode="r")


def _save_array(path: Path, frames: NDArray[np.floating]) -> None:
    with path.open("wb") as file:
        np.save(file, frames)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a temporary file and renames it, so that the path holds all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
