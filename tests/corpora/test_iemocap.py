import json
import logging

import pytest

from conversation_emotion.corpora import load_corpus
from conversation_emotion.corpora.iemocap import IemocapOptions, load_iemocap
from conversation_emotion.datasets.dataset import load_utterances
from conversation_emotion.settings.corpus import CorpusSettings
from tests.layouts import IEMOCAP_EVALUATION, IEMOCAP_TRANSCRIPT, write_iemocap_dialogue


@pytest.fixture
def root(tmp_path):
    return write_iemocap_dialogue(tmp_path)


def missing(values):
    return [bool(value) for value in values.isna()]


def test_turns_are_ordered_by_the_time_they_begin(root):
    table = load_iemocap(root)
    assert table["utterance_id"].tolist() == [
        "Ses01F_impro01_F000",
        "Ses01F_impro01_MXX0",
        "Ses01F_impro01_F001",
        "Ses01F_impro01_M000",
    ]
    assert table["order"].tolist() == [0, 1, 2, 3]
    assert table["start"].tolist() == [6.2901, 9.0, 10.0, 11.0]
    assert table["end"].tolist() == [8.2357, 9.5, 11.4, 12.5]


def test_turns_that_begin_together_are_ordered_by_id(tmp_path):
    transcript = IEMOCAP_TRANSCRIPT.replace("009.0000", "006.2901")
    table = load_iemocap(write_iemocap_dialogue(tmp_path, transcript=transcript))
    assert table["utterance_id"].tolist()[:2] == ["Ses01F_impro01_F000", "Ses01F_impro01_MXX0"]


def test_last_field_of_the_id_tells_who_speaks(root):
    table = load_iemocap(root).set_index("utterance_id")
    assert table.loc["Ses01F_impro01_M000", "speaker"] == "Ses01_M"
    assert table.loc["Ses01F_impro01_M000", "gender"] == "male"
    assert table.loc["Ses01F_impro01_MXX0", "speaker"] == "Ses01_M"
    assert table.loc["Ses01F_impro01_F001", "speaker"] == "Ses01_F"
    assert table.loc["Ses01F_impro01_F001", "gender"] == "female"


def test_speaker_is_the_same_person_in_the_sister_recording(root):
    write_iemocap_dialogue(root, "Ses01M_script02_1")
    write_iemocap_dialogue(root, "Ses02M_impro03a")
    speakers = load_iemocap(root).groupby("dialogue_id")["speaker"].unique().map(set)
    assert speakers["Ses01M_script02_1"] == speakers["Ses01F_impro01"] == {"Ses01_F", "Ses01_M"}
    assert speakers["Ses02M_impro03a"] == {"Ses02_F", "Ses02_M"}


def test_disagreement_and_turns_nobody_evaluated_have_no_emotion(root):
    emotions = load_iemocap(root)["emotion"]
    assert missing(emotions) == [False, True, False, True]
    assert emotions.dropna().tolist() == ["neu", "ang"]


def test_ratings_are_read_in_the_order_valence_activation_dominance(root):
    first = load_iemocap(root).iloc[0]
    assert (first["valence"], first["arousal"], first["dominance"]) == (2.5, 2.0, 3.5)


def test_every_evaluator_is_kept_with_missing_ratings_as_null(root):
    evaluators = load_iemocap(root)["evaluators"]
    assert json.loads(evaluators[0]) == [
        {"evaluator": "C-E2", "emotions": ["Neutral"], "comment": ""},
        {"evaluator": "C-E4", "emotions": ["Neutral", "Anger"], "comment": ""},
        {"evaluator": "C-F1", "emotions": ["Neutral"], "comment": "curious (a little)"},
        {"evaluator": "A-E3", "valence": 3, "arousal": 2, "dominance": 1, "comment": ""},
        {"evaluator": "A-F1", "valence": 2, "arousal": None, "dominance": 2, "comment": "calm"},
    ]
    assert missing(evaluators) == [False, True, False, False]


def test_evaluated_turns_name_their_recording_even_if_the_file_is_missing(root):
    audio = load_iemocap(root)["audio"]
    wavs = root / "Session1/sentences/wav/Ses01F_impro01"
    assert audio.dropna().tolist() == [
        str(wavs / "Ses01F_impro01_F000.wav"),
        str(wavs / "Ses01F_impro01_F001.wav"),
        str(wavs / "Ses01F_impro01_M000.wav"),
    ]
    assert missing(audio) == [False, True, False, False]
    assert not (wavs / "Ses01F_impro01_F001.wav").exists()


def test_text_keeps_laughter_and_lines_without_id_are_counted(root, caplog):
    with caplog.at_level(logging.INFO, logger="conversation_emotion"):
        table = load_iemocap(root)
    assert table["text"].tolist() == [
        "Excuse me.",
        "[LAUGHTER]",
        "Not yet.",
        "Did you get the mail?",
    ]
    assert "Ses01F_impro01.txt: 1 lines are no turns, first 'M: Yeah.'" in caplog.text


def test_corpus_knows_session_language_and_scenario(root):
    write_iemocap_dialogue(root, "Ses05M_script01_1b")
    table = load_iemocap(root).groupby("dialogue_id").first()
    assert table["session"].tolist() == ["Session1", "Session5"]
    assert table["scenario"].tolist() == ["improvised", "scripted"]
    assert table["language"].tolist() == ["en", "en"]


