"""Votes that adapters read, in the layouts of the real corpora, by hand counts and alphas."""

import json
from collections import Counter
from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest

from conversation_emotion.corpora import load_corpus
from conversation_emotion.corpora.demo import load_demo
from conversation_emotion.corpora.iemocap import load_iemocap
from conversation_emotion.datasets.votes import count_votes
from conversation_emotion.exploration.classes import find_classes
from conversation_emotion.exploration.raters import measure_agreement
from conversation_emotion.utterances.labels import find_label_map
from conversation_emotion.utterances.votes import list_ballots
from tests.layouts import write_iemocap_dialogue, write_recordings

TURNS = ("F000", "F001", "M000", "M001")
NAMED = (
    ("Neutral", "Neutral", "Anger"),
    ("Anger", "Anger", "Anger"),
    ("Neutral", "Neutral", "Neutral"),
    ("Sadness", "Neutral", "Neutral"),
)
"""What three raters name of four utterances."""

ALPHA = 1 - (4 / 12) / (78 / 132)
"""Of twelve votes 7 are for neutral, 4 for anger, 1 for sadness: 144 - 49 - 16 - 1 = 78 of 132
pairs differ by chance. Two utterances have 4 ordered pairs that differ, each counted half: 4 of
12."""

CLIPS = ("1001_DFA_ANG_XX", "1001_IEO_NEU_XX", "1002_DFA_SAD_XX", "1002_IEO_ANG_HI")


def count(table: pd.DataFrame, column: str = "votes") -> list[Counter[str]]:
    """Returns how often each emotion is named, utterance by utterance."""
    found = dict(list_ballots(table, column))
    return [
        Counter(name for ballot in found.get(row, ()) for name in ballot.shares)
        for row in range(len(table))
    ]


def alpha_of(table: pd.DataFrame) -> float:
    found = measure_agreement(table, find_classes(table, "emotion"))
    assert found is not None
    assert found.alpha is not None
    return found.alpha


def write_iemocap(root: Path) -> Path:
    """Writes four turns of three evaluators; the actors' own opinions are another emotion."""
    lines, words = [], []
    for place, (turn, named) in enumerate(zip(TURNS, NAMED, strict=True)):
        times = f"[{place}.0000 - {place}.5000]"
        lines.append(f"{times}\tSes01F_impro01_{turn}\tneu\t[2.5000, 2.0000, 3.5000]")
        lines += [f"C-E{n}:\t{name};\t()" for n, name in enumerate(named, start=1)]
        lines += [f"C-{turn[0]}1:\tFrustration; Sadness;\t()", ""]
        words.append(f"Ses01F_impro01_{turn} [{place:03}.0000-{place:03}.5000]: Well.")
    return write_iemocap_dialogue(
        root, evaluation="\n".join(lines), transcript="\n".join(words) + "\n"
    )


def test_votes_of_iemocap_equal_a_hand_count_and_a_hand_computed_alpha(tmp_path):
    table = load_iemocap(write_iemocap(tmp_path))
    assert count(table) == [{"neu": 2, "ang": 1}, {"ang": 3}, {"neu": 3}, {"sad": 1, "neu": 2}]
    assert count(table, "self_votes") == [{"fru": 1, "sad": 1}] * 4
    assert alpha_of(table) == pytest.approx(ALPHA)


def write_crema_d(root: Path, responses: bool = True) -> Path:
    """Writes three raters of four voices as responses and as counts, and of faces that differ."""
    write_recordings(root, *(f"AudioWAV/{clip}.wav" for clip in CLIPS))
    lines = ["localid,pos,queryType,clipName,respEmo"]
    counts = ['"","A","D","F","H","N","S","fileName","numResponses","agreement"']
    for place, (clip, named) in enumerate(zip(CLIPS, NAMED, strict=True), start=1):
        letters = [name[0] for name in named]
        lines += [f"{n},{place},1,{clip},{letter}" for n, letter in enumerate(letters, start=1)]
        lines += [f"{n},{place},2,{clip},H" for n in range(3)]
        cells = ",".join(str(letters.count(letter)) for letter in "ADFHNS")
        counts.append(f'"10000{place}",{cells},"{clip}",3,0.5')
        counts.append(f'"20000{place}",0,0,0,9,0,0,"{clip}",9,1')
    if responses:
        (root / "finishedResponses.csv").write_text("\n".join(lines) + "\n9,1,1,x,Q\n")
    (root / "processedResults").mkdir()
    (root / "processedResults/tabulatedVotes.csv").write_text("\n".join(counts))
    return root


