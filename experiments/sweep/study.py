"""An Optuna study as a sweep uses it: its identity, its trials counted, given up and retried.

The storage is the one truth about trials. Every command counts by it, and MLflow mirrors it.
"""

import inspect
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import MedianPruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from experiments.sweep.heartbeat import HeartbeatWatch
from experiments.sweep.settings import SweepSettings
from experiments.sweep.storage import describe, open_storage
from experiments.tracking.processes import is_dead

TRAINING = "training:"
"""Prefix of the attributes that hold the trainings of a trial."""

IDENTITY = "sweep_id"
"""Attribute of a study, and tag of its run in whichever store keeps one."""

_UNKNOWN_WORKER_SECONDS = 20.0  # between the creation of a trial and its worker's name


class SweepSpec(NamedTuple):
    """What every worker of a sweep is given.

    Attributes:
        experiment: Module of the experiment.
        name: Of the study.
        sweep: How to search.
        settings: Those of the experiment; a trial replaces what it varies.
        data: Digest of the data with its features, once they are prepared.
        deadline: Seconds since the epoch after which no trial begins; none if None.
    """

    experiment: str
    name: str
    sweep: SweepSettings
    settings: Any
    data: str = ""
    deadline: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the budget of time is spent."""
        return self.deadline is not None and time.time() > self.deadline


class TrialCounts(NamedTuple):
    """How many trials of a study ended in which way.

    Those that are lost have lost their worker, and are tried once again; duplicates had been tried
    before, and were not run.
    """

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    lost: int = 0
    duplicates: int = 0
    running: int = 0
    waiting: int = 0

    @property
    def counted(self) -> int:
        """Trials that count towards ``--trials``."""
        return self.complete + self.pruned + self.failed

    def describe(self) -> str:
        """Lists the numbers that are not 0."""
        named = zip(self._fields, self, strict=True)
        return ", ".join(f"{count} {name}" for name, count in named if count) or "no trials"


@dataclass(eq=False)
class SweepStudy:
    """A study, with the sampler and pruner of this process, and its storage."""

    storage: BaseStorage
    study: optuna.Study
    _watch: HeartbeatWatch = field(default_factory=HeartbeatWatch)

    @classmethod
    def open(cls, spec: SweepSpec, *, worker: int = 0) -> Self:
        """Opens or creates a study; each worker draws from a seed of its own."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage, sweep = open_storage(spec.sweep.storage), spec.sweep
        pruners = {
            "median": MedianPruner(n_startup_trials=5, n_warmup_steps=1),
            "percentile": PercentilePruner(25.0, n_startup_trials=5, n_warmup_steps=1),
            "halving": SuccessiveHalvingPruner(min_resource=1),
            "none": NopPruner(),
        }
        study = optuna.create_study(
            storage=storage,
            study_name=spec.name,
            directions=["maximize", "minimize"] if sweep.second_objective else ["maximize"],
            load_if_exists=True,
            pruner=pruners[sweep.pruner],
        )
        opened = cls(storage, study)
        study.sampler = _make_sampler(sweep.sampler, (sweep.seed, worker, len(opened.trials())))
        return opened

    def trials(self) -> list[FrozenTrial]:
        """Returns all trials in the order of their numbers; they are not to be changed."""
        return self.study.get_trials(deepcopy=False)

    def counts(self) -> TrialCounts:
        """Counts the trials by their outcome."""
        outcomes = [classify(trial) for trial in self.trials()]
        return TrialCounts(*(outcomes.count(name) for name in TrialCounts._fields))

    def give_up(self, trial: FrozenTrial, why: str, *, once: bool = True) -> None:
        """Ends a trial that lost its worker and enqueues its settings again.

        With ``once``, those that were tried again already are given up for good.
        """
        storage, attributes = self.storage, trial.user_attrs
        is_retry = "retry_of" in attributes
        study_id = storage.get_study_id_from_name(self.study.study_name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        try:
            storage.set_trial_user_attr(trial_id, "lost", why)
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
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
        worker, heartbeat = (trial.user_attrs.get(name) for name in ("worker", "heartbeat"))
        if worker is None:
            stopped = self._watch.has_stopped(trial.number, None, _UNKNOWN_WORKER_SECONDS)
            return "it never began" if stopped else None
        dead = is_dead(worker)
        if dead is None and self._watch.has_stopped(trial.number, heartbeat):
            return f"no heartbeat of its worker on {worker['host'].split('/')[0]}"
        return f"its worker, process {worker['pid']}, died" if dead else None


def classify(trial: FrozenTrial) -> str | None:
    """Returns the outcome of a trial by the fields of `TrialCounts`; None for a surplus one."""
    attributes = trial.user_attrs
    if "surplus" in attributes:
        return None
    if "duplicate_of" in attributes:
        return "duplicates"
    if trial.state == TrialState.FAIL:
        return "lost" if "lost" in attributes else "failed"
    return trial.state.name.lower()


def cause_of(trial: FrozenTrial) -> str | None:
    """Returns why a trial failed or was lost, None for one that did not."""
    return trial.user_attrs.get("error", trial.user_attrs.get("lost"))


def trainings(trial: FrozenTrial) -> list[dict[str, Any]]:
    """Returns the trainings of a trial that have ended, in order."""
    found = [value for name, value in trial.user_attrs.items() if name.startswith(TRAINING)]
    return sorted(found, key=lambda training: training["step"])


def metric_of(trials: Sequence[FrozenTrial]) -> str:
    """Returns the name of the metric that scores the trials."""
    found = (training for trial in trials for training in trainings(trial))
    return next(found, {}).get("metric", "uar")


def scored(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the trials with a score of their own, the best on valid first."""
    found = [trial for trial in trials if classify(trial) == "complete"]
    return sorted(found, key=lambda trial: (-trial.values[0], trial.number))


def check_settings(found: SweepStudy, spec: SweepSpec, settings: Mapping[str, str]) -> None:
    """Keeps the settings of a new study; those of an old one must be the same.

    Raises:
        ValueError: They are not; the message lists the differences.
    """
    kept = found.study.user_attrs.get("settings")
    if kept is None:
        found.study.set_user_attr("settings", json.dumps(settings))
        return
    before = json.loads(kept)
    changed = [
        f"{name}: {before.get(name, 'absent')} -> {settings.get(name, 'absent')}"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    if changed:
        raise ValueError(
            f"study {spec.name!r} in {describe(spec.sweep.storage)} was started under other "
            f"settings ({', '.join(changed)}); repeat those to resume it, or name a new study with "
            "--study"
        )


def _make_sampler(name: str, seed: tuple[int, int, int]) -> BaseSampler:
    """Returns a sampler; its seed holds the number of trials, or a resumed study would repeat."""
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    if name.startswith("hub:"):
        return _load_sampler(name.removeprefix("hub:"), number)
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        samplers: dict[str, BaseSampler] = {
            # Settings that only some trials have are groups of their own; what other workers try
            # at the same moment counts as bad, so that they do not try the same.
            "tpe": TPESampler(
                seed=number, multivariate=True, group=True, constant_liar=True, n_startup_trials=8
            ),
            "random": RandomSampler(seed=number),
            "nsgaii": NSGAIISampler(seed=number),
            "qmc": QMCSampler(seed=seed[0], scramble=True, warn_independent_sampling=False),
        }
    return samplers[name]


def _load_sampler(package: str, seed: int) -> BaseSampler:
    """Loads a sampler of OptunaHub by name, or from a folder.

    Raises:
        ModuleNotFoundError: optunahub is not installed.
        ValueError: The package has no sampler, or several.
    """
    try:
        import optunahub
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"--sampler hub:{package} needs `pip install optunahub`"
        ) from error
    folder = Path(package)
    if folder.is_dir():
        root = str(folder.resolve().parent)
        module = optunahub.load_local_module(package=folder.name, registry_root=root)
    else:
        module = optunahub.load_module(package)
    kinds = {
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, BaseSampler)
        and kind.__module__.startswith(module.__name__)
    }
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise ValueError(f"--sampler hub:{package} must have one sampler, it has {names}")
    (kind,) = kinds
    is_seeded = "seed" in inspect.signature(kind).parameters
    return kind(**{"seed": seed} if is_seeded else {})
