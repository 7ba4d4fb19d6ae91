"""Reliability diagram: how often predictions of each confidence are right."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from conversation_emotion.evaluation.calibration import (
    NUM_BINS,
    bin_confidences,
    score_calibration,
)
from conversation_emotion.figures.palette import LOOKS, plain


def draw_reliability(tables: Mapping[str, pd.DataFrame], labels: Sequence[str]) -> Figure:
    """Draws accuracy over confidence (DeGroot and Fienberg, 1983), a panel for each table.

    A point is a bin of confidence, above the share of predictions in it. On the diagonal confidence
    is true; below it the model is over-confident.

    Args:
        tables: Predictions by what they are called.
        labels: Names of the classes (C).
    """
    figure = Figure(figsize=(4 * len(tables), 5), layout="constrained")
    panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        confidences, accuracies, shares = zip(*bin_confidences(table, labels), strict=True)
        ece = score_calibration(table, labels)["ece"]
        axes.bar(confidences, shares, 0.7 / NUM_BINS, color="#BBBBBB", label="share of predictions")
        axes.plot([0, 1], [0, 1], "--", color="#555555", linewidth=1)
        axes.plot(confidences, accuracies, marker="o", color=LOOKS[0].colour, label="accuracy")
        axes.set_title(f"{plain(name)}\nECE {ece.score:.1%} [{ece.low:.1%}, {ece.high:.1%}]")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", aspect="equal")
    panels[0].set_ylabel("accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
