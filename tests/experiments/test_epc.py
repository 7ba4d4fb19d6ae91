"""The main job from the command line to the table."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import optuna
import pandas as pd
import pytest

from conversation_emotion.datasets.inputs import choose_batch_size
from conversation_emotion.features import key
from conversation_emotion.models import fusion, perception
from conversation_emotion.models.dialogue import DIALOGUE_MODELS
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.recognition import EPCSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.protocols import SPLITS
from conversation_emotion.training import cross_validation
from experiments.epc import EXPERIMENT
from experiments.framework import commandline
from tests.command_line import choices, usage_error
from tests.tracked import FinishedRun, find_runs, run_once, write_empty_store


def test_flags_reach_the_config():
    config = commandline.parse(
        EPCSettings,
        ["--modality", "speech+text", "--learning-rate", "3e-4", "--text-layers", "2", "--strict"],
    )
    assert config == EPCSettings(
        data=CorpusSettings(strict=True),
        features=FeatureSettings(modality="speech+text", text_layers=2),
        training=TrainingSettings(learning_rate=3e-4),
    )


def test_help_shows_every_flag_with_its_explanation(capsys):
    with pytest.raises(SystemExit):
        commandline.parse(EPCSettings, ["--help"], name="epc")
    shown = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    groups = get_type_hints(EPCSettings)
    for settings in (EPCSettings, *(group for group in groups.values() if is_dataclass(group))):
        for name in get_type_hints(settings):
            if name not in (*groups, "options") or name == "register":
                assert f"--{name.replace('_', '-')}" in shown
    assert "How many turns ahead to predict; 0 recognises the turn that just ended." in shown
    assert "Emotion prediction in conversation: which emotion will the next turn carry?" in shown


@pytest.mark.parametrize("name", ["epc", "ser"])
def test_help_answers_within_a_second(name):
    command = [sys.executable, "-X", "importtime", "-m", f"experiments.{name}", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"\|\s+(\w+)$", answer.stderr, re.MULTILINE))
    assert "tyro" in loaded
    assert not loaded & {"torch", "pandas", "mlflow", "transformers", "optuna", "matplotlib"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--horizon=-1"], "--horizon must be 0 or more, got -1"),
        (["--horizon=0", "--overlap=keep"], "--overlap needs --horizon of 1 or more"),
        (["--history", "0"], "--history must be 1 or more, got 0"),
        (["--dropout", "1"], r"--dropout must lie in \[0, 1\), got 1.0"),
        (["--recognition-weight=-1"], "--recognition-weight must be 0 or more, got -1.0"),
        (["--learning-rate", "2"], r"--learning-rate must lie in \(0, 1\), got 2.0"),
        (["--weight-decay", "2"], r"--weight-decay must lie in \[0, 1\), got 2.0"),
        (["--seeds", "0"], "--seeds must be 1 or more, got 0"),
        (["--num-folds", "1"], "--num-folds must be 2 or more, got 1"),
        (["--corpus", "meld"], "--corpus meld needs --root"),
        (["--split", "superb"], "--split superb needs --superb-folds"),
        (["--scenario", "scripted"], "--scenario belongs to `--corpus iemocap`"),
        (["--text-components", "0"], "--text-components must be 1 or more, got 0"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(EPCSettings, flags, capsys))


def test_the_choices_on_the_command_line_are_those_that_exist():
    assert choices(CorpusSettings, "split") == {"auto", *SPLITS}
    assert choices(ConversationModelSettings, "dialogue_model") == set(DIALOGUE_MODELS)
    assert choices(ConversationModelSettings, "fusion") == set(get_args(fusion.Fusion))
    assert choices(FeatureSettings, "layer_mixture") == set(perception.LAYER_MIXTURES)
    assert choices(FeatureSettings, "aggregator") == set(perception.AGGREGATORS)
    assert choices(FeatureSettings, "speech_pooling") == set(get_args(key.Pooling))


def test_search_leaves_the_rest_of_the_config_alone():
    model = {
        "dialogue_model": "single",
        "fusion": "gated",
        "hidden_size": 64,
        "dropout": 0.25,
        "input_dropout": 0.5,
        "recognition_weight": 0.75,
        "emotion_weight": 0.1,
    }
    inputs = {"speech_pooling": "mean", "text_layers": "last-4"}
    training = {"learning_rate": 1e-3, "weight_decay": 1e-3, "optimizer": "adam"}
    trial = optuna.trial.FixedTrial({**model, **inputs, **training})
    given = EPCSettings(model=ConversationModelSettings(history=4))
    assert EXPERIMENT.search_space(trial, given) == EPCSettings(
        features=FeatureSettings(**inputs),  # type: ignore[arg-type]
        model=ConversationModelSettings(history=4, **model),  # type: ignore[arg-type]
        training=TrainingSettings(**training),  # type: ignore[arg-type]
    )


TEXT = FeatureSettings(modality="text")


def quick(max_folds: int | None = None, **more) -> EPCSettings:
    """Settings of a run of seconds; ``more`` are those of the model, or whole groups."""
    groups = {name: more.pop(name) for name in ("data", "features") if name in more}
    return EPCSettings(
        model=ConversationModelSettings(**{"hidden_size": 16, **more}),
        training=TrainingSettings(epochs=2, max_folds=max_folds),
        **groups,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[FinishedRun]:
    """A whole run on the demo corpus."""
    yield from run_once(tmp_path_factory, EXPERIMENT, quick())


def test_the_demo_runs_from_nothing_to_a_tracked_table(demo):
    for expected in (
        "hierarchical GRU, early fusion",
        "same emotion as the last turn",
        "majority",
        "ceiling",
        "protocol leave-one-session-out",
        "5 folds x 1 seed",
    ):
        assert expected in demo.printed
    client, [parent], children = demo.tracked
    assert parent.info.status == "FINISHED"
    assert sorted(str(child.info.run_name) for child in children) == [
        f"Ses0{number}-seed0" for number in range(1, 6)
    ]
    for part in ("test", "valid", "baseline_majority", "baseline_last_emotion"):
        for metric in ("uar", "macro_f1", "wa", "weighted_f1"):
            score, low, high = (
                parent.data.metrics[f"{part}/{metric}{suffix}"]
                for suffix in ("", "_ci_low", "_ci_high")
            )
            assert 0 <= low <= high <= 1
            assert 0 <= score <= 1
    assert parent.data.metrics["baseline_majority/uar"] == pytest.approx(0.25)
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files >= {"confusions.png", "predictions.parquet", "label_map.json", "table.txt"}


def test_predictions_are_complete_and_their_score_is_the_one_reported(demo, tmp_path):
    client, [parent], _ = demo.tracked
    path = client.download_artifacts(parent.info.run_id, "predictions.parquet", str(tmp_path))
    test = pd.read_parquet(path).query("part == 'test'")
    assert not test["utterance_id"].duplicated().any()
    assert len(test) == parent.data.metrics["test/num_targets"]
    correct = (test["predicted"] == test["target"]).groupby(test["fold"]).mean()
    assert parent.data.metrics["test/wa"] == pytest.approx(correct.mean())
    probabilities = test.filter(like="p_").to_numpy()
    assert (probabilities.argmax(axis=1) == test["predicted"]).all()


@pytest.mark.faults
def test_an_interrupted_command_is_killed_and_the_same_command_resumes(
    workplace, capsys, monkeypatch
):
    settings, real, trained = quick(features=TEXT), cross_validation.train_fold, []

    def train_two(*args, **kwargs):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(cross_validation, "train_fold", train_two)
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(settings)
    assert find_runs("epc")[1][0].info.status == "KILLED"
    monkeypatch.setattr(
        cross_validation,
        "train_fold",
        lambda *args, **kwargs: trained.append(1) or real(*args, **kwargs),
    )
    EXPERIMENT.run(settings)
    assert "resuming run" in capsys.readouterr().out
    assert len(trained) == 5
    _, [parent], children = find_runs("epc")
    assert parent.info.status == "FINISHED"
    statuses = sorted(child.info.status for child in children)
    assert statuses == ["FINISHED"] * 5 + ["KILLED"]


@pytest.mark.parametrize(
    "more",
    [
        {"horizon": 0, "dialogue_model": "single"},
        {"horizon": 2, "dialogue_model": "two-role", "fusion": "late"},
        {"history_labels": "gold", "history": 2, "learn_from": "targets"},
    ],
)
def test_every_task_and_variant_runs_to_its_table(workplace, capsys, more):
    EXPERIMENT.run(quick(max_folds=1, **more))
    printed = capsys.readouterr().out
    assert "majority" in printed
    assert ("given the gold emotions of the past" in printed) == ("history_labels" in more)
    assert ("ceiling" in printed) == (more.get("horizon", 1) == 1)


@pytest.fixture
def manifest(workplace) -> CorpusSettings:
    """Dialogues of two texts, listed in a file."""
    rows = [
        {
            "start": order,
            "end": order + (1.5 if dialogue < 3 and order == 1 else 0.9),
            "utterance_id": f"{dialogue}-{order}",
            "dialogue_id": f"d{dialogue}",
            "speaker": f"p{dialogue % 6}{order % 2}",
            "text": ["so glad", "leave me alone"][(dialogue + order) % 2],
            "emotion": ["glad", "cross"][(dialogue + order) % 2],
        }
        for dialogue in range(24)
        for order in range(4)
    ]
    root = workplace / "mine.csv"
    pd.DataFrame(rows).to_csv(root, index=False)
    return CorpusSettings(corpus="manifest", root=root, labels="all", num_folds=3)


def test_a_manifest_of_ones_own_runs_without_code(manifest):
    table = EXPERIMENT.run(quick(data=manifest, features=TEXT))
    assert table.notes[1].startswith("protocol speaker-k-fold")
    assert table.notes[2].startswith("classes: cross, glad")
    # Three of the 24 dialogues have an utterance that ends half a second into the next turn.
    assert table.notes[3] == (
        "3 of 72 windows hold an utterance that ends after the target turn began; its speech, text "
        "and emotion are left out"
    )


def test_a_wrong_root_says_what_was_looked_for_and_where(workplace):
    data = CorpusSettings(corpus="meld", root=workplace)
    with pytest.raises(FileNotFoundError, match=f"train_sent_emo.csv.*{workplace}"):
        EXPERIMENT.run(quick(data=data))


def test_what_the_user_can_mend_ends_with_a_message(workplace, monkeypatch, capsys):
    flags = ["epc", "--corpus", "meld", "--root", str(workplace)]
    monkeypatch.setattr("sys.argv", flags)
    with pytest.raises(
        SystemExit, match=r"error: .*train_sent_emo.* \(CONVERSATION_EMOTION_DEBUG=1"
    ):
        EXPERIMENT.main()
    monkeypatch.setenv("CONVERSATION_EMOTION_DEBUG", "1")
    with pytest.raises(FileNotFoundError, match="train_sent_emo"):
        EXPERIMENT.main()


def test_an_interrupt_ends_with_its_own_status(monkeypatch, capsys):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["epc"])
    with pytest.raises(SystemExit, match="130"):
        commandline.launch(interrupt, EPCSettings, "epc")
    assert "the same command takes it up" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_from_any_folder_and_writes_there(workplace, manifest):
    settings = quick(data=manifest, features=TEXT)
    EXPERIMENT.prepare(settings)  # with its features stored, no encoder is loaded
    write_empty_store(workplace / "mlruns" / "mlflow.db")
    began = time.time()
    command = shlex.split(commandline.command_of("epc", settings))[1:]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)
    encoders = {"transformers", "sentence_transformers", "peft", "torchaudio"}
    assert not {*loaded} & {*encoders, "torch._dynamo", "sklearn", "scipy.optimize"}
    assert (workplace / "mlruns" / "mlflow.db").stat().st_mtime >= began - 1
    assert (workplace / "mlruns" / "artifacts" / "epc").is_dir()


@pytest.mark.parametrize(("num_windows", "expected"), [(10, 64), (5_000, 156), (99_999, 256)])
def test_batches_grow_with_the_training_set(num_windows, expected):
    assert choose_batch_size(num_windows) == expected


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_large_tensors_lie_on_huge_pages_unless_forbidden(monkeypatch, given, expected):
    monkeypatch.setenv(commandline.HUGE_PAGES, given or "")
    if given is None:
        monkeypatch.delenv(commandline.HUGE_PAGES)
    seen = []
    commandline.run_or_explain(lambda: seen.append(os.environ[commandline.HUGE_PAGES]))
    assert seen == [expected]
