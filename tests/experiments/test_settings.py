"""Every setting of every command is read by what it runs, or refused: none is ignored."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import optuna
import pytest

from conversation_emotion.corpora.demo import DATA
from conversation_emotion.figures import representation
from conversation_emotion.inference import onnx_export
from conversation_emotion.settings.corpus import find_corpus, list_corpora
from conversation_emotion.settings.recognition import SERSettings
from experiments import choose, find_commands, report, ser
from experiments.choose import ChooseSettings
from experiments.framework.commandline import parse
from experiments.report import ReportSettings
from experiments.sweep import __main__ as sweep
from experiments.sweep.settings import SweepSettings
from experiments.tracking import server
from experiments.tracking.store import open_client
from tests.command_line import usage_error
from tests.commands import (
    FBANK,
    MANIFEST,
    PRETRAIN,
    QUICK,
    TUNED,
    all_commands_in,
    find_command,
    interrupt,
)
from tests.tiny_experiment import TinyConfig

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "conversation_emotion" / "settings"

DESCRIBES = {"title", "notes", "protocol", "published", "inputs", "below"}
"""Functions that show or check settings, which is no effect."""

DECIDES = {
    "modalities",
    "modality_losses",
    "needs_frames",
    "num_rounds",
    "num_steps",
    "longest_seconds",
    "encoder",
    "auto_split",
    "resolve",
    "places",
    "rows",
    "row",
    "features_of",
}
"""Functions of the settings themselves that decide what is run; others copy or check."""


@cache
def has_effect(file: str, function: str) -> bool:
    """Whether the function that reads a setting is part of the run."""
    place, names = Path(file), set(function.split("."))
    if not place.is_relative_to(ROOT) or place.is_relative_to(ROOT / "tests") or names & DESCRIBES:
        return False
    if "__post_init__" in names and "Settings" in function:
        return False
    if place.is_relative_to(SETTINGS):
        return bool(names & DECIDES)
    parts = place.relative_to(ROOT).parts
    return "tracking" not in parts and parts[-1] != "commandline.py"


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
        if not name.startswith("_"):
            reader = sys._getframe(1).f_code
            if has_effect(reader.co_filename, reader.co_qualname):
                found.add(name)
        return object.__getattribute__(settings, name)

    for command in find_commands().values():
        import_module(command.module)
    for kind in list_all_classes():
        monkeypatch.setattr(kind, "__getattribute__", get)
    return found


CASES: dict[str, list[list[str]]] = {
    "benchmark": [
        ["--roots=emodb=emodb", "--speech-encoder=mfcc", "--text-encoder", "--tasks=ser"],
    ],
    "benchmark epc": [
        [*MANIFEST, *QUICK, "--hidden-size=8", "--horizons=1", "--retrain"],
    ],
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
    "epc": [
        [*MANIFEST, *QUICK, "--hidden-size=8", "--targets=annotators", "--select-by=jsd"],
        [
            *MANIFEST,
            *QUICK,
            *FBANK,
            "--modality=speech",
            *("--fusion=late", "--modality-loss", "speech=focal"),
            "--register=all",
            "--ensemble",
            "--seeds=2",
        ],
    ],
    "demo": [["--model=saved"]],
    "export": [["--model=saved", "--root=hums"]],
    "explore": [[*MANIFEST, "--speech-encoder=encoder", "--text-encoder=bert", "--sample=20"]],
    "features": [["--root=hums", *FBANK]],
    "finetune": [
        ["--corpus=emodb", "--root=emodb", *TUNED, "--speech-encoder=encoder"],
        [*MANIFEST, *TUNED, "--modality=text", "--text-encoder=bert", "--targets=multi-label"],
    ],
    "fusion": [
        [
            *(*MANIFEST, *QUICK, "--rows=7,10,15", "--aggregator-size=8", "--hubert=fbank"),
            *("--wav2vec2=mfcc", "--emotion2vec=mfcc"),
        ],
        [*MANIFEST, *QUICK, "--rows=9", "--aggregator-size=8", "--targets=distribution"],
    ],
    "languages": [["--roots", "emodb=emodb", *FBANK, *QUICK]],
    "layers": [["--corpus=emodb", "--root=emodb", *FBANK, *QUICK]],
    "multitask": [[*MANIFEST, *TUNED, "--alphas=0.1", "--speech-encoder=encoder", "--blocks=1"]],
    "predict": [
        ["hums", "--model=saved", "--report=page.html"],
        [str(DATA / "Ses01_00.ogg"), "--model=saved", "--num-speakers=2"],
        ["hums", "--model=saved", "--adapt=taught.csv", "--adapt-output=adapted"],
    ],
    "pretrain-cpc": [[*PRETRAIN, "--crop-seconds=0.5", "--batch-samples=24000"]],
    "pretrain-emotion2vec": [[*PRETRAIN, "--size=mini", "--num-clones=1"]],
    "report": [],
    "sentiment": [
        [*MANIFEST, *QUICK, *FBANK],
        [*MANIFEST, *QUICK, *FBANK, "--modality=speech", "--register=signs", "--train-on-all"],
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
        [
            *(*MANIFEST, *QUICK, *FBANK, "--updates=2", "--evaluate-every=1"),
            *("--targets=annotators", "--select-by=jsd", "--register=raters"),
        ],
        [*MANIFEST, *QUICK, *FBANK, "--loss=focal", "--sampling=balanced", "--class-weights=none"],
        [*MANIFEST, *FBANK, "--register=all", "--train-on-all"],
        [*MANIFEST, "--modality=text", "--text-encoder=bert"],
    ],
    "sweep": [],
    "sweep server": [["--storage=sqlite:///sweep.db"]],
    "ui": [[]],
    "visualise": [["--corpus=emodb", "--root=emodb", "--epochs=1", *FBANK]],
}
"""Flags of a run of each command, and of further ones that read what is of one variant alone."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    with all_commands_in(tmp_path_factory.mktemp("settings")) as folder:
        yield folder


