"""Experiments: each file is one command; `python -m experiments` lists them."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
"""The folder of the commands."""


class Command(NamedTuple):
    """A module that can be run, and what it is for."""

    module: str
    purpose: str


@cache
def find_commands() -> Mapping[str, Command]:
    """Returns the commands by name: the modules that define ``main``, none of them imported.

    A folder that is no command itself lends its commands no name: `models/export.py` is export.
    """
    commands = {}
    for path in sorted(HERE.rglob("*.py")):
        parts = path.relative_to(HERE).with_suffix("").parts
        text = path.read_text("utf-8")
        is_command = re.search(r"^(def main|main =|EXPERIMENT =)", text, re.MULTILINE)
        if is_command and parts != ("__main__",):
            words = [part for part in parts if part != "__main__"]
            if not (path.parent / "__main__.py").is_file():
                words = words[-1:]
            name = " ".join(words).replace("_", "-")
            purpose = " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
            commands[name] = Command(".".join(("experiments", *parts)), purpose)
    return commands
