"""An Optuna study as a sweep uses it: its identity, its standing, and trials given up and retried.

The storage is the one truth about trials. Every command counts by it, and MLflow mirrors it.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from experiments.sweep.heartbeat import PulseWatch, is_dead
from experiments.sweep.settings import SweepSettings
from experiments.sweep.storage import describe, open_storage

TRAINING = "training:"
"""Begins the attributes that hold the trainings of a trial."""

CAUSES = ("error", "lost")
"""Attributes that say why a trial has no score."""

_UNKNOWN_WORKER_SECONDS = 20.0  # between the creation of a trial and its worker's name


class Order(NamedTuple):
    """What every worker of a sweep is told.

    Attributes:
        experiment: Module of the experiment.
        name: Of the study.
        sweep: How to search.
        config: What every trial has in common.
    """

    experiment: str
    name: str
    sweep: SweepSettings
    config: Any


class Standing(NamedTuple):
    """How far a study is.

    Attributes:
        complete: Trials with a score.
        pruned: Trials ended early.
        failed: Trials that ended with an error.
        lost: Trials that lost their worker; their settings are tried once again.
        duplicates: Trials whose settings had been tried before; they were not run.
        running: Trials at work.
        waiting: Trials to be tried again.
    """

    complete: int
    pruned: int
    failed: int
    lost: int
    duplicates: int
    running: int
    waiting: int

    @property
    def counted(self) -> int:
        """Trials that count towards ``--trials``."""
        return self.complete + self.pruned + self.failed

    def describe(self) -> str:
        """Tells the numbers that are not 0."""
        named = zip(self._fields, self, strict=True)
        return ", ".join(f"{count} {name}" for name, count in named if count) or "no trials"


class SweepStudy:
    """A study and its storage.

    Args:
        storage: Where it is kept.
        study: The study, with the sampler and pruner of this process.
    """

    def __init__(self, storage: BaseStorage, study: optuna.Study) -> None:
        self.storage = storage
        self.study = study
        self.study_id = storage.get_study_id_from_name(study.study_name)
        self._watch = PulseWatch()

    @classmethod
    def open(cls, order: Order, *, worker: int = 0) -> Self:
        """Opens or creates a study; each worker draws from a seed of its own."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_storage(order.sweep.storage)
        study = optuna.create_study(
            storage=storage,
            study_name=order.name,
            directions=order.sweep.directions(),
            load_if_exists=True,
            pruner=_make_pruner(order.sweep.pruner),
        )
        opened = cls(storage, study)
        seed = (order.sweep.seed, worker, len(opened.trials()))
        study.sampler = _make_sampler(order.sweep.sampler, seed)
        return opened

    def trials(self) -> list[FrozenTrial]:
        """Returns all trials in the order of their numbers; they are not to be changed."""
        return self.study.get_trials(deepcopy=False)

    def standing(self) -> Standing:
        """Counts the trials."""
        return count(self.trials())

    def note(self, trial: FrozenTrial | optuna.Trial, name: str, value: Any) -> None:
        """Keeps a fact with a trial; of a trial that is over nothing more is kept."""
        self.storage.set_trial_user_attr(self._id(trial), name, value)

    def give_up(self, trial: FrozenTrial | optuna.Trial, why: str, *, once: bool = True) -> None:
        """Ends a trial that lost its worker, and lets its settings be tried again.

        Args:
            trial: The trial.
            why: For the record.
            once: Give up for good what was tried again already.
        """
        attributes = trial.user_attrs
        is_retry = "retry_of" in attributes
        try:
            self.note(trial, "lost", why)
            self.storage.set_trial_state_values(self._id(trial), TrialState.FAIL)
        except UpdateFinishedTrialError:
            return  # another process was faster, or the trial ended after all
        if not (is_retry and once):
            first = attributes.get("retry_of", trial.number)
            again = {"retry_of": first} if once or is_retry else {}
            again |= {"default": True} if "default" in attributes else {}
            self.study.enqueue_trial(trial.params, user_attrs=again)

    def give_up_dead(self) -> list[FrozenTrial]:
        """Gives up the running trials whose worker is dead and returns them."""
        running = [trial for trial in self.trials() if trial.state == TrialState.RUNNING]
        dead = [(trial, why) for trial in running if (why := self._cause_of_death(trial))]
        for trial, why in dead:
            self.give_up(trial, why)
        return [trial for trial, _ in dead]

    def _cause_of_death(self, trial: FrozenTrial) -> str | None:
        worker = trial.user_attrs.get("worker")
        if worker is None:
            stopped = self._watch.has_stopped(trial.number, None, _UNKNOWN_WORKER_SECONDS)
            return "it never began" if stopped else None
        verdict = is_dead(worker)
        if verdict is None and self._watch.has_stopped(trial.number, trial.user_attrs.get("beat")):
            return f"no sign of life of its worker on {worker['host'].split('/')[0]}"
        return f"its worker, process {worker['pid']}, died" if verdict else None

    def _id(self, trial: FrozenTrial | optuna.Trial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, trial.number)