def test_unevaluated_turn_that_ends_before_it_begins_keeps_its_place_alone(tmp_path):
    transcript = IEMOCAP_TRANSCRIPT.replace("009.5000", "008.5000")
    table = load_iemocap(write_iemocap_dialogue(tmp_path, transcript=transcript))
    assert table["start"][1] == 9.0
    assert missing(table["end"]) == [False, True, False, False]


def test_evaluated_turn_that_ends_before_it_begins_breaks_the_contract(tmp_path):
    evaluation = IEMOCAP_EVALUATION.replace("11.4000]", "9.4000]")
    with pytest.raises(ValueError, match=r"'Ses01F_impro01_F001' ends at 9.4 s"):
        load_iemocap(write_iemocap_dialogue(tmp_path, evaluation=evaluation))


def test_times_of_the_evaluation_hold_where_the_transcript_differs(tmp_path):
    evaluation = IEMOCAP_EVALUATION.replace("[10.0000 - 11.4000]", "[11.1000 - 11.3000]")
    table = load_iemocap(write_iemocap_dialogue(tmp_path, evaluation=evaluation))
    assert table["utterance_id"].str[-4:].tolist() == ["F000", "MXX0", "M000", "F001"]
    assert (table["start"][3], table["end"][3]) == (11.1, 11.3)


def test_line_that_repeats_a_turn_is_counted_and_not_read(tmp_path, caplog):
    again = "Ses01F_impro01_F001 [012.0000-013.0000]: Again."
    root = write_iemocap_dialogue(tmp_path, transcript=IEMOCAP_TRANSCRIPT + again)
    with caplog.at_level(logging.INFO, logger="conversation_emotion"):
        assert load_iemocap(root)["text"].tolist()[2] == "Not yet."
    assert "2 lines are no turns" in caplog.text


def test_transcript_with_windows_bytes_keeps_its_quotes(tmp_path):
    transcript = IEMOCAP_TRANSCRIPT.replace("Not yet.", "It’s late.").encode("cp1252")  # noqa: RUF001
    table = load_iemocap(write_iemocap_dialogue(tmp_path, transcript=transcript))
    assert table["text"][2] == "It’s late."  # noqa: RUF001


def test_wrong_folder_names_what_was_looked_for(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"no Session\*/dialog/EmoEvaluation/Ses\*.txt under {tmp_path}"
    ):
        load_iemocap(tmp_path)


def test_labelled_utterance_without_transcript_is_an_error(tmp_path):
    transcript = IEMOCAP_TRANSCRIPT.replace("impro01_F001", "impro01_F009")
    root = write_iemocap_dialogue(tmp_path, transcript=transcript)
    with pytest.raises(
        ValueError, match=r"transcriptions/Ses01F_impro01.txt has no line for 'Ses01F_impro01_F001'"
    ):
        load_iemocap(root)


def test_missing_transcript_file_is_an_error(root):
    (root / "Session1/dialog/transcriptions/Ses01F_impro01.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no transcript .*Ses01F_impro01.txt"):
        load_iemocap(root)


@pytest.mark.parametrize(
    "line",
    [
        "[10.0000 - 11.4000]\tSes01F_impro01_F001\tang\t[1.5000, 4.0000]",
        "[10.0000 - 11.4000]\tSes01F_impro01_X001\tang\t[1.5000, 4.0000, 4.5000]",
        "[10.0000 - 11.4000]\tSes01F_impro01_F000\tang\t[1.5000, 4.0000, 4.5000]",
    ],
    ids=["rating missing", "speaker unknown", "evaluated before"],
)
def test_evaluation_that_cannot_be_read_is_named_with_its_line(tmp_path, line):
    whole = "[10.0000 - 11.4000]\tSes01F_impro01_F001\tang\t[1.5000, 4.0000, 4.5000]"
    root = write_iemocap_dialogue(tmp_path, evaluation=IEMOCAP_EVALUATION.replace(whole, line))
    with pytest.raises(ValueError, match=r"Ses01F_impro01.txt line 13 reads '\[10.0000") as error:
        load_iemocap(root)
    assert repr(line) in str(error.value)


def test_selecting_a_scenario_drops_whole_dialogues(root):
    write_iemocap_dialogue(root, "Ses01M_script02_1")
    assert len(load_iemocap(root)) == 8
    assert set(load_iemocap(root, "improvised")["dialogue_id"]) == {"Ses01F_impro01"}
    scripted = load_corpus("iemocap", root, scenario="scripted")
    assert set(scripted["dialogue_id"]) == {"Ses01M_script02_1"}
    assert scripted.index.tolist() == [0, 1, 2, 3]


def test_selecting_a_scenario_that_no_dialogue_has_is_an_error(root):
    with pytest.raises(ValueError, match=r"no dialogue is 'scripted'; the table has \['impro"):
        load_iemocap(root, "scripted")


def test_the_options_of_iemocap_are_refused_with_another_corpus():
    options = IemocapOptions(scenario="scripted")
    with pytest.raises(ValueError, match=r"IemocapOptions\(scenario='scripted'\).* --corpus demo"):
        CorpusSettings(options=options)


def test_a_dataset_has_the_dialogues_of_the_scenario_alone(root):
    options = IemocapOptions(scenario="scripted")
    write_iemocap_dialogue(root, "Ses01M_script02_1")
    table = load_utterances(CorpusSettings(corpus="iemocap", root=root, options=options))
    assert set(table["dialogue_id"]) == {"Ses01M_script02_1"}
