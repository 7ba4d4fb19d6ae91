"""A selection nested in the folds: in each, valid chooses among runs, and test judges the choice.

    python -m experiments.choose RUN RUN RUN

RUN are ids of finished runs of experiments that judge classes, as their tables name them, on the
same corpus, folds and seeds. Whoever picks the best row of a table by valid scores over all folds
uses people in one fold who are tested in another, and the figure leans upwards; here a fold's own
valid part alone chooses for it, of equals the run that is named first. Nothing is trained. Prints
a row per run and one for the choice, and writes mlruns/.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments import commandline as _cli

if TYPE_CHECKING:
    from conversation_emotion.evaluation.metrics import Interval


@dataclass(frozen=True, kw_only=True)
class ChooseConfig:
    """What is chosen from."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Ids of the runs."""

    resamples: int = 2000
    """Bootstrap resamples behind each 95 % interval."""

    def __post_init__(self) -> None:
        if len(set(self.runs)) < 2 or len(set(self.runs)) < len(self.runs):
            raise ValueError(f"two runs or more are needed, all different; got {len(self.runs)}")
        if self.resamples < 1:
            raise ValueError(f"--resamples must be 1 or more, got {self.resamples}")


def run(config: ChooseConfig) -> "dict[str, Interval]":
    """Chooses in each fold, prints the table, and returns the choice's scores on test."""
    from experiments import _choice
    from experiments.tracking import runs as _tracking

    systems = _choice.read_systems(config.runs)
    with _tracking.open_run("choose", config, " ".join(config.runs)) as parent:
        return _choice.report(systems, config.resamples, parent)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, ChooseConfig)


if __name__ == "__main__":
    main()
