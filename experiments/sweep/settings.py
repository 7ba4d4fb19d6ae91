"""How a sweep searches, where it keeps its trials, and what works on it."""

import re
from dataclasses import dataclass
from typing import Literal

from conversation_emotion.settings.flags import check_at_least

GRPC_PORT = 13000
"""Port of the server in front of the database of sweeps."""


SAMPLERS = ("tpe", "random", "nsgaii", "qmc")
"""Samplers that come with Optuna."""


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """How to search, and with how many workers."""

    trials: int = 20
    """Settings to try, the default setting being the first; a higher number continues a sweep."""

    minutes: float | None = None
    """No trial begins later than this after the search began; whatever began is trained whole. A
    command that resumes a sweep has as much again."""

    workers: int = 1
    """Processes on this machine, one torch thread each unless OMP_NUM_THREADS says otherwise."""

    study: str | None = None
    """Name of the sweep; none takes that of the experiment."""

    storage: str | None = None
    """A journal file, the URL of a database, or grpc://HOST:PORT of a server in front of one; none
    is mlruns/optuna.journal. A command that names the storage of a running sweep joins it."""

    objective: Literal["score", "score+parameters", "score+seconds"] = "score"
    """Mean on valid of the metric that selects; with a second objective there is a Pareto front,
    and nothing is pruned."""

    vary: tuple[str, ...] = ()
    """Settings of the experiment to vary besides, or instead of all choices that it has of its own,
    such as modality=speech,text,speech+text dialogue_model=single,hierarchical."""

    warm_start: str | None = None
    """Study in the same storage whose best five settings are tried after the default, as far as
    they lie in this search space; of a sweep on another corpus, for instance."""

    sampler: str = "tpe"
    """tpe, random, nsgaii, qmc, or hub:PACKAGE of OptunaHub, such as hub:samplers/auto_sampler, or
    of a folder; it is not kept with a study, so it is named again to resume."""

    pruner: Literal["median", "percentile", "halving", "none"] = "median"
    """What ends a trial by the running mean of its trainings; named again to resume."""

    seed: int = 0
    """Seed of the sampler; one worker proposes the same settings again."""

    devices: tuple[str, ...] = ()
    """GPUs by number or id, one for each worker in turn; none takes all that are visible."""

    top: int = 5
    """Settings to score on test after the study, the best on valid, in addition to the default; 0
    does not use test."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "trials", "workers")
        check_at_least(self, 0, "top")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"--minutes must be above 0, got {self.minutes}")
        if self.sampler not in SAMPLERS and not re.match(r"hub:\S", self.sampler):
            raise ValueError(
                f"--sampler is one of {', '.join(SAMPLERS)} or hub:PACKAGE, got {self.sampler!r}"
            )

    @property
    def second_objective(self) -> str | None:
        """What is minimised besides, None for a single objective."""
        return self.objective.partition("+")[2] or None