@pytest.mark.parametrize("responses", [True, False])
def test_votes_of_crema_d_equal_a_hand_count_and_a_hand_computed_alpha(tmp_path, capsys, responses):
    table = load_corpus("crema-d", write_crema_d(tmp_path, responses))
    assert table["utterance_id"].tolist() == list(CLIPS)
    assert count(table) == [
        {"neutral": 2, "anger": 1},
        {"anger": 3},
        {"neutral": 3},
        {"sadness": 1, "neutral": 2},
    ]
    assert alpha_of(table) == pytest.approx(ALPHA)
    said = "crema-d: 1 responses name none of A, D, F, H, N, S, and are no votes: "
    assert (said in capsys.readouterr().out) == responses


def test_crema_d_takes_the_perceived_emotion_where_most_agree(tmp_path):
    root = write_crema_d(tmp_path, responses=False)
    path = root / "processedResults/tabulatedVotes.csv"
    path.write_text(path.read_text().replace('"100002",3,0', '"100002",3,3'))
    table = load_corpus("crema-d", root, perceived=True)
    assert table["emotion"].fillna("").tolist() == ["neutral", "", "neutral", "neutral"]
    assert table["acted"].tolist() == ["anger", "neutral", "sadness", "anger"]


def test_crema_d_without_raters_has_no_perceived_emotion_and_odd_counts_are_named(tmp_path, capsys):
    root = write_crema_d(tmp_path, responses=False)
    path = root / "processedResults/tabulatedVotes.csv"
    path.write_text(path.read_text().replace(",3,0.5", ",4,0.5", 1))
    load_corpus("crema-d", root)
    said = "crema-d: 1 rows have votes that do not add up to numResponses; the votes count: "
    assert f"{said}{path} row 1 (3, not 4)" in capsys.readouterr().out
    path.unlink()
    assert load_corpus("crema-d", root)["votes"].isna().all()
    with pytest.raises(ValueError, match="--perceived needs the votes of finishedResponses.csv"):
        load_corpus("crema-d", root, perceived=True)


def test_alpha_of_many_votes_is_that_of_the_package_krippendorff():
    generator = np.random.default_rng(0)
    truth = generator.integers(4, size=40)
    noise = generator.integers(4, size=(6, 40))
    named = np.where(generator.random((6, 40)) < 0.6, truth, noise).astype(float)
    named[generator.random((6, 40)) < 0.3] = np.nan  # not all raters rate all
    cells = [
        json.dumps(
            [
                {"rater": f"R{n}", "emotions": [f"e{int(vote)}"]}
                for n, vote in enumerate(votes)
                if not np.isnan(vote)
            ]
        )
        for votes in named.T
    ]
    table = pd.DataFrame({"votes": cells, "emotion": "x"})
    expected = krippendorff.alpha(reliability_data=named, level_of_measurement="nominal")
    assert alpha_of(table) == pytest.approx(expected)


DETAILED = {
    "2.0": [
        "FileName,WorkerID,EmoClass_Major,EmoClass_Second",
        'MSP-PODCAST_0001_0008.wav,W1,Angry,"Angry,Sad"',
        "MSP-PODCAST_0001_0008.wav,W2,Other-Bored,Neutral",
        "MSP-PODCAST_0001_0008.wav,W2,Happy,Happy",
        "MSP-PODCAST_0001_0008.wav,W3,,",
    ],
    "1.11": [
        "FileName,EmoDetail",
        'MSP-PODCAST_0001_0008.wav,"W1; Angry; Angry,Sad; A:4.0; V:4.0; D:4.0;"',
        'MSP-PODCAST_0001_0008.wav,"W2; Other-Bored; Neutral; A:4.0; V:4.0; D:4.0;"',
        'MSP-PODCAST_0001_0008.wav,"W2; Happy; Happy; A:4.0; V:4.0; D:4.0;"',
        'MSP-PODCAST_0001_0008.wav,"W3; ; ; A:4.0; V:4.0; D:4.0;"',
    ],
}


