"""Pages of pictures: one file each, which needs no network and whose points may play their clip.

Every name of a corpus is escaped, and the page's policy forbids it to load anything: what it shows
is all that it holds.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from conversation_emotion.evaluation.metrics import Interval, describe_metric
from conversation_emotion.evaluation.rendering import format_interval
from conversation_emotion.evaluation.results import ResultsTable
from conversation_emotion.figures.documents import as_script
from conversation_emotion.figures.layer_curves import (
    LINE_STYLES,
    MAJORITY,
    CurvePanel,
    LayerCurve,
    draw_layer_curves,
    make_panel,
)
from conversation_emotion.figures.palette import look_of
from conversation_emotion.figures.planes import Colouring, Plane

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data:; form-action 'none'; base-uri 'none'"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.2rem; color: #222; }}
h1 {{ font-size: 1.15rem; margin: 0; }}
p {{ margin: .3rem 0; max-width: 60rem; }}
#player {{ display: flex; gap: 1rem; align-items: center; min-height: 3.5rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{notes}
{player}
<div id="picture"></div>
<script>{plotly}</script>
<script type="application/json" id="figure">{figure}</script>
<script type="application/json" id="clips">{clips}</script>
<script>
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const figure = read("figure"), clips = read("clips"), picture = document.getElementById("picture");
Plotly.newPlot(picture, figure.data, figure.layout, {{
  responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendChartToCloud"]
}});
const sound = document.getElementById("sound"), label = document.getElementById("label");
if (sound) picture.on("plotly_click", (event) => {{
  const name = event.points[0].customdata[0], clip = clips[name];
  label.textContent = clip ? name : name + ": no sound in this page";
  sound.pause();
  if (clip) {{ sound.src = "data:audio/ogg;base64," + clip; sound.play(); }}
}});
</script>
</body>
</html>
"""

_PLAYER = """<div id="player"><audio id="sound" controls></audio>
<span id="label">Choose a point to play its clip.</span></div>"""


def write_page(
    path: Path,
    title: str,
    notes: Sequence[str],
    figure: go.Figure,
    sounds: Mapping[str, str] | None = None,
) -> None:
    """Writes a picture, below some paragraphs, with all that it needs into one file.

    The first item of a point's custom data is its utterance, which plays its sound, Ogg Opus as
    base64; without sounds the page is silent.
    """
    page = _PAGE.format(
        policy=_POLICY,
        title=html.escape(title),
        notes="\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        player=_PLAYER if sounds is not None else "",
        plotly=get_plotlyjs(),
        figure=as_script(json.loads(str(figure.to_json()))),
        clips=as_script(dict(sounds or {})),
    )
    path.write_text(page, encoding="utf-8")


def make_curve_figure(panels: Sequence[CurvePanel], metric: str) -> go.Figure:
    """Makes the picture of `layer_curves.draw_layer_curves` for a page."""
    titles = [html.escape(panel.title).replace("\n", "<br>") for panel in panels]
    figure = make_subplots(cols=len(panels), subplot_titles=titles, shared_yaxes=True)
    named: set[str] = set()
    for column, panel in enumerate(panels, start=1):
        last = max(max(curve.layers) for curve in panel.curves)
        for number, curve in enumerate(panel.curves):
            for trace in _trace_curve(curve, number, last):
                trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
                named.add(str(trace.name))
                figure.add_trace(trace, row=1, col=column)
        line = {"color": "#999", "width": 1}
        height = 100 * panel.chance
        figure.add_hline(height, line=line, annotation_text=MAJORITY, row=1, col=column)  # type: ignore[arg-type]
    figure.update_xaxes(title="layer", dtick=1)
    figure.update_yaxes(title=f"{metric} on test, %", rangemode="tozero", col=1)
    figure.update_layout(template="plotly_white", height=520, margin={"t": 60})
    return figure


