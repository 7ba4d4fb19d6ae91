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
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, force_jupyter=False)
    console.print(_plain(title))
    names = [corner, *(line.name for line in lines)]
    stacked, blocks = _lay_out(names, heads, lines, width)
    for block in blocks:
        console.print()
        console.print(_draw(corner, heads, lines, block, width, is_stacked=stacked))
    console.print()
    for note in notes:
        console.print(_plain(note))
    for command in commands:
        file.write("\n".join(_wrap_command(command, width)) + "\n")
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _lay_out(
    names: Sequence[str], heads: Sequence[str], lines: Sequence[Line], width: int
) -> tuple[bool, list[list[int]]]:
    """Decides whether cells are stacked, and which columns each block has."""
    space = width - _least_name_width(names, width)
    everything = list(range(len(heads)))
    if sum(_cell_width(heads, lines, n, False) + _GAP for n in everything) <= space:
        return False, [everything]
    blocks: list[list[int]] = []
    left = 0
    for number in everything:
        needed = _cell_width(heads, lines, number, True) + _GAP
        if needed > left:
            blocks.append([])
            left = space
        blocks[-1].append(number)
        left -= needed
    return True, blocks


def _least_name_width(names: Sequence[str], width: int) -> int:
    """Returns the columns that names need: their longest word, but a path may fold."""
    word = max(cell_len(word) for name in names for word in name.split() or [""])
    longest = max(map(cell_len, names))
    return min(longest, max(_NAME_WIDTH, min(word, 3 * width // 10)))


def _cell_width(heads: Sequence[str], lines: Sequence[Line], number: int, stacked: bool) -> int:
    """Returns the columns that the numbers of a column need; its head wraps at words."""
    texts = [text for line in lines for text in _split(line.cells[number], stacked)]
    return max(map(cell_len, [*texts, *heads[number].split()]))


def _split(cell: Cell, stacked: bool) -> list[str]:
    return [*cell] if stacked else [" ".join(cell).rstrip()]


def _draw(
    corner: str,
    heads: Sequence[str],
    lines: Sequence[Line],
    block: Sequence[int],
    width: int,
    *,
    is_stacked: bool,
) -> Table:
    """Draws the columns of one block; names have what the numbers leave, heads what both leave."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    widths = [_cell_width(heads, lines, number, is_stacked) for number in block]
    longest = max(cell_len(name) for name in (corner, *(line.name for line in lines)))
    spare = width - longest - sum(widths) - _GAP * len(widths)
    for place, number in enumerate(block):
        wider = max(cell_len(heads[number]) - widths[place], 0)
        if wider <= spare:
            widths[place] += wider
            spare -= wider
    name_width = longest + min(spare, 0)
    table.add_column(_plain(corner), min_width=name_width, max_width=name_width)
    for number, columns in zip(block, widths, strict=True):
        table.add_column(
            _plain(heads[number]), justify="right", min_width=columns, max_width=columns
        )
    for line in lines:
        cells = (_plain("\n".join(_split(line.cells[n], is_stacked)).rstrip()) for n in block)
        table.add_row(_plain(line.name), *cells)
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
