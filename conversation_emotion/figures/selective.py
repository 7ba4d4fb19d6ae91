"""Risk against coverage: how many errors remain among the predictions that are surest."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from conversation_emotion.evaluation.selective import score_selective, trace_risk
from conversation_emotion.figures.palette import LOOKS, plain


def draw_risks(tables: Mapping[str, pd.DataFrame], labels: Sequence[str]) -> Figure:
    """Draws the risk over the coverage, a curve for each table.

    Dashed is the first table's error rate, which a confidence that says nothing has at every
    coverage; dotted the curve if all its errors were the least confident.

    Args:
        tables: Predictions by what they are called.
        labels: Names of the classes (C).
    """
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, table) in enumerate(tables.items()):
        curve, aurc = trace_risk(table, labels), score_selective(table, labels)["aurc"]
        colour = LOOKS[number % len(LOOKS)].colour
        label = f"{plain(name)}: AURC {aurc.score:.1%} [{aurc.low:.1%}, {aurc.high:.1%}]"
        axes.plot(curve.coverage, curve.risk, color=colour, label=label)
        if not number:
            axes.axhline(curve.risk[-1], linestyle="--", color="#555555", linewidth=1)
            axes.plot(curve.coverage, curve.best, ":", color="#555555", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="coverage: share of predictions that are kept")
    axes.set_ylabel("risk: share of these that are wrong")
    axes.legend(loc="upper left", fontsize="small")
    return figure
