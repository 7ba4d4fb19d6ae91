"""Sweeps: which setting of an experiment is best on valid, and how does that one score on test?

    python -m experiments.sweep epc --trials 20 --workers 2
    python -m experiments.sweep epc --corpus meld --root MELD.Raw --modality text --study epc-meld
    python -m experiments.sweep ser --storage postgresql://USER:PASSWORD@HOST/DATABASE

The name of the experiment is followed by the flags of the sweep, below, and those of the experiment
itself, which `python -m experiments.NAME --help` explains. The objective is the mean on valid, over
folds and seeds, of the metric that the experiment selects by; test is used once, after the study. A
sweep that was killed is resumed by the same command; a command on another machine that names the
same --storage joins it. Twenty trials of epc take about ten minutes on two cores. Writes mlruns/,
prints the best settings and the default.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from experiments.framework.commandline import (
    check_inputs,
    explained,
    parse,
    parse_known,
    refuse,
    run_or_explain,
)
from experiments.sweep.settings import SweepSettings
from experiments.sweep.space import read_varied

EXPERIMENTS = (
    "epc", "ser", "dimensional", "sentiment", "fusion", "finetune", "multitask",
    "pretrain_emotion2vec", "pretrain_cpc",
)  # fmt: skip
"""Experiments that may be swept."""


def read(argv: Sequence[str]) -> tuple[str, SweepSettings, Any]:
    """Reads the name of an experiment, and the flags behind it -> its module and both settings."""
    names = ", ".join(EXPERIMENTS)
    if not argv or argv[0].startswith("-"):
        parse_known(SweepSettings, argv, description=__doc__)  # answers --help
        refuse(f"name an experiment first: {names}")
    if argv[0] not in EXPERIMENTS:
        refuse(f"no experiment {argv[0]!r} to sweep; choose from {names}")
    module = f"experiments.{argv[0]}"
    return module, *read_flags(module, argv[1:])


def read_flags(module: str, argv: Sequence[str]) -> tuple[SweepSettings, Any]:
    """Reads the flags of the sweep, and those of the experiment."""
    sweep, rest = parse_known(SweepSettings, argv, description=__doc__)
    experiment = importlib.import_module(module).EXPERIMENT
    settings = parse(experiment.settings, rest, name=experiment.name)
    try:
        read_varied(sweep.vary, settings)
    except ValueError as error:
        refuse(str(error))
    return sweep, settings


def run(module: str, sweep: SweepSettings, settings: Any) -> None:
    """Prepares, searches, and, unless another command does so, scores on test and reports."""
    from experiments.sweep.storage import open_storage
    from experiments.tracking.store import open_client

    open_client()  # before what takes time, the import of PyTorch among it
    open_storage(sweep.storage)
    from conversation_emotion.figures.comparison_page import render_comparison
    from conversation_emotion.figures.documents import write_page
    from experiments.sweep import search
    from experiments.sweep.comparison import compare_trials, page_of
    from experiments.sweep.figures import log_figures
    from experiments.sweep.mirror import Mirror, open_parent
    from experiments.sweep.report import read_tested, report
    from experiments.sweep.study import SweepSpec, SweepStudy, check_settings

    name = sweep.study or module.rpartition(".")[2]
    spec = search.prepare(SweepSpec(module, name, sweep, settings))
    study = SweepStudy.open(spec)
    check_settings(study, spec, search.identity(spec))
    with search.ownership(study) as is_owner:
        if not is_owner:
            search.join(study, spec)
            return
        search.enqueue_default(study, spec)
        search.enqueue_best(study, spec)
        with open_parent(study, spec) as parent:
            mirror = Mirror(parent)
            search.search(study, spec, lambda: mirror.update(study.trials()))
            search.score_on_test(study, spec)
            log_figures(study, spec, parent)
            report(study, spec, parent, mirror)
            if (comparison := compare_trials(study, spec, read_tested(study))) is not None:
                write_page(page := page_of(spec.name), render_comparison(comparison))
                parent.log_file(page)
                print(f"strategies and settings compared: {page}")


def main() -> None:
    """Runs a sweep from the command line."""
    with explained():
        module, sweep, settings = read(sys.argv[1:])
        check_inputs(settings)
    run_or_explain(lambda: run(module, sweep, settings))


if __name__ == "__main__":
    main()