def count(trials: Sequence[FrozenTrial]) -> Standing:
    """Counts trials by what became of them."""
    numbers = dict.fromkeys(Standing._fields, 0)
    for trial in trials:
        if (kind := classify(trial)) is not None:
            numbers[kind] += 1
    return Standing(**numbers)


def classify(trial: FrozenTrial) -> str | None:
    """Names what became of a trial by the fields of `Standing`; None for one over the number."""
    attributes = trial.user_attrs
    if "surplus" in attributes:
        return None
    if "duplicate_of" in attributes:
        return "duplicates"
    if trial.state == TrialState.FAIL:
        return "lost" if "lost" in attributes else "failed"
    return {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.RUNNING: "running",
        TrialState.WAITING: "waiting",
    }[trial.state]


def trainings(trial: FrozenTrial) -> list[dict[str, Any]]:
    """Returns the trainings of a trial as far as they went, in order."""
    found = [value for name, value in trial.user_attrs.items() if name.startswith(TRAINING)]
    return sorted(found, key=lambda training: training["step"])


def scored(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the trials with a score of their own, the best on valid first."""
    found = [trial for trial in trials if classify(trial) == "complete"]
    return sorted(found, key=lambda trial: (-trial.values[0], trial.number))


def check_settings(found: SweepStudy, order: Order, settings: Mapping[str, str]) -> None:
    """Keeps the settings of a new study; those of an old one must be the same.

    Raises:
        ValueError: They are not; says which.
    """
    kept = found.study.user_attrs.get("settings")
    if kept is None:
        found.study.set_user_attr("settings", json.dumps(settings))
        return
    before = json.loads(kept)
    names = sorted({*before, *settings})
    changed = [
        f"  {name}: {before.get(name, 'absent')} -> {settings.get(name, 'absent')}"
        for name in names
        if before.get(name) != settings.get(name)
    ]
    if changed:
        place = describe(order.sweep.storage)
        raise ValueError(
            f"study {order.name!r} in {place} was started under other settings:\n"
            + "\n".join(changed)
            + "\nrepeat those to resume it, or name a new study with --study"
        )


def _make_sampler(name: str, seed: tuple[int, int, int]) -> BaseSampler:
    """Makes a sampler; the number of trials found is in its seed, or a resumed study repeats."""
    import numpy as np

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(
                seed=number, multivariate=True, constant_liar=True, n_startup_trials=8
            ),
            "random": lambda: optuna.samplers.RandomSampler(seed=number),
            "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=number),
            "qmc": lambda: optuna.samplers.QMCSampler(
                seed=seed[0], scramble=True, warn_independent_sampling=False
            ),
        }
        return samplers[name]()


def _make_pruner(name: str) -> BasePruner:
    pruners = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        "percentile": lambda: optuna.pruners.PercentilePruner(
            25.0, n_startup_trials=5, n_warmup_steps=1
        ),
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1),
        "none": optuna.pruners.NopPruner,
    }
    return pruners[name]()
