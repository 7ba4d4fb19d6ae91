"""Writes the pages of the reference that the code itself holds: commands, corpora.

python docs/generate.py

Results are those that `python -m benchmarks.reproduce keep` put into results/; what their pages say
beside the tables is in results/pages.toml. A test compares what is committed with what this writes.
"""

import inspect
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import tyro

from conversation_emotion.evaluation.metrics import describe_metric
from conversation_emotion.evaluation.rendering import Cell
from conversation_emotion.evaluation.results import ResultsTable, RowResult
from conversation_emotion.settings.corpus import find_corpus, list_corpora
from experiments import find_commands

HERE = Path(__file__).parent
RESULTS = HERE.with_name("results")


def find_settings(module: str) -> type:
    """Returns the settings of a command."""
    found = import_module(module)
    if hasattr(found, "EXPERIMENT"):
        return found.EXPERIMENT.settings
    run: Callable[..., Any] = found.run
    return next(one.annotation for one in inspect.signature(run).parameters.values())


def write_commands() -> str:
    """Writes a section for each command: what it does, how it is called, its options."""
    parts = [
        "# Commands\n\n`conversation-emotion COMMAND` is `python -m experiments.COMMAND`. Options "
        "that only one corpus has are shown with that corpus: `python -m experiments.epc --corpus "
        "iemocap --help`."
    ]
    for name, (module, _) in find_commands().items():
        description = inspect.getdoc(import_module(module)) or ""
        parts.append(f"## {name}\n\n{description.strip()}")
        if options := [*list_options(find_settings(module))]:
            parts.append("\n".join(["| option | what it is | default |\n|---|---|---|", *options]))
    return "\n\n".join(parts) + "\n"


def list_options(settings: type) -> Iterator[str]:
    """Yields a line of a table for each option of a command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tyro has nothing in its place yet
        parser = tyro.extras.get_parser(settings, config=(tyro.conf.OmitArgPrefixes,))
    for action in parser._actions:
        if "--help" in action.option_strings or not action.help:
            continue
        text = " ".join(action.help.replace("%%", "%").split())
        found = re.search(r"^(.*?)\s*\((default|required|optional)(?:: (.*))?\)$", text)
        what, default = (found[1], found[3] or found[2]) if found else (text, "")
        names = ", ".join(f"`{one}`" for one in action.option_strings) or f"`{action.metavar}`"
        yield f"| {names} | {_escape(what)} | {_escape(default)} |"


def write_corpora() -> str:
    """Writes a table of the corpora: what their folder is, labels and split by default."""
    lines = [
        "# Corpora\n\n`python -m experiments.corpora` lists them with languages, hours, licence "
        "and where to ask, and checks a copy. What an adapter assumes of a layout stands at the "
        "top of its file in `conversation_emotion/corpora/`.\n",
        "| name | what `--root` is | labels | split |\n|---|---|---|---|",
    ]
    for name in list_corpora():
        source = find_corpus(name)
        cells = (f"`{name}`", source.root, source.labels, source.split or "speaker-k-fold")
        lines.append(f"| {' | '.join(_escape(str(cell)) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def write_results(page: dict[str, Any]) -> str:
    """Writes a page of results: its text, and a section for each of its tables."""
    parts = [f"# {page['title']}", page["text"].strip()]
    for section in page["tables"]:
        table = ResultsTable.from_json((RESULTS / f"{section['file']}.json").read_text("utf-8"))
        parts += [f"## {section['title']}", *write_table(table, section.get("default", ""))]
        parts += [text.strip() for text in (section.get("text"),) if text]
    return "\n\n".join(parts) + "\n"


def write_table(table: ResultsTable, default: str) -> Iterator[str]:
    """Yields a table of models and baselines, one of published figures, notes and commands."""
    ours = [row for row in table.rows if row.kind != "published"]
    published = [row for row in table.rows if row.kind == "published"]
    main = table.columns[0]
    best = max(
        (row for row in ours if row.kind == "model" and main in row.metrics),
        key=lambda row: row.metrics[main].score,
        default=None,
    )
    titles = [describe_metric(metric).title for metric in table.columns]
    head = f"| | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}"
    lines = [_write_row(row, table.columns, row is best, row.name == default) for row in ours]
    yield "\n".join([head, *lines])
    if published:
        lines = [_write_row(row, table.columns, False, False) for row in published]
        yield "\n".join([head.replace("| |", "| published |", 1), *lines])
    yield "\n".join(f"- {_escape(note)}" for note in table.notes)
    commands = dict.fromkeys(row.command for row in table.rows if row.command)
    commits = sorted({row.commit[:12] for row in table.rows if row.commit})
    yield "\n".join(f"    {command}" for command in commands)
    yield f"Measured at commit {', '.join(commits)}." if commits else ""


def _write_row(row: RowResult, columns: Sequence[str], is_best: bool, is_default: bool) -> str:
    cells = [_write_cell(row.cell(metric)) for metric in columns]
    name = _escape(row.name) + (" (default)" if is_default else "")
    if is_best:
        name, cells[0] = f"**{name}**", f"**{cells[0]}**"
    return f"| {name} | {' | '.join(cells)} |"


def _write_cell(cell: Cell) -> str:
    return " ".join(part for part in (cell.score, cell.bounds) if part)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*").replace("[", "\\[")


PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": write_commands,
    "reference/corpora.md": write_corpora,
    **{
        f"results/{page['name']}.md": partial(write_results, page)
        for page in tomllib.loads((RESULTS / "pages.toml").read_text("utf-8"))["pages"]
    },
}
"""What writes each generated page, by its place below this folder."""


def main() -> None:
    """Writes all pages."""
    for place, write in PAGES.items():
        (HERE / place).write_text(write(), "utf-8")
        print(HERE / place)


if __name__ == "__main__":
    main()
