import subprocess
import sys
from pathlib import Path

import pytest

from conversation_emotion.corpora import load_corpus
from conversation_emotion.settings.corpus import list_corpora
from conversation_emotion.utterances.table import COLUMNS
from tests.layouts import write_iemocap_dialogue, write_meld


def test_corpus_is_loaded_from_a_path_or_its_text(tmp_path):
    write_iemocap_dialogue(tmp_path / "iemocap")
    write_meld(tmp_path / "meld")
    assert set(load_corpus("iemocap", tmp_path / "iemocap")["corpus"]) == {"iemocap"}
    assert set(load_corpus("meld", str(tmp_path / "meld"))["corpus"]) == {"meld"}


def test_home_is_expanded_and_relative_roots_are_resolved(tmp_path, monkeypatch):
    (tmp_path / "pets.csv").write_text("utterance_id,audio\n1,a.wav\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for root in ("~/pets.csv", "pets.csv"):
        assert load_corpus("manifest", root)["audio"].tolist() == [str(tmp_path / "a.wav")]


def test_demo_needs_no_root():
    table = load_corpus("demo")
    assert list(table.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert set(table["corpus"]) == {"demo"}


def test_unknown_name_is_answered_with_the_closest_known():
    with pytest.raises(
        ValueError, match=r"'iemocab', known are aesdd, .*, urdu; did you mean 'iemocap'"
    ):
        load_corpus("iemocab")


def test_name_unlike_any_other_gets_no_suggestion():
    with pytest.raises(ValueError, match=r"unknown corpus 'xyz', known are .*, urdu$"):
        load_corpus("xyz")


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("iemocap", "IEMOCAP_full_release"),
        ("meld", "MELD.Raw"),
        ("emodb", "EmoDB"),
        ("manifest", ".csv, .jsonl"),
    ],
)
def test_corpus_without_root_says_what_to_pass(name, root):
    with pytest.raises(ValueError, match=f"{name}: pass .*{root}.* with --root"):
        load_corpus(name)


@pytest.mark.parametrize("name", sorted(set(list_corpora()) - {"demo", "joint"}))
def test_every_corpus_has_words_for_its_root(name):
    with pytest.raises(ValueError, match=f"^{name}: pass .+ with --root$"):
        load_corpus(name)


@pytest.mark.parametrize("name", list_corpora())
def test_root_that_does_not_exist_is_named_in_full(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{name}: {tmp_path}/nowhere does not exist"):
        load_corpus(name, "nowhere")


@pytest.mark.parametrize("name", sorted(set(list_corpora()) - {"demo", "joint"}))
def test_wrong_folder_says_where_was_looked(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{name}: .*{tmp_path}"):
        load_corpus(name, tmp_path)


def test_importing_all_corpora_loads_no_heavy_package():
    script = (
        "import sys; from conversation_emotion.settings.corpus import find_corpus, list_corpora;"
        "import conversation_emotion.corpora; [find_corpus(name) for name in list_corpora()];"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    ).stdout.split()
    assert not {"torch", "pandas", "numpy", "av", "mlflow", "pyarrow"} & set(loaded)
