"""One command line for all commands: its list, its errors, and what each setting refuses."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from command_line import usage_error

from conversation_emotion.corpora.iemocap import IemocapOptions
from conversation_emotion.settings.corpus import CorpusSettings, SplitName, parse_places
from conversation_emotion.settings.probes import CrossCorpusSettings, VisualiseSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.splits.protocols import SPLITS
from experiments.__main__ import find_commands, main
from experiments.framework.commandline import check_inputs, command_of, launch, parse
from experiments.pretrain_cpc import PretrainCpcSettings

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "pandas", "mlflow", "transformers", "optuna", "matplotlib"}
NOTE = r"note: \S+/mine/experiments hides this project from `python -m experiments.COMMAND` .*"


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the console script on arguments; what it prints, and how it ends if it does."""

    def run(*argv: str) -> tuple[str, str, object]:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/conversation-emotion", *argv])
        code = None
        try:
            main()
        except SystemExit as error:
            code = error.code
        shown = capsys.readouterr()
        return re.sub(r"[\s│]+", " ", shown.out), shown.err, code

    return run


def run_python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)


def test_every_module_that_can_be_run_is_a_command():
    commands = find_commands()
    assert {"epc", "ser", "pretrain-emotion2vec", "sweep", "sweep server", "ui"} <= set(commands)
    assert commands["sweep"].module == "experiments.sweep.__main__"
    assert commands["sweep server"].module == "experiments.sweep.server"
    assert commands["export"].module == "experiments.models.export"
    assert not {"commandline", "", "__main__"} & set(commands)


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_all_commands_are_listed_with_the_first_sentence_of_their_module(call, argv):
    shown, _, code = call(*argv)
    assert code is None
    assert "usage: conversation-emotion COMMAND" in shown
    for name, (_, purpose) in find_commands().items():
        assert f" {name} {purpose}" in shown


def test_the_list_imports_no_command():
    answer = run_python("-X", "importtime", "-m", "experiments", cwd=ROOT)
    assert "usage: python -m experiments COMMAND" in answer.stdout
    assert not set(re.findall(r"\|\s+(\w+)$", answer.stderr, re.MULTILINE)) & {*HEAVY, "tyro"}


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["epc", "--help"], "usage: conversation-emotion epc [-h] [OPTIONS]"),
        (["cross_corpus", "--help"], "usage: conversation-emotion cross-corpus [-h] [OPTIONS]"),
        (["sweep", "--help"], "usage: conversation-emotion sweep EXPERIMENT [-h] [OPTIONS]"),
        (["sweep", "server", "--help"], "usage: conversation-emotion sweep server [-h]"),
    ],
)
def test_a_command_is_named_in_its_help_as_it_was_called(call, argv, shown):
    answer, _, code = call(*argv)
    assert shown in answer
    assert code == 0


def test_an_unknown_command_is_answered_with_the_closest(call):
    _, _, code = call("epcc")
    assert str(code).startswith("usage error: no command 'epcc'; did you mean 'epc'?")
    assert "did you mean" not in str(call("xyz")[2])


def test_the_version_is_that_of_the_package(call):
    assert re.fullmatch(r"conversation-emotion \d+\.\d+\.\d+ ", call("--version")[0])


def test_a_folder_of_the_user_that_hides_the_project_is_explained(tmp_path):
    for name in ("experiments", "conversation_emotion"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "__init__.py").write_text("raise SystemExit('not ours')")
    script = tmp_path / "conversation-emotion"
    script.write_text("from experiments.__main__ import main\nmain()\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = run_python(str(script), "corpora", "--help", cwd=tmp_path / "mine", env=env)
    assert answer.returncode == 0
    assert "usage: conversation-emotion corpora" in answer.stdout
    assert re.fullmatch(NOTE, answer.stderr.strip())
    (tmp_path / "mine" / "experiments").rename(tmp_path / "elsewhere")
    answer = run_python("-m", "experiments", "corpora", "--help", cwd=tmp_path / "mine", env=env)
    assert "usage: python -m experiments corpora" in answer.stdout
    quiet = run_python(str(script), cwd=ROOT, env=env)
    assert (quiet.returncode, quiet.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "flags", "message"),
    [
        (SERSettings, ["--horizon=2"], "--horizon belongs to `benchmark epc` and `epc`"),
        (EPCSettings, ["--study", "x"], "--study belongs to `sweep`"),
        (EPCSettings, ["--test_lists", "x"], "--test-lists belongs to `cross-corpus`"),
        (EPCSettings, ["--scenario", "scripted"], "--scenario belongs to `--corpus iemocap`"),
    ],
)
def test_a_flag_of_another_command_or_corpus_is_named(settings, flags, message, capsys):
    assert message in usage_error(settings, flags, capsys)


