"""Rows with words by ASR beside the same rows with the corpus' own words."""

from typing import NamedTuple

import pytest
from optuna.trial import FixedTrial

from conversation_emotion.datasets import transcribed
from conversation_emotion.features import transcription
from conversation_emotion.settings.recognition import SERSettings
from experiments import fusion
from experiments.framework.commandline import parse
from experiments.ser import EXPERIMENT
from tests.command_line import usage_error
from tests.small_corpus import write_corpus
from tests.text_encoders.test_text_encoders import save_model
from tests.tracked import in_folder

ONE = ["--corpus=manifest", "--root=manifest.csv", "--modality=text", "--text-encoder=tokens:bert"]


class Said(NamedTuple):
    text: str
    language: str = "en"
    problem: str = ""


class Halver:
    """Writes ``never`` of each clip."""

    name, identity, max_samples = "halver", "halver 1", 16_000 * 30

    def find_language(self, name):
        if name == "xx":
            raise ValueError("no language 'xx'")
        return name

    def detect(self, waveforms, lengths):
        return ["en"] * len(lengths)

    def __call__(self, waveforms, lengths, languages):
        return [Said("never")] * len(lengths)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus whose words are ``never ever``, with an ASR that writes half of them down."""
    folder = tmp_path_factory.mktemp("transcribed")
    save_model(folder / "bert")
    with in_folder(folder), pytest.MonkeyPatch.context() as patch:
        table = write_corpus(folder, num_train=2)
        table = table.drop(columns="corpus").assign(text="Never, ever!")
        table.loc[table.index[0], "text"] = None
        table.to_csv("manifest.csv", index=False)
        patch.setattr(transcribed, "load_transcriber", lambda name: Halver())
        patch.setattr(transcription, "has_speech", lambda clip: True)
        yield table


@pytest.fixture(scope="module")
def shown(corpus):
    """The table, and that of words."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "experiments.framework.experiment.show_table",
            lambda table, runs, name=None: kept.append((name, table)),
        )
        EXPERIMENT.run(parse(SERSettings, [*ONE, "--asr=halver", "--epochs=1"]))
    return dict(kept)


def test_each_row_is_there_with_the_words_of_the_corpus_and_with_those_of_the_asr(shown):
    names = [row.name for row in shown[None].rows if row.kind == "model"]
    assert names == ["tokens:bert", "tokens:bert, words by ASR"]
    assert "words by ASR: halver" in " ".join(shown["words"].notes)


def test_word_errors_and_the_gap_stand_beside_each_other(shown):
    (row,) = shown["words"].rows
    assert row.metrics["words_wer"].score == pytest.approx(0.5)
    scores = {row.name: row.metrics["uar"].score for row in shown[None].rows if row.run_id}
    transcribed, given = scores["tokens:bert, words by ASR"], scores["tokens:bert"]
    assert row.metrics["change_uar"].score == pytest.approx(transcribed - given)
    assert 0 <= row.values["p_uar"] <= 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--modality=speech"], "--asr needs a row that reads text"),
        ([*ONE, "--register=one"], "--register has one model, --asr trains two"),
    ],
)
def test_an_asr_without_use_is_refused(flags, message, capsys):
    assert message in usage_error(SERSettings, [*flags, "--asr=halver"], capsys)


def test_a_corpus_without_recordings_has_nothing_to_write_down(corpus):
    corpus.assign(audio=None).to_csv("silent.csv", index=False)
    with pytest.raises(ValueError, match="no utterance of manifest names a recording"):
        EXPERIMENT.prepare(parse(SERSettings, [*ONE, "--asr=halver", "--root=silent.csv"]))


def test_a_language_that_the_asr_lacks_ends_before_any_training(corpus):
    with pytest.raises(ValueError, match="no language 'xx'"):
        EXPERIMENT.prepare(parse(SERSettings, [*ONE, "--asr=halver", "--asr-language=xx"]))


def test_a_sweep_trains_one_model_a_trial(corpus):
    with pytest.raises(ValueError, match="a trial has one model, --asr trains two"):
        EXPERIMENT.search_space(FixedTrial({}), parse(SERSettings, [*ONE, "--asr=halver"]))


def test_rows_of_speech_alone_are_there_once():
    settings = parse(fusion.FusionSettings, ["--rows=9,10,19", "--asr=halver"])
    names = [name.split("  ")[0] + name[-3:] for name in fusion.EXPERIMENT.rows(settings)]
    assert names == ["9ank", "10ERT", "10ASR", "19ons", "19ASR"]
