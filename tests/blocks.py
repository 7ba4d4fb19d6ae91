"""The blocks of code of a Markdown document, and what the comment before one says of its test.

A comment before a block says how CI runs it, where that is not word for word. Its parts, between
semicolons, are for all commands, or for those of these names or numbers::

    <!-- ci: --max-folds 1; epc, ser: --epochs 1; 3: not run: needs four GPUs -->

Flags are added to the commands that have them.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt

LANGUAGES = ("bash", "python", "toml", "text")
"""What a block may be; one without a name is Python where it compiles, else of a shell."""


@dataclass(frozen=True)
class Remark:
    """A part of a comment.

    Attributes:
        commands: Names or numbers of the commands that it is for; all if there are none.
        flags: Those that are added.
        reason: Why the commands are not run; empty if they are.
    """

    commands: tuple[str, ...]
    flags: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Block:
    """A block of code: where it is, one of `LANGUAGES`, its text, and what CI does with it."""

    document: str
    line: int
    language: str
    code: str
    remarks: tuple[Remark, ...] = ()

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """Returns the words of each command of a block of shell, without comments."""
        joined = re.sub(r"\\\n\s*", "", self.code)
        parts = [part for line in joined.splitlines() for part in re.split(r" && | & ?", line)]
        return [words for part in parts if (words := shlex.split(part, comments=True))]

    def reason(self, *names: str) -> str:
        """Returns why a command of these names is not run, or the block without any name."""
        return next((one.reason for one in self._of(*names) if one.reason), "")

    def flags(self, *names: str) -> list[tuple[str, ...]]:
        """Returns the flags with their values that are added to a command of these names."""
        words = [word for remark in self._of(*names) for word in remark.flags]
        starts = [place for place, word in enumerate(words) if word.startswith("--")]
        ends = [*starts, len(words)][1:]
        return [tuple(words[start:end]) for start, end in zip(starts, ends, strict=True)]

    def _of(self, *names: str) -> Iterator[Remark]:
        for remark in self.remarks:
            if not remark.commands or {*remark.commands} & {*names}:
                yield remark


def read_blocks(document: str, text: str) -> Iterator[Block]:
    """Yields the blocks of a document.

    Raises:
        ValueError: A block is of another language, or a comment is before no block.
    """
    remarks: tuple[Remark, ...] = ()
    for token in MarkdownIt().parse(text):
        line = (token.map or [0])[0] + 1
        if token.type in ("fence", "code_block"):
            language = token.info.strip() or find_language(token.content)
            if language not in LANGUAGES:
                expected = ", ".join(LANGUAGES)
                raise ValueError(f"{document}:{line}: a block of {language!r}, not of {expected}")
            yield Block(document, line + (token.type == "fence"), language, token.content, remarks)
        elif remarks:
            raise ValueError(f"{document}:{line}: a comment for CI is before no block")
        remarks = read_comment(token.content) if token.type == "html_block" else ()


def find_language(code: str) -> str:
    """Returns the language of a block that does not name it."""
    try:
        compile(code, "block", "exec")
    except SyntaxError:
        return "bash"
    return "python"


def read_comment(text: str) -> tuple[Remark, ...]:
    """Returns the parts of a comment for CI; none of any other."""
    found = re.fullmatch(r"<!--\s*ci:(.*?)-->\s*", text, re.DOTALL)
    remarks = []
    for part in found[1].split(";") if found else ():
        names, reason, flags = re.fullmatch(
            r"\s*(?:(?!not run)([\w, -]+?):)?\s*(?:not run:\s*(.+?)|(.*?))\s*", part, re.DOTALL
        ).groups(default="")  # type: ignore[union-attr]  # it matches any text
        commands = tuple(name.strip() for name in names.split(",") if name.strip())
        remarks.append(Remark(commands, tuple(shlex.split(flags)), " ".join(reason.split())))
    return tuple(remarks)
