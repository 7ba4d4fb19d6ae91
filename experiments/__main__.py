"""Lists the commands, or runs one: `conversation-emotion epc` is `python -m experiments.epc`."""

import difflib
import shutil
import sys
import textwrap
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from experiments import HERE, find_commands


def list_commands(program: str) -> str:
    """Returns a line for each command, wrapped to the terminal."""
    commands = find_commands()
    width = min(shutil.get_terminal_size().columns, 100)
    indent = max(map(len, commands)) + 4
    lines = [
        textwrap.fill(
            purpose, width, initial_indent=f"  {name:{indent - 2}}", subsequent_indent=" " * indent
        )
        for name, (_, purpose) in commands.items()
    ]
    return "\n".join([f"usage: {program} COMMAND [OPTIONS]; COMMAND --help explains", "", *lines])


def find_shadow(folder: Path) -> Path | None:
    """Returns what in a folder Python would import in place of one of this project's packages."""
    for package in ("experiments", "conversation_emotion"):
        for place in (folder / package, folder / f"{package}.py"):
            if place.exists() and place.resolve() != HERE.with_name(package):
                return place
    return None


def main() -> None:
    """Runs the command that the first arguments name."""
    is_module = Path(sys.argv[0]).name == "__main__.py"
    if shadow := find_shadow(Path.cwd()):
        sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path.cwd()]
        print(
            f"note: {shadow} hides this project from `python -m experiments.COMMAND` in this "
            "folder; use `conversation-emotion COMMAND`, or another folder",
            file=sys.stderr,
        )
    from experiments.framework.commandline import explained  # not from the shadow

    with explained():
        _run("python -m experiments" if is_module else "conversation-emotion")


def _run(program: str) -> None:
    """Lists the commands, or runs the one that the first arguments name."""
    words = [word.replace("_", "-") for word in sys.argv[1:3]]
    commands = find_commands()
    if words[:1] == ["--version"]:
        print(f"conversation-emotion {version('conversation-emotion')}")
    elif not words or words[0] in ("-h", "--help"):
        print(list_commands(program))
    else:
        name = " ".join(words) if " ".join(words) in commands else words[0]
        if name not in commands:
            close = difflib.get_close_matches(name, commands, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            sys.exit(f"usage error: no command {name!r}{hint}\n`{program}` lists all commands")
        sys.argv[:] = [f"{program} {name}", *sys.argv[1 + len(name.split()) :]]
        module = import_module(commands[name].module)
        (module.EXPERIMENT if hasattr(module, "EXPERIMENT") else module).main()


if __name__ == "__main__":
    main()
