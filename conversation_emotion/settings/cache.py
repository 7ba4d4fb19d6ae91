"""Where features and unpacked recordings are kept."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import platformdirs

_passing: ContextVar[Path | None] = ContextVar("passing", default=None)


def cache_folder() -> Path:
    """Returns ``CONVERSATION_EMOTION_CACHE`` or the user's cache folder; makes neither."""
    if (passing := _passing.get()) is not None:
        return passing
    given = os.environ.get("CONVERSATION_EMOTION_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("conversation-emotion")


@contextmanager
def passing_cache() -> Iterator[Path]:
    """Keeps what this thread stores in a folder that is removed at the end, and yields that."""
    with tempfile.TemporaryDirectory() as folder:
        token = _passing.set(Path(folder))
        try:
            yield Path(folder)
        finally:
            _passing.reset(token)


@contextmanager
def writable_cache() -> Iterator[Path]:
    """Yields the cache folder, or a passing one, with a note, where that cannot be written."""
    folder = cache_folder()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        yield folder
        return
    print(f"note: the cache {folder} cannot be written, and what is computed is not kept")
    with passing_cache() as passing:
        yield passing
