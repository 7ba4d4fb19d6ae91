"""Every setting of every command is read by what it runs, or refused: none is ignored."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow import MlflowClient

from conversation_emotion.evaluation import decisions
from conversation_emotion.settings.corpus import find_corpus, list_corpora
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.fine_tuning import FinetuneSettings
from conversation_emotion.settings.fusion import FusionSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tasks.sentiment import prepare_sentiment
from conversation_emotion.tracker import Memory
from conversation_emotion.training.cross_validation import train_fold, validate
from experiments import choose, find_commands, fusion, sentiment, ser
from experiments.choose import ChooseSettings
from experiments.commandline import parse
from experiments.encoders import prepare_fine_tuning
from experiments.sweep import __main__ as sweep
from experiments.sweep.settings import SweepSettings
from experiments.tracking import runs, server
from experiments.tracking.finished import read_systems
from experiments.tracking.runs import tracking_uri
from tests.command_line import usage_error
from tests.emotion2vec_models import make_model
from tests.hums import write_emodb_hums, write_hum, write_ravdess_hums
from tests.saved_models import save_untrained
from tests.small_corpus import write_corpus
from tests.text_encoders.test_text_encoders import save_model as save_bert
from tests.tiny_experiment import TinyConfig

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "conversation_emotion" / "settings"

DESCRIBES = {"title", "notes", "protocol", "published", "inputs", "below", "__post_init__"}
"""Functions that show or check settings, which is no effect."""

DECIDES = {
    "modalities",
    "needs_frames",
    "num_rounds",
    "num_steps",
    "longest_seconds",
    "encoder",
    "auto_split",
    "resolve",
    "rows",
    "row",
    "features_of",
}
"""Functions of the settings themselves that decide what is run; others copy or check."""


def has_effect(frame: Any) -> bool:
    """Whether what reads a setting is part of the run."""
    place, names = Path(frame.f_code.co_filename), set(frame.f_code.co_qualname.split("."))
    if not place.is_relative_to(ROOT) or place.is_relative_to(ROOT / "tests") or names & DESCRIBES:
        return False
    if place.is_relative_to(SETTINGS):
        return bool(names & DECIDES)
    parts = place.relative_to(ROOT).parts
    return parts[:2] not in {("experiments", "tracking"), ("experiments", "commandline.py")}


def list_classes(settings: type) -> Iterator[type]:
    """Yields a settings class and all those of its fields."""
    yield settings
    for kind in get_type_hints(settings).values():
        for inner in (kind, *getattr(kind, "__args__", ())):
            if dataclasses.is_dataclass(inner):
                assert isinstance(inner, type)
                yield from list_classes(inner)


def list_settings(settings: object) -> set[str]:
    """Returns the names of all settings, without those of the groups that they are in."""
    names: set[str] = set()
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        names |= list_settings(value) if dataclasses.is_dataclass(value) else {field.name}
    return names


def list_all_classes() -> set[type]:
    """Returns the settings classes of the packages, which copies may be made of."""
    modules = [
        module
        for name, module in sys.modules.items()
        if name.startswith(("conversation_emotion.settings", "experiments", "speech_encoders"))
    ]
    found = [kind for module in modules for kind in vars(module).values()]
    return {
        kind
        for kind in found
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and "Settings" in kind.__name__
    }


@pytest.fixture
def read(monkeypatch) -> set[str]:
    """Collects the names of the settings that a run reads."""
    found: set[str] = set()

    def get(settings: object, name: str) -> Any:
        if not name.startswith("_") and has_effect(sys._getframe(1)):
            found.add(name)
        return object.__getattribute__(settings, name)

    for command in find_commands().values():
        import_module(command.module)
    for kind in list_all_classes():
        monkeypatch.setattr(kind, "__getattribute__", get)
    return found


QUICK = ["--epochs=1", "--resamples=20", "--max-folds=1"]
MANIFEST = ["--corpus=manifest", "--root=corpus"]
FBANK = ["--speech-encoder=fbank"]
TUNED = ["--max-folds=1", "--epochs=1", "--resamples=20", "--average-best=1"]
PRETRAIN = ["--root=hums", "--steps=1", "--workers=0", "--precision=fp32", "--min-seconds=0.1"]
CASES: dict[str, list[list[str]]] = {
    "choose": [],
    "corpora": [["check", *MANIFEST]],
    "cross-corpus": [["--roots", "emodb=emodb", "ravdess=ravdess", *FBANK, "--epochs=1"]],
    "dimensional": [
        [*MANIFEST, *QUICK, "--speech-encoder=mfcc", "--stride=8"],
        [
            *(*MANIFEST, *QUICK, "--speech-encoder=mini-cpc", "--stride=8", "--mini-steps=1"),
            *("--mini-clips=2", "--mini-crop-seconds=0.5"),
        ],
    ],
    "epc": [[*MANIFEST, *QUICK, "--hidden-size=8"]],
    "features": [["--root=hums", *FBANK]],
    "finetune": [
        ["--corpus=emodb", "--root=emodb", *TUNED, "--speech-encoder=encoder"],
        [*MANIFEST, *TUNED, "--modality=text", "--text-encoder=bert"],
    ],
    "fusion": [
        [
            *(*MANIFEST, *QUICK, "--rows=7,10,15", "--aggregator-size=8", "--hubert=fbank"),
            *("--wav2vec2=mfcc", "--emotion2vec=mfcc"),
        ],
        [*MANIFEST, *QUICK, "--rows=9", "--aggregator-size=8"],
    ],
    "languages": [["--roots", "emodb=emodb", *FBANK, *QUICK]],
    "layers": [["--corpus=emodb", "--root=emodb", *FBANK, *QUICK]],
    "multitask": [[*MANIFEST, *TUNED, "--alphas=0.1", "--speech-encoder=encoder", "--blocks=1"]],
    "predict": [["--model=saved", "--root=hums"]],
    "pretrain-cpc": [[*PRETRAIN, "--crop-seconds=0.5", "--batch-samples=24000"]],
    "pretrain-emotion2vec": [[*PRETRAIN, "--size=mini", "--num-clones=1"]],
    "sentiment": [
        [*MANIFEST, *QUICK, *FBANK],
        [*MANIFEST, *QUICK, *FBANK, "--modality=speech", "--history=1", "--hidden-size=8"],
        [
            "--corpus=manifest",
            "--root=corpus/numbers.csv",
            *QUICK,
            *FBANK,
            "--modality=speech",
            "--regression",
        ],
    ],
    "ser": [
        [*MANIFEST, *QUICK, *FBANK],
        [*MANIFEST, *QUICK, *FBANK, "--updates=2", "--evaluate-every=1"],
    ],
    "sweep": [],
    "sweep server": [["--storage=sqlite:///sweep.db"]],
    "ui": [[]],
    "visualise": [["--corpus=emodb", "--root=emodb", "--epochs=1", *FBANK]],
}
"""Flags of a run of each command, and of further ones that read what is of one variant alone."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """A folder with tiny corpora, encoders and a saved model, in which all commands are run."""
    folder = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        (folder / "corpus").mkdir()
        table = write_corpus(folder / "corpus", num_train=2)
        numbers = table.assign(sentiment=table["valence"] - 3).drop(columns="corpus")
        numbers.to_csv(folder / "corpus" / "numbers.csv", index=False)
        write_emodb_hums(folder / "emodb", ("03", "08", "09", "10", "11"), "WLEAFTN", 1)
        tones = {"01": 0, "03": 1, "04": 2, "05": 3}
        write_ravdess_hums(folder / "ravdess", (1, 2, 3, 4, 5), tones)
        for number in range(4):
            write_hum(folder / "hums" / f"{number}.wav", number, number)
        make_model(num_hidden_layers=2).save_pretrained(folder / "encoder")
        save_bert(folder / "bert")
        save_untrained(
            folder / "saved", UtteranceModelSettings(), FeatureSettings(modality="speech")
        )
        yield folder


def find_command(name: str) -> tuple[type, Callable[[Any], object]]:
    """Returns the settings of a command, and what it runs."""
    module = import_module(find_commands()[name].module)
    if hasattr(module, "EXPERIMENT"):
        return module.EXPERIMENT.settings, module.EXPERIMENT.run
    return next(iter(inspect.signature(module.run).parameters.values())).annotation, module.run


REFUSED = {
    "evaluate_every": (["--evaluate-every=5"], "--evaluate-every counts --updates"),
    "max_folds": (["--max-folds=1"], "--max-folds has no effect across corpora"),
}
"""Settings that a case does not read, the flags that set them, and the error of these; another case
reads them."""

SWEPT = {"probe_corpus", "probe_root", "probe_seeds"}
"""Settings of a pre-training that a sweep of it reads."""


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("choose", "sweep")])
def test_a_run_reads_every_setting(place, read, name, monkeypatch, capsys):
    monkeypatch.setattr(server, "serve", interrupt)
    monkeypatch.setattr(optuna.storages, "run_grpc_proxy_server", interrupt)
    kind, run = find_command(name)
    names: set[str] = set()
    for flags in CASES[name]:
        settings = parse(kind, flags)
        names |= list_settings(settings)
        run(settings)
    for setting in (names - read) & {*REFUSED}:
        flags, message = REFUSED[setting]
        assert message in usage_error(kind, [*CASES[name][0], *flags], capsys)
        names.remove(setting)
    assert sorted(names - read - SWEPT) == []


def interrupt(*given: object, **more: object) -> None:
    """Takes the place of a server."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["pretrain-cpc", "pretrain-emotion2vec"])
