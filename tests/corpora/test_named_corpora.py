"""Adapters of corpora whose recordings say all by their paths, in the layouts of the real ones."""

import re
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from conversation_emotion.corpora import load_corpus
from conversation_emotion.settings.corpus import find_corpus
from tests.layouts import find_data, write_recordings

JL = "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)"
RECORDINGS = {
    "ravdess": (
        "Audio_Speech_Actors_01-24/Actor_01/03-01-02-01-01-01-01.wav",
        "Audio_Speech_Actors_01-24/Actor_12/03-01-08-02-02-02-12.wav",
    ),
    "ravdess-song": ("Audio_Song_Actors_01-24/Actor_07/03-02-05-02-02-01-07.wav",),
    "savee": ("AudioData/JE/n23.wav", "AudioData/DC/su05.wav"),
    "crema-d": ("AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1040_ITH_SAD_X.wav"),
    "tess": ("OAF_angry/OAF_back_angry.wav", "YAF_pleasant_surprised/YAF_Bean_ps.wav"),
    "esd": ("0001/Happy/0001_000701.wav", "0020/Sad/0020_001051.wav"),
    "mead": ("M003/audio/angry/level_1/001.m4a", "W009/audio/neutral/level_1/001.m4a"),
    "subesco": ("F_10_FAHMEE_S_6_FEAR_5.wav", "M_01_OISHE_S_1_HAPPY_2.wav"),
    "cafe": ("CaFE_48k/Peur/Fort/12-P-2-5.wav", "CaFE_48k/Neutre/01-N-1-1.wav"),
    "aesdd": ("anger/a03 (3).wav", "anger/a06 (5)b.wav", "fear/f10 (01).wav", "fear/f11 (1).wav"),
    "emovo": ("EMOVO/f2/gio-f2-b2.wav", "EMOVO/m1/rab-m1-l3.wav"),
    "shemo": ("male/M36S02.wav", "female/F21N23.wav"),
    "urdu": ("Neutral/SM20_F8_N012.wav", "Angry/SF9_F1_A0100.wav"),
    "casia": ("wangzhe/angry/201.wav", "ZhaoZuoxiang/angry/201.wav"),
    "enterface": (
        "subject 19/anger/sentence 4/s19_an_4.avi",
        "subject 6/disgust/s6_di.avi",
        "subject 11/fear/sentence 1/s12_fe_1.avi",
        "subject 3/surprise/sentence 2/s_3_su_2.avi",
        "subject 16/surprise/sentence 3/s16_su_3avi.avi",
        "subject 2/anger/sentence 1/s2_an_2.avi",
        "subject 2/anger/sentence 2/s2_an_1.avi",
    ),
    "jl-corpus": (f"{JL}/female1_happy_1a_1.wav", f"{JL}/male2_concerned_6b_1.wav"),
}
"""Recordings of each corpus at their places; the names are real ones or made after them."""

MODULES = {"ravdess-song": "ravdess", "crema-d": "crema_d", "jl-corpus": "jl_corpus"}
SPOKEN_ONLY = {"ravdess-song": {"disgust", "surprise"}}


def read(root: Path, corpus: str, *paths: str) -> pd.DataFrame:
    """The table of a corpus with these recordings, or with those above, by their ids."""
    write_recordings(root, *(paths or RECORDINGS[corpus]))
    return load_corpus(corpus, root).set_index("utterance_id")


def cells(table: pd.DataFrame, utterance_id: str, *columns: str) -> tuple[object, ...]:
    """What some columns say of an utterance, None where they say nothing."""
    row = table.loc[utterance_id, list(columns)]
    return tuple(None if value is None or value != value else value for value in row)


@pytest.mark.parametrize("corpus", RECORDINGS)
def test_each_recording_is_a_dialogue_of_its_own_and_litter_is_none(tmp_path, corpus):
    table = read(tmp_path, corpus)
    assert sorted(table["audio"]) == sorted(str(tmp_path / path) for path in RECORDINGS[corpus])
    assert table["dialogue_id"].tolist() == table.index.tolist()
    assert set(table["order"]) == {0}
    assert table[["emotion", "speaker", "language"]].notna().all(axis=None)


