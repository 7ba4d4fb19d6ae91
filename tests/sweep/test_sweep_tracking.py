"""What MLflow shows of a sweep: a parent, a child for each trial with its true status, figures."""

import json
from pathlib import Path

import pytest
from mlflow.entities import Run

from conversation_emotion.evaluation.metrics import Interval
from experiments.sweep import __main__ as sweep
from experiments.sweep import figures
from experiments.sweep import mirror as mirrors
from experiments.sweep.figures import draw_search, log_figures
from experiments.sweep.mirror import Mirror, open_parent
from experiments.sweep.report import command_of, list_lines, report, tabulate
from experiments.sweep.search import choose_for_test
from experiments.sweep.settings import SweepSettings
from experiments.sweep.study import SweepStudy
from experiments.sweep.trials import run_trials
from experiments.tracking.processes import this_process
from tests.sweeps import make_spec, run_here
from tests.tiny_experiment import TinyConfig
from tests.tracked import Tracked, find_runs

XS = (0.7, 0.69, 0.71, 0.68, 0.66, 0.72, 0.0, 0.95, 0.69)
"""One that is lost and retried, five more good ones, a hopeless, a failing, and a repeated one."""


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> Tracked:
    """The runs of a sweep in which everything happens, and its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sweep"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        spec = make_spec(trials=8, config=TinyConfig(break_above=0.9))
        study = SweepStudy.open(spec)
        for x in XS:
            study.study.enqueue_trial({"x": x, "fusion": "late" if x == 0.66 else "early"})
        lost = study.study.ask()
        lost.suggest_float("x", 0.0, 1.0)
        lost.set_user_attr("worker", {**this_process(), "pid": 2**22 + 1})
        lost.set_user_attr("config", "{}")
        with open_parent(study, spec) as parent:
            Mirror(parent).update(study.trials())
            study.give_up_dead()
            run_trials(spec, 0)
        with open_parent(study, spec) as parent:  # as a resumed command does
            mirror = Mirror(parent)
            mirror.update(study.trials())
            mirror.update(study.trials())
            study.study.set_user_attr("tested:1", json.dumps({"uar": [0.9, 0.8, 1.0, 0.05, 30]}))
            log_figures(study, spec, parent)
            report(study, spec, parent, mirror)
        return find_runs("sweep-tiny_experiment")


@pytest.mark.parametrize(("folds", "score"), [(1, "50.0"), (2, "50.0 ± 1.0")])
def test_a_deviation_is_that_of_several_trainings(folds, score, workplace):
    spec = make_spec(trials=1, config=TinyConfig(folds=folds))
    tested = {0: {"uar": Interval(0.5, 0.4, 0.6, 0.01, 30)}}
    (line,) = list_lines(run_here(spec), spec, tested)
    assert [cell.score for cell in line.cells][1:] == [score]
    assert ("±" in line.cells[0].score) == (folds > 1)


def child(tracked: Tracked, number: int) -> Run:
    (found,) = [run for run in tracked.children if run.data.tags["trial"] == str(number)]
    return found


def test_every_trial_ends_with_the_status_it_deserves(tracked):
    outcomes = {int(r.data.tags["trial"]): r.data.tags["outcome"] for r in tracked.children}
    expected = ["lost", *["complete"] * 5, "pruned", "failed"]
    assert [outcomes[number] for number in range(8)] == expected
    statuses = [child(tracked, number).info.status for number in range(8)]
    assert statuses == ["FAILED", *["FINISHED"] * 5, "KILLED", "FAILED"]
    assert child(tracked, 6).data.tags["pruned"] == "true"
    assert child(tracked, 7).data.tags["error"] == "ValueError: x is 0.95, above 0.9"
    assert child(tracked, 0).data.tags["error"] == f"its worker, process {2**22 + 1}, died"
    assert [run.info.status for run in tracked.parents] == ["FINISHED"]


def test_a_trial_is_named_by_what_it_varies(tracked):
    assert child(tracked, 1).info.run_name == "1 early · 0.69"


def test_a_repetition_has_no_run_and_a_retry_names_its_first_trial(tracked):
    retries = [run.data.tags.get("retry_of") for run in tracked.children]
    assert retries.count("0") == 1
    assert "8" not in {run.data.tags["trial"] for run in tracked.children}


def test_only_what_varies_is_a_parameter_and_the_rest_an_artifact(tracked):
    run = child(tracked, 1)
    assert run.data.params == {"x": "0.69", "fusion": "early"}
    file = tracked.client.download_artifacts(run.info.run_id, "config.json")
    whole = json.loads(Path(file).read_text())
    assert whole["break_above"] == "0.9"
    assert whole["x"] == "0.69"
    (parent,) = tracked.parents
    assert set(parent.data.params) == {
        *(f"search/{name}" for name in ("objective", "sampler", "pruner", "seed")),
        "fusion",
        "modality",
    }
    file = tracked.client.download_artifacts(parent.info.run_id, "config.json")
    assert json.loads(Path(file).read_text())["break_above"] == "0.9"


def test_a_sweep_keeps_its_command_its_data_and_few_columns(tracked):
    (parent,) = tracked.parents
    assert parent.data.tags["command"].startswith("python -m experiments.sweep tiny_experiment --")
    assert parent.data.tags["trials"] == ("6 complete, 1 pruned, 1 failed, 1 lost, 1 duplicates")
    assert [one.dataset.name for one in parent.inputs.dataset_inputs] == ["data"]
    runs = [parent, *tracked.children]
    assert len({name for run in runs for name in (*run.data.metrics, *run.data.params)}) <= 40


def test_curves_are_kept_once_however_often_they_are_written(tracked):
    run = child(tracked, 1)
    history = tracked.client.get_metric_history(run.info.run_id, "valid/uar")
    loss = 0.01**2
    means = [1 - loss, 1 - loss - 0.005, 1 - loss - 0.01]
    assert [(m.step, m.value) for m in history] == [*enumerate(map(pytest.approx, means))]
    assert run.data.metrics["valid/uar"] == pytest.approx(means[-1])
    assert next(iter(run.data.metrics)) == "valid/uar"  # which MLflow's comparison begins with
    curve = tracked.client.get_metric_history(run.info.run_id, "curves/train/loss")
    assert [(m.step, pytest.approx(m.value)) for m in curve] == [(0, 1.0), (1, loss + 0.01)]
    assert run.data.metrics["test/uar"] == 0.9


def test_the_parent_holds_figures(tracked):
    run_id = tracked.parents[0].info.run_id
    files = {Path(file.path).name for file in tracked.client.list_artifacts(run_id, "figures")}
    names = ("history", "importances", "parallel_coordinates", "slices", "fusion_comparison")
    assert {f"{name}.png" for name in names} <= files
    file = tracked.client.download_artifacts(run_id, "figures/fusion_comparison.txt")
    lines = Path(file).read_text().splitlines()
    assert lines[0].startswith("speech+text, early: 0.9")
    assert "uar on valid, best of tiny, trial " in lines[0]
    assert lines[1].startswith("speech+text, late: 0.8")
    assert "p = 0.250" in lines[2]  # three pairs of one sign: 2 of 8 permutations


def test_the_table_of_trials_is_kept(tracked, tmp_path):
    import pandas as pd

    run_id = tracked.parents[0].info.run_id
    table = pd.read_parquet(tracked.client.download_artifacts(run_id, "trials.parquet"))
    outcomes = table["outcome"].value_counts().to_dict()
    assert outcomes == {"complete": 6, "pruned": 1, "failed": 1, "lost": 1, "duplicates": 1}


def test_the_best_setting_is_given_as_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = make_spec(trials=1, config=TinyConfig(folds=2))
    study = SweepStudy.open(spec)
    study.study.enqueue_trial({"x": 0.25, "fusion": "late"})
    run_trials(spec, 0)
    command = command_of(spec, study.trials()[0])
    assert command == "python -m experiments.tiny_experiment --x 0.25 --fusion late --folds 2"
    assert tabulate(study.trials()).loc[0, "trainings"] == 2


def test_two_objectives_are_drawn_as_a_front(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = make_spec(trials=4, objective="score+seconds")
    run_trials(spec, 0)
    study = SweepStudy.open(spec)
    names = [drawing.name for drawing in draw_search(study, spec)]
    assert "pareto_front" in names


def test_the_best_and_the_default_are_scored_on_test_once(workplace, capsys, monkeypatch):
    monkeypatch.setattr(figures, "log_figures", lambda *given: None)
    settings = SweepSettings(trials=4, top=2, storage="sweep.journal", pruner="none")
    for _ in range(2):
        sweep.run("tests.tiny_experiment", settings, TinyConfig())
    tested = (workplace / "tested.txt").read_text().splitlines()
    assert len(tested) == len(set(tested))
    assert "0.5 early" in [" ".join(line.split()[:2]) for line in tested]
    study = SweepStudy.open(make_spec(name="tiny_experiment"))
    assert len(tested) == len(choose_for_test(study, 2))
    printed = capsys.readouterr().out
    assert "Sweep tiny_experiment: 4 complete" in printed
    assert "the default" in printed
    assert "valid uar" in printed
    assert "ranked by the mean uar over folds and seeds on valid" in printed
    page = Path("mlruns/sweeps/tiny_experiment/comparison.html").read_text()
    assert "best: trial" in page
    assert "python -m experiments.tiny_experiment --x" in page
    with pytest.raises(ValueError, match=r"folds: 3 -> 4"):
        sweep.run("tests.tiny_experiment", settings, TinyConfig(folds=4))


def test_a_kill_between_the_creation_of_a_sweeps_run_and_its_settings_loses_nothing(
    workplace, monkeypatch
):
    def kill(*given: object) -> None:
        raise KeyboardInterrupt  # no context ends the run yet: it stays as a kill leaves it

    spec = make_spec(trials=1)
    study = SweepStudy.open(spec)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mirrors, "_describe", kill)
        with open_parent(study, spec):
            pass
    (left,) = find_runs("sweep-tiny_experiment").parents
    with open_parent(study, spec) as parent:
        assert parent.run_id == left.info.run_id
    (ended,) = find_runs("sweep-tiny_experiment").parents
    assert (left.info.status, ended.info.status) == ("RUNNING", "FINISHED")
    assert ended.data.params["search/sampler"] == spec.sweep.sampler
