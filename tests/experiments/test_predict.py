"""The command that predicts recordings with a model that was saved or registered."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow import MlflowClient

from conversation_emotion.corpora.demo import DATA
from conversation_emotion.inference.saved_model import read_card
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.page import PageSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.utterances.audio import read_audio
from experiments import predict, ser
from experiments.tracking.registry import find_model
from experiments.tracking.store import tracking_uri
from tests.small_corpus import write_corpus
from tests.tracked import find_runs
from tests.whisper_writers import save_writer

FBANK = EncoderSettings(speech_encoder=("fbank",))


def write_clip(path: Path) -> Path:
    """Writes three seconds of the demo corpus."""
    soundfile.write(path, read_audio(DATA / "Ses01_00.ogg", duration=3.0), 16_000)
    return path


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """A folder in which a model of single utterances was registered twice."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        write_corpus(folder)
        config = SERSettings(
            data=CorpusSettings(corpus="manifest", root=folder / "manifest.csv"),
            features=FBANK,
            training=TrainingSettings(epochs=1),
            register="voices",
        )
        ser.EXPERIMENT.run(config)
        ser.EXPERIMENT.run(dataclasses.replace(config, model=UtteranceModelSettings(hidden_size=8)))
    return folder


@pytest.fixture
def here(voices, monkeypatch):
    monkeypatch.chdir(voices)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return voices


