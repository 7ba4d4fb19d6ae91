"""Pictures of results."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def draw_confusions(confusions: NDArray[np.int64], labels: tuple[str, ...], title: str) -> Figure:
    """Draws a confusion matrix: shares of each row as colours, counts as numbers: (C, C)."""
    shares = confusions / np.maximum(confusions.sum(axis=1, keepdims=True), 1)
    size = 2.2 + 0.75 * len(labels)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
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
    figure.colorbar(image, ax=axes, label="share of the target class")
    return figure