def test_a_flag_of_no_command_belongs_to_none(capsys):
    assert "belongs" not in usage_error(EPCSettings, ["--colour", "red"], capsys)


def test_options_of_a_corpus_come_with_it(tmp_path, capsys):
    for corpus, is_there in (("iemocap", True), ("emodb", False)):
        with pytest.raises(SystemExit):
            parse(EPCSettings, [f"--corpus={corpus}", "--help"])
        assert ("--scenario {all,improvised,scripted}" in capsys.readouterr().out) == is_there
    flags = ["--corpus", "iemocap", "--root", str(tmp_path), "--scenario", "scripted"]
    settings = parse(EPCSettings, flags)
    assert settings.data.options == IemocapOptions(scenario="scripted")
    assert command_of("epc", settings) == " ".join(["python -m experiments.epc", *flags])
    assert parse(EPCSettings, flags[:4]).data.options == IemocapOptions()


@pytest.mark.parametrize(
    ("settings", "flags", "message"),
    [
        (EPCSettings, ["--corpus=emodb", "--root=no"], "--root no: .*; expected the EmoDB folder"),
        (
            EPCSettings,
            ["--num-folds=3"],
            "--num-folds is for --split speaker-k-fold or shuffled-k-fold",
        ),
        (EPCSettings, ["--emobox-folds=."], "--emobox-folds is for --split emobox, not leave-one"),
        (
            EPCSettings,
            ["--split=superb", "--superb-folds=no"],
            "--superb-folds no: .*; expected s3prl's folder downstream/emotion/meta_data",
        ),
        (SERSettings, ["--protocol=emobox", "--emobox-folds=no"], "--emobox-folds no: no such"),
        (SERSettings, ["--protocol=emobox", "--num-folds=3"], "--num-folds is .*, not emobox"),
        (
            PretrainCpcSettings,
            ["--root", "demo=", "tess=no"],
            "--root no: .*; expected the TESS fold",
        ),
        (PretrainCpcSettings, ["--root", "no"], "--root no: .*; expected a folder of recordings"),
        (
            CrossCorpusSettings,
            ["--roots", "tess=.", "emodb=.", "--test-lists", "tess=no"],
            "--test-lists no: .*; expected a list of EmoBox",
        ),
    ],
)
def test_what_cannot_have_an_effect_is_refused_before_anything_runs(
    settings, flags, message, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["command", *flags])
    with pytest.raises(SystemExit, match="2"):
        launch(pytest.fail, settings, "epc")
    assert re.match(f"usage error: {message}", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        (SERSettings, ["--protocol=speaker-k-fold", "--num-folds=3"]),
        (EPCSettings, ["--split=speaker-k-fold", "--num-folds=3"]),
        (EPCSettings, ["--corpus=tess", "--root=.", "--split=emobox", "--emobox-folds=."]),
        (EPCSettings, ["--corpus=cafe", "--root=.", "--num-folds=3"]),
        (VisualiseSettings, ["--corpus=emodb", "--root=.", "--num-folds=3"]),
    ],
)
def test_options_of_a_split_are_taken_with_it(settings, flags):
    check_inputs(parse(settings, flags))


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        (
            "official",
            {"num_folds": 3},
            "--num-folds is for --split speaker-k-fold or shuffled-k-fold, not official",
        ),
        ("superb", {"superb_folds": ROOT, "emobox_folds": ROOT}, "--emobox-folds .*, not superb"),
        ("emobox", {"superb_folds": ROOT}, "--superb-folds is for --split superb, not emobox"),
    ],
)
def test_options_of_another_split_are_refused_in_python_too(split, options, message):
    with pytest.raises(ValueError, match=message):
        CorpusSettings(split=split, **options)


def test_a_missing_root_is_refused_without_torch_or_pandas():
    flags = ["-X", "importtime", "-m", "experiments.epc", "--corpus", "meld", "--root", "nowhere"]
    answer = run_python(*flags, cwd=ROOT)
    assert answer.returncode == 2
    assert "--root nowhere: no such file or folder; expected the MELD.Raw folder" in answer.stderr
    assert not set(re.findall(r"\|\s+(\w+)$", answer.stderr, re.MULTILINE)) & {*HEAVY, "numpy"}


def test_every_name_of_a_split_is_one_that_can_be_made():
    assert tuple(SPLITS) == get_args(SplitName)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["emodb"], "--roots takes NAME=PATH, got 'emodb'"),
        (["emo=x"], "--roots: no corpus 'emo' here; choose from aesdd"),
        (["tess=x", "tess=y"], "--roots names tess more than once"),
    ],
)
def test_pairs_that_are_none_are_errors(places, message):
    with pytest.raises(ValueError, match=message):
        parse_places("--roots", places)
