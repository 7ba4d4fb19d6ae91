"""A sweep, step by step: prepare, search with many hands, score on test, report.

Commands are equal hands on one study. One of them, the first or whoever finds its place empty, also
keeps the records in MLflow and scores on test at the end.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FixedTrial, FrozenTrial
from tqdm import tqdm

from experiments.sweep import space as _search
from experiments.sweep.heartbeat import GRACE_SECONDS, Pulse, PulseWatch, is_dead, this_worker
from experiments.sweep.study import CAUSES, Order, SweepStudy, classify, count, scored, trainings
from experiments.sweep.trials import load_experiment, run_trials
from experiments.sweep.workers import Crew, find_devices, run_jobs

LOGS = Path("mlruns") / "sweeps"
"""Folder of what workers print, a folder per study."""

_LOOK_SECONDS = 1.0
_OWNER = "owner"
TESTED = "tested:"
"""Begins the attributes of a study that hold the scores on test, by the number of the trial."""


class Ready(NamedTuple):
    """What was found out before the search.

    Attributes:
        digest: Of the data with its features.
        devices: GPUs to use.
    """

    digest: str
    devices: tuple[str, ...]


def prepare(order: Order) -> Ready:
    """Extracts all features that the space may ask for, in a process whose memory is then free."""
    (found,) = run_jobs(_prepare, [(order,)], num_workers=1)
    assert isinstance(found, Ready)
    return found


def _prepare(order: Order) -> Ready:
    experiment = load_experiment(order.experiment)
    variants = _search.feature_variants(experiment.search_space, order.config)
    digests = [experiment.prepare(variant) for variant in variants]
    return Ready(" ".join(digests)[:2000], find_devices(order.sweep.devices))


def identity(order: Order, ready: Ready) -> dict[str, str]:
    """Returns what trials of one study have in common; a study of another identity is refused."""
    sweep = order.sweep
    return {
        "experiment": order.experiment.rpartition(".")[2],
        "objective": sweep.objective,
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
        "seed": str(sweep.seed),
        **_search.written(order.config),
        "data": ready.digest,
    }


def enqueue_default(study: SweepStudy, order: Order) -> None:
    """Lets the default setting be the first trial, so that tuned ones stand beside it."""
    if any("default" in trial.user_attrs for trial in study.trials()):
        return
    space = load_experiment(order.experiment).search_space
    parameters = _search.default_parameters(space, order.config)
    if space(FixedTrial(parameters), order.config) == order.config:
        study.study.enqueue_trial(parameters, user_attrs={"default": True})
    else:
        print("note: the default setting is outside of the search space, and no trial of its own")


def search(study: SweepStudy, order: Order, ready: Ready, on_look: Callable[[], None]) -> None:
    """Lets the workers run trials until there are enough, and gives up those of the dead.

    Args:
        study: The study.
        order: What the workers are told.
        ready: The devices.
        on_look: Called about once a second.
    """
    sweep = order.sweep
    crew = Crew(
        run_trials,
        (order,),
        num_workers=sweep.workers,
        devices=ready.devices,
        logs=LOGS / order.name,
    )
    with _progress(study, sweep.trials) as tell:
        study.give_up_dead()
        try:
            if study.standing().counted < sweep.trials:
                with crew:
                    while crew.watch(_LOOK_SECONDS):
                        study.give_up_dead()
                        on_look()
                        tell()
        finally:
            study.give_up_dead()
            on_look()
            tell()


def join(study: SweepStudy, order: Order, ready: Ready) -> None:
    """Lends hands to a sweep whose records another command keeps."""
    owner = study.study.user_attrs.get(_OWNER) or {"host": "another machine", "pid": "?"}
    host = owner["host"].split("/")[0]
    print(f"joins study {order.name!r}; process {owner['pid']} on {host} keeps the records")
    search(study, order, ready, lambda: None)
    print(f"study {order.name!r}: {study.standing().describe()}; no trial is left to begin")


@contextmanager
def _progress(study: SweepStudy, num_trials: int) -> Iterator[Callable[[], None]]:
    """Shows a bar of the trials, and a line for each that ends."""
    told = {trial.number for trial in study.trials() if trial.state.is_finished()}
    with tqdm(total=num_trials, unit="trial", leave=False, disable=None) as bar:

        def tell() -> None:
            trials = study.trials()
            for trial in trials:
                if trial.state.is_finished() and trial.number not in told:
                    told.add(trial.number)
                    tqdm.write(_describe_end(trial))
            standing, best = count(trials), scored(trials)
            bar.n = min(standing.counted, num_trials)
            score = f"best on valid {best[0].values[0]:.4f}, " if best else ""
            bar.set_postfix_str(score + standing.describe())

        yield tell


def _describe_end(trial: FrozenTrial) -> str:
    kind, found = classify(trial), trainings(trial)
    score = f", {found[-1]['mean']:.4f} over {len(found)} trainings" if found else ""
    why = next((f": {trial.user_attrs[name]}" for name in CAUSES if name in trial.user_attrs), "")
    return f"trial {trial.number} {kind or 'surplus'}{score}{why}"


@contextmanager
def ownership(study: SweepStudy, *, grace_seconds: float = GRACE_SECONDS) -> Iterator[bool]:
    """Says whether this command keeps the records, and holds that place while the block runs."""
    if not _claim(study, grace_seconds):
        yield False
        return
    me = this_worker()

    def beat(number: int) -> None:
        study.study.set_user_attr(_OWNER, {**me, "beat": number})

    try:
        with Pulse(beat):
            yield True
    finally:
        study.study.set_user_attr(_OWNER, None)


def _claim(study: SweepStudy, grace_seconds: float) -> bool:
    """Takes the place if it is empty; of two that take it at one moment, the later one holds it."""
    watch, first = PulseWatch(grace_seconds), None
    while (owner := study.study.user_attrs.get(_OWNER)) is not None:
        verdict, beat = is_dead(owner), owner["beat"]
        if verdict or watch.has_stopped(_OWNER, beat):
            break
        first = beat if first is None else first
        if verdict is False or beat != first:
            return False
        time.sleep(_LOOK_SECONDS)
    me = {**this_worker(), "beat": 0}
    study.study.set_user_attr(_OWNER, me)
    time.sleep(_LOOK_SECONDS)
    now = study.study.user_attrs.get(_OWNER) or {}
    return {**now, "beat": 0} == me


def score_on_test(study: SweepStudy, order: Order, ready: Ready) -> None:
    """Scores the best settings on test and the default beside them, each once and for all."""
    chosen = choose_for_test(study, order.sweep.top)
    kept = study.study.user_attrs
    missing = [trial for trial in chosen if f"{TESTED}{trial.number}" not in kept]
    if missing and any(name.startswith(TESTED) for name in kept):
        print("note: test was looked at before; what is tuned further is tuned after that look")
    best = chosen[0].number if chosen else None
    jobs = [(order, trial.params, trial.number == best) for trial in missing]
    log = LOGS / order.name / "test.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    results = run_jobs(_test, jobs, num_workers=order.sweep.workers, devices=ready.devices, log=log)
    for trial, scores in tqdm(
        zip(missing, results, strict=True), desc="test", total=len(missing), leave=False
    ):
        study.study.set_user_attr(f"{TESTED}{trial.number}", json.dumps(scores))


def choose_for_test(study: SweepStudy, top: int) -> list[FrozenTrial]:
    """Returns the best trials on valid, and the default behind them."""
    if top == 0:
        return []
    chosen = scored(study.trials())[:top]
    defaults = [
        trial
        for trial in study.trials()
        if "default" in trial.user_attrs and classify(trial) in ("complete", "pruned")
    ]
    return chosen + [trial for trial in defaults[-1:] if trial not in chosen]


def _test(order: Order, parameters: dict[str, Any], is_best: bool) -> dict[str, list[float]]:
    """Scores a setting on test; the model of the best one alone is registered."""
    experiment = load_experiment(order.experiment)
    config = experiment.search_space(FixedTrial(parameters), order.config)
    if hasattr(config, "register"):
        name = (config.register or f"{order.name}-best") if is_best else None
        try:
            config = dataclasses.replace(config, register=name)
        except ValueError as refusal:
            print(f"no model is registered: {refusal}", flush=True)
    return {name: list(interval) for name, interval in experiment.test(config).items()}