@pytest.mark.parametrize("corpus", RECORDINGS)
def test_a_recording_that_is_named_otherwise_is_an_error(tmp_path, corpus):
    first = Path(RECORDINGS[corpus][0])
    odd = str(first.with_name(f"noise{first.suffix}"))
    if corpus == "enterface":  # its folders tell all
        odd = "subject 19/joy/sentence 4/s19_jo_4.avi"
    message = f"{corpus}: {tmp_path / odd} is named {Path(odd).stem!r}, expected "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*, such as .*; move away"):
        read(tmp_path, corpus, *RECORDINGS[corpus], odd)


@pytest.mark.parametrize(
    ("corpus", "utterance_id", "speaker", "gender", "language", "emotion"),
    [
        ("ravdess", "03-01-02-01-01-01-01", "01", "male", "en", "calm"),
        ("ravdess", "03-01-08-02-02-02-12", "12", "female", "en", "surprise"),
        ("ravdess-song", "03-02-05-02-02-01-07", "07", "male", "en", "anger"),
        ("savee", "JE_n23", "JE", "male", "en", "neutral"),
        ("savee", "DC_su05", "DC", "male", "en", "surprise"),
        ("crema-d", "1001_DFA_ANG_XX", "1001", None, "en", "anger"),
        ("tess", "OAF_back_angry", "OAF", "female", "en", "anger"),
        ("tess", "YAF_Bean_ps", "YAF", "female", "en", "surprise"),
        ("esd", "0001_000701", "0001", None, "zh", "happiness"),
        ("esd", "0020_001051", "0020", None, "en", "sadness"),
        ("mead", "M003_angry_1_001", "M003", "male", "en", "anger"),
        ("mead", "W009_neutral_1_001", "W009", "female", "en", "neutral"),
        ("subesco", "F_10_FAHMEE_S_6_FEAR_5", "F_10", "female", "bn", "fear"),
        ("subesco", "M_01_OISHE_S_1_HAPPY_2", "M_01", "male", "bn", "happiness"),
        ("cafe", "12-P-2-5", "12", "female", "fr-CA", "fear"),
        ("cafe", "01-N-1-1", "01", "male", "fr-CA", "neutral"),
        ("aesdd", "a03 (3)", "3", None, "el", "anger"),
        ("emovo", "gio-f2-b2", "f2", "female", "it", "happiness"),
        ("emovo", "rab-m1-l3", "m1", "male", "it", "anger"),
        ("shemo", "M36S02", "M36", "male", "fa", "sadness"),
        ("shemo", "F21N23", "F21", "female", "fa", "neutral"),
        ("urdu", "SM20_F8_N012", "SM20", "male", "ur", "neutral"),
        ("urdu", "SF9_F1_A0100", "SF9", "female", "ur", "anger"),
        ("casia", "wangzhe_angry_201", "wangzhe", None, "zh", "anger"),
        ("enterface", "s19_anger_4", "s19", None, "en", "anger"),
        ("jl-corpus", "female1_happy_1a_1", "female1", "female", "en-NZ", "happiness"),
        ("jl-corpus", "male2_concerned_6b_1", "male2", "male", "en-NZ", "concern"),
    ],
)
def test_a_path_tells_who_speaks_and_how(
    tmp_path, corpus, utterance_id, speaker, gender, language, emotion
):
    told = cells(read(tmp_path, corpus), utterance_id, "speaker", "gender", "language", "emotion")
    assert told == (speaker, gender, language, emotion)


@pytest.mark.parametrize(
    ("corpus", "utterance_id", "text"),
    [
        ("ravdess", "03-01-02-01-01-01-01", "Kids are talking by the door."),
        ("crema-d", "1040_ITH_SAD_X", "I think I have a doctor's appointment."),
        ("tess", "YAF_Bean_ps", "Say the word bean."),
        ("cafe", "12-P-2-5", "Cinq pumas fiers et passionnés"),
        ("savee", "JE_n23", None),
    ],
)
def test_sentences_of_known_words_have_a_text(tmp_path, corpus, utterance_id, text):
    assert cells(read(tmp_path, corpus), utterance_id, "text") == (text,)


