"""Sweeps: which setting of an experiment is best on valid, and what is that worth on test?

    python -m experiments.sweep epc --trials 20 --workers 2
    python -m experiments.sweep epc --corpus meld --root MELD.Raw --modality text --study epc-meld
    python -m experiments.sweep ser --storage postgresql://USER:PASSWORD@HOST/DATABASE

Behind the name of the experiment stand the flags of the sweep, below, and those of the experiment
itself, which `python -m experiments.NAME --help` explains. The aim is the mean score on valid over
folds and seeds; test is looked at once, after the study. A sweep that was killed goes on with the
same command; a command on another machine that names the same --storage joins it. Twenty trials of
epc take about ten minutes on two cores. Writes mlruns/, prints the best settings and the default.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

from experiments import commandline as _cli
from experiments.sweep.settings import SweepSettings

EXPERIMENTS = {
    "epc": ("experiments.epc", "EPCConfig"),
    "ser": ("experiments.ser", "SERConfig"),
    "dimensional": ("experiments.dimensional", "DimensionalConfig"),
    "sentiment": ("experiments.sentiment", "SentimentConfig"),
    "fusion": ("experiments.fusion", "FusionConfig"),
    "multitask": ("experiments.multitask", "MultitaskConfig"),
    "pretrain_emotion2vec": ("experiments.pretrain_emotion2vec", "PretrainEmotion2vecSettings"),
    "pretrain_cpc": ("experiments.pretrain_cpc", "PretrainCpcSettings"),
}
"""Experiments that may be swept, with their settings; one without a search space is passed over."""


def find_experiments() -> list[str]:
    """Names the experiments that are there."""
    return [name for name, (module, _) in EXPERIMENTS.items() if importlib.util.find_spec(module)]


def parse(argv: Sequence[str]) -> tuple[str, SweepSettings, Any]:
    """Reads the name of an experiment, the flags of the sweep, and those of the experiment."""
    names = find_experiments()
    if not argv or argv[0].startswith("-"):
        _cli.parse_known(SweepSettings, argv, description=__doc__)  # answers --help
        _cli.refuse(f"name an experiment first: {', '.join(names)}")
    name = argv[0]
    if name not in names:
        _cli.refuse(f"no experiment {name!r} to sweep; choose from {', '.join(names)}")
    module, settings = EXPERIMENTS[name]
    command = importlib.import_module(module)
    experiment = getattr(command, "EXPERIMENT", command)
    for hook in ("search_space", "prepare", "validate", "test"):
        if not hasattr(experiment, hook):
            _cli.refuse(
                f"{module} has no {hook}, which a sweep needs; see experiments.sweep.trials"
            )
    sweep, rest = _cli.parse_known(SweepSettings, argv[1:], description=__doc__)
    return module, sweep, _cli.parse(getattr(command, settings), rest)


def run(module: str, sweep: SweepSettings, config: Any) -> None:
    """Prepares, searches, and, unless another command does so, scores on test and reports."""
    from experiments.sweep import figures as _study_figures
    from experiments.sweep import mirror as _study_tracking
    from experiments.sweep import report as _study_report
    from experiments.sweep import search as _sweep
    from experiments.sweep import study as _study

    name = sweep.study or module.rpartition(".")[2]
    order = _study.Order(module, name, sweep, config)
    ready = _sweep.prepare(order)
    study = _study.SweepStudy.open(order)
    _study.check_settings(study, order, _sweep.identity(order, ready))
    with _sweep.ownership(study) as is_owner:
        if not is_owner:
            _sweep.join(study, order, ready)
            return
        _sweep.enqueue_default(study, order)
        with _study_tracking.open_parent(study, order) as parent:
            mirror = _study_tracking.Mirror(parent)
            _sweep.search(study, order, ready, lambda: mirror.update(study.trials()))
            _sweep.score_on_test(study, order, ready)
            _study_figures.log_figures(study, order, parent)
            _study_report.report(study, order, parent, mirror)


def main() -> None:
    """Runs a sweep from the command line."""
    module, sweep, config = parse(sys.argv[1:])
    _cli.run_or_explain(lambda: run(module, sweep, config))


if __name__ == "__main__":
    main()
