"""The board from the command line: what corpora allow, what is measured, and that it goes on."""

import json

import pytest

from conversation_emotion.settings.benchmark import BenchmarkSettings
from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import measure
from experiments.benchmark.measure import choose_tasks, list_encoders
from experiments.benchmark.tasks import BoardTask, Encoders, list_tasks
from experiments.framework.commandline import parse
from experiments.ser import EXPERIMENT
from tests.command_line import usage_error
from tests.hums import write_emodb_hums


def test_tasks_are_what_the_utterances_allow(tmp_path):
    names = [task.name for task in list_tasks({"demo": None})]
    assert names == [
        "ser-demo",
        "shuffled-demo",
        "erc-demo",
        "epc-demo",
        "sentiment-demo",
        "dimensions-demo",
    ]
    write_emodb_hums(tmp_path, ("03", "08"), "WF", 1)
    acted = list(list_tasks({"emodb": tmp_path}))
    assert {task.name: task.modalities for task in acted} == {
        "ser-emodb": ("speech",),
        "shuffled-emodb": ("speech",),
    }


def test_every_task_gets_the_encoder_that_it_is_asked_of():
    tasks = {task.name: task for task in list_tasks({"demo": None})}
    joined = Encoders("mfcc", "bert")
    settings = tasks["epc-demo"].configure(joined)
    assert (settings.features.speech_encoder, settings.features.text_encoder) == joined
    assert settings.features.modality == "speech+text"
    assert settings.model.horizon == 1
    assert tasks["erc-demo"].configure(joined).model.horizon == 0
    assert tasks["ser-demo"].configure(Encoders(text="bert")).features.modality == "text"
    assert tasks["shuffled-demo"].configure(Encoders("mfcc")).data.split == "shuffled-k-fold"


def test_the_rows_are_the_encoders_and_their_pairs():
    settings = BenchmarkSettings(speech_encoder=("a", "b"), text_encoder=("c",), joined=True)
    assert [one.name for one in list_encoders(settings)] == ["a", "b", "c", "a & c", "b & c"]


def test_a_task_that_there_is_not_is_named_with_those_there_are():
    tasks = list(list_tasks({"demo": None}))
    with pytest.raises(ValueError, match=r"--tasks epc-x: there is no such task; .*epc-demo"):
        choose_tasks(tasks, ("epc-x",))
    assert "dimensions-demo" not in {task.name for task in choose_tasks(tasks, ())}
    assert [task.name for task in choose_tasks(tasks, ("dimensions",))] == ["dimensions-demo"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--roots", "emodb"], "--roots takes NAME=PATH"),
        (["--joined", "--text-encoder"], "--joined needs encoders of speech and of text"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert message in usage_error(BenchmarkSettings, flags, capsys)


def test_a_folder_of_others_that_is_not_there_is_named():
    settings = parse(BenchmarkSettings, ["--also", "nowhere"])
    with pytest.raises(FileNotFoundError, match="--also nowhere: no such folder"):
        benchmark.run(settings)


def test_a_board_is_measured_once_and_shown_again(workplace, capsys, monkeypatch):
    write_emodb_hums(workplace / "emodb", ("03", "08", "09", "10", "11"), "WFTN", 2)
    flags = ["--roots=emodb=emodb", "--speech-encoder", "fbank", "mfcc", "--text-encoder"]
    settings = parse(BenchmarkSettings, flags)
    benchmark.run(settings)
    printed = capsys.readouterr().out
    assert "Board of speech" in printed
    page = (settings.output / "board.html").read_text()
    assert "What speakers in train and test gain" in page
    kept = json.loads((settings.output / "tasks" / "ser-emodb" / "mfcc.json").read_text())
    assert kept["row"]["command"].startswith("python -m experiments.ser --corpus emodb")
    assert json.loads((settings.output / "encoders" / "mfcc.json").read_text())["seconds"] > 0

    def refuse(*given: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(EXPERIMENT, "run", refuse)
    benchmark.run(settings)
    assert capsys.readouterr().out == printed


def test_what_fails_is_named_and_the_rest_is_measured(workplace, capsys, monkeypatch):
    write_emodb_hums(workplace / "emodb", ("03", "08", "09", "10", "11"), "WFTN", 2)
    flags = ["--roots=emodb=emodb", "--speech-encoder", "mfcc", "nowhere/none", "--tasks=ser"]
    benchmark.run(parse(BenchmarkSettings, [*flags, "--text-encoder"]))
    printed = capsys.readouterr().out
    assert "not measured: ser-emodb with nowhere/none: " in printed
    assert "mfcc" in printed
    monkeypatch.setattr(measure, "list_encoders", lambda settings: [])
    empty = parse(BenchmarkSettings, [*flags, "--output", "empty"])
    with pytest.raises(ValueError, match="empty has no result"):
        benchmark.run(empty)


def test_a_new_version_of_a_task_is_measured_anew(tmp_path):
    task, encoders = next(list_tasks({"demo": None})), Encoders("fbank")
    file = measure._file(tmp_path, f"tasks/{task.name}", encoders.name)
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(ValueError, match="is no result of a board"):
        measure._is_known(tmp_path, task, encoders)
    assert isinstance(task, BoardTask)
    assert not measure._is_known(tmp_path, task, Encoders("mfcc"))