@pytest.mark.parametrize(
    "corpus", sorted(name for name in RECORDINGS if find_corpus(name).label_maps)
)
def test_label_maps_know_every_emotion_that_a_name_can_tell(corpus):
    module = import_module(f"conversation_emotion.corpora.{MODULES.get(corpus, corpus)}")
    known = set(find_corpus(corpus).label_maps["4-class"])
    assert set(module.EMOTIONS.values()) - SPOKEN_ONLY.get(corpus, set()) == known


def test_ravdess_keeps_speech_and_song_of_a_shared_folder_apart(tmp_path):
    paths = ("Actor_01/03-01-03-01-01-01-01.wav", "Actor_01/03-02-03-01-01-01-01.wav")
    assert read(tmp_path, "ravdess", *paths).index.tolist() == ["03-01-03-01-01-01-01"]
    assert load_corpus("ravdess-song", tmp_path)["utterance_id"].tolist() == [
        "03-02-03-01-01-01-01"
    ]


def test_a_copy_of_all_recordings_below_is_not_read_twice(tmp_path):
    name = "Actor_01/03-01-03-01-01-01-01.wav"
    assert len(read(tmp_path, "ravdess", name, f"audio_speech_actors_01-24/{name}")) == 1


def test_suffixes_in_any_case_and_other_sound_files_are_read(tmp_path, capsys):
    paths = ["M003/audio/angry/level_1/001.m4a", "M005/audio/angry/level_1/001.wav"]
    table = read(tmp_path, "mead", *paths, "M005/audio/fear/level_1/002.FLAC")
    assert list(table["speaker"]) == ["M003", "M005", "M005"]
    assert capsys.readouterr().out == ""


def test_what_is_not_read_is_counted_by_suffix(tmp_path, capsys):
    paths = ["AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1040_ITH_SAD_X.WAV"]
    extra = ["AudioWAV/1001_DFA_ANG_XX.flac", "AudioWAV/silence.mp3", "VideoFlash/1001_DFA.flv"]
    table = read(tmp_path, "crema-d", *paths, *extra)
    assert [Path(audio).name for audio in table["audio"]] == [Path(name).name for name in paths]
    printed = capsys.readouterr().out
    assert f"crema-d: not read under {tmp_path}: 1 .flac, 1 .mp3, 1 .flv, first" in printed


def test_a_folder_without_a_recording_at_its_place_says_what_lies_there(tmp_path):
    write_recordings(tmp_path, "VideoFlash/1001_DFA_ANG_XX.flv")
    with pytest.raises(
        FileNotFoundError, match=r"no AudioWAV/\*\.wav under .* are 1 \.flv elsewhere"
    ):
        load_corpus("crema-d", tmp_path)


def test_an_archives_shadow_copy_is_not_read(tmp_path):
    table = read(tmp_path, "cafe", "Peur/Fort/12-P-2-5.wav")
    assert table["audio"].tolist() == [str(tmp_path / "Peur/Fort/12-P-2-5.wav")]


@pytest.mark.parametrize("path", ["JE_n23.wav", "ALL/JE_n23.wav", "AudioData/JE/n23.wav"])
def test_savee_is_the_same_flat_and_in_folders(tmp_path, path):
    table = read(tmp_path, "savee", path)
    assert cells(table, "JE_n23", "speaker", "emotion") == ("JE", "neutral")


def test_crema_d_takes_the_gender_from_the_actors_table(tmp_path):
    (tmp_path / "VideoDemographics.csv").write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1040,?,Female,,\n"
    )
    table = read(tmp_path, "crema-d")
    assert table["gender"].tolist() == ["male", "female"]
    assert table["age"].fillna(0).tolist() == [51, 0]
    assert cells(table, "1001_DFA_ANG_XX", "level") == (None,)
    (tmp_path / "VideoDemographics.csv").write_text("Actor,Sex\n1001,Male\n")
    with pytest.raises(
        ValueError, match=r"lacks the columns \['ActorID'\], it has \['Actor', 'Sex'\]"
    ):
        load_corpus("crema-d", tmp_path)


def test_tess_knows_the_file_that_lacks_a_letter(tmp_path):
    table = read(tmp_path, "tess", "OAF_neutral/OA_bite_neutral.wav")
    assert cells(table, "OA_bite_neutral", "speaker", "word") == ("OAF", "bite")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_esd_reads_texts_in_whatever_encoding_they_are(tmp_path, encoding):
    text = "0001_000701\t打远一看\t快乐\r\n\r\n0001_000702\tno such file\n"
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / "0001.txt").write_bytes(text.encode(encoding))
    table = read(tmp_path, "esd")
    assert cells(table, "0001_000701", "text", "emotion") == ("打远一看", "happiness")
    assert cells(table, "0020_001051", "text") == (None,)


