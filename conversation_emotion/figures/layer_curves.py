"""The picture of an encoder's layers: their scores with intervals, and lines of several layers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.figures.palette import look_of, plain

LINE_STYLES = {"weighted sum": ("--", "dash"), "mean of the last four": (":", "dot")}
"""How what is made of several layers is drawn, by matplotlib and by plotly."""

MAJORITY = "majority"


PROBE_TITLES = {
    "sum": "weighted sum",
    "last-4": "mean of the last four",
    "chosen": "layer chosen by valid",
}
"""Names of the probes of several layers."""


class LayerCurve(NamedTuple):
    """Scores of an encoder's layers by number, and lines of several layers by `LINE_STYLES`."""

    encoder: str
    layers: dict[int, Interval]
    lines: dict[str, Interval]


class CurvePanel(NamedTuple):
    """The curves of one corpus, with its title and the score of guessing."""

    title: str
    curves: Sequence[LayerCurve]
    chance: float


def make_panel(
    title: str, encoders: Mapping[str, Mapping[str, Mapping[str, Interval]]], chance: float
) -> CurvePanel:
    """Makes the panel of a corpus, with its title and the score of the majority.

    Scores of each encoder are by probe, a number or one of `PROBE_TITLES`, and by metric.
    """
    curves = []
    for encoder, probes in encoders.items():
        layers = {int(name): found["uar"] for name, found in probes.items() if name.isdecimal()}
        names = [name for name in ("sum", "last-4") if name in probes]
        lines = {PROBE_TITLES[name]: probes[name]["uar"] for name in names}
        curves.append(LayerCurve(encoder, layers, lines))
    return CurvePanel(title, curves, chance)


def draw_layer_curves(panels: Sequence[CurvePanel], metric: str) -> Figure:
    """Draws a panel per corpus and a curve per encoder, in percent with 95 % intervals.

    An encoder of one layer is a line across the panel, its interval a band.
    """
    figure = Figure(figsize=(6.4 * len(panels) + 2.4, 4.8), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        for number, curve in enumerate(panel.curves):
            _draw_curve(axes, curve, number)
        axes.axhline(100 * panel.chance, color="#999999", linewidth=1, label=MAJORITY)
        axes.set_title(plain(panel.title), fontsize=10, loc="left")
        axes.set_xlabel("layer (0 is the input of the first Transformer block)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    row[0].set_ylabel(f"{metric} on test, %")
    _add_legend(figure, list(row))
    return figure


def _draw_curve(axes: Axes, curve: LayerCurve, number: int) -> None:
    look, name = look_of(number), plain(curve.encoder)
    if len(curve.layers) == 1:
        interval = next(iter(curve.layers.values()))
        axes.axhline(100 * interval.score, color=look.colour, label=f"{name} (one layer)")
        axes.axhspan(100 * interval.low, 100 * interval.high, color=look.colour, alpha=0.12, lw=0)
    else:
        found = 100 * np.array([interval[:3] for interval in curve.layers.values()])
        errors = np.maximum(0, [found[:, 0] - found[:, 1], found[:, 2] - found[:, 0]])
        axes.errorbar(
            list(curve.layers),
            found[:, 0],
            yerr=errors,
            color=look.colour,
            marker=look.marker,
            capsize=3,
            label=name,
        )
    for line, interval in curve.lines.items():
        style = LINE_STYLES[line][0]
        axes.axhline(
            100 * interval.score, color=look.colour, linestyle=style, label=f"{name}, {line}"
        )


def _add_legend(figure: Figure, panels: list[Axes]) -> None:
    """Names every line once; an encoder precedes the lines of several of its layers."""
    found = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    labels = sorted(found, key=lambda label: (label == MAJORITY, label))
    handles = [found[label] for label in labels]
    figure.legend(handles, labels, loc="outside right center", frameon=False)
