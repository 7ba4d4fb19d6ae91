"""The lock file has every dependency, in a version that pyproject.toml admits, with its hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^ ;]+)")


def read_project() -> dict[str, list[str]]:
    """Returns the requirements by extra; the package's own have no name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def read_lock() -> dict[str, list[str]]:
    """Returns the versions of each package, of which platforms may have several."""
    locked: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        if found := LINE.match(line):
            locked.setdefault(canonicalize_name(found["name"]), []).append(found["version"])
    return locked


@pytest.mark.parametrize("extra", read_project())
def test_the_lock_file_has_what_the_project_asks_for(extra):
    locked = read_lock()
    for text in read_project()[extra]:
        wanted = Requirement(text)
        versions = locked.get(canonicalize_name(wanted.name), [])
        assert versions, f"{wanted.name}: run .ci/lock"
        assert all(wanted.specifier.contains(one) for one in versions), (text, versions)


def test_every_locked_version_has_hashes_and_no_host_is_named():
    text = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
