"""The page of a run: what was trained, its scores beside published ones, and what it confuses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from conversation_emotion.evaluation.calibration import bin_confidences, score_calibration
from conversation_emotion.evaluation.metrics import (
    count_confusions,
    count_targets,
    describe_metric,
    score_classes,
    unweighted_average_recall,
    weighted_accuracy,
)
from conversation_emotion.evaluation.rendering import format_number
from conversation_emotion.evaluation.results import ResultsTable
from conversation_emotion.evaluation.selective import (
    has_probabilities,
    score_selective,
    trace_risk,
)
from conversation_emotion.figures.documents import render

Fields = dict[str, object]
"""What the template shows."""

NUM_RISKS = 20
"""Shares of the predictions at which the risk is shown."""

LEAST_TARGETS = 4
"""Targets of a dialogue that is chosen to be shown, where there are such."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the tracking keeps of a finished run.

    Attributes:
        experiment: Name of the experiment, such as ``epc``.
        name: Of the run; ``run_id`` is its id.
        command: Shell command that makes it.
        params: Settings, and versions as ``version/...``.
        metrics: Final scores by name, such as ``calibrated/ece``.
        tables: Its results, and the significance of differences if it has any.
        labels: Names of the classes (C); empty where it predicts numbers.
        predictions: On valid and test, with the columns that `metrics.score_predictions` needs,
            ``speaker``, and a probability ``p_LABEL`` of each class; None if it keeps none.
        utterances: Words of what is predicted, and the place of its sound, as of `list_scored`;
            None of runs that were made before these were kept.
    """

    experiment: str
    name: str
    run_id: str
    command: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tables: Sequence[ResultsTable]
    labels: tuple[str, ...]
    predictions: pd.DataFrame | None
    utterances: pd.DataFrame | None = None

    @property
    def system(self) -> str:
        """What its predictions are: of the target utterance, or forecasts of it."""
        horizon = self.params.get("horizon", "0")
        return "predicted" if horizon == "0" else f"forecast, {horizon} ahead"


class Point(NamedTuple):
    """A bin of confidence: its mean, the accuracy, and the share of the predictions."""

    confidence: float
    accuracy: float
    share: float


def render_run(run: RunRecord, *, num_dialogues: int = 3, also: RunRecord | None = None) -> str:
    """Writes the page of a run, as HTML that loads nothing.

    Args:
        run: The run.
        num_dialogues: Test dialogues to show: from the worst predicted to the best, evenly spaced.
        also: A run with the same classes, whose predictions of these dialogues are shown too.

    Raises:
        ValueError: The other run has other classes, or none.
    """
    if also is not None and (not also.labels or also.labels != run.labels):
        raise ValueError(
            f"run {also.run_id} predicts {', '.join(also.labels) or 'no classes'}, "
            f"run {run.run_id} {', '.join(run.labels) or 'no classes'}"
        )
    versions = {name: value for name, value in run.params.items() if _is_version(name)}
    test = _read_test(run)
    has_classes = test is not None and bool(run.labels)
    return render(
        "run",
        title=run.tables[0].title,
        labels=run.labels,
        run=run,
        settings={name: one for name, one in run.params.items() if name not in versions},
        versions=versions,
        tables=[_show_table(table) for table in run.tables],
        has_published=any(row.kind == "published" for row in run.tables[0].rows),
        has_classes=has_classes,
        **(_show_classes(test, run.labels) if has_classes and test is not None else {}),
        **(_show_calibration(test, run) if has_classes and test is not None else {}),
        dialogues=list(_show_dialogues(run, num_dialogues, also)) if has_classes else [],
        systems=[run.system, *([also.system] if also else [])],
        keeps_words=run.utterances is not None,
    )


def _is_version(name: str) -> bool:
    return name == "commit" or name.startswith("version/")


def _read_test(run: RunRecord) -> pd.DataFrame | None:
    if run.predictions is None:
        return None
    return run.predictions[run.predictions["part"] == "test"]


def _show_table(table: ResultsTable) -> Fields:
    described = [describe_metric(name) for name in table.columns]
    return {
        "title": table.title,
        "heads": [f"{one.title}, %" if one.is_percent else one.title for one in described],
        "rows": [
            {
                "name": row.name,
                "kind": row.kind,
                "cells": [row.cell(name) for name in table.columns],
            }
            for row in table.rows
        ],
        "notes": table.notes,
    }


def _show_classes(test: pd.DataFrame, labels: Sequence[str]) -> Fields:
    confusions = _count(test, len(labels))
    shares = confusions / np.maximum(confusions.sum(axis=1, keepdims=True), 1)
    scores = score_classes(test, labels)
    speakers = []
    for speaker, rows in test.groupby("speaker", sort=True):
        found = _count(rows, len(labels))
        speakers.append(
            {
                "name": str(speaker),
                "n": count_targets(rows),
                "uar": format_number(float(unweighted_average_recall(found)), "uar"),
                "wa": format_number(float(weighted_accuracy(found)), "wa"),
            }
        )
    return {
        "confusions": [
            {
                "label": label,
                "cells": [
                    {"share": share, "step": round(10 * share), "count": int(count)}
                    for share, count in zip(shares[row].tolist(), confusions[row], strict=True)
                ],
            }
            for row, label in enumerate(labels)
        ],
        "classes": [
            {
                "name": label,
                "recall": format_number(score.recall, "uar"),
                "f1": format_number(score.f1, "macro_f1"),
                "n": score.support,
            }
            for label, score in scores.items()
        ],
        "speakers": speakers,
    }


def _count(rows: pd.DataFrame, num_classes: int) -> np.ndarray:
    pairs = rows["target"].to_numpy(np.int64), rows["predicted"].to_numpy(np.int64)
    return count_confusions(*pairs, num_classes)


def _show_calibration(test: pd.DataFrame, run: RunRecord) -> Fields:
    """Returns reliability and the risk that remains, nothing where probabilities are not kept."""
    test = test[has_probabilities(test, run.labels)]  # a clip that cannot be used has none
    if not len(test):
        return {"ece": "", "bins": [], "risks": []}
    ece = score_calibration(test, run.labels)["ece"]
    text = f"{100 * ece.score:.1f} % [{100 * ece.low:.1f}, {100 * ece.high:.1f}]"
    if "calibrated/ece" in run.metrics:
        text += f"; after calibration {100 * run.metrics['calibrated/ece']:.1f} %"
    if "calibrated/coverage" in run.metrics:
        text += f", and sets hold {100 * run.metrics['calibrated/coverage']:.1f} % of the targets"
    aurc, curve = score_selective(test, run.labels)["aurc"], trace_risk(test, run.labels)
    kept = np.linspace(0, 1, NUM_RISKS + 1)[1:]
    places = np.ceil(kept * len(curve.risk)).astype(int) - 1
    return {
        "ece": text,
        "bins": [Point(*one) for one in bin_confidences(test, run.labels)],
        "aurc": f"{100 * aurc.score:.1f} % [{100 * aurc.low:.1f}, {100 * aurc.high:.1f}]",
        "risks": [
            (share, float(curve.risk[place])) for share, place in zip(kept, places, strict=True)
        ],
    }


def _show_dialogues(run: RunRecord, most: int, also: RunRecord | None) -> Iterator[Fields]:
    """Yields dialogues from the worst predicted to the best, by the first seed."""
    test = _read_test(run)
    assert test is not None
    test = test[test["seed"] == test["seed"].min()]
    hits = (test["target"] == test["predicted"]).groupby(test["dialogue_id"])
    rates, sizes = hits.mean(), hits.size()
    enough = rates[sizes >= min(LEAST_TARGETS, sizes.max())]
    ordered = enough.sort_values(kind="stable").index
    places = np.unique(np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round())
    others, contents = _predict_by_utterance(also), _read_contents(run)
    for place in places.astype(int):
        rows = test[test["dialogue_id"] == ordered[place]]
        yield {
            "name": str(ordered[place]),
            "rate": f"{100 * rates[ordered[place]]:.0f} %",
            "turns": [
                _show_target(row, run.labels, others)
                | contents.get(str(row["utterance_id"]), {"words": "", "sound": ""})
                for row in rows.to_dict("records")
            ],
        }


def _read_contents(run: RunRecord) -> dict[str, Fields]:
    """Returns the words of utterances, and where their sound is, by id."""
    if run.utterances is None:
        return {}
    kept = run.utterances[["utterance_id", "text", "audio", "offset"]].astype(object)
    return {
        str(name): {
            "words": text or "",
            "sound": f"{audio or ''}{f', {offset:.1f} s' if audio and offset else ''}",
        }
        for name, text, audio, offset in kept.where(kept.notna(), None).itertuples(index=False)
    }


def _predict_by_utterance(run: RunRecord | None) -> dict[str, int] | None:
    """Returns the class that a run predicts of each test utterance; None without a run."""
    test = None if run is None else _read_test(run)
    if test is None:
        return None
    test = test[test["seed"] == test["seed"].min()]
    return dict(zip(test["utterance_id"].astype(str), test["predicted"].astype(int), strict=True))


def _show_target(
    row: Mapping[str, object] | Mapping[object, object],
    labels: Sequence[str],
    others: Mapping[str, int] | None,
) -> Fields:
    cells = {str(name): cell for name, cell in row.items()}
    target, predicted = int(str(cells["target"])), int(str(cells["predicted"]))
    probability = cells.get(f"p_{labels[predicted]}")
    found: list[Fields | None] = [
        {
            "number": predicted,
            "is_right": predicted == target,
            "share": None if probability is None else f"{100 * float(str(probability)):.0f} %",
        }
    ]
    if others is not None:
        other = others.get(str(cells["utterance_id"]))
        is_there = other is not None
        found.append(
            {"number": other, "is_right": other == target, "share": None} if is_there else None
        )
    return {
        "utterance": cells["utterance_id"],
        "speaker": cells["speaker"],
        "target": target,
        "found": found,
    }
