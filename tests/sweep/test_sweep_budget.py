"""How a sweep is bounded in time, begins with what an older one found, and takes other samplers."""

import time
from pathlib import Path

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from experiments.sweep.search import enqueue_best
from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepStudy
from experiments.sweep.trials import take_trial
from tests.command_line import usage_error
from tests.sweeps import make_spec, run_here


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_no_trial_begins_after_the_budget_of_time():
    spec = make_spec(trials=1000)
    study = SweepStudy.open(spec)
    assert take_trial(study, spec._replace(deadline=time.time() + 60)) is not None
    assert take_trial(study, spec._replace(deadline=time.time() - 1)) is None


def test_a_warm_start_tries_the_best_of_an_older_study_once(capsys):
    older = run_here(make_spec(name="older", trials=8, sampler="random", pruner="none"))
    best = sorted(older.trials(), key=lambda trial: -trial.values[0])[:5]
    spec = make_spec(name="newer", warm_start="older")
    study = SweepStudy.open(spec)
    for _ in range(2):
        enqueue_best(study, spec)
    found = [trial.system_attrs["fixed_params"] for trial in study.trials()]
    assert found == [trial.params for trial in best]
    assert "begins with 5 of the best 5 settings of study 'older'" in capsys.readouterr().out
    assert study.trials()[0].user_attrs["warm"] == f"older {best[0].number}"


def test_a_setting_outside_of_the_space_is_left_out(capsys):
    other = SweepStudy.open(make_spec(name="other")).study
    numbers, names = FloatDistribution(0, 9), CategoricalDistribution(["early", "late"])
    for parameters in ({"x": 0.5, "fusion": "early"}, {"y": 0.5}, {"x": 7.0, "fusion": "late"}):
        kinds: dict[str, BaseDistribution] = {
            name: names if name == "fusion" else numbers for name in parameters
        }
        other.add_trial(create_trial(params=parameters, distributions=kinds, value=0.5))
    spec = make_spec(name="newer", warm_start="other")
    enqueue_best(SweepStudy.open(spec), spec)
    assert "begins with 1 of the best 3" in capsys.readouterr().out


def test_a_warm_start_from_nothing_names_what_there_is():
    run_here(make_spec(name="older", trials=1))
    spec = make_spec(name="newer", warm_start="nowhere")
    with pytest.raises(
        ValueError, match=r"--warm-start nowhere: no such study in sweep.journal; .*older"
    ):
        enqueue_best(SweepStudy.open(spec), spec)
    spec = make_spec(name="empty", warm_start="empty")
    with pytest.raises(ValueError, match="--warm-start empty: none of its trials has a score"):
        enqueue_best(SweepStudy.open(spec), spec)


def write_package(folder: Path, code: str) -> str:
    folder.mkdir()
    (folder / "__init__.py").write_text(code)
    return f"hub:{folder}"


def test_a_sampler_of_optunahub_is_loaded_from_a_folder(tmp_path):
    pytest.importorskip("optunahub")
    code = "import optuna\nclass Own(optuna.samplers.RandomSampler): pass\n"
    spec = make_spec(trials=2, sampler=write_package(tmp_path / "own", code))
    assert type(SweepStudy.open(spec).study.sampler).__name__ == "Own"
    run_here(spec)
    first = run_here(make_spec(name="again", trials=2, sampler=spec.sweep.sampler))
    assert len({trial.params["x"] for trial in first.trials()}) == 2  # the seed moves on
    spec = make_spec(trials=2, sampler=write_package(tmp_path / "none", "import optuna\n"))
    with pytest.raises(ValueError, match="must have one sampler, it has none"):
        SweepStudy.open(spec)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--minutes", "0"], "--minutes must be above 0, got 0.0"),
        (
            ["--sampler", "gp"],
            "--sampler is one of tpe, random, nsgaii, qmc or hub:PACKAGE, got 'gp'",
        ),
        (["--sampler", "hub:"], "or hub:PACKAGE, got 'hub:'"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert message in usage_error(SweepSettings, flags, capsys)