def write_layer_curves(
    folder: Path,
    panels: Sequence[tuple[str, Mapping[str, Mapping[str, Mapping[str, Interval]]], float]],
    tables: Sequence[ResultsTable],
) -> list[Path]:
    """Writes the curves of layers: ``layers.csv``, ``layers.png`` and ``layers.html``.

    A panel has its title, the scores of each probe by encoder, and the UAR of the majority; the
    tables are those that it is drawn from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, picture, page = (folder / f"layers.{suffix}" for suffix in ("csv", "png", "html"))
    pd.concat([table.to_frame() for table in tables]).to_csv(table, index=False)
    drawn = [make_panel(*panel) for panel in panels]
    metric = describe_metric("uar").title
    draw_layer_curves(drawn, metric).savefig(picture, dpi=150)
    notes = ["Points and bars: mean over folds and seeds with its 95 % interval."]
    write_page(page, "Which layer carries emotion", notes, make_curve_figure(drawn, metric))
    return [table, picture, page]


def _trace_curve(curve: LayerCurve, number: int, last: int) -> list[go.Scatter]:
    look, name = look_of(number), html.escape(curve.encoder)
    lines = dict(curve.lines)
    traces = []
    if len(curve.layers) == 1:
        lines = {"one layer": next(iter(curve.layers.values()))}
    else:
        found = list(curve.layers.values())
        traces.append(
            go.Scatter(
                x=list(curve.layers),
                y=[100 * interval.score for interval in found],
                error_y={
                    "array": [100 * (interval.high - interval.score) for interval in found],
                    "arrayminus": [100 * (interval.score - interval.low) for interval in found],
                },
                mode="lines+markers",
                marker={"color": look.colour, "symbol": look.symbol, "size": 9},
                name=name,
                text=[_cell(interval) for interval in found],
                hovertemplate="layer %{x}: %{text}",
            )
        )
    for line, interval in lines.items():
        dash = LINE_STYLES[line][1] if line in LINE_STYLES else "solid"
        traces.append(
            go.Scatter(
                x=[0, last],
                y=[100 * interval.score] * 2,
                mode="lines",
                line={"color": look.colour, "dash": dash},
                name=f"{name}, {line}",
                text=[_cell(interval)] * 2,
                hovertemplate="%{text}",
            )
        )
    return traces


def make_plane_figure(
    planes: Sequence[Plane], colourings: Sequence[Colouring], hover: pd.DataFrame
) -> go.Figure:
    """Makes the picture of `planes.draw_planes` for a page, a row per colouring.

    ``hover`` has the text of each point, a row per utterance; its first column is the utterance.
    """
    rows, columns = len(colourings), len(planes)
    titles = [html.escape(plane.encoder) for plane in planes]
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.03, vertical_spacing=0.1
    )
    texts = hover.astype(str).map(html.escape)
    labels = [
        "<br>".join(f"{name}: {value}" for name, value in row.items())
        for row in texts.to_dict("records")
    ]
    for row, colouring in enumerate(colourings, start=1):
        legend = "legend" if row == 1 else f"legend{row}"
        top = 1 - (row - 1) / rows
        figure.update_layout({legend: {"y": top, "title": {"text": f"by {colouring.title}"}}})
        for column, plane in enumerate(planes, start=1):
            for name, look, chosen in colouring.groups():
                figure.add_trace(
                    go.Scatter(
                        x=plane.points[chosen, 0],
                        y=plane.points[chosen, 1],
                        mode="markers",
                        marker={"color": look.colour, "symbol": look.symbol, "size": 8},
                        name=html.escape(name),
                        legend=legend,
                        legendgroup=f"{row} {name}",
                        showlegend=column == 1,
                        customdata=hover.loc[chosen].iloc[:, [0]].to_numpy(),
                        text=[text for text, taken in zip(labels, chosen, strict=True) if taken],
                        hovertemplate="%{text}<extra></extra>",
                    ),
                    row=row,
                    col=column,
                )
            figure.update_xaxes(title=plane.describe(colouring), row=row, col=column)
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False)
    figure.update_layout(template="plotly_white", height=430 * rows, margin={"t": 40})
    return figure


def _cell(interval: Interval) -> str:
    return format_interval(interval, "uar", has_deviation=False)
