"""Tables as plain text, whole at any width from 80 columns up: a number is never cut or wrapped."""

import io
import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conversation_emotion.evaluation.metrics import Interval, describe_metric

MIN_WIDTH = 80
"""Columns of the narrowest table."""

_GAP = 2
"""Columns between two cells."""

_NAME_WIDTH = 24
"""Columns that a long name has at least, before numbers are stacked or moved to another block."""


class Cell(NamedTuple):
    """A number in a table; both empty where there is none.

    Attributes:
        score: The number, with its deviation where it has one.
        bounds: Its interval, on a line of its own where one line per row does not fit.
    """

    score: str = ""
    bounds: str = ""


class Line(NamedTuple):
    """A row of a table: its name and a cell for each column."""

    name: str
    cells: Sequence[Cell]


def format_interval(interval: Interval, metric: str, *, has_deviation: bool = True) -> str:
    """Writes an interval on one line, such as ``59.2 ± 1.9 [54.3, 61.7]``.

    Args:
        interval: Of a share, if the metric is in percent.
        metric: Its name, one of `metrics.METRIC_DESCRIPTIONS`.
        has_deviation: Whether there were several trainings; a difference has none in any case.
    """
    return " ".join(interval_cell(interval, metric, has_deviation=has_deviation)).rstrip()


def interval_cell(interval: Interval, metric: str, *, has_deviation: bool = True) -> Cell:
    """Writes an interval as a cell; `format_interval` explains the arguments."""
    score, low, high, deviation = (format_number(value, metric) for value in interval[:4])
    if math.isnan(interval.score):
        return Cell(score)
    is_spread = has_deviation and not describe_metric(metric).is_signed
    return Cell(f"{score} ± {deviation}" if is_spread else score, f"[{low}, {high}]")


def format_number(value: float, metric: str, *, extra_digits: int = 0) -> str:
    """Writes a number with the digits and the unit of its metric, NaN as ``undefined``."""
    if math.isnan(value):
        return "undefined"
    described = describe_metric(metric)
    digits = described.digits + extra_digits
    scaled = 100 * value if described.is_percent else value
    return f"{scaled:{'+' if described.is_signed else ''}.{digits}f}"


def render_table(
    title: str,
    corner: str,
    heads: Sequence[str],
    lines: Sequence[Line],
    *,
    notes: Iterable[str] = (),
    commands: Iterable[str] = (),
    width: int,
) -> str:
    """Writes a table as text of at most `width` columns.

    Intervals are put below their scores if one line per row does not fit; if that does not fit
    either, the table is split into blocks of fewer columns that repeat the names. Names and notes
    wrap at words. A command is wrapped with backslashes, so that it can be pasted; only a single
    argument that is longer than a line stays so.

    Args:
        title: Line above the table.
        corner: Head of the names.
        heads: Heads of the columns.
        lines: The rows, a cell for each column.
        notes: Lines below the table.
        commands: Shell commands, below the notes.
        width: Columns of the text, `MIN_WIDTH` at least.
    """
    width = max(width, MIN_WIDTH)
    names = [corner, *(line.name for line in lines)]
    space = width - _least_name_width(names, width)
    rows, widths = [], []
    for separator in (" ", "\n"):
        rows = [[separator.join(cell).rstrip() for cell in line.cells] for line in lines]
        widths = [_number_width(head, [row[n] for row in rows]) for n, head in enumerate(heads)]
        if sum(columns + _GAP for columns in widths) <= space:
            break
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, force_jupyter=False)
    console.print(_plain(title))
    for block in _split_into_blocks(widths, space):
        console.print()
        console.print(_draw(names, heads, rows, {n: widths[n] for n in block}, width))
    console.print()
    for note in notes:
        console.print(_plain(note))
    for command in commands:
        file.write("\n".join(_wrap_command(command, width)) + "\n")
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _least_name_width(names: Sequence[str], width: int) -> int:
    """Returns the columns that names need: their longest word, but a path may fold."""
    word = max(cell_len(word) for name in names for word in name.split() or [""])
    longest = max(map(cell_len, names))
    return min(longest, max(_NAME_WIDTH, min(word, 3 * width // 10)))


def _number_width(head: str, texts: Iterable[str]) -> int:
    """Returns the columns that the numbers below a head need; the head wraps at words."""
    lines = (line for text in texts for line in text.splitlines())
    return max(map(cell_len, [*lines, *head.split()]))


def _split_into_blocks(widths: Sequence[int], space: int) -> list[list[int]]:
    """Returns the numbers of each block's columns: as many as fit, but one at least."""
    blocks: list[list[int]] = [[]]
    for number in range(len(widths)):
        wider = [*blocks[-1], number]
        if len(wider) > 1 and sum(widths[n] + _GAP for n in wider) > space:
            blocks.append([])
        blocks[-1].append(number)
    return blocks


def _draw(
    names: Sequence[str],
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: dict[int, int],
    width: int,
) -> Table:
    """Draws the columns of one block; names have what the numbers leave, heads what both leave."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    longest = max(map(cell_len, names))
    spare = width - longest - sum(widths.values()) - _GAP * len(widths)
    for number, columns in widths.items():
        wider = max(cell_len(heads[number]) - columns, 0)
        if wider <= spare:
            widths[number] += wider
            spare -= wider
    table.add_column(_plain(names[0]), width=longest + min(spare, 0))
    for number, columns in widths.items():
        table.add_column(_plain(heads[number]), justify="right", width=columns)
    for name, row in zip(names[1:], rows, strict=True):
        table.add_row(_plain(name), *(_plain(row[number]) for number in widths))
    return table


def _plain(text: str) -> Text:
    """Makes text that is taken as it is, and folds words that are longer than a line."""
    return Text(text, overflow="fold")


def _wrap_command(command: str, width: int) -> Iterator[str]:
    """Wraps between arguments; the lines but the last end in a backslash."""
    line = ""
    for argument in map(shlex.quote, shlex.split(command)):
        if line and cell_len(f"{line} {argument} \\") > width:
            yield f"{line} \\"
            line = "   "
        line = f"{line} {argument}" if line else argument
    yield line