def test_esd_text_that_cannot_be_decoded_is_an_error(tmp_path):
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / "0001.txt").write_bytes(b"0001_000701\t\xff\xff\xff")
    with pytest.raises(ValueError, match=rf"{tmp_path}/0001/0001.txt is neither UTF-8, UTF-16"):
        read(tmp_path, "esd")


def test_esd_has_a_split_where_its_parts_are_folders(tmp_path):
    folder = "Emotion Speech Dataset/0011/Angry"
    paths = (
        f"{folder}/train/0011_000351.wav",
        f"{folder}/evaluation/0011_000352.wav",
        f"{folder}/test/0011_000353.wav",
    )
    assert read(tmp_path, "esd", *paths)["split"].tolist() == ["train", "valid", "test"]


def test_mead_is_read_from_copies_that_were_converted(tmp_path):
    table = read(tmp_path, "mead", "W009/audio/sad/level_3/012.wav")
    assert cells(table, "W009_sad_3_012", "emotion", "level") == ("sadness", "3")


def test_aesdd_actors_are_numbers_with_or_without_a_nought(tmp_path):
    table = read(tmp_path, "aesdd")
    assert table["speaker"].to_dict() == {
        "a03 (3)": "3",
        "a06 (5)b": "5",
        "f10 (01)": "1",
        "f11 (1)": "1",
    }


def test_shemo_takes_the_words_from_its_table(tmp_path):
    (tmp_path / "shemo.json").write_text('{"M36S02": {"transcript": "سلام"}, "F21N23": {}}')
    assert read(tmp_path, "shemo")["text"].fillna("").to_dict() == {"F21N23": "", "M36S02": "سلام"}
    (tmp_path / "shemo.json").write_text("{")
    with pytest.raises(ValueError, match=rf"shemo: {tmp_path}/shemo.json is no JSON"):
        load_corpus("shemo", tmp_path)


def test_casia_sentences_of_two_speakers_are_two_utterances(tmp_path):
    assert read(tmp_path, "casia").index.tolist() == [
        "ZhaoZuoxiang_angry_201",
        "wangzhe_angry_201",
    ]


def test_enterface_trusts_folders_more_than_names(tmp_path):
    table = read(tmp_path, "enterface")
    assert sorted(table.index) == [
        "s11_fear_1",
        "s16_surprise_3",
        "s19_anger_4",
        "s2_anger_1",
        "s2_anger_2",
        "s3_surprise_2",
        "s6_disgust",
    ]
    assert cells(table, "s11_fear_1", "speaker", "sentence") == ("s11", "1")
    assert cells(table, "s6_disgust", "speaker", "sentence") == ("s6", None)
    assert str(cells(table, "s2_anger_1", "audio")[0]).endswith("sentence 1/s2_an_2.avi")


def test_jl_corpus_takes_the_words_from_the_file_beside(tmp_path):
    write_recordings(tmp_path, *RECORDINGS["jl-corpus"])
    (tmp_path / JL / "female1_happy_1a_1.txt").write_text("Carl leaps into a jeep\n")
    table = load_corpus("jl-corpus", tmp_path).set_index("utterance_id")
    assert cells(table, "female1_happy_1a_1", "text") == ("Carl leaps into a jeep",)
    assert cells(table, "male2_concerned_6b_1", "text") == (None,)


def test_real_ravdess_has_twelve_actors_with_the_published_balance():
    # 60 recordings an actor: two intensities of seven emotions and one of neutral, 2 x 2 each.
    table = load_corpus("ravdess", find_data("ravdess"))
    assert table.groupby("speaker").size().to_dict() == {
        f"{actor:02}": 60 for actor in range(1, 13)
    }
    assert table["emotion"].value_counts().to_dict() == {
        **dict.fromkeys(("anger", "calm", "disgust", "fear"), 96),
        **dict.fromkeys(("happiness", "sadness", "surprise"), 96),
        "neutral": 48,
    }
    assert set(table["gender"]) == {"female", "male"}
