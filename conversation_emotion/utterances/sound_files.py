"""Sound files in folders: which can be read, and what else lies there, counted by suffix."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"),
    *(".snd", ".caf", ".w64", ".rf64", ".bwf", ".sph", ".nist", ".voc", ".mp2", ".mpga", ".spx"),
    *(".m4a", ".m4b", ".aac", ".adts", ".ac3", ".amr", ".awb", ".gsm", ".g722", ".ape", ".wv"),
    *(".tta", ".mka", ".weba", ".wma"),
)
"""Endings, in lower case, of files of sound alone."""

SUFFIXES = (
    *AUDIO_SUFFIXES,
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"),
    *(".mpg", ".mpeg", ".vob", ".flv", ".wmv", ".asf", ".ogv", ".ogx"),
)
"""Endings, in lower case, of the files that a folder is searched for."""

_ESCAPE = re.compile(r"\\u(dc[89a-f][0-9a-f])")


class SoundFiles(NamedTuple):
    """The files that can be read, sorted, and all others."""

    sound: list[Path]
    others: list[Path]


def find_sound(root: Path) -> SoundFiles:
    """Searches a folder with all its subfolders, linked ones too; a file stands for itself.

    What is hidden, and what macOS adds to archives, counts as no file.
    """
    paths = [root] if root.is_file() else sorted(_walk(root, set()))
    is_sound = {path: path.suffix.lower() in SUFFIXES for path in paths}
    return SoundFiles([p for p in paths if is_sound[p]], [p for p in paths if not is_sound[p]])


def count_suffixes(paths: Iterable[Path]) -> str:
    """Describes files by how many have each suffix, most first: 12 .txt, 1 without a suffix."""
    counts = Counter(path.suffix.lower() or "without a suffix" for path in paths)
    return ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common())


def printable(name: str | Path) -> str:
    """Returns a name that can be printed and tabulated: bytes that are not UTF-8 become escapes."""
    return str(name).encode(errors="backslashreplace").decode()


def locate(name: str | Path) -> Path:
    """Returns the path of a name, which `printable` may have made."""
    path = Path(name)
    return path if os.path.lexists(path) else Path(_ESCAPE.sub(_unescape, str(name)))


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or one that macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yields the files below a folder, each folder once, for links may lead in a circle."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        # Folders before links to them: a file is named by its own path where it has two.
        for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name)):
            if is_litter(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), seen)
            else:
                yield Path(entry.path)
