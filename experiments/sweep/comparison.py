"""The page that compares the trials of a sweep, kept with its run and in the sweep's folder."""

from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.figures.comparison_page import Candidate, Comparison
from conversation_emotion.settings.flags import format_setting
from experiments.sweep.figures import name_strategy
from experiments.sweep.mirror import name_trial, summarise
from experiments.sweep.report import command_of
from experiments.sweep.search import LOGS
from experiments.sweep.study import SweepSpec, SweepStudy, metric_of, scored, trainings

PAGE = "comparison.html"


def page_of(name: str) -> Path:
    """Returns where a study keeps its page."""
    return LOGS / name / PAGE


def compare_trials(
    study: SweepStudy, spec: SweepSpec, tested: Mapping[int, Mapping[str, Interval]]
) -> Comparison | None:
    """Compares the trials that ended; None where fewer than two did."""
    trials = scored(study.trials())
    if len(trials) < 2:
        return None
    metric = metric_of(trials)
    return Comparison(
        title=f"Sweep {spec.name}: {study.counts().describe()}",
        metric=metric,
        part="valid",
        candidates=[_describe(trial, spec, tested, metric) for trial in trials],
        importances=_weigh(study, trials),
        notes=(
            "Valid chose among the systems, so that its scores flatter every strategy.",
            "Test was used once, after the search, for the best and the default.",
        ),
    )


def _describe(
    trial: FrozenTrial,
    spec: SweepSpec,
    tested: Mapping[int, Mapping[str, Interval]],
    metric: str,
) -> Candidate:
    found = summarise(trial)
    test = tested.get(trial.number, {}).get(metric)
    return Candidate(
        name=f"trial {name_trial(trial)}",
        strategy=name_strategy(trial) or "all",
        varied={
            name: value
            if isinstance(value, int | float) and not isinstance(value, bool)
            else str(format_setting(value))
            for name, value in trial.params.items()
        },
        scores={one["name"]: one["score"] for one in trainings(trial)},
        command=command_of(spec, trial),
        tested=None if test is None else test.score,
        parameters=found["parameters"],
        seconds=found["seconds"],
        is_default="default" in trial.user_attrs,
    )


def _weigh(study: SweepStudy, trials: list[FrozenTrial]) -> dict[str, float]:
    """Returns how much of the scores each setting explains; nothing where that cannot be told."""
    own = optuna.create_study(directions=study.study.directions)
    own.add_trials(trials)
    try:
        return get_param_importances(
            own,
            evaluator=FanovaImportanceEvaluator(seed=0),
            target=lambda trial: float(trial.values[0]),
        )
    except (RuntimeError, ValueError):  # all scores are equal, or the trials share no setting
        return {}
