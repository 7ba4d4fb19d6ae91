"""The benchmark of prediction from the command line to its three tables."""

import re
from collections.abc import Iterator

import pytest

from conversation_emotion.datasets.perturbations import REMOVALS
from conversation_emotion.evaluation.results import ResultsTable
from conversation_emotion.evaluation.systems import SYSTEMS
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.epc_benchmark import EPCBenchmarkSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments.benchmark.epc import EXPERIMENT
from experiments.framework import commandline
from tests.command_line import usage_error
from tests.small_corpus import write_corpus
from tests.tracked import FinishedRun, run_once


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[FinishedRun]:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, num_train=3)
    settings = EPCBenchmarkSettings(
        data=CorpusSettings(corpus="manifest", root=folder),
        features=FeatureSettings(modality="speech"),
        model=ConversationModelSettings(hidden_size=8),
        training=TrainingSettings(epochs=1, by=("gender",), certainty=True),
        horizons=(2,),
        retrain=("gold",),
    )
    yield from run_once(tmp_path_factory, EXPERIMENT, settings)


@pytest.fixture(scope="module")
def tables(finished, tmp_path_factory) -> dict[str, ResultsTable]:
    client, parents, _ = finished.tracked
    folder = str(tmp_path_factory.mktemp("tables"))
    found = {}
    for name in ("results", "shifts", "kinds", "groups", "certainty"):
        path = client.download_artifacts(parents[0].info.run_id, f"{name}.json", folder)
        with open(path, encoding="utf-8") as file:
            found[name] = ResultsTable.from_json(file.read())
    return found


def test_every_system_has_a_row_of_its_kind(tables):
    for system, (title, kind) in SYSTEMS.items():
        is_there = system not in (*REMOVALS, "at_test_text")
        name = f"+2: {title.partition('{')[0]}"
        rows = [row for row in tables["results"].rows if row.name.startswith(name)]
        assert len(rows) == is_there, title
        assert all(row.kind == kind and row.metrics["uar"].n == row.n > 0 for row in rows)


def test_another_future_changes_none_of_the_predictions(tables):
    found = [row for row in tables["results"].rows if "another future" in row.name]
    for row in found:
        assert re.search(rf"0 of {row.n:,} predictions change", row.name)
        assert row.metrics["difference"].score == 0.0
    assert len(found) == 1
    assert f", n: +2 {found[0].n:,}" in tables["results"].notes[0]


def test_shifts_and_kinds_are_tables_of_their_own(tables, finished):
    assert tables["shifts"].columns[0] == "shift_auc"
    assert not [row for row in tables["shifts"].rows if " at test " in row.name]
    assert all("shift_auc_own_predicted" in row.metrics for row in tables["shifts"].rows)
    kinds = tables["kinds"].rows
    by_turn = sum(row.n for row in kinds if row.name.startswith("+2: turn"))
    assert by_turn == tables["results"].rows[0].n
    assert not any(row.per_class for row in kinds)  # which would be those of all targets
    assert "Shifts of emotion" in finished.printed
    assert "Kinds of targets" in finished.printed


def test_groups_of_targets_are_a_table_with_those_of_every_training(tables, finished):
    rows = tables["groups"].rows
    names = [row.name.partition(" (n = ")[0] for row in rows]
    both = ["gender female", "gender male"]
    assert names == [f"+2: {what}, {one}" for what in ("the model", "gold") for one in both]
    assert sum(row.metrics["pooled_uar"].n for row in rows) == 2 * tables["results"].rows[0].n
    why = "gender, not tested: female, male (fewer than 20 targets)"
    assert {f"+2: {what}, {why}" for what in ("the model", "gold")} < set(tables["groups"].notes)
    assert "Groups of targets" in finished.printed


def test_what_probabilities_are_worth_is_a_table_with_a_figure(tables, finished):
    names = [row.name for row in tables["certainty"].rows if row.name.startswith("+2: gold")]
    calibrated = [f"calibrated by {one}" for one in ("valid", "other speakers")]
    sets = [f"{one}, sets by {whose}" for one in calibrated for whose in ("speaker", "class")]
    assert names == [f"+2: gold, {name}" for name in ("as predicted", *sets)]
    rows = dict(zip(names, tables["certainty"].rows[len(names) :], strict=True))
    assert "coverage" not in rows["+2: gold, as predicted"].metrics
    assert rows[names[-1]].values["coverage_worst"] <= 1
    client, parents, _ = finished.tracked
    for parent in parents:
        files = {file.path for file in client.list_artifacts(parent.info.run_id)}
        assert {"risk_coverage.png", "certainty.parquet"} <= files
        assert 0 <= parent.data.metrics["test/aurc"] <= 1


def test_runs_are_named_by_what_their_training_is_without(finished):
    names = [parent.info.run_name for parent in finished.tracked.parents]
    end = "hierarchical-early-2"
    assert sorted(names) == [f"manifest-speech-fbank-{end}{rest}" for rest in ("", "-gold")]


def test_the_command_of_all_rows_is_the_one_that_was_given(tables):
    (command,) = {row.command for row in tables["results"].rows if row.command}
    assert command.startswith("python -m experiments.benchmark.epc --corpus manifest")
    assert "--horizons 2 --retrain gold" in command


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--horizons", "0"], "--horizons must be 1 or more turns ahead, got 0"),
        (["--horizons", "1", "1"], "--horizons names 1 more than once"),
        (["--horizon", "2"], "--horizon is for one horizon: this command takes --horizons"),
        (["--history-labels", "gold"], "this command has --retrain gold"),
        (["--retrain", "gold", "gold"], "--retrain names gold more than once"),
        (
            ["--modality", "text", "--retrain", "speech"],
            "--retrain speech: --modality text has context, order, speakers, text",
        ),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert message in usage_error(EPCBenchmarkSettings, flags, capsys)


def test_all_that_a_modality_has_is_trained_unless_less_is_asked_for():
    speech = commandline.parse(EPCBenchmarkSettings, ["--modality", "speech", "--horizons", "2"])
    assert [*EXPERIMENT.rows(speech)] == [
        f"+2: {name}" for name in ("the model", "gold", "context", "order", "speakers", "speech")
    ]
    alone = commandline.parse(EPCBenchmarkSettings, ["--horizons", "3", "1", "--retrain"])
    assert [*EXPERIMENT.rows(alone)] == ["+3: the model", "+1: the model"]
    (row, _) = EXPERIMENT.rows(alone).values()
    assert row.model_of_row().horizon == 3
