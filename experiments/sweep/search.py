"""A sweep, step by step: prepare, search with many workers, score on test.

Commands are equal on one study. One of them, the first or whichever finds that place empty, also
keeps the records in MLflow and scores on test at the end.
"""

import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import FixedTrial, FrozenTrial
from tqdm import tqdm

from conversation_emotion.settings.flags import format_settings
from conversation_emotion.settings.recognition import RegistrySettings
from experiments.sweep.heartbeat import HeartbeatWatch, send_heartbeats
from experiments.sweep.space import default_parameters, feature_variants
from experiments.sweep.storage import describe
from experiments.sweep.study import (
    IDENTITY,
    SweepSpec,
    SweepStudy,
    cause_of,
    classify,
    metric_of,
    scored,
    trainings,
)
from experiments.sweep.trials import load_experiment, run_trials, space_of
from experiments.sweep.workers import WorkerPool, find_devices, run_jobs
from experiments.tracking.processes import is_dead, this_process
from experiments.tracking.runs import TESTED_FOR

LOGS = Path("mlruns") / "sweeps"
"""Folder of what workers print, a folder per study."""

_LOOK_SECONDS = 1.0
_WARM = 5  # settings of an older study to begin with
_OWNER = "owner"
TESTED = "tested:"
"""Prefix of the attributes of a study that hold the scores on test, by the number of the trial."""


def prepare(spec: SweepSpec) -> SweepSpec:
    """Extracts all features that the space may ask for, in a process whose memory is then free.

    The sweep that is returned has the digest of its data, and the GPUs to use.
    """
    (prepared,) = run_jobs(_prepare, [(spec,)], num_workers=1)
    return cast(SweepSpec, prepared)


def _prepare(spec: SweepSpec) -> SweepSpec:
    experiment = load_experiment(spec.experiment)
    variants = feature_variants(space_of(spec), spec.settings)
    data = " ".join(experiment.prepare(variant) for variant in variants)[:2000]
    sweep = dataclasses.replace(spec.sweep, devices=find_devices(spec.sweep.devices))
    return spec._replace(sweep=sweep, data=data)


def identity(spec: SweepSpec) -> dict[str, str]:
    """Returns what trials of one study have in common; a study of another identity is refused."""
    sweep = spec.sweep
    return {
        "experiment": spec.experiment.rpartition(".")[2],
        "objective": sweep.objective,
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
        "seed": str(sweep.seed),
        **({"vary": " ".join(sweep.vary)} if sweep.vary else {}),
        **format_settings(spec.settings),
        "data": spec.data,
    }


def enqueue_default(study: SweepStudy, spec: SweepSpec) -> None:
    """Makes the default setting the first trial, to compare the tuned ones with it."""
    if any("default" in trial.user_attrs for trial in study.trials()):
        return
    space = space_of(spec)
    parameters = default_parameters(space, spec.settings)
    if space(FixedTrial(parameters), spec.settings) == spec.settings:
        study.study.enqueue_trial(parameters, user_attrs={"default": True})
    else:
        print("note: the default setting is outside of the search space, and no trial of its own")


def enqueue_best(study: SweepStudy, spec: SweepSpec) -> None:
    """Enqueues the best settings of the study that ``--warm-start`` names, once.

    Raises:
        ValueError: The storage has no such study, or it has no trial that ended.
    """
    name, here = spec.sweep.warm_start, describe(spec.sweep.storage)
    if name is None or any("warm" in trial.user_attrs for trial in study.trials()):
        return
    names = optuna.get_all_study_names(study.storage)
    if name not in names:
        there = ", ".join(sorted(names)) or "none"
        raise ValueError(f"--warm-start {name}: no such study in {here}; there are {there}")
    older = optuna.load_study(study_name=name, storage=study.storage)
    best = scored(older.get_trials(deepcopy=False))
    if not best:
        raise ValueError(f"--warm-start {name}: none of its trials has a score")
    space, taken = space_of(spec), 0
    for trial in best[:_WARM]:
        try:
            with warnings.catch_warnings(action="error", category=UserWarning):
                space(FixedTrial(trial.params), spec.settings)
        except (ValueError, UserWarning):  # a setting that this space has not, or out of its range
            continue
        study.study.enqueue_trial(trial.params, user_attrs={"warm": f"{name} {trial.number}"})
        taken += 1
    print(f"begins with {taken} of the best {min(_WARM, len(best))} settings of study {name!r}")


def search(study: SweepStudy, spec: SweepSpec, on_look: Callable[[], None]) -> None:
    """Runs trials in workers until there are enough, and gives up those of dead workers.

    ``on_look`` is called about once a second.
    """
    sweep, logs = spec.sweep, LOGS / spec.name
    with _progress(study, sweep.trials) as show:

        def look() -> None:
            study.give_up_dead()
            on_look()
            show()

        study.give_up_dead()
        try:
            if study.counts().counted < sweep.trials:
                if sweep.minutes is not None:
                    spec = spec._replace(deadline=time.time() + 60 * sweep.minutes)
                work = partial(run_trials, spec)
                with WorkerPool(work, sweep.workers, devices=sweep.devices, logs=logs) as pool:
                    while pool.watch(_LOOK_SECONDS):
                        look()
        finally:
            look()


