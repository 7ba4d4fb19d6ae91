"""Compares two wheels with each other, and with what git tracks in the packages.

python .ci/compare_wheels.py FROM_SDIST.whl FROM_TREE.whl
"""

import subprocess
import sys
from zipfile import ZipFile

PACKAGES = ("conversation_emotion", "experiments", "speech_encoders", "text_encoders")


def list_files(wheel: str) -> dict[str, int]:
    """Returns the files of the packages in a wheel with their checksums."""
    with ZipFile(wheel) as archive:
        return {
            one.filename: one.CRC for one in archive.infolist() if one.filename.startswith(PACKAGES)
        }


def main(from_sdist: str, from_tree: str) -> None:
    """Ends with an error that names what is missing, or differs."""
    one, other = list_files(from_sdist), list_files(from_tree)
    command = ["git", "ls-files", "--", *PACKAGES]
    tracked = set(subprocess.check_output(command, text=True).splitlines())
    faults = {
        "in the tree and not in the wheel": tracked - set(one),
        "in the wheel and not in git": {name for name in one if "dist-info" not in name} - tracked,
        "not the same from sdist and tree": {
            name
            for name in set(one) ^ set(other)
            | {name for name in one if one[name] != other.get(name)}
            if not name.endswith("RECORD")
        },
    }
    for what, names in faults.items():
        for name in sorted(names):
            print(f"{name}: {what}", file=sys.stderr)
    if any(faults.values()):
        sys.exit("the wheel is not what the repository holds; see package-data in pyproject.toml")
    print(f"{from_sdist}: {len(one)} files, those that git tracks, also from the tree alone")


if __name__ == "__main__":
    main(*sys.argv[1:])
