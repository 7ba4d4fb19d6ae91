"""A package from outside: its corpus and its encoder are used by name."""

from pathlib import Path

import pytest

import conversation_emotion as ce
from conversation_emotion.features.encoders import list_entries, load_encoder
from conversation_emotion.settings.corpus import CorpusSettings, find_corpus, list_corpora
from conversation_emotion.settings.training import TrainingSettings
from experiments import ser
from experiments.framework.commandline import parse
from tests.processes import Command
from tests.tracked import write_empty_store

ENTRY_POINTS = """\
[conversation_emotion.corpora]
plugin-corpus = energies:CORPUS
plain = energies:load

[conversation_emotion.encoders]
plugin-encoder = energies:EnergyEncoder

[conversation_emotion.tasks]
plugin-task = energies:EnergyEmotion
"""


def write_package(folder: Path, name: str, entry_points: str) -> None:
    """Writes what an installer leaves of a package."""
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages that holds the plugin."""
    write_package(tmp_path / "site", "energies", ENTRY_POINTS)
    for folder in (Path(__file__).parent, tmp_path / "site"):
        monkeypatch.syspath_prepend(folder)
    list_corpora.cache_clear()
    list_entries.cache_clear()
    yield tmp_path / "site"
    list_corpora.cache_clear()
    list_entries.cache_clear()


FLAGS = ["--corpus=plugin-corpus", "--speech-encoder=plugin-encoder", "--epochs=1", "--seeds=1"]
FLAGS += ["--num-dialogues=2"]  # an option that this corpus brings
PRINTED = ("plugin-corpus: 167 utterances read, 10 dialogues, 10 speakers", "features: 167 new")


def test_ser_takes_the_corpus_and_the_encoder_of_another_package(site, workplace, capsys):
    ser.EXPERIMENT.run(parse(ser.EXPERIMENT.settings, FLAGS))
    printed = capsys.readouterr().out
    assert [line for line in PRINTED if line not in printed] == []


@pytest.mark.slow
def test_epc_in_a_process_of_its_own_takes_them_too(site, workplace):
    write_empty_store(workplace / "mlruns" / "mlflow.db")
    printed = workplace / "printed.txt"
    flags = [*FLAGS, "--modality=speech"]
    with Command("experiments.epc", *flags, folder=workplace, printed=printed) as ran:
        assert ran.wait(300) == 0, printed.read_text()
    assert [line for line in PRINTED if line not in printed.read_text()] == []


def test_a_plain_function_is_a_corpus_without_defaults(site):
    source = find_corpus("plain")
    assert (source.labels, source.split, source.needs_root) == ("all", None, True)
    with pytest.raises(ValueError, match="--corpus plain needs --root, what energies:load reads"):
        CorpusSettings(corpus="plain")


def test_a_corpus_named_as_a_built_in_one_is_an_error_that_names_both(site):
    write_package(site, "another", "[conversation_emotion.corpora]\nemodb = another:CORPUS\n")
    list_corpora.cache_clear()
    with pytest.raises(ValueError, match=r"'emodb': conversation_emotion\S+ and another:CORPUS;"):
        find_corpus("emodb")


def test_a_corpus_that_cannot_be_imported_is_named(site):
    write_package(site, "another", "[conversation_emotion.corpora]\nlost = nowhere:CORPUS\n")
    list_corpora.cache_clear()
    with pytest.raises(ValueError, match="'lost': nowhere:CORPUS cannot be imported: No module"):
        find_corpus("lost")


def test_an_encoder_named_as_a_built_in_one_is_an_error_that_names_both(site):
    write_package(site, "another", "[conversation_emotion.encoders]\nfbank = energies:Energy\n")
    with pytest.raises(ValueError, match="'fbank': energies:Energy and speech_encoders:load_sp"):
        load_encoder("speech", "fbank", "cpu")


def test_without_entry_points_the_remedy_is_to_install(monkeypatch):
    monkeypatch.setattr("conversation_emotion.features.encoders.list_entries", lambda *folders: ())
    with pytest.raises(ModuleNotFoundError, match="no package brings text encoders .* pip install"):
        load_encoder("text", "all-MiniLM-L6-v2")


def test_a_task_of_another_package_is_cross_validated(site, workplace):
    corpus = ce.load_corpus("plugin-corpus")
    task = ce.find_tasks()["plugin-task"](corpus, training=TrainingSettings(epochs=1, max_folds=1))
    model, *_ = ce.cross_validate(task).rows
    assert (model.name, model.encoder) == ("plugin-encoder", "plugin-encoder")
    assert 0 < model.metrics["uar"].n < len(corpus) / 4  # one of five sessions
