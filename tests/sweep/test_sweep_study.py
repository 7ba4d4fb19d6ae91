"""What a sweep makes of its trials: counted, given up, retried once, never run twice."""

import contextvars
import json

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from experiments.sweep.heartbeat import HeartbeatWatch, send_heartbeats
from experiments.sweep.search import _test, ownership
from experiments.sweep.study import (
    SweepStudy,
    TrialCounts,
    check_settings,
    classify,
    metric_of,
    scored,
    trainings,
)
from experiments.sweep.trials import run_trials, take_trial
from experiments.tracking.processes import is_dead, this_process
from experiments.tracking.runs import TESTED_FOR
from tests.sweeps import make_spec, run_here
from tests.tiny_experiment import TinyConfig, TinyExperiment


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_score_of_a_trial_is_the_mean_over_its_trainings():
    study = run_here(make_spec(trials=1, sampler="random", config=TinyConfig(metric="ccc")))
    (trial,) = study.trials()
    expected = 1 - (trial.params["x"] - 0.7) ** 2 - 0.1 * (trial.params["fusion"] == "late")
    assert trial.value == pytest.approx(expected - (0.0 + 0.01 + 0.02) / 3)
    assert metric_of(study.trials()) == "ccc"
    assert [one["name"] for one in trainings(trial)] == [f"fold{n}-seed0" for n in range(3)]
    assert json.loads(trial.user_attrs["config"])["x"] == str(trial.params["x"])


def test_there_are_as_many_trials_as_asked_for_and_more_when_asked_again():
    assert run_here(make_spec(trials=3)).counts().counted == 3
    assert run_here(make_spec(trials=5)).counts().counted == 5
    assert run_here(make_spec(trials=5)).counts().counted == 5


def test_one_worker_proposes_the_same_settings_again(tmp_path):
    first = run_here(make_spec(trials=10, storage="first.journal", seed=3))
    again = run_here(make_spec(trials=10, storage="again.journal", seed=3))
    other = run_here(make_spec(trials=10, storage="other.journal", seed=4))
    assert [t.params for t in first.trials()] == [t.params for t in again.trials()]
    assert [t.params for t in first.trials()] != [t.params for t in other.trials()]


def test_a_resumed_sweep_and_a_second_worker_draw_other_settings():
    spec = make_spec(trials=2, sampler="random")
    run_here(spec)
    run_here(make_spec(trials=4, sampler="random"))
    study = run_here(make_spec(trials=6, sampler="random"), worker=1)
    assert len({trial.params["x"] for trial in study.trials()}) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii", "qmc"])
@pytest.mark.parametrize("pruner", ["median", "percentile", "halving", "none"])
def test_every_sampler_and_pruner_works(sampler, pruner):
    counts = run_here(make_spec(trials=3, sampler=sampler, pruner=pruner)).counts()
    assert counts.complete + counts.pruned == 3


def test_a_hopeless_trial_is_pruned_by_its_running_mean():
    spec = make_spec(trials=6)
    study = SweepStudy.open(spec)
    for x in (0.7, 0.69, 0.71, 0.68, 0.72, 0.0):
        study.study.enqueue_trial({"x": x, "fusion": "early"})
    run_trials(spec, 0)
    last = study.trials()[-1]
    assert last.state == TrialState.PRUNED
    assert len(trainings(last)) == 2  # the first training is not compared
    assert last.intermediate_values[1] == pytest.approx(1 - 0.49 - 0.005)


def test_a_setting_is_not_run_twice_and_takes_no_place():
    spec = make_spec(trials=3)
    study = SweepStudy.open(spec)
    for x in (0.2, 0.2, 0.4):
        study.study.enqueue_trial({"x": x, "fusion": "early"})
    run_trials(spec, 0)
    second = study.trials()[1]
    assert (classify(second), second.user_attrs["duplicate_of"]) == ("duplicates", 0)
    assert second.value == study.trials()[0].value
    assert trainings(second) == []
    assert study.counts().counted == 3
    assert second.number not in [trial.number for trial in scored(study.trials())]


def test_a_failing_trial_is_kept_with_its_error_and_the_sweep_goes_on():
    spec = make_spec(trials=2, config=TinyConfig(break_above=0.5))
    study = SweepStudy.open(spec)
    for x in (0.9, 0.3):
        study.study.enqueue_trial({"x": x, "fusion": "early"})
    run_trials(spec, 0)
    failed, fine = study.trials()
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["error"] == "ValueError: x is 0.90, above 0.5"
    assert fine.state == TrialState.COMPLETE
    assert study.counts()[:3] == (1, 0, 1)


def test_the_trial_of_a_dead_process_is_retried_once_with_the_same_settings():
    spec = make_spec(trials=1)
    study = SweepStudy.open(spec)
    first = study.study.ask()
    first.suggest_float("x", 0.0, 1.0)
    first.set_user_attr("worker", {**this_process(), "pid": 2**22 + 1})
    assert [trial.number for trial in study.give_up_dead()] == [0]
    again = take_trial(study, make_spec(trials=1))
    assert again is not None
    assert again.suggest_float("x", 0.0, 1.0) == first.params["x"]
    again.set_user_attr("worker", {**this_process(), "pid": 2**22 + 1})
    study.give_up_dead()
    assert [trial.state for trial in study.trials()] == [TrialState.FAIL] * 2
    assert [classify(trial) for trial in study.trials()] == ["lost", "lost"]
    assert study.trials()[1].user_attrs["retry_of"] == 0
    assert study.counts().counted == 0  # other settings take their place