@pytest.mark.parametrize("release", DETAILED)
def test_votes_of_msp_podcast_are_primary_emotions_and_the_rest_is_counted(
    tmp_path, capsys, release
):
    columns = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Audios").mkdir()
    consensus = f"{columns}\nMSP-PODCAST_0001_0008.wav,A,4,4,4,1,Male,Train\n"
    (tmp_path / "Labels/labels_consensus.csv").write_text(consensus)
    detailed = tmp_path / "Labels/labels_detailed.csv"
    detailed.write_text("\n".join(DETAILED[release]))
    assert count(load_corpus("msp-podcast", tmp_path)) == [{"anger": 1, "other": 1}]
    said = capsys.readouterr().out
    assert "1 rows of raters name no emotion or no rater, and are no votes: " in said
    assert f"1 rows are further votes of a rater, and are left out: {detailed} row 3" in said
    detailed.write_text("FileName,Mood\nMSP-PODCAST_0001_0008.wav,x\n")
    with pytest.raises(ValueError, match=r"lacks EmoClass_Major and one of WorkerID, Workers, Emo"):
        load_corpus("msp-podcast", tmp_path)


def test_votes_of_msp_improv_follow_the_line_of_their_video(tmp_path, capsys):
    (tmp_path / "Evalution.txt").write_text(
        "UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:3.0; V:2.1; D:3.5; N:4.2;\n"
        "W1; Angry; Angry,Frustrated; A:3; V:2; D:4; N:4;\n"
        "W2; Frustrated; ; A:3; V:2; D:4; N:4;\nW3; A:3; V:2;\n\n"
        "UTD-IMPROV-S01A-F01-P-FM02.avi; X; A:3.0; V:2.1; D:3.5; N:4.2;\n"
        "W1; Happy; Happy; A:3; V:2; D:4; N:4;\n"
    )
    table = load_corpus("msp-improv", tmp_path)
    assert count(table) == [{"anger": 1, "other": 1}, {"happiness": 1}]
    said = "msp-improv: 1 lines of raters name no emotion or a rater again, and are no votes: "
    assert f"{said}Evalution.txt line 4" in capsys.readouterr().out


def test_a_manifest_holds_votes_as_text_or_as_objects_and_names_a_cell_that_is_none(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"anger": 2}, '{"calm": 1}', None]
    lines = [
        json.dumps({"utterance_id": f"u{n}", "text": "x", "votes": x}) for n, x in enumerate(rows)
    ]
    path.write_text("\n".join(lines))
    assert count(load_corpus("manifest", path)) == [{"anger": 2}, {"calm": 1}, {}]
    path.write_text(lines[0].replace("2", '"two"'))
    with pytest.raises(ValueError, match=r"manifest: mine.jsonl line 1: votes are '\{\"anger\": "):
        load_corpus("manifest", path)


# audformat 1.4 on pandas 3.1; both work.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")
def test_columns_of_raters_in_audformat_are_votes(tmp_path):
    audformat = pytest.importorskip("audformat")
    database = audformat.Database("mine")
    database.schemes["emotion"] = audformat.Scheme(labels={"W": "anger", "F": "joy"})
    table = database["files"] = audformat.Table(audformat.filewise_index(["a.wav", "b.wav"]))
    for column, rater, codes in (
        ("emotion", None, ["W", "F"]),
        ("first", "ann", ["W", None]),
        ("second", "bob", ["F", "F"]),
    ):
        if rater:
            database.raters[rater] = audformat.Rater()
        table[column] = audformat.Column(scheme_id="emotion", rater_id=rater)
        table[column].set(codes)
    database.save(str(tmp_path))
    assert count(load_corpus("audformat", tmp_path)) == [{"anger": 1, "joy": 1}, {"joy": 1}]


def test_raters_of_the_demo_corpus_mostly_name_its_label_and_are_the_same_in_any_part():
    table = load_demo()
    votes = count_votes(table, find_label_map("demo", "all", table["emotion"]))
    assert votes.notes == ("votes: 5,525 on 1,105 utterances",)  # five each
    names = dict(enumerate(sorted(table["emotion"].dropna().unique())))
    named = pd.Series(votes.majority()).map(names)
    is_both = named.notna() & table["emotion"].notna()
    assert (named == table["emotion"])[is_both].mean() == pytest.approx(0.88, abs=0.01)
    assert alpha_of(table) == pytest.approx(0.49, abs=0.01)
