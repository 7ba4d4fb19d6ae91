"""What a worker of a sweep does: takes a trial, trains its folds and seeds, and tells the score."""

import importlib
import json
import math
import time
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any, Protocol, cast

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from conversation_emotion.tracker import Memory, Validation
from experiments.sweep.heartbeat import Pulse, this_worker
from experiments.sweep.space import written
from experiments.sweep.study import TRAINING, Order, SweepStudy, classify

_LOOK_SECONDS = 0.5
_MOST_DUPLICATES = 50


class Experiment(Protocol):
    """What an experiment brings so that it can be swept; each parameter is named by its setting."""

    def search_space(self, trial: optuna.trial.BaseTrial, config: Any) -> Any:
        """Proposes the settings of one trial; everything else stays as configured."""
        ...

    def prepare(self, config: Any) -> str:
        """Extracts features before any training, and returns a digest of the data."""
        ...

    def validate(self, config: Any, memory: Memory) -> Iterator[Validation]:
        """Trains each fold and seed and yields how it did on valid, always in the same order."""
        ...

    def test(self, config: Any) -> dict[str, Any]:
        """Trains once more and scores on test, the interval of the objective first."""
        ...


def load_experiment(module: str) -> Experiment:
    """Imports the module of an experiment."""
    command = importlib.import_module(module)
    return cast(Experiment, getattr(command, "EXPERIMENT", command))


def run_trials(order: Order, worker: int) -> None:
    """Runs trials until the study has as many as it shall have."""
    experiment = load_experiment(order.experiment)
    study = SweepStudy.open(order, worker=worker)
    memory = Memory()
    while (trial := take_trial(study, order.sweep.trials)) is not None:
        run_trial(study, trial, experiment, order, memory)


def take_trial(study: SweepStudy, num_trials: int) -> optuna.Trial | None:
    """Takes a trial, None if there is none left; waits for those of others, which may be lost."""
    while True:
        standing = study.standing()
        if standing.counted >= num_trials or standing.duplicates >= _MOST_DUPLICATES + num_trials:
            return None
        if not standing.waiting and standing.counted + standing.running >= num_trials:
            time.sleep(_LOOK_SECONDS)
            continue
        trial = study.study.ask()
        study.note(trial, "worker", this_worker())
        if _rank(trial.number, study.trials()) < num_trials:
            return trial
        study.note(trial, "surplus", True)  # another worker took the last one at the same moment
        study.study.tell(trial, state=TrialState.FAIL)


def run_trial(
    study: SweepStudy, trial: optuna.Trial, experiment: Experiment, order: Order, memory: Memory
) -> None:
    """Runs one trial and tells its score, or why there is none."""
    began = time.perf_counter()
    state, values = TrialState.FAIL, None
    try:
        with Pulse(lambda number: study.note(trial, "beat", number)):
            config = experiment.search_space(trial, order.config)
            twin = _find_twin(trial, study.trials())
            if twin is not None:
                _repeat(study, trial, twin)
                return
            study.note(trial, "config", json.dumps(written(config)))
            found = [*_train(study, trial, lambda: experiment.validate(config, memory))]
            state = TrialState.COMPLETE
            values = _values(found, order, time.perf_counter() - began)
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except KeyboardInterrupt:
        study.give_up(study.trials()[trial.number], "interrupted", once=False)
        raise
    except Exception as error:
        print(f"trial {trial.number} failed: {error!r}", flush=True)
        study.note(trial, "error", f"{type(error).__name__}: {error}"[:5000])
    print(f"trial {trial.number} {state.name}, {values}: {trial.params}", flush=True)
    _tell(study, trial, state, values)


def _train(
    study: SweepStudy, trial: optuna.Trial, validate: Callable[[], Iterator[Validation]]
) -> Iterator[Validation]:
    """Passes trainings on, keeps each with the trial, and stops where the mean is hopeless."""
    began, total = time.perf_counter(), 0.0
    for step, validation in enumerate(validate()):
        if not math.isfinite(validation.score):
            raise FloatingPointError(f"{validation.name}: the score is {validation.score}")
        total += validation.score
        kept = {
            **validation._asdict(),
            "step": step,
            "mean": total / (step + 1),
            "seconds": time.perf_counter() - began,
            "at": int(time.time() * 1000),
        }
        study.note(trial, f"{TRAINING}{step:04d}", kept)
        yield validation
        if len(study.study.directions) == 1:
            trial.report(kept["mean"], step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"the mean of {step + 1} trainings is {kept['mean']:.4f}")
        began = time.perf_counter()


def _values(found: list[Validation], order: Order, seconds: float) -> list[float]:
    """Returns what is told of a trial: the mean score, and the second aim if there is one."""
    if not found:
        raise ValueError("the experiment trained nothing")
    aims = {
        "parameters": fmean(validation.num_parameters for validation in found),
        "seconds": seconds,
    }
    second = order.sweep.second_aim()
    score = fmean(validation.score for validation in found)
    return [score] if second is None else [score, aims[second]]


def _tell(
    study: SweepStudy, trial: optuna.Trial, state: TrialState, values: list[float] | None
) -> None:
    try:
        study.study.tell(trial, values, state=state)
    except (UpdateFinishedTrialError, ValueError) as error:
        now = study.trials()[trial.number]
        if not now.state.is_finished():
            raise
        print(f"trial {trial.number} had been given up meanwhile: {error}", flush=True)


def _find_twin(trial: optuna.Trial, trials: list[FrozenTrial]) -> FrozenTrial | None:
    """Finds an earlier trial of the same settings that is over or at work."""
    for other in trials[: trial.number]:
        if other.params == trial.params and classify(other) in ("complete", "pruned", "running"):
            return other
    return None


def _repeat(study: SweepStudy, trial: optuna.Trial, twin: FrozenTrial) -> None:
    """Ends a trial whose settings were tried before with what came of them."""
    study.note(trial, "duplicate_of", twin.number)
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
