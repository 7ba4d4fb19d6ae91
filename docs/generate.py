"""Writes what the code itself holds: commands, corpora, encoders, formats, models, API, results.

    python docs/generate.py

Whole pages, and tables within pages that are written by hand, between `<!-- table: NAME -->` and
`<!-- end -->`. Results are those that `python -m benchmarks.reproduce keep` put into results/; what
their pages say beside the tables is in results/pages.toml. A test compares what is committed with
what this writes.
"""

import ast
import inspect
import json
import re
import textwrap
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import tyro

import conversation_emotion as ce
from conversation_emotion.evaluation.board import (
    Board,
    make_boards,
    measure_gains,
    read_encoders,
    read_results,
    size_of,
)
from conversation_emotion.evaluation.metrics import METRIC_DESCRIPTIONS, describe_metric
from conversation_emotion.evaluation.rendering import Cell, format_number
from conversation_emotion.evaluation.results import ResultsTable, RowResult
from conversation_emotion.inference.card import Card
from conversation_emotion.settings.corpus import find_corpus, list_corpora
from conversation_emotion.utterances.table import COLUMNS, REQUIRED
from experiments import find_commands
from speech_encoders import load_speech_encoder

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE.with_name("results")


def find_settings(module: str) -> type:
    """Returns the settings of a command."""
    found = import_module(module)
    if hasattr(found, "EXPERIMENT"):
        return found.EXPERIMENT.settings
    run: Callable[..., Any] = found.run
    given = [one.annotation for one in inspect.signature(run).parameters.values()]
    return next(kind for kind in given if isinstance(kind, type) and is_dataclass(kind))


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
    yield from _describe_actions(parser, "")


def _describe_actions(parser: Any, command: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action.choices, dict):  # commands of a command
            for name, inner in action.choices.items():
                yield from _describe_actions(inner, f"`{name}` ")
        if "--help" in action.option_strings or not action.help:
            continue
        text = " ".join(action.help.replace("%%", "%").split())
        found = re.fullmatch(r"(.*?)\s*\((default|required|optional)(?:: (.*))?\)", text)
        what, kind, default = found.groups() if found else (text, "", "")
        default = kind if default is None else default
        names = ", ".join(f"`{one}`" for one in action.option_strings) or f"`{action.dest.upper()}`"
        yield f"| {command}{names} | {_escape(what)} | {_escape(default)} |"


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


def write_models() -> str:
    """Writes the cards of the models and encoders that come with the package."""
    parts = [
        "# Models of the package\n\nTheir cards, as they lie in their folders. `default` is what "
        "`predict` uses, `default-sentiment` and `default-text` read words, `forecaster` reads the "
        "emotions of the turns before, and the two encoders are what models hear through."
    ]
    for folder in CARDS:
        front, text = read_card(ROOT / folder)
        title, _, rest = re.sub(r"^#", "##", text, flags=re.MULTILINE).strip().partition("\n")
        parts += [title, f"`{folder}`; weights: {front['license'].upper()}", rest.strip()]
    return "\n\n".join(parts) + "\n"


CARDS = (
    *(f"conversation_emotion/inference/{name}" for name in ("default", "default-sentiment")),
    *(f"conversation_emotion/inference/{name}" for name in ("default-text", "forecaster")),
    "speech_encoders/whisper/base_lower",
    "speech_encoders/emotion2vec/mini",
)
"""Folders of what comes with the package."""


def read_card(folder: Path) -> tuple[dict[str, str], str]:
    """Returns the facts at the top of a card, and its text."""
    _, front, text = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return dict(line.split(": ", 1) for line in front.strip().splitlines()), text


def write_api() -> str:
    """Writes a section for each public name; the site fills it from its docstring."""
    parts = [
        "# API\n\nWhat `import conversation_emotion as ce` offers, from the docstrings; "
        "[Python](python.md) shows it at work. In the code, where this page is read as plain "
        "Markdown, each name stands in the module that is named here."
    ]
    names = {name: getattr(ce, name).__module__ for name in ce.__all__}
    parts += [f"## {name}\n\n::: {module}.{name}" for name, module in names.items()]
    return "\n\n".join(parts) + "\n"


def fill(place: str) -> str:
    """Returns a page with its tables as the code has them now."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}",
        (HERE / place).read_text("utf-8"),
        flags=re.DOTALL,
    )


def tabulate(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table of Markdown."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def tabulate_columns() -> str:
    """Returns the columns of the utterance table."""
    rows = [
        (f"`{name}`", "yes" if name in REQUIRED else "", _escape(what))
        for name, what in COLUMNS.items()
    ]
    return tabulate(("column", "required", "what it is"), rows)


def tabulate_metrics() -> str:
    """Returns the metrics by the names that flags, tracking and results have."""
    rows = [
        (f"`{name}`", one.title, "a share, shown in percent" if one.is_percent else "as it is")
        for name, one in METRIC_DESCRIPTIONS.items()
    ]
    return tabulate(("name", "head of its column", "number"), rows)


def tabulate_fields(kind: type) -> str:
    """Returns the fields of a dataclass with the docstrings below them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    rows, names = [], []
    for node in tree.body[1:]:
        if isinstance(node, ast.AnnAssign):
            names.append(f"`{ast.unparse(node.target)}`")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and names:
            rows.append((", ".join(names), _escape(" ".join(str(node.value.value).split()))))
            names = []
    return tabulate(("field", "what it is"), [*rows, *((name, "") for name in names)])


