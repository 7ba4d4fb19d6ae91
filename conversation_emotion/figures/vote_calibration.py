"""Calibration curve against votes: how many raters name what is predicted with a confidence."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from conversation_emotion.evaluation.calibration import NUM_BINS
from conversation_emotion.figures.palette import LOOKS, plain


def draw_vote_calibration(curve: Sequence[tuple[float, float, float]], name: str) -> Figure:
    """Draws the share of the votes for the predicted class over its confidence.

    A point is a bin of confidence, above the share of predictions in it. On the diagonal as many
    raters name a class as its probability says.

    Args:
        curve: Mean confidence, share of the votes, and share of the predictions, of each bin.
        name: What is predicted by.
    """
    figure = Figure(figsize=(4.5, 5), layout="constrained")
    axes = figure.subplots()
    confidences, votes, shares = zip(*curve, strict=True)
    axes.bar(confidences, shares, 0.7 / NUM_BINS, color="#BBBBBB", label="share of predictions")
    axes.plot([0, 1], [0, 1], "--", color="#555555", linewidth=1)
    axes.plot(confidences, votes, marker="o", color=LOOKS[0].colour, label="votes that agree")
    axes.set_title(plain(name))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of the votes")
    axes.set_aspect("equal")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