def join(study: SweepStudy, spec: SweepSpec) -> None:
    """Adds workers to a sweep whose records another command keeps."""
    owner = study.study.user_attrs.get(_OWNER) or {"host": "another machine", "pid": "?"}
    host = owner["host"].split("/")[0]
    print(f"joins study {spec.name!r}; process {owner['pid']} on {host} keeps the records")
    search(study, spec, lambda: None)
    print(f"study {spec.name!r}: {study.counts().describe()}; no trial is left to begin")


@contextmanager
def _progress(study: SweepStudy, num_trials: int) -> Iterator[Callable[[], None]]:
    """Shows a bar of the trials, and a line for each that ends."""
    shown = {trial.number for trial in study.trials() if trial.state.is_finished()}
    with tqdm(total=num_trials, unit="trial", leave=False, disable=None) as bar:

        def show() -> None:
            trials = study.trials()
            for trial in trials:
                if trial.state.is_finished() and trial.number not in shown:
                    shown.add(trial.number)
                    tqdm.write(_describe_end(trial))
            counts, best = study.counts(), scored(trials)
            bar.n = min(counts.counted, num_trials)
            score = f"best {metric_of(best)} on valid {best[0].values[0]:.4f}, " if best else ""
            bar.set_postfix_str(score + counts.describe())

        yield show


def _describe_end(trial: FrozenTrial) -> str:
    found, cause = trainings(trial), cause_of(trial)
    score = f", {found[-1]['mean']:.4f} over {len(found)} trainings" if found else ""
    why = f": {cause}" if cause else ""
    return f"trial {trial.number} {classify(trial) or 'surplus'}{score}{why}"


@contextmanager
def ownership(study: SweepStudy) -> Iterator[bool]:
    """Yields whether this command keeps the records, and holds that place while the block runs."""
    if not _claim(study):
        yield False
        return
    me = this_process()
    try:
        with send_heartbeats(
            lambda number: study.study.set_user_attr(_OWNER, {**me, "heartbeat": number})
        ):
            yield True
    finally:
        study.study.set_user_attr(_OWNER, None)


def _claim(study: SweepStudy) -> bool:
    """Takes the place if it is empty; of two that take it at one moment, the later one holds it."""
    watch, first = HeartbeatWatch(), None
    while (owner := study.study.user_attrs.get(_OWNER)) is not None:
        dead, heartbeat = is_dead(owner), owner.get("heartbeat")
        if dead or watch.has_stopped(_OWNER, heartbeat):
            break
        first = heartbeat if first is None else first
        if dead is False or heartbeat != first:
            return False
        time.sleep(_LOOK_SECONDS)
    me = {**this_process(), "heartbeat": 0}
    study.study.set_user_attr(_OWNER, me)
    time.sleep(_LOOK_SECONDS)
    now = study.study.user_attrs.get(_OWNER) or {}
    return {**now, "heartbeat": 0} == me


def score_on_test(study: SweepStudy, spec: SweepSpec) -> None:
    """Scores the best settings and the default on test, each once and for all."""
    sweep, tested = spec.sweep, study.study.user_attrs
    chosen = choose_for_test(study, sweep.top)
    missing = [trial for trial in chosen if f"{TESTED}{trial.number}" not in tested]
    if missing and any(name.startswith(TESTED) for name in tested):
        print("note: test was used before; what is tuned further is tuned after that use of it")
    sweep_id = str(study.study.user_attrs.get(IDENTITY, ""))
    jobs = [(spec, trial.params, trial is chosen[0], sweep_id) for trial in missing]
    log = LOGS / spec.name / "test.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    results = run_jobs(_test, jobs, num_workers=sweep.workers, devices=sweep.devices, log=log)
    for trial, scores in tqdm(
        zip(missing, results, strict=True), desc="test", total=len(missing), leave=False
    ):
        study.study.set_user_attr(f"{TESTED}{trial.number}", json.dumps(scores))


def choose_for_test(study: SweepStudy, top: int) -> list[FrozenTrial]:
    """Returns the best trials on valid, and the default after them."""
    if top == 0:
        return []
    trials = study.trials()
    chosen = scored(trials)[:top]
    defaults = [
        trial
        for trial in trials
        if "default" in trial.user_attrs and classify(trial) in ("complete", "pruned")
    ]
    return chosen + [trial for trial in defaults[-1:] if trial not in chosen]


def _test(
    spec: SweepSpec, parameters: dict[str, Any], is_best: bool, sweep_id: str
) -> dict[str, list[float]]:
    """Scores a setting on test; the model of the best one alone is registered."""
    TESTED_FOR.set(sweep_id)
    experiment = load_experiment(spec.experiment)
    settings = space_of(spec)(FixedTrial(parameters), spec.settings)
    if isinstance(settings, RegistrySettings):
        registry = vars(RegistrySettings())  # whose flags are refused where nothing is registered
        if is_best:
            registry = {"register": settings.register or f"{spec.name}-best"}
        try:
            settings = dataclasses.replace(settings, **registry)
        except ValueError as refusal:
            print(f"no model is registered: {refusal}", flush=True)
    return {name: list(interval) for name, interval in experiment.test(settings).items()}
