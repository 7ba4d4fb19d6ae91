"""The picture of utterances on a plane: a row per question, a column per encoder."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from conversation_emotion.evaluation.separation import Separation
from conversation_emotion.figures.palette import UNKNOWN, Look, look_of, plain


class Colouring(NamedTuple):
    """A class of each of N utterances by which points are coloured, below 0 where it has none.

    The title and the names of the classes (C) are in words.
    """

    title: str
    labels: tuple[str, ...]
    classes: NDArray[np.int64]

    def groups(self) -> list[tuple[str, Look, NDArray[np.bool_]]]:
        """Returns the classes that occur: name, look, and which utterances are in it."""
        numbers = range(len(self.labels))
        found = [(self.labels[n], look_of(n), self.classes == n) for n in numbers]
        found.append(("no class", UNKNOWN, self.classes < 0))
        return [group for group in found if group[2].any()]


class Plane(NamedTuple):
    """Points (N, 2) of utterances, and the separation of the classes of each colouring's title."""

    encoder: str
    points: NDArray[np.floating]
    separations: dict[str, Separation]

    def describe(self, colouring: Colouring) -> str:
        """Describes the numbers under a picture."""
        numbers = self.separations[colouring.title]
        return f"silhouette {numbers.silhouette:.2f}, compactness {numbers.compactness:.2f}"


def draw_planes(planes: Sequence[Plane], colourings: Sequence[Colouring], title: str) -> Figure:
    """Draws every encoder's plane in every colouring, with its numbers underneath."""
    columns, rows = len(planes), len(colourings)
    figure = Figure(figsize=(3.5 * columns + 1.8, 3.6 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for colouring, row in zip(colourings, grid, strict=True):
        for plane, axes in zip(planes, row, strict=True):
            _draw_points(axes, plane, colouring)
        row[0].set_ylabel(f"by {plain(colouring.title)}", fontsize=11)
        row[-1].legend(
            handles=[_handle(name, look) for name, look, _ in colouring.groups()],
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
            frameon=False,
        )
    for plane, axes in zip(planes, grid[0], strict=True):
        axes.set_title(plain(plane.encoder), fontsize=11)
    figure.suptitle(plain(title), fontsize=10, x=0.01, ha="left")
    return figure


def _draw_points(axes: Axes, plane: Plane, colouring: Colouring) -> None:
    for _, look, chosen in colouring.groups():
        x, y = plane.points[chosen].T
        axes.scatter(x, y, s=26, c=look.colour, marker=look.marker, linewidths=0.3, edgecolors="w")
    axes.set_xlabel(plane.describe(colouring), fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _handle(name: str, look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=plain(name))