def test_every_recording_under_a_folder_gets_a_row(here, tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    for name in ("b.ogg", "deep/a.ogg"):
        write_clip(tmp_path / name)
    (tmp_path / "broken.wav").write_text("no sound")
    (tmp_path / "notes.txt").write_text("no recording")
    output = tmp_path / "out" / "predictions.csv"
    predict.run(predict.PredictSettings(model="voices", paths=(tmp_path,), output=output))
    table = pd.read_csv(output)
    names = ["b.ogg", "broken.wav", "deep/a.ogg"]
    assert table["recording"].tolist() == [str(tmp_path / name) for name in names]
    assert table["emotion"].isna().tolist() == [False, True, False]
    assert table["problem"][1].startswith("does not decode")
    probabilities = table.filter(like="p_").to_numpy()
    np.testing.assert_allclose(probabilities[[0, 2]].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities[0], probabilities[2])
    printed = capsys.readouterr().out
    assert "Emotion of single utterances, 3 rows" in printed
    assert "1 not predicted" in printed


def test_a_long_recording_gets_a_row_for_each_turn(here, tmp_path):
    clip = read_audio(DATA / "Ses01_00.ogg", duration=4.0)
    silence = np.zeros(2 * 16_000, dtype=np.float32)
    pieces = [*[clip, silence] * 6, clip]
    soundfile.write(tmp_path / "long.wav", np.concatenate(pieces), 16_000)
    output = tmp_path / "turns.jsonl"
    predict.run(
        predict.PredictSettings(model="voices", paths=(tmp_path / "long.wav",), output=output)
    )
    table = pd.read_json(output, lines=True)
    assert len(table) >= 7
    assert table["emotion"].notna().all()
    assert table["start"].is_monotonic_increasing
    in_silence = (table["start"] % 6 > 4.3) & (table["end"] % 6 < 5.7)
    assert not in_silence.any()


def test_a_recording_in_which_nobody_speaks_has_no_emotion_and_the_rest_goes_on(here, tmp_path):
    write_clip(tmp_path / "a.wav")
    soundfile.write(tmp_path / "silence.wav", np.zeros(40 * 16_000), 16_000)
    output = tmp_path / "predictions.csv"
    predict.run(predict.PredictSettings(model="voices", paths=(tmp_path,), output=output))
    table = pd.read_csv(output)
    assert table["emotion"].isna().tolist() == [False, True]
    assert table["problem"][1] == "nobody speaks"
    paths = (tmp_path / "silence.wav",)
    predict.run(predict.PredictSettings(model="voices", paths=paths, output=output))
    assert pd.read_csv(output)["problem"].tolist() == ["nobody speaks"]


def test_given_turns_are_predicted_and_written_as_subtitles(here, tmp_path):
    (tmp_path / "sound").mkdir()
    soundfile.write(tmp_path / "sound" / "talk.wav", read_audio(DATA / "Ses01_00.ogg"), 16_000)
    lines = ["SPEAKER talk 1 0.5 1.5 <NA> <NA> Ann <NA> <NA>"]
    lines += ["SPEAKER talk 1 2.5 1.0 <NA> <NA> Bob <NA> <NA>"]
    (tmp_path / "talk.rttm").write_text("\n".join(lines) + "\n")
    output = tmp_path / "out.vtt"
    settings = predict.PredictSettings(
        model="voices",
        paths=(tmp_path / "talk.rttm",),
        audio=tmp_path / "sound",
        output=output,
    )
    predict.run(settings)
    written = output.read_text()
    assert "00:00:00.500 --> 00:00:02.000" in written
    assert "<v Ann>" in written
    assert "<v Bob>" in written


def test_frames_are_written_for_each_window_of_a_turn(here, tmp_path):
    clip, curves = write_clip(tmp_path / "a.wav"), tmp_path / "curves.csv"
    predict.run(
        predict.PredictSettings(
            model="voices", paths=(clip,), output=tmp_path / "turns.csv", frames=curves
        )
    )
    table = pd.read_csv(curves)
    assert table["time"].tolist() == [1.0, 1.5, 2.0]
    assert set(table["recording"]) == {str(clip)}
    assert table[["p_angry", "p_sad"]].notna().all(axis=None)
    with pytest.raises(ValueError, match=r"--frames ends in '.rttm', expected one of .csv, .jsonl"):
        predict.PredictSettings(paths=(clip,), frames=Path("a.rttm"))
    with pytest.raises(
        ValueError, match=r"--explain ends in '.rttm', expected one of .csv, .jsonl"
    ):
        predict.PredictSettings(paths=(clip,), explain=Path("a.rttm"))


def test_classes_that_are_left_out_are_never_named(here, tmp_path):
    output = tmp_path / "predictions.csv"
    paths = (here / "manifest.csv",)
    predict.run(
        predict.PredictSettings(
            model="voices", paths=paths, output=output, classes=("sad", "happy")
        )
    )
    table = pd.read_csv(output)
    assert set(table["emotion"]) <= {"sad", "happy"}
    np.testing.assert_allclose(table["p_sad"] + table["p_happy"], 1, atol=1e-5)
    predict.run(
        predict.PredictSettings(model="voices", paths=paths, output=output, min_confidence=0.999)
    )
    unsure = pd.read_csv(output)
    assert unsure["emotion"].isna().all()
    assert unsure["problem"].str.contains("no emotion reaches the probability 0.999").all()
    with pytest.raises(ValueError, match="does not know 'boredom'; it has angry"):
        predict.run(
            predict.PredictSettings(
                model="voices", paths=paths, output=output, classes=("boredom",)
            )
        )


def test_a_name_in_other_bytes_or_behind_a_link_gets_a_row_and_the_rest_is_counted(
    here, tmp_path, capsys
):
    (tmp_path / "rec").mkdir()
    (tmp_path / "elsewhere").mkdir()
    clip = write_clip(tmp_path / "clip.ogg").read_bytes()
    for name in (b"rec/F\xfchrung.ogg", b"elsewhere/10:30:05.OGG", b"rec/notes.txt"):
        (tmp_path / os.fsdecode(name)).write_bytes(clip)
    (tmp_path / "rec" / "link").symlink_to(tmp_path / "elsewhere")
    output = tmp_path / "predictions.csv"
    predict.run(predict.PredictSettings(model="voices", paths=(tmp_path / "rec",), output=output))
    table = pd.read_csv(output)
    names = [str(tmp_path / "rec" / name) for name in ("F\\udcfchrung.ogg", "link/10:30:05.OGG")]
    assert table["recording"].tolist() == names
    assert table["emotion"].notna().all()
    assert "passed over: 1 .txt" in capsys.readouterr().out


def test_one_recording_is_predicted_by_itself(here, tmp_path):
    output = tmp_path / "predictions.csv"
    root = write_clip(tmp_path / "clip.ogg")
    predict.run(predict.PredictSettings(model="voices", paths=(root,), output=output))
    assert pd.read_csv(output)["recording"].tolist() == [str(root)]


def test_a_manifest_is_predicted_row_by_row(here, tmp_path):
    output = tmp_path / "predictions.csv"
    predict.run(
        predict.PredictSettings(model="voices", paths=(here / "manifest.csv",), output=output)
    )
    given, table = pd.read_csv(here / "manifest.csv"), pd.read_csv(output)
    assert table["utterance_id"].tolist() == given["utterance_id"].tolist()
    assert table["emotion"].notna().all()


def test_a_model_is_found_by_name_version_address_or_folder(here):
    first = MlflowClient(tracking_uri()).get_model_version("voices", "1")
    folder = find_model("voices/1")
    assert str(folder) in f"{first.source}/artifacts/saved_model"
    assert find_model("models:/voices/1") == folder == find_model(str(folder))
    assert find_model("voices") == find_model("voices/2") != folder


def test_a_model_is_found_by_its_run_and_by_that_of_the_command(here):
    client, _, children = find_runs("ser")
    registered = client.get_model_version("voices", "2").run_id
    [child] = [run for run in children if run.info.run_id == registered]
    folder = find_model(child.info.run_id)
    assert folder.name == "saved_model"
    assert registered in folder.parts
    assert folder == find_model(f"runs:/{registered}")
    assert folder == find_model(child.data.tags["mlflow.parentRunId"])


def test_a_run_that_kept_no_model_or_is_not_there_is_refused(here):
    client, [parent, *_], _ = find_runs("ser")
    with pytest.raises(FileNotFoundError, match=f"no run {'0' * 32} in sqlite"):
        find_model("0" * 32)
    empty = client.create_run(parent.info.experiment_id).info.run_id
    with pytest.raises(FileNotFoundError, match=f"run {empty} kept no model; train with --regis"):
        find_model(empty)


@pytest.mark.parametrize("name", ["faces", "voices/3"])
def test_a_model_that_is_not_there_is_refused_with_those_that_are(here, name):
    with pytest.raises(FileNotFoundError, match=f"'{name}' is neither .* registered are: voices"):
        find_model(name)


def test_a_model_of_all_targets_is_registered_with_the_scores_of_the_folds(
    here, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    config = SERSettings(
        data=CorpusSettings(corpus="manifest", root=here / "manifest.csv"),
        features=FBANK,
        training=TrainingSettings(epochs=1, seeds=2),
        register="everyone",
        train_on_all=True,
    )
    table = ser.EXPERIMENT.run(config)
    folder = find_model("everyone")
    card = read_card(folder / "config.json")
    training, calibration = card.training, card.calibration
    row = table.rows[0]
    trainings = row.num_folds * row.num_seeds
    assert (training.fold, training.on_all, training.num_trainings) == ("all", True, trainings)
    assert calibration is not None
    assert training.test.num_targets == calibration.num_targets == row.n
    assert "Trained on every target" in (folder / "README.md").read_text()
    _, [parent], _ = find_runs("ser")
    assert read_card(find_model(parent.info.run_id) / "config.json").training == training


def test_a_model_of_all_targets_needs_a_name():
    with pytest.raises(ValueError, match="--train-on-all .* --register"):
        SERSettings(train_on_all=True)


def test_words_that_are_written_down_get_a_language_and_a_sentiment(here, tmp_path):
    write_clip(tmp_path / "a.wav")
    asr = save_writer(tmp_path / "asr", ["Guten", "Morgen"])
    paths, output = (tmp_path / "a.wav",), tmp_path / "predictions.csv"
    settings = predict.PredictSettings(
        model="voices", paths=paths, output=output, asr=str(asr), language="English"
    )
    predict.run(settings)
    table = pd.read_csv(output)
    assert table["text"][0].replace("Guten Morgen", "").strip() == ""  # three windows of a second
    assert table["language"].tolist() == ["en"]
    polarities = ["sentiment_negative", "sentiment_neutral", "sentiment_positive"]
    np.testing.assert_allclose(table[polarities].sum(axis=1), 1, atol=1e-5)
    assert table["modality"].tolist() == ["speech"]
    with pytest.raises(ValueError, match="has no language 'tlh'; it has de, en"):
        predict.run(dataclasses.replace(settings, paths=(Path("nowhere"),), language="tlh"))


def test_words_alone_are_predicted_next_to_broken_turns_unless_left_out(here, tmp_path, capsys):
    (tmp_path / "turns.csv").write_text(
        "text,start,end\nI hate you!,0,1\nI love it so much!,5,4\n,0,1\n"
    )
    paths, output = (tmp_path / "turns.csv",), tmp_path / "predictions.csv"
    settings = predict.PredictSettings(model="voices", paths=paths, output=output)
    predict.run(settings)
    table = pd.read_csv(output)
    assert table["emotion"].fillna("").tolist() == ["angry", "happy", ""]
    assert table["sentiment"].fillna("").tolist() == ["negative", "positive", ""]
    assert table["problem"].isna().tolist() == [True, False, False]
    assert "before it starts" in table["problem"][1]
    printed = capsys.readouterr().out
    assert "2 by their words alone, without usable sound" in printed
    assert "sentiment of their words: 1 negative, 0 neutral, 1 positive" in printed
    predict.run(dataclasses.replace(settings, sentiment="none", text_model="none"))
    table = pd.read_csv(output)
    assert table["emotion"].isna().all()
    assert "sentiment" not in table


def test_a_model_of_sentiment_is_summarised_and_written_as_a_subtitle(here, tmp_path, capsys):
    (tmp_path / "turns.csv").write_text("text,start,end\nI hate you!,0,1\n")
    paths, output = (tmp_path / "turns.csv",), tmp_path / "out.vtt"
    settings = predict.PredictSettings(model="default-sentiment", paths=paths, output=output)
    predict.run(settings)
    assert "Sentiment of single utterances, 1 rows: 1 negative" in capsys.readouterr().out
    assert "[negative" in output.read_text()


def test_a_language_without_a_model_of_words_is_a_usage_error():
    with pytest.raises(ValueError, match="--language is that of --asr, which is not given"):
        predict.PredictSettings(paths=(Path("a.wav"),), language="de")


def test_without_a_store_nothing_is_made(workplace):
    with pytest.raises(FileNotFoundError, match="no runs yet"):
        find_model("voices")
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    ("root", "message"), [("nowhere", "no file or folder nowhere"), (".", "no recording under .;")]
)
def test_a_root_without_recordings_is_refused(here, tmp_path, monkeypatch, root, message):
    folder = find_model("voices")
    monkeypatch.chdir(tmp_path)
    config = predict.PredictSettings(model=str(folder), paths=(type(folder)(root),))
    with pytest.raises(FileNotFoundError, match=message):
        predict.run(config)


def test_a_report_is_a_page_with_the_turns_and_what_they_rest_on_and_what_the_model_is(
    here, tmp_path
):
    page, explanation = tmp_path / "out" / "page.html", tmp_path / "explanation.csv"
    settings = predict.PredictSettings(
        model="voices",
        paths=(write_clip(tmp_path / "clip.wav"),),
        output=tmp_path / "predictions.csv",
        explain=explanation,
        page=PageSettings(report=page),
    )
    predict.run(settings)
    text = page.read_text("utf-8")
    table = pd.read_csv(explanation)
    assert set(table["target"]) == set(pd.read_csv(tmp_path / "predictions.csv")["emotion"])
    assert table["start"].tolist() == pytest.approx(np.arange(30) / 10)
    largest = table.sort_values("attribution", key=abs)["start"].iloc[-1]
    assert f"{largest:.2f} to {largest + 0.1:.2f} s" in text
    assert ">clip.wav</h2>" in text
    assert "data:audio/ogg;base64," in text
    assert "Trained by conversation-emotion on the corpus manifest" in text
