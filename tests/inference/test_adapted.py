"""Predictors that are adapted to speakers: whose predictions change, what is kept and refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.corpora.demo import load_demo
from conversation_emotion.inference.labelled import (
    adapt_predictor,
    read_labelled,
    save_adapted,
)
from conversation_emotion.inference.onnx_export import require_exportable
from conversation_emotion.inference.page.page import read_about
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.prediction import PredictSettings
from experiments.predict import run
from tests.saved_models import save_untrained

SPEECH = FeatureSettings(modality="speech", speech_pooling="mean")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Six turns of each speaker of a dialogue, by turns happy and sad."""
    table = load_demo()
    table = table[table["dialogue_id"] == table["dialogue_id"].iloc[0]].reset_index(drop=True)
    table = table.groupby("speaker", sort=False).head(6)
    order = table.groupby("speaker").cumcount()
    table["emotion"] = order.map({number: ["happy", "sad"][number % 2] for number in order})
    return table.drop(columns="text").reset_index(drop=True)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    settings = UtteranceModelSettings(hidden_size=8, dropout=0.2)
    return Predictor.load(save_untrained(tmp_path_factory.mktemp("one"), settings, SPEECH))


def mark_moved(after: pd.DataFrame, before: pd.DataFrame) -> np.ndarray:
    """Marks the rows of which anything else is predicted."""
    moved = np.abs(after.filter(like="p_").to_numpy() - before.filter(like="p_").to_numpy())
    return np.asarray(moved.max(axis=1) > 1e-3)


def mark_own(rows: pd.DataFrame) -> np.ndarray:
    return (rows["speaker"] == rows["speaker"].iloc[0]).to_numpy()


@pytest.mark.parametrize("method", ["classes", "lora"])
def test_each_speaker_has_an_adaptation_and_others_the_model_itself(predictor, rows, method):
    own = mark_own(rows)
    before = predictor.predict(rows)
    adapted = predictor.adapt(rows[own], method, by_speaker=True)
    after = adapted.predict(rows)
    assert mark_moved(after, before)[own].all()
    pd.testing.assert_frame_equal(after[~own], before[~own])
    pd.testing.assert_frame_equal(predictor.predict(rows), before)
    whole = predictor.adapt(rows[own], method).predict(rows)
    np.testing.assert_allclose(whole["p_happy"][own], after["p_happy"][own], atol=1e-6)
    assert mark_moved(whole, before).all()


def test_an_adapted_model_is_saved_and_loaded_with_its_speakers(predictor, rows, tmp_path):
    adapted = predictor.adapt(rows, by_speaker=True)
    save_adapted(tmp_path / "mine", adapted.saved)
    loaded = Predictor.load(tmp_path / "mine")
    pd.testing.assert_frame_equal(loaded.predict(rows), adapted.predict(rows))
    found = loaded.saved.card.adaptation
    assert found is not None
    assert (found.speakers, found.num_turns) == (tuple(rows["speaker"].unique()), (6, 6))
    text = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert f"Adapted by `classes` to {found.speakers[0]} (6 turns), " in text
    assert "is not promised" in text
    with pytest.raises(FileExistsError, match="mine exists and is not empty; name another"):
        save_adapted(tmp_path / "mine", adapted.saved)
    with pytest.raises(ValueError, match=r"the model is adapted already, to \S+ \(6 turns\)"):
        loaded.adapt(rows)
    with pytest.raises(ValueError, match="each by weights of their own, not exported"):
        require_exportable(loaded.saved.card)
    (tmp_path / "mine" / "voices.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no voices\.safetensors"):
        load_model(tmp_path / "mine")


def test_networks_drawn_from_a_model_are_drawn_from_the_adapted_one(predictor, rows, tmp_path):
    save_adapted(tmp_path / "plain", predictor.saved)
    drawn = Predictor.load(tmp_path / "plain", mc_dropout=3)
    before, after = drawn.predict(rows), drawn.adapt(rows).predict(rows)
    assert mark_moved(after, before).all()
    assert after["disagreement"].notna().all()
    text = read_about(tmp_path / "plain", drawn.adapt(rows).saved.card)
    assert "Adapted by `classes` to 12 labelled turns." in text


def test_turns_of_a_conversation_are_adapted_with_their_context(rows, tmp_path):
    settings = ConversationModelSettings(hidden_size=8)
    predictor = Predictor.load(save_untrained(tmp_path, settings, SPEECH))
    rows = rows.assign(order=range(len(rows)))
    labelled = rows.assign(emotion=rows["emotion"].where(mark_own(rows)))
    before = predictor.predict(rows)
    after = predictor.adapt(labelled, by_speaker=True).predict(rows)
    is_moved = mark_moved(after, before)
    assert (is_moved == (mark_own(rows) & before["emotion"].notna())).all()
    assert is_moved.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.drop(columns="emotion"), "need the column emotion, got corpus, utterance_id"),
        (lambda r: r.assign(emotion="bliss"), "turn 1 to adapt to has the emotion 'bliss', .*sad;"),
        (lambda r: r.assign(emotion=None), "none of 12 turns to adapt to has emotion filled in"),
        (lambda r: r.assign(audio="no.wav"), "none of 12 labelled turns can be used .*: 12 x no"),
        (lambda r: r.assign(speaker=None), "turn 1 to adapt to names no speaker"),
        (lambda r: r.drop(columns="speaker"), "by need the column speaker"),
        (lambda r: r.assign(emotion="sad"), "no turns of two classes or more to adapt to; label"),
    ],
)
def test_turns_that_teach_nothing_are_refused(predictor, rows, change, message):
    with pytest.raises(ValueError, match=message):
        predictor.adapt(change(rows), by_speaker=True)


