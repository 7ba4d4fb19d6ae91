"""Pictures of results."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_CELL, _LETTER, _LINE = 0.75, 0.09, 0.35
"""Inches of a cell, and at most of a letter and a line of text."""


def draw_confusions(confusions: NDArray[np.int64], labels: tuple[str, ...], title: str) -> Figure:
    """Draws a confusion matrix: shares of each row as colours and numbers, with counts: (C, C).

    Every training draws one. Margins are therefore set by hand, and no bar explains the colours,
    whose shares stand in the cells: a layout engine and a bar take thrice the time of the rest.
    """
    shares = confusions / np.maximum(confusions.sum(axis=1, keepdims=True), 1)
    side, reach = _CELL * len(labels), _LETTER * max(map(len, labels))
    left, bottom = 1.2 * _LINE + reach, 1.5 * _LINE + reach / 2  # names below lie at 30 degrees
    width, height = left + side + _LINE / 2, bottom + side + _LINE
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("target")
    axes.set_title(title, fontsize=10)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            f"{share:.0%}\n{confusions[row, column]}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share > 0.5 else "black",
        )
    return figure
