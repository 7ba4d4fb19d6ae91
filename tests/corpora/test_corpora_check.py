"""The list of corpora, the published facts, and the check of a copy."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import usage_error

from conversation_emotion.corpora.facts import load_facts
from conversation_emotion.corpora.report import name_people
from conversation_emotion.settings.corpus import find_corpus, list_corpora
from experiments.corpora import CheckSettings, CorporaConfig, run
from tests.layouts import find_data, write_emodb, write_recordings

OWN_TABLES = {"audformat", "demo", "huggingface", "joint", "manifest"}
FACTS = load_facts()


def write_wav(path: Path, seconds: float) -> None:
    soundfile.write(path, np.full(round(16_000 * seconds), 0.1, np.float32), 16_000, "FLOAT")


def check(corpus: str, root: Path, folder: Path, *, decode: bool = False) -> dict:
    """Runs a check and returns the JSON of its report."""
    run(
        CorporaConfig(command=CheckSettings(corpus=corpus, root=root, output=folder, decode=decode))
    )
    return json.loads((folder / "report.json").read_text())


@pytest.fixture
def emodb(tmp_path):
    """A copy with two speakers and four recordings: one is no audio, one is not finite."""
    root = write_emodb(tmp_path / "EmoDB", "03a01Fa", "03a01Na", "08a01Fa", "08a02Fa")
    for name, seconds in (("03a01Fa", 1.0), ("03a01Na", 2.5), ("08a02Fa", 4.0)):
        write_wav(root / "wav" / f"{name}.wav", seconds)
    samples = np.full(16_000, np.nan, np.float32)
    soundfile.write(root / "wav" / "08a02Fa.wav", samples, 16_000, "FLOAT")
    return root


def test_facts_are_kept_of_every_corpus_but_the_users_own_tables():
    assert set(FACTS) == set(list_corpora()) - OWN_TABLES


@pytest.mark.parametrize("corpus", sorted(set(FACTS) - {"iemocap", "msp-podcast"}))
def test_published_counts_agree_with_each_other(corpus):
    facts = FACTS[corpus]
    for parts in (facts.emotions, facts.splits):
        assert not parts or sum(parts.values()) == facts.utterances
    if facts.emotions:
        assert len(facts.emotions) == facts.classes
    if facts.people:
        assert len(set(facts.people)) == facts.speakers


def test_msp_podcast_counts_leave_out_14199_turns_without_agreement():
    facts = FACTS["msp-podcast"]
    assert sum(facts.emotions.values()) + 14_199 == facts.utterances


@pytest.mark.parametrize("corpus", sorted(name for name, entry in FACTS.items() if entry.emotions))
def test_published_emotions_are_named_as_the_label_maps_know_them(corpus):
    for classes in find_corpus(corpus).label_maps.values():
        assert set(FACTS[corpus].emotions) <= set(classes)


def test_the_list_has_a_line_for_each_corpus(capsys):
    run(CorporaConfig())
    lines = capsys.readouterr().out.splitlines()
    named = {line.split()[0]: line for line in lines if line.strip()}
    assert set(FACTS) <= set(named)
    assert "1,440" in named["ravdess"]
    assert "CC BY-NC-SA 4.0 (P)" in named["ravdess"]
    assert named["emodb"].split()[-1] == "https://zenodo.org/records/17651657"


def test_a_check_counts_speakers_emotions_and_lengths(emodb, tmp_path):
    found = check("emodb", emodb, tmp_path / "report")["found"]
    assert found["counts"]["utterances"] == {"found": 4, "published": 535}
    assert found["counts"]["speakers"] == {"found": 2, "published": 10}
    assert found["emotions"]["happiness"] == {"found": 3, "published": 71}
    assert found["emotions"]["anger"] == {"found": 0, "published": 127}
    assert found["balance"] == {
        "03": {"happiness": 1, "neutral": 1},
        "08": {"happiness": 2, "neutral": 0},
    }
    assert found["absent"] == ["09", "10", "11", "12", "13", "14", "15", "16"]
    lengths = {"03a01Fa": 1.0, "03a01Na": 2.5, "08a02Fa": 1.0}
    assert found["recordings"]["seconds"] == lengths


def test_broken_recordings_are_named_and_decoding_finds_more(emodb, tmp_path):
    broken = check("emodb", emodb, tmp_path)["found"]["recordings"]["broken"]
    assert list(broken) == ["08a01Fa"]
    assert "does not decode" in broken["08a01Fa"]
    found = check("emodb", emodb, tmp_path, decode=True)["found"]["recordings"]
    assert list(found["broken"]) == ["08a01Fa", "08a02Fa"]
    assert "sample 0 is nan" in found["broken"]["08a02Fa"]
    assert found["seconds"] == {"03a01Fa": 1.0, "03a01Na": 2.5}


@pytest.mark.parametrize("decode", [False, True])
def test_a_copy_of_which_nothing_can_be_read_is_an_error_behind_its_report(
    tmp_path, capsys, decode
):
    root = write_emodb(tmp_path / "EmoDB", "03a01Fa", "08a01Na")
    for file in (root / "wav").iterdir():
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match=r"emodb: none of 2 recordings .*\(0 missing, 2 broken\)"):
        check("emodb", root, tmp_path, decode=decode)
    printed = capsys.readouterr().out
    assert ": 0 can be read; 0 missing, 2 broken\nbroken: 03a01Fa, 08a01Na\n" in printed
    assert (tmp_path / "report.json").is_file()


def test_recordings_that_are_all_missing_are_an_error_and_none_named_is_no_error(tmp_path, capsys):
    table = tmp_path / "manifest.csv"
    table.write_text("utterance_id,text,audio\na,Hi,a.wav\nb,Hi,\n")
    with pytest.raises(ValueError, match=r"\(1 missing, 0 broken\) under .*; first a is missing"):
        check("manifest", tmp_path, tmp_path)
    assert ": 0 can be read; 1 missing, 0 broken\nmissing: a\n" in capsys.readouterr().out
    table.write_text("utterance_id,text\na,Hi\nb,Hi\n")
    check("manifest", tmp_path, tmp_path)
    assert "without a recording: 2 utterances" in capsys.readouterr().out


def test_missing_recordings_and_slices_are_told_apart(tmp_path, capsys):
    write_wav(tmp_path / "a.wav", 3.0)
    (tmp_path / "manifest.csv").write_text(
        "utterance_id,text,audio,offset,duration,emotion\n"
        "whole,,a.wav,,,joy\nslice,Hi,a.wav,1,0.5,joy\nlast,,a.wav,2.5,9,\nbeyond,,a.wav,4,,joy\n"
        "short,,a.wav,1,0.02,joy\ngone,,b.wav,,,joy\ntext,only,,,,joy\n"
    )
    found = check("manifest", tmp_path, tmp_path / "report")["found"]
    recordings = found["recordings"]
    assert recordings["seconds"] == {"last": 0.5, "short": 0.02, "slice": 0.5, "whole": 3.0}
    assert (recordings["missing"], recordings["silent"]) == (["gone"], ["text"])
    assert "begins at 4.0 s, but the audio ends at 3.000 s" in recordings["broken"]["beyond"]
    assert (found["num_unlabelled"], found["num_with_text"]) == (1, 2)
    printed = capsys.readouterr().out
    assert "shorter than 25 ms: short" in printed
    assert "no counts are published for this corpus" in printed


def test_the_markdown_says_what_differs_and_shows_the_balance(emodb, tmp_path, capsys):
    check("emodb", emodb, tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "- emodb: 4 of 535 utterances, 2 of 10 speakers, 0 unlabelled" in report
    assert "- absent speakers: 09 to 16" in report
    assert "| happiness | 3 | 71 |" in report
    assert "- 08a01Fa: " in report
    assert "| 08 | 2 | 0 | 2 |" in report
    assert "other counts than published: utterances, speakers, anger" in capsys.readouterr().out


def test_recordings_that_are_all_equally_long_look_cut(tmp_path, capsys):
    names = [f"03a01{emotion}{version}" for emotion in "WLEAFNT" for version in "abc"]
    root = write_emodb(tmp_path / "EmoDB", *names)
    for number, name in enumerate(names):
        write_wav(root / "wav" / f"{name}.wav", 2.0 if number < 6 else 3 + number / 16)
    check("emodb", root, tmp_path)
    assert "6 of 21 recordings last 2 s to the millisecond" in capsys.readouterr().out
    write_wav(root / "wav" / f"{names[0]}.wav", 0.5)
    check("emodb", root, tmp_path)
    assert "to the millisecond" not in capsys.readouterr().out


def test_the_report_goes_to_mlruns_by_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ("Actor_18/03-01-01-01-01-01-18.wav", "Actor_02/03-01-01-01-01-01-02.wav")
    root = write_recordings(tmp_path / "RAVDESS", *names)
    write_wav(root / names[0], 1.0)
    run(CorporaConfig(command=CheckSettings(corpus="ravdess", root=root)))
    assert (tmp_path / "mlruns/corpora/ravdess/report.md").is_file()
    assert "absent speakers: 01, 03 to 17, 19 to 24" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("people", "named"),
    [
        (["13", "14", "15"], "13 to 15"),
        (["01", "03", "04", "f1"], "01, 03, 04, f1"),
        ([str(number) for number in range(1, 51, 2)], "39 and 5 more"),
        ([], ""),
    ],
)
def test_people_who_count_on_are_named_as_a_range(people, named):
    assert name_people(people).endswith(named)


def test_a_check_needs_a_corpus_that_is_known(capsys):
    assert "--corpus" in usage_error(CorporaConfig, ["check"], capsys)
    assert "unknown corpus 'emo'" in usage_error(
        CorporaConfig, ["check", "--corpus", "emo"], capsys
    )


def test_help_loads_no_heavy_package():
    script = "import sys, experiments.corpora; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    ).stdout.split()
    assert not {"torch", "pandas", "mlflow", "av"} & set(loaded)


def test_real_emodb_equals_what_is_published_but_for_its_lengths(tmp_path):
    report = check("emodb", find_data("emodb"), tmp_path)
    assert report["differences"] == []
    assert report["found"]["absent"] == report["found"]["unexpected"] == []
    assert len(report["found"]["recordings"]["seconds"]) == 535


def test_real_ravdess_lacks_the_second_twelve_actors(tmp_path, capsys):
    report = check("ravdess", find_data("ravdess"), tmp_path)
    assert report["found"]["counts"]["utterances"] == {"found": 720, "published": 1440}
    assert "absent speakers: 13 to 24" in capsys.readouterr().out


def test_real_meld_equals_what_is_published(tmp_path):
    report = check("meld", find_data("meld"), tmp_path)
    assert report["differences"] == []
    assert report["found"]["counts"]["utterances"] == {"found": 13_708, "published": 13_708}


def test_real_clips_that_are_missing_or_broken_are_named(tmp_path):
    recordings = check("meld", find_data("meld_composite"), tmp_path)["found"]["recordings"]
    assert len(recordings["missing"]) == 1
    assert list(recordings["broken"]) == ["train_dia125_utt3"]
