"""The tables of predictions against the votes of raters: all, by agreement, and differences."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from conversation_emotion.datasets.votes import count_votes
from conversation_emotion.evaluation.metrics import Interval, count_targets
from conversation_emotion.evaluation.results import (
    ResultsTable,
    RowResult,
    describe_bounds,
    name_metrics,
)
from conversation_emotion.evaluation.significance import correct_by_holm
from conversation_emotion.evaluation.votes import (
    COMPARED,
    LEAST_TESTED,
    VotedRows,
    bin_votes,
    compare_votes,
    join_votes,
    leave_one_out,
    score_raters,
    score_votes,
    stratify,
)
from conversation_emotion.figures.vote_calibration import draw_vote_calibration

if TYPE_CHECKING:
    from experiments.framework.experiment import Experiment, RowRun, Runs

COLUMNS = (
    "voted_uar", "uar_of_rater", "jsd", "jsd_of_rater", "kl", "brier", "voted_ece",
    "above_chance_f1",
)  # fmt: skip
_STRATA_COLUMNS = ("voted_uar", "jsd", "brier", "voted_ece")

Joined = Mapping[str, pd.DataFrame]
"""Predictions on test that have votes, by the name of their row."""


def tabulate_votes(
    experiment: "Experiment[Any]", title: str, runs: "Runs"
) -> Iterator[tuple[str, ResultsTable]]:
    """Yields the tables by the name of their file, and logs the scores with the runs."""
    dataset = runs[0].task.dataset
    votes = count_votes(dataset.utterances, dataset.label_map)
    voted = leave_one_out(dataset.utterances, dataset.labels, votes)
    tested = {run.name: run.predictions[run.predictions["part"] == "test"] for run in runs}
    joined = {name: join_votes(table, voted) for name, table in tested.items()}
    first = joined[runs[0].name]
    bounds = f"[{describe_bounds(first)}]"
    rows = []
    for run in runs:
        scores = score_votes(joined[run.name], voted)
        run.run.log_metrics(name_metrics("votes", scores))
        curve = [*bin_votes(joined[run.name], voted)]
        run.run.log_figure(draw_vote_calibration(curve, run.name), "votes_calibration.png")
        rows.append(_record(experiment, run, scores))
    raters = score_raters(first, voted)
    yield (
        "votes",
        ResultsTable(
            title=f"Against the votes of raters; {title}",
            columns=COLUMNS,
            rows=(*rows, *_list_references(raters, _predict_mean(runs[0], first, voted), voted)),
            notes=(*_describe(runs, joined, tested, bounds), *votes.notes),
        ),
    )
    strata = {name: dict(stratify(table, voted)) for name, table in joined.items()}
    yield (
        "votes-by-agreement",
        ResultsTable(
            title=f"By the agreement of raters; {title}",
            columns=_STRATA_COLUMNS,
            rows=tuple(_record_strata(experiment, runs, strata, voted)),
            notes=(f"mean over folds and seeds {bounds}",),
        ),
    )
    if len(runs) > 1:
        yield "votes-differences", _compare(strata, voted, bounds)


def _record(
    experiment: "Experiment[Any]", run: "RowRun", scores: Mapping[str, Any], **fields: Any
) -> RowResult:
    n = next(iter(scores.values())).n
    return experiment.result(run, metrics=dict(scores), per_class={}, n=n, **fields)


def _record_strata(
    experiment: "Experiment[Any]",
    runs: "Runs",
    strata: Mapping[str, Joined],
    voted: VotedRows,
) -> Iterator[RowResult]:
    for run in runs:
        for stratum, part in strata[run.name].items():
            name = f"{run.name}: {stratum} (n = {count_targets(part):,})"
            # No system of its own, so that none of them is the best.
            yield _record(experiment, run, score_votes(part, voted), name=name, kind="reference")


def _list_references(
    raters: Mapping[str, Any], mean: pd.DataFrame, voted: VotedRows
) -> Iterator[RowResult]:
    """Yields what a rater reaches, and what the mean of all votes of train does."""
    if raters:
        n = next(iter(raters.values())).n
        name = "ceiling: a rater against the others"
        yield RowResult(name=name, kind="reference", metrics=dict(raters), n=n)
    scores = score_votes(mean, voted)
    name = "mean of the votes of train, for all alike"
    yield RowResult(name=name, kind="baseline", metrics=scores, n=scores["jsd"].n)


def _predict_mean(run: "RowRun", joined: pd.DataFrame, voted: VotedRows) -> pd.DataFrame:
    """Returns predictions whose probabilities are the mean shares of the fold's train part."""
    parts = []
    folds = {fold.name: fold for fold in run.task.dataset.split.folds}
    for name, part in joined.groupby("fold", sort=False):
        mean = np.nanmean(voted.votes.shares[folds[str(name)].train], axis=0)
        columns = {f"p_{label}": mean[n] for n, label in enumerate(voted.labels)}
        parts.append(part.assign(**columns))
    return pd.concat(parts)


def _describe(runs: "Runs", joined: Joined, tested: Joined, bounds: str) -> Iterator[str]:
    yield f"mean ± deviation over folds and seeds {bounds}; ECE is of all folds together"
    yield (
        "UAR of the votes: of the class that most named, without ties; JSD and KL in bits from the "
        "votes' shares; F1 above chance: of all classes above 1 / classes, predicted and voted"
    )
    yield (
        "share of a rater's: the model's score divided by that of a rater, both against the votes "
        "of the others; of utterances with two votes or more"
    )
    for name, table in joined.items():
        if left := count_targets(tested[name]) - count_targets(table):
            yield f"{name}: {left:,} targets of test have no votes or no probabilities, left out"
    for run in runs:
        voted = getattr(run.task, "voted", None)
        yield from () if voted is None else voted.notes


def _compare(strata: Mapping[str, Joined], voted: VotedRows, bounds: str) -> ResultsTable:
    """Compares each row with the first, on all utterances and on those of each stratum."""
    first, *others = strata
    found: dict[str, dict[str, tuple[Interval, float]]] = {}
    small = {}
    for stratum, part in strata[first].items():
        n = count_targets(part)
        if n < LEAST_TESTED:
            small[stratum] = n
            continue
        for other in others:
            compared = compare_votes(strata[other][stratum], part, voted)
            found[f"{other}: {stratum} (n = {n:,})"] = compared
    keys = [(name, metric) for name, one in found.items() for metric in one]
    corrected = correct_by_holm([found[name][metric][1] for name, metric in keys])
    p_values = dict(zip(keys, corrected, strict=True))
    rows = [
        RowResult(
            name=name,
            kind="reference",
            metrics={f"change_{metric}": change for metric, (change, _) in compared.items()},
            values={f"p_{metric}": p_values[name, metric] for metric in compared},
            n=compared["jsd"][0].n,
        )
        for name, compared in found.items()
    ]
    untested = [f"{name}: {n} utterances, not tested" for name, n in small.items()]
    return ResultsTable(
        title=f"Differences from {first}, paired t test",
        columns=tuple(f"{kind}_{metric}" for metric in COMPARED for kind in ("change", "p")),
        rows=tuple(rows),
        notes=(
            f"row minus {first} {bounds}; of JSD and ECE less is better",
            "p of no difference, corrected for all differences of the table (Holm, 1979)",
            *untested,
        ),
    )