def tabulate_encoders() -> str:
    """Returns what is known of each encoder; those that need no download are loaded."""
    heads = (
        *("encoder", "licence", "MB", "layers", "features", "frames/s", "CPU s per s"),
        *("EmoDB, UAR", "RAVDESS, UAR", "what it learned from"),
    )
    costs = json.loads((ROOT / "benchmarks/encoders.json").read_text("utf-8"))["encoders"]
    scores = [_read_scores(f"ser-{corpus}", "uar") for corpus in ("emodb", "ravdess")]
    rows = []
    for name, facts in read_encoders().items():
        if "parameters" not in facts:
            encoder = load_speech_encoder(name)
            facts = {
                **facts,
                "layers": encoder.num_layers,
                "features": encoder.hidden_size,
                "frame_rate": encoder.frame_rate,
            }
        numbers = [f"{facts[one]:g}" for one in ("layers", "features", "frame_rate")]
        cost = costs.get(facts.get("cost", name))
        rows.append(
            (
                *(f"`{name}`", facts["licence"], size_of(facts), *numbers),
                f"{cost['cost']:.3f}" if cost else "",
                *(found.get(name, "") for found in scores),
                facts["training"],
            )
        )
    return tabulate(heads, rows)


def tabulate_board(modality: str) -> str:
    """Returns the kept board of a modality: tasks by encoders, the best mean rank first."""
    (board,) = [one for one in _read_boards() if one.modality == modality]
    heads = ("task", "n", *(f"`{name}`" for name in board.encoders), "majority")
    ranks = [board.ranks.get(name) for name in board.encoders]
    shown = [f"{one.score:.1f} [{one.low:.1f}, {one.high:.1f}]" if one else "" for one in ranks]
    rows: list[tuple[object, ...]] = [("**mean rank**", "", *shown, "")]
    for task in board.tasks:
        found = [board.results.get((name, task)) for name in board.encoders]
        first = next(one for one in found if one is not None)
        cells = [
            _write_cell(one.row.cell(one.metric)) + "\\*" * bool(one.seen) if one else ""
            for one in found
        ]
        majority = "" if first.majority is None else format_number(first.majority, first.metric)
        rows.append(
            (
                f"{task}, {describe_metric(first.metric).title}",
                f"{first.score.n:,}",
                *cells,
                majority,
            )
        )
    return tabulate(heads, rows)


def tabulate_gains() -> str:
    """Returns how much shuffled speakers gain on the kept board, by encoder and corpus."""
    gains = {
        (name, corpus): f"{100 * gain:+.1f}"
        for board in _read_boards()
        for name, corpus, gain in measure_gains(board.results.values())
    }
    corpora = sorted({corpus for _, corpus in gains})
    names = dict.fromkeys(name for name, _ in gains)
    rows = [(f"`{name}`", *(gains.get((name, one), "") for one in corpora)) for name in names]
    return tabulate(("encoder", *corpora), rows)


@cache
def _read_boards() -> list[Board]:
    return list(make_boards(read_results([RESULTS / "board"])))


def _read_scores(table: str, metric: str) -> dict[str, str]:
    """Returns the scores of the models of a kept table, by name."""
    found = ResultsTable.from_json((RESULTS / f"{table}.json").read_text("utf-8"))
    return {row.name: _write_cell(row.cell(metric)) for row in found.rows if row.kind == "model"}


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


TABLES: dict[str, Callable[[], str]] = {
    "columns": tabulate_columns,
    "metrics": tabulate_metrics,
    "table": partial(tabulate_fields, ResultsTable),
    "row": partial(tabulate_fields, RowResult),
    "card": partial(tabulate_fields, Card),
    "encoders": tabulate_encoders,
    "board_speech": partial(tabulate_board, "speech"),
    "board_text": partial(tabulate_board, "text"),
    "board_joined": partial(tabulate_board, "speech+text"),
    "gains": tabulate_gains,
}
"""Tables within pages, by their names."""

PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": write_commands,
    "reference/corpora.md": write_corpora,
    "reference/models.md": write_models,
    "reference/api.md": write_api,
    "reference/encoders.md": partial(fill, "reference/encoders.md"),
    "reference/formats.md": partial(fill, "reference/formats.md"),
    "results/board.md": partial(fill, "results/board.md"),
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
