"""Features on disk: memory-mapped arrays and a parquet index, shard by shard, whole or absent.

A store is one folder per `FeatureKey`::

    <cache>/features/<key digest>/key.json
    <cache>/features/<key digest>/<shard>.npy        frames of many utterances: (sum of T, L, D)
    <cache>/features/<key digest>/<shard>.parquet    content, first frame, number of frames

The arrays of a shard are renamed into place before its index, and only an index makes a shard
exist. What a kill or a full disk leaves behind is thus never read, and several processes may write.
A shard that is damaged all the same, as by a loss of power, is named and extracted again.
"""

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from conversation_emotion.features.key import FeatureKey

SHARD_BYTES = 64 * 2**20
"""Size at which a shard is written; an interruption loses no more than this."""


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
        self._pending_bytes = 0
        for index in sorted(self.folder.glob("*.parquet")):
            self._read_index(index)

    def __contains__(self, content: str) -> bool:
        return content in self._places or content in self._pending

    def __len__(self) -> int:
        return len(self._places) + len(self._pending)

    def read(self, content: str) -> NDArray[np.floating]:
        """Returns the hidden states of a content, read-only and memory-mapped: (L, T, D).

        Raises:
            KeyError: The store holds no such content.
        """
        if content in self._pending:
            return self._pending[content].transpose(1, 0, 2)
        shard, first, num_frames = self._places[content]
        if shard not in self._arrays:
            self._arrays[shard] = np.load(self.folder / f"{shard}.npy", mmap_mode="r")
        return self._arrays[shard][first : first + num_frames].transpose(1, 0, 2)

    def add(self, content: str, states: NDArray[np.floating]) -> None:
        """Takes hidden states of shape (L, T, D); writes a shard when enough have gathered.

        Raises:
            ValueError: A number is not finite.
            StoreFullError: The disk is full; what was stored before stays readable.
        """
        kind = np.float16 if self.key.half_precision else np.float32
        with np.errstate(over="ignore"):  # reported below, with the remedy
            frames = np.ascontiguousarray(states.transpose(1, 0, 2), dtype=kind)
        if not np.isfinite(frames).all():
            raise ValueError(
                f"features of content {content[:12]} are not finite in {np.dtype(kind).name}; "
                "the encoder overflowed" + (", try full precision" if kind is np.float16 else "")
            )
        self._pending[content] = frames
        self._pending_bytes += frames.nbytes
        if self._pending_bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what has gathered as one shard."""
        if not self._pending:
            return
        shard = uuid.uuid4().hex
        lengths = [len(frames) for frames in self._pending.values()]
        firsts = np.cumsum([0, *lengths[:-1]])
        index = pd.DataFrame(
            {"content": list(self._pending), "first": firsts, "num_frames": lengths}
        )
        try:
            self._write_shard(shard, np.concatenate(list(self._pending.values())), index)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreFullError(
                error.errno,
                f"no room for {self._pending_bytes / 2**20:.1f} MiB of features under "
                f"{self.folder}; free some space, or set CONVERSATION_EMOTION_CACHE to a larger "
                "disk. The features stored so far are kept",
            ) from error
        self._pending.clear()
        self._pending_bytes = 0
        self._read_index(self.folder / f"{shard}.parquet")

    def _write_shard(self, shard: str, frames: NDArray[np.floating], index: pd.DataFrame) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (key := self.folder / "key.json").exists():
            write_whole(key, lambda path: path.write_text(self.key.describe()))
        write_whole(self.folder / f"{shard}.npy", lambda path: _save_array(path, frames))
        place = self.folder / f"{shard}.parquet"
        write_whole(place, lambda path: index.to_parquet(path, index=False))

    def _read_index(self, index: Path) -> None:
        """Notes what a shard holds; one that is damaged counts as absent."""
        array = index.with_suffix(".npy")
        try:
            table = pd.read_parquet(index)[["content", "first", "num_frames"]]
            num_frames = len(np.load(array, mmap_mode="r"))
            if num_frames < (table["first"] + table["num_frames"]).max():
                raise ValueError(f"{num_frames} frames are fewer than its index says")
        except (OSError, ValueError, EOFError, KeyError) as error:
            tqdm.write(f"note: {array} is damaged ({error}); its features are extracted again")
            if not isinstance(error, OSError):  # a disk may be away for a moment
                index.unlink(missing_ok=True)
            return
        for content, first, length in table.itertuples(index=False):
            self._places[str(content)] = (index.stem, int(first), int(length))


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