def test_a_sweep_of_pretrainings_reads_the_settings_of_its_probe(place, read, name):
    kind, _ = find_command(name)
    probe = ["--probe-corpus=emodb", "--probe-root=emodb", "--probe-seeds=1"]
    settings = parse(kind, [*CASES[name][0], *probe])
    import_module(find_commands()[name].module).EXPERIMENT.prepare(settings)
    assert read >= SWEPT


def test_a_choice_reads_every_setting(place, read):
    table = ser.EXPERIMENT.run(
        parse(SERSettings, [*MANIFEST, *QUICK, "--speech-encoder", "fbank", "mfcc"])
    )
    read.clear()
    settings = ChooseSettings(runs=tuple(row.run_id for row in table.rows if row.kind == "model"))
    choose.run(settings)
    assert list_settings(settings) <= read


def test_a_sweep_reads_every_setting(place, read, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    settings = SweepSettings(trials=1, top=0, storage="sweep.journal")
    sweep.run("tests.tiny_experiment", settings, TinyConfig(folds=1))
    assert sorted(list_settings(settings) - read) == []


def test_every_command_is_tried():
    assert {*CASES} == {*find_commands()}


@pytest.mark.parametrize("corpus", list_corpora())
def test_every_option_of_a_corpus_reaches_what_reads_it(corpus):
    source = find_corpus(corpus)
    taken = inspect.signature(source.load).parameters
    assert list_settings(source.options) <= {*taken}


REGRESSION = [*CASES["sentiment"][2][:2], *FBANK, "--modality=speech", "--regression"]


def train_sentiment(*flags: str) -> "pd.Series[float]":
    """Predicts numbers after two epochs of training."""
    settings = parse(SentimentSettings, [*REGRESSION, "--epochs=2", "--learning-rate=0.01", *flags])
    task = prepare_sentiment(settings, Memory())
    return train_fold(task, task.dataset.split.folds[0], seed=0).predictions["predicted_sentiment"]


def test_regression_of_sentiment_follows_how_it_is_to_be_trained(place):
    usual = train_sentiment()
    pd.testing.assert_series_equal(usual, train_sentiment())
    for flags in (
        ["--optimizer=rmsprop"],
        ["--schedule=cosine"],
        ["--average-best=0"],
        ["--updates=1", "--evaluate-every=1"],
        ["--batch-size=8"],
    ):
        assert not usual.equals(train_sentiment(*flags)), flags


def test_regression_of_sentiment_is_selected_by_the_metric_that_is_named(place):
    settings = parse(SentimentSettings, [*REGRESSION, "--epochs=2", "--select-by=mae"])
    task = prepare_sentiment(settings, Memory())
    assert task.rank({"mae": 2.0, "ccc": 0.5, "pearson": 0.9}) == -2.0
    (found,) = validate(task)
    assert found.metric == "mae"
    assert found.score == pytest.approx(-min(found.curves["valid/mae"]), rel=0.2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class-weights=balanced"], "--class-weights has no effect with --regression"),
        (["--labels=all"], "--labels has no effect with --regression"),
    ],
)
def test_regression_of_sentiment_refuses_what_classes_alone_have(place, flags, message, capsys):
    assert message in usage_error(SentimentSettings, [*REGRESSION, *flags], capsys)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("sentiment", [*REGRESSION, "--select-by=wa"], "wa: this task has ccc, pearson, mae"),
        ("ser", [*MANIFEST, *FBANK, "--select-by=ccc"], "ccc: this task has uar, wa, macro_f1"),
    ],
)
def test_a_metric_of_another_task_is_refused_before_any_run(
    place, name, flags, message, monkeypatch
):
    monkeypatch.setattr(runs, "open_runs", interrupt)
    kind, run = find_command(name)
    with pytest.raises(ValueError, match=f"--select-by {message}"):
        run(parse(kind, flags))


