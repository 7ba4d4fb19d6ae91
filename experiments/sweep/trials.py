"""What a worker of a sweep does: takes a trial, trains its folds and seeds, reports the score."""

import importlib
import json
import math
import time
from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from conversation_emotion.settings.flags import format_settings
from conversation_emotion.tracker import Memory, Validation
from experiments.sweep.heartbeat import send_heartbeats
from experiments.sweep.space import SearchSpace, widen
from experiments.sweep.study import TRAINING, SweepSpec, SweepStudy, classify
from experiments.tracking.processes import this_process

if TYPE_CHECKING:
    from experiments.framework.experiment import Experiment
    from experiments.framework.pretraining.experiment import Pretraining

_LOOK_SECONDS = 0.5
_MOST_DUPLICATES = 50


Sweepable: TypeAlias = "Experiment[Any] | Pretraining[Any]"
"""What has a search space, and prepares, validates and tests the settings that it proposes."""


def load_experiment(module: str) -> Sweepable:
    """Returns the EXPERIMENT of a module."""
    return importlib.import_module(module).EXPERIMENT


def space_of(spec: SweepSpec) -> SearchSpace:
    """Returns the space of the experiment, with what ``--vary`` adds."""
    return widen(load_experiment(spec.experiment).search_space, spec.sweep.vary)


def run_trials(spec: SweepSpec, worker: int) -> None:
    """Runs trials until the study has as many as it shall have."""
    experiment = load_experiment(spec.experiment)
    study = SweepStudy.open(spec, worker=worker)
    memory = Memory()
    while (trial := take_trial(study, spec)) is not None:
        run_trial(study, trial, experiment, spec, memory)


def take_trial(study: SweepStudy, spec: SweepSpec) -> optuna.Trial | None:
    """Takes a trial, None if there is none left; waits for those of others, which may be lost."""
    num_trials = spec.sweep.trials
    while not spec.is_over:
        counts = study.counts()
        if counts.counted >= num_trials or counts.duplicates >= _MOST_DUPLICATES + num_trials:
            return None
        if not counts.waiting and counts.counted + counts.running >= num_trials:
            time.sleep(_LOOK_SECONDS)
            continue
        trial = study.study.ask()
        trial.set_user_attr("worker", this_process())
        if _rank(trial.number, study.trials()) < num_trials:
            return trial
        trial.set_user_attr("surplus", True)  # another worker took the last one at the same moment
        study.study.tell(trial, state=TrialState.FAIL)
    return None


def run_trial(
    study: SweepStudy, trial: optuna.Trial, experiment: Sweepable, spec: SweepSpec, memory: Memory
) -> None:
    """Runs one trial and reports its score, or why there is none."""
    began = time.perf_counter()
    state, values = TrialState.FAIL, None
    try:
        with send_heartbeats(lambda number: trial.set_user_attr("heartbeat", number)):
            settings = space_of(spec)(trial, spec.settings)
            twin = _find_twin(trial, study.trials())
            if twin is not None:
                _repeat(study, trial, twin)
                return
            trial.set_user_attr("config", json.dumps(format_settings(settings)))
            found = _train(study, trial, experiment.validate(settings, memory))
            state = TrialState.COMPLETE
            values = _values(found, spec.sweep.second_objective, time.perf_counter() - began)
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except KeyboardInterrupt:
        study.give_up(study.trials()[trial.number], "interrupted", once=False)
        raise
    except Exception as error:
        print(f"trial {trial.number} failed: {error!r}", flush=True)
        trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:5000])
    print(f"trial {trial.number} {state.name}, {values}: {trial.params}", flush=True)
    _end(study, trial, state, values)


def _train(
    study: SweepStudy, trial: optuna.Trial, trainings: Iterator[Validation]
) -> list[Validation]:
    """Runs trainings, keeps each with the trial, and prunes where the mean is hopeless."""
    began, total, ended = time.perf_counter(), 0.0, []
    for step, validation in enumerate(trainings):
        if not math.isfinite(validation.score):
            raise FloatingPointError(
                f"{validation.name}: {validation.metric} is {validation.score}"
            )
        total += validation.score
        kept = {
            **validation._asdict(),
            "step": step,
            "mean": total / (step + 1),
            "seconds": time.perf_counter() - began,
            "at": int(time.time() * 1000),
        }
        trial.set_user_attr(f"{TRAINING}{step:04d}", kept)
        ended.append(validation)
        if len(study.study.directions) == 1:
            trial.report(kept["mean"], step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"the mean of {step + 1} trainings is {kept['mean']:.4f}")
        began = time.perf_counter()
    return ended


def _values(found: list[Validation], second: str | None, seconds: float) -> list[float]:
    """Returns the objectives of a trial: the mean score, and the second one if there is any."""
    if not found:
        raise ValueError("the experiment trained nothing")
    score = fmean(validation.score for validation in found)
    parameters = fmean(validation.num_parameters for validation in found)
    return [score, *{None: [], "parameters": [parameters], "seconds": [seconds]}[second]]


def _end(
    study: SweepStudy, trial: optuna.Trial, state: TrialState, values: list[float] | None
) -> None:
    try:
        study.study.tell(trial, values, state=state)
    except (UpdateFinishedTrialError, ValueError) as error:
        if not study.trials()[trial.number].state.is_finished():
            raise
        print(f"trial {trial.number} had been given up meanwhile: {error}", flush=True)


def _find_twin(trial: optuna.Trial, trials: list[FrozenTrial]) -> FrozenTrial | None:
    """Returns an earlier trial of the same settings that has ended or is running."""
    for other in trials[: trial.number]:
        if other.params == trial.params and classify(other) in ("complete", "pruned", "running"):
            return other
    return None


def _repeat(study: SweepStudy, trial: optuna.Trial, twin: FrozenTrial) -> None:
    """Ends a trial whose settings were tried before with the outcome of those."""
    trial.set_user_attr("duplicate_of", twin.number)
    if twin.state == TrialState.COMPLETE:
        study.study.tell(trial, twin.values)
        return
    for step, value in twin.intermediate_values.items():
        trial.report(value, step)
    state = TrialState.PRUNED if twin.state == TrialState.PRUNED else TrialState.FAIL
    study.study.tell(trial, state=state)


def _rank(number: int, trials: list[FrozenTrial]) -> int:
    """Counts the trials before one that count towards the number of trials, or may do so."""
    kinds = ("complete", "pruned", "failed", "running", "waiting")
    return sum(classify(trial) in kinds for trial in trials[:number])