def test_emotions_have_the_names_of_any_corpus_and_turns_that_fail_are_counted(
    predictor, rows, capsys
):
    known = predictor.adapt(rows).predict(rows)
    other = rows.assign(emotion=rows["emotion"].replace({"happy": "Joy", "sad": "sadness"}))
    pd.testing.assert_frame_equal(predictor.adapt(other).predict(rows), known)
    capsys.readouterr()
    predictor.adapt(rows.assign(audio=["no.wav", *rows["audio"][1:]]))
    assert "1 of 12 labelled turns cannot be used: 1 x no.wav: No such file" in (
        capsys.readouterr().out
    )


def test_what_speakers_the_turns_and_the_rows_name_decides_who_is_adapted(predictor, rows, capsys):
    own = mark_own(rows)
    one, other = rows["speaker"].unique()
    nobody = rows.drop(columns="speaker")
    adapted = adapt_predictor(predictor, rows[own], rows, "classes")
    assert list(adapted.saved.voices) == [one]
    assert f"predicted by the model itself: {other}" in capsys.readouterr().out
    assert not adapt_predictor(predictor, rows[own], nobody, "classes").saved.voices
    assert not adapt_predictor(predictor, nobody, rows, "classes").saved.voices
    with pytest.raises(ValueError, match="the turns are of 2 speakers .*keep the turns of that"):
        adapt_predictor(predictor, rows, nobody, "classes")
    with pytest.raises(ValueError, match=rf"no speaker of the turns \({one}\) is in what is"):
        adapt_predictor(predictor, rows[own], rows[~own], "classes")
    with pytest.raises(ValueError, match="method: expected one of classes, lora, got 'all'"):
        predictor.adapt(rows, "all")
    alone = rows.assign(emotion=rows["emotion"].where(own, "happy"))
    assert list(predictor.adapt(alone, by_speaker=True).saved.voices) == [one]
    assert f"{other}: all 6 turns to adapt to are happy; turns of one" in capsys.readouterr().out


def test_a_table_of_turns_is_read_with_its_emotions(predictor, rows, tmp_path, capsys):
    table = rows[["audio", "speaker", "emotion"]]
    table.assign(audio=["no.wav", *table["audio"][1:]]).to_csv(tmp_path / "turns.csv")
    card = predictor.saved.card
    found = read_labelled(tmp_path / "turns.csv", card)
    assert found["emotion"].tolist() == rows["emotion"].tolist()[1:]
    assert found["speaker"].tolist() == rows["speaker"].tolist()[1:]
    out = capsys.readouterr().out
    assert "1 of 12 turns to adapt to cannot be used: " in out
    assert "turns.csv line 2: no recording 'no.wav'" in out
    table.assign(audio="no.wav").to_csv(tmp_path / "gone.csv")
    with pytest.raises(ValueError, match=r"none of 12 turns of .*gone\.csv line 2: .* \.\.\.$"):
        read_labelled(tmp_path / "gone.csv", card)
    table.rename(columns={"emotion": "Emotion"}).to_csv(tmp_path / "named.csv", index=False)
    with pytest.raises(ValueError, match="has no column emotion, it has audio, speaker, Emotion"):
        read_labelled(tmp_path / "named.csv", card)
    with pytest.raises(FileNotFoundError, match=r"--adapt: no file .*other\.csv"):
        read_labelled(tmp_path / "other.csv", card)
    with pytest.raises(ValueError, match=r"turns\.srt' ends|turns\.srt ends in '\.srt', expected"):
        (tmp_path / "turns.srt").touch()
        read_labelled(tmp_path / "turns.srt", card)


def test_the_command_adapts_saves_and_refuses_what_needs_it(predictor, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_adapted(Path("plain"), predictor.saved)
    rows[["audio", "emotion"]].to_csv("turns.csv", index=False)
    settings = PredictSettings(
        paths=(Path(rows["audio"][0]),),
        model="plain",
        adapt=Path("turns.csv"),
        adapt_output=Path("mine"),
        sentiment="none",
        text_model="none",
    )
    run(settings)
    first = pd.read_csv("predictions.csv")
    run(replace(settings, model="mine", adapt=None, adapt_output=None))
    pd.testing.assert_frame_equal(first, pd.read_csv("predictions.csv"))
    kept = replace(settings, adapt=None, adapt_output=None)
    run(kept)
    assert mark_moved(first, pd.read_csv("predictions.csv")).all()
    with pytest.raises(FileExistsError, match="--adapt-output: mine exists and is not empty"):
        run(settings)
    with pytest.raises(ValueError, match="--adapt-by needs --adapt"):
        replace(settings, adapt=None, adapt_by="lora", adapt_output=None)


def test_predictions_are_explained_by_the_network_of_their_speaker(predictor, rows):
    own = mark_own(rows)
    adapted = predictor.adapt(rows[own], by_speaker=True)
    before, after = (one.explain(rows[::3], target="happy") for one in (predictor, adapted))
    moved = ~np.isclose(before["attribution"], after["attribution"], rtol=1e-4)
    of_own = before["row"].map(pd.Series(own[::3])).to_numpy(bool)
    assert moved[of_own].any()
    assert not moved[~of_own].any()