def probe_frozen(*flags: str) -> pd.DataFrame:
    """Predicts by the probe of the frozen encoder that fine-tuning is compared with."""
    task = prepare_frozen(*flags)
    return train_fold(task, task.dataset.split.folds[0], seed=0).predictions


def prepare_frozen(*flags: str) -> UtteranceEmotion:
    usual = [*MANIFEST, "--speech-encoder=encoder", "--blocks=1"]
    return prepare_fine_tuning(parse(FinetuneSettings, [*usual, *flags]), Memory()).frozen


def test_the_frozen_row_of_fine_tuning_follows_class_weights_and_metric(place):
    weighted, alike = probe_frozen(), probe_frozen("--class-weights=none")
    columns = [name for name in weighted if str(name).startswith("p_")]
    assert not np.allclose(weighted[columns], alike[columns], atol=1e-3)
    assert prepare_frozen().select_by == "wa"
    assert prepare_frozen("--select-by=macro_f1").select_by == "macro_f1"


def test_one_metric_selects_in_sweeps_registry_and_choices(place, monkeypatch):
    flags = [*MANIFEST, *QUICK, *FBANK, "--select-by=wa"]
    experiment = ser.EXPERIMENT
    (found,) = experiment.validate(parse(SERSettings, flags), Memory())
    assert (found.metric, found.score) == ("wa", max(found.curves["valid/wa"]))
    run = experiment.run(parse(SERSettings, [*flags, "--register=selected"])).rows[0].run_id
    tags = MlflowClient(tracking_uri()).get_model_version("selected", "1").tags
    assert {name for name in tags if name.startswith(("valid_", "test_"))} >= {"valid_wa"}
    assert "valid_uar" not in tags
    other = experiment.run(parse(SERSettings, flags)).rows[0].run_id
    systems = read_systems((run, other))
    assert choose.choose_metric(ChooseSettings(runs=(run, other)), systems) == "wa"


def test_a_choice_follows_the_metric_that_selected_where_a_task_has_its_own(place):
    flags = [*MANIFEST, *QUICK, *FBANK, "--modality=speech"]
    found = [
        sentiment.EXPERIMENT.run(parse(SentimentSettings, [*flags, size])).rows[0].run_id
        for size in ("--hidden-size=8", "--hidden-size=16")
    ]
    assert {*read_systems(found).metrics.values()} == {"wa"}


def test_fused_decisions_are_weighed_by_the_metric_that_selects(place, monkeypatch):
    asked = []

    def pool(*given: Any, metric: str) -> object:
        asked.append(metric)
        return real(*given, metric=metric)

    real = decisions.pool_decisions
    monkeypatch.setattr(decisions, "pool_decisions", pool)
    flags = [*MANIFEST, *QUICK, "--rows=19", "--aggregator-size=8", "--select-by=macro_f1"]
    fusion.EXPERIMENT.run(parse(FusionSettings, flags))
    assert asked == ["macro_f1"]
