"""Tables and curves of probed layers, printed, drawn and kept."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from conversation_emotion.evaluation.metrics import METRICS
from conversation_emotion.figures.layer_curves import CurvePanel, LayerCurve, draw_layer_curves
from conversation_emotion.figures.pages import make_curve_figure, write_page
from experiments import _heard, _report
from experiments import commandline as _cli
from experiments._layers import CHOSEN, LAST_FOUR, SUM, Probed
from experiments._report import Row
from experiments.tracking.runs import ParentRun

if TYPE_CHECKING:
    from experiments.layers import LayersConfig

_TITLES = {
    SUM: "weighted sum",
    LAST_FOUR: "mean of the last four",
    CHOSEN: "layer chosen by valid",
}

_METRIC = "uar"


def report(config: "LayersConfig", probed: Sequence[Probed], runs: Sequence[ParentRun]) -> None:
    """Prints a table per corpus, draws the curves, and keeps all with the runs and on disk."""
    corpora = {one.heard.data.corpus: one.heard.data for one in probed}
    folder = config.layers.out or Path("mlruns") / "layers" / "-".join(corpora)
    folder.mkdir(parents=True, exist_ok=True)
    panels = []
    for data in dict.fromkeys(one.heard.data for one in probed):
        pairs = [pair for pair in zip(probed, runs, strict=True) if pair[0].heard.data == data]
        of_corpus = [one for one, _ in pairs]
        _print(config, of_corpus, [run for _, run in pairs])
        panels.append(_panel(config, of_corpus))
    table = pd.concat(map(_tabulate, probed), ignore_index=True)
    table.to_csv(folder / "layers.csv", index=False)
    picture = draw_layer_curves(panels, _report.TITLES[_METRIC])
    picture.savefig(folder / "layers.png", dpi=150)
    notes = ["Points and bars: mean over folds and seeds with its 95 % bootstrap interval."]
    page = make_curve_figure(panels, _report.TITLES[_METRIC])
    write_page(folder / "layers.html", "Which layer carries emotion", notes, page)
    for run in runs:
        run.log_table(table, "layers.parquet")
        for file in ("layers.csv", "layers.png", "layers.html"):
            run.log_file(folder / file)
    print(
        f"curves: {folder / 'layers.png'}, {folder / 'layers.html'}; table: layers.csv beside them"
    )


def _print(config: "LayersConfig", probed: Sequence[Probed], runs: Sequence[ParentRun]) -> None:
    data = probed[0].heard.data
    _report.print_table(
        f"Which layer carries emotion: linear probe of frozen encoders; {data.corpus}",
        _rows(probed),
        _captions(config, probed),
        runs,
        columns=[*(_report.TITLES[metric] for metric in METRICS), "weight in the sum"],
        commands=[_cli.command_of(config.of_run(data, one.heard.encoder)) for one in probed],
    )


def _rows(probed: Sequence[Probed]) -> Iterator[Row]:
    for one in probed:
        for name, scores in one.scores.items():
            title = _TITLES.get(name, f"layer {name}")
            if one.heard.names == ("0",):
                title = "its one layer"
            weight = one.weights.get(int(name)) if name.isdecimal() else None
            cells = _report.scored_row("", scores).cells
            share = "" if weight is None else f"{100 * weight:.1f}"
            yield Row(f"{one.heard.encoder}, {title}", (*cells, share))
    majority = _report.scored_row("majority", probed[0].majority)
    yield Row(majority.system, (*majority.cells, ""))


def _captions(config: "LayersConfig", probed: Sequence[Probed]) -> Iterator[str]:
    prepared = probed[0].heard.prepared
    num_judged = next(iter(probed[0].scores.values()))[_METRIC].num_judged
    yield from _report.describe_protocol(prepared.corpus, config.training, num_judged)
    for one in probed:
        if one.chosen:
            counts = ", ".join(f"{layer} ({n})" for layer, n in one.chosen.items() if n)
            yield f"{one.heard.encoder}: layers that valid chose, and how often: {counts}"
    encoders = [one.heard.encoder for one in probed]
    yield from _heard.describe_heard(encoders, [probed[0].heard.data.corpus])
    yield "layer 0 is what enters the first Transformer block; frames to their mean"
    failures = {key: why for one in probed for key, why in one.heard.prepared.failures.items()}
    yield from _report.describe_failures(failures)


def _panel(config: "LayersConfig", probed: Sequence[Probed]) -> CurvePanel:
    corpus = probed[0].heard.prepared.corpus
    interval = next(iter(probed[0].scores.values()))[_METRIC]
    title = (
        f"{probed[0].heard.data.corpus}: {len(corpus.label_map.labels)} classes, "
        f"n = {interval.num_judged:,}, {corpus.split.name}\n"
        f"{len(corpus.split.folds)} fold(s) x {config.training.seeds} seed(s); bars and bands: "
        "95 % bootstrap intervals"
    )
    return CurvePanel(title, [_curve(one) for one in probed], probed[0].majority[_METRIC].score)


def _curve(one: Probed) -> LayerCurve:
    scores = {name: intervals[_METRIC] for name, intervals in one.scores.items()}
    return LayerCurve(
        one.heard.encoder,
        {int(name): interval for name, interval in scores.items() if name.isdecimal()},
        {_TITLES[name]: scores[name] for name in (SUM, LAST_FOUR) if name in scores},
    )


def _tabulate(one: Probed) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "corpus": one.heard.data.corpus,
            "encoder": one.heard.encoder,
            "layer": name,
            "metric": metric,
            **interval._asdict(),
            "weight_in_sum": one.weights.get(int(name)) if name.isdecimal() else None,
        }
        for name, scores in one.scores.items()
        for metric, interval in scores.items()
    )