REFUSED = {
    "asr_language": (["--asr-language=de"], "is that of --asr, which is not given"),
    "evaluate_every": (["--evaluate-every=5"], "--evaluate-every counts --updates"),
    "max_folds": (["--max-folds=1"], "--max-folds has no effect across corpora"),
    "language": (["--language=de"], "--language is that of --asr, which is not given"),
}
"""Settings that a case does not read, the flags that set them, and the error of these; another case
reads them."""

SWEPT = {"probe_corpus", "probe_root", "probe_seeds"}
"""Settings of a pre-training that a sweep of it reads."""


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("choose", "report", "sweep")]
)
def test_a_run_reads_every_setting(place, read, name, monkeypatch, capsys):
    open_client()  # makes a store, which ui shows
    monkeypatch.setattr(server, "serve", interrupt)
    monkeypatch.setattr(optuna.storages, "run_grpc_proxy_server", interrupt)
    monkeypatch.setattr(representation, "project_to_plane", lambda points, **_: points[:, :2])
    monkeypatch.setattr(onnx_export, "export", lambda *given: onnx_export.Exported({}, {}))
    monkeypatch.setitem(sys.modules, "experiments.models.demo_pages", OnePage)
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


@pytest.mark.parametrize("name", ["pretrain-cpc", "pretrain-emotion2vec"])
def test_a_sweep_of_pretrainings_reads_the_settings_of_its_probe(place, read, name):
    kind, _ = find_command(name)
    probe = ["--probe-corpus=emodb", "--probe-root=emodb", "--probe-seeds=1"]
    settings = parse(kind, [*CASES[name][0], *probe])
    import_module(find_commands()[name].module).EXPERIMENT.prepare(settings)
    assert read >= SWEPT


class OnePage:
    """In place of the pages of the demo: predicts a recording, and ends as by Ctrl-C."""

    @staticmethod
    def open_pages(predict: Callable[[Path], str], *given: object, **more: object) -> None:
        assert "<html" in predict(DATA / "Ses01_00.ogg")
        raise KeyboardInterrupt


def test_a_choice_and_a_report_read_every_setting(place, read):
    table = ser.EXPERIMENT.run(
        parse(SERSettings, [*MANIFEST, *QUICK, "--speech-encoder", "fbank", "mfcc"])
    )
    read.clear()
    settings = ChooseSettings(runs=tuple(row.run_id for row in table.rows if row.kind == "model"))
    choose.run(settings)
    assert list_settings(settings) <= read
    read.clear()
    paged = parse(ReportSettings, [settings.runs[0], "--also", settings.runs[1]])
    report.run(paged)
    assert list_settings(paged) <= read


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