def test_an_interrupted_trial_is_retried_however_often():
    spec = make_spec(trials=1)
    study = SweepStudy.open(spec)
    for _ in range(3):
        trial = take_trial(study, make_spec(trials=1))
        assert trial is not None
        study.give_up(trial_of(study, trial), "interrupted", once=False)
    assert study.counts() == TrialCounts(lost=3, waiting=1)


def test_a_trial_whose_worker_never_gave_its_name_is_given_up(monkeypatch):
    study = SweepStudy.open(make_spec())
    study.study.ask()
    assert study.give_up_dead() == []
    monkeypatch.setattr("experiments.sweep.study._UNKNOWN_WORKER_SECONDS", 0.0)
    assert len(study.give_up_dead()) == 1


def test_a_worker_of_another_machine_is_dead_when_its_heartbeat_stops():
    study = SweepStudy.open(make_spec())
    study._watch = HeartbeatWatch(grace_seconds=0.0)
    trial = study.study.ask()
    trial.set_user_attr("worker", {**this_process(), "host": "elsewhere/boot/pid"})
    for number in (1, 2, 3):
        trial.set_user_attr("heartbeat", number)
        assert study.give_up_dead() == []
    assert [lost.number for lost in study.give_up_dead()] == [0]
    assert study.trials()[0].user_attrs["lost"] == "no heartbeat of its worker on elsewhere"


def test_two_processes_give_up_a_trial_once():
    spec = make_spec()
    study, other = SweepStudy.open(spec), SweepStudy.open(spec)
    trial = study.study.ask()
    seen = [trial_of(study, trial), trial_of(other, trial)]
    study.give_up(seen[0], "dead")
    other.give_up(seen[1], "dead")
    assert study.counts() == TrialCounts(lost=1, waiting=1)


def test_a_trial_over_the_number_is_taken_back(monkeypatch):
    spec = make_spec(trials=1)
    study = SweepStudy.open(spec)
    study.study.ask()
    looks = iter([TrialCounts(), TrialCounts(complete=1)])  # the first is before that trial
    monkeypatch.setattr(study, "counts", lambda: next(looks))
    assert take_trial(study, make_spec(trials=1)) is None
    assert [classify(trial) for trial in study.trials()] == ["running", None]
    assert study.trials()[1].state == TrialState.FAIL


def test_this_process_lives_and_a_namesake_does_not():
    me = this_process()
    assert is_dead(me) is False
    assert is_dead({**me, "started": me["started"] - 100}) is True
    assert is_dead({**me, "host": "elsewhere"}) is None


def test_heartbeats_are_sent_until_their_block_ends():
    beats: list[int] = []
    with send_heartbeats(beats.append, seconds=0.01):
        while len(beats) < 3:
            pass
    after = len(beats)
    assert beats == list(range(1, after + 1))


def test_other_settings_are_refused_with_the_difference():
    spec = make_spec()
    study = SweepStudy.open(spec)
    check_settings(study, spec, {"sampler": "tpe", "x": "0.5"})
    check_settings(study, spec, {"sampler": "tpe", "x": "0.5"})
    with pytest.raises(ValueError, match="was started under other settings") as refusal:
        check_settings(study, spec, {"sampler": "random", "x": "0.5", "new": "1"})
    assert "(new: absent -> 1, sampler: tpe -> random); repeat" in str(refusal.value)
    assert "--study" in str(refusal.value)


def test_one_command_keeps_the_records():
    spec = make_spec()
    study = SweepStudy.open(spec)
    other = SweepStudy.open(spec)
    with ownership(study) as is_first, ownership(other) as is_second:
        assert (is_first, is_second) == (True, False)
    dead = {**this_process(), "pid": 2**22 + 1, "heartbeat": 4}
    study.study.set_user_attr("owner", dead)
    with ownership(study) as is_heir:
        assert is_heir


def test_two_objectives_give_a_front_and_prune_nothing():
    spec = make_spec(trials=4, objective="score+parameters")
    study = run_here(spec)
    assert [trial.values[1] for trial in study.trials()] == [10.0] * 4
    assert study.counts().pruned == 0
    best = max(study.trials(), key=lambda trial: trial.values[0])
    assert [trial.number for trial in study.study.best_trials] == [best.number]


def trial_of(study: SweepStudy, trial: optuna.Trial) -> FrozenTrial:
    """The trial as it is kept."""
    return study.trials()[trial.number]


def test_what_scores_on_test_knows_for_which_sweep(monkeypatch):
    seen = []
    monkeypatch.setattr(TinyExperiment, "test", lambda *given: seen.append(TESTED_FOR.get()) or {})
    contextvars.copy_context().run(_test, make_spec(), {"x": 0.5, "fusion": "late"}, True, "abc")
    assert seen == ["abc"]
    assert TESTED_FOR.get() is None
