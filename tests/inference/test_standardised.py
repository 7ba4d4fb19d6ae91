"""Saved models whose features are standardised by speaker or corpus: what rows are taken by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.corpora.demo import load_demo
from conversation_emotion.datasets.group_statistics import Statistics, fit_groups
from conversation_emotion.features.extract import Features
from conversation_emotion.features.sources import encode
from conversation_emotion.inference import rows as piece_rows
from conversation_emotion.inference.best_model import KeepBest
from conversation_emotion.inference.labelled import save_adapted
from conversation_emotion.inference.onnx_export import require_exportable
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import load_model, save_model
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.cross_validation import cross_validate
from tests.inference.test_ensemble import make_task, write_kept
from tests.saved_models import save_untrained

SPEECH = FeatureSettings(modality="speech", speech_pooling="mean")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Utterances of two speakers."""
    table = load_demo().groupby("speaker", sort=False).head(4)[:8]
    return table[["audio", "offset", "duration", "speaker"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("standardised")
    saved = load_model(save_untrained(place / "plain", UtteranceModelSettings(), SPEECH))
    shape = saved.shapes["speech"]
    whole = Statistics(np.full(shape, 3, np.float32), np.full(shape, 2, np.float32))
    card = replace(saved.card, features=replace(SPEECH, standardise="speaker"))
    save_model(place / "speaker", saved.model, card, statistics={"speech": whole})
    card = replace(saved.card, features=replace(SPEECH, standardise="corpus"))
    save_model(place / "corpus", saved.model, card, statistics={"speech": whole})
    return place


@pytest.mark.parametrize("by", ["speaker", "corpus"])
def test_rows_are_standardised_by_their_speaker_or_by_all_rows(folder, rows, by, monkeypatch):
    predictor, plain = (Predictor.load(folder / name) for name in (by, "plain"))
    found = predictor.predict(rows)
    features = _encode(plain, rows)
    groups = rows["speaker"] if by == "speaker" else pd.Series("all", rows.index)
    fitted = fit_groups(features.states, groups, prior=predictor.saved.statistics["speech"])
    moved = fitted.standardise(
        np.stack([np.asarray(one)[:, 0] for one in features.states]), np.arange(len(rows))
    )
    states = Features([one[:, None] for one in moved], {})
    expected = plain.predict_encoded(rows[["audio"]], {"speech": states})
    np.testing.assert_allclose(found["p_happy"], expected["p_happy"], atol=1e-5)
    monkeypatch.setattr(piece_rows, "PIECE_ROWS", 3)
    pd.testing.assert_frame_equal(predictor.predict(rows), found)


def _encode(predictor: Predictor, rows: pd.DataFrame) -> Features:
    table = piece_rows.tabulate_rows(rows, is_conversation=False)
    order = table["utterance_id"].astype(int).argsort()
    table = table.iloc[order].reset_index(drop=True)
    return encode(table, SPEECH, predictor.encoders, cache_folder())["speech"]


def test_who_is_unknown_is_standardised_by_the_speakers_of_the_training(folder, rows):
    predictor = Predictor.load(folder / "speaker")
    alone = [predictor.predict(rows.drop(columns="speaker")[n : n + 1]) for n in range(3)]
    together = predictor.predict(rows.drop(columns="speaker")[:3])
    np.testing.assert_allclose(pd.concat(alone)["p_happy"], together["p_happy"], atol=1e-6)


def test_a_model_keeps_the_statistics_that_few_utterances_are_drawn_towards(tmp_path):
    task = make_task(num_folds=1)
    task.features = replace(task.features, standardise="speaker")
    (arrays,) = task.inputs.arrays["f0"].values()
    states = [one[:, None] for one in arrays.stack_frames(np.arange(60))]
    arrays.statistics = fit_groups(states, task.dataset.utterances["speaker"])
    tracker = MemoryTracker()
    cross_validate(task, tracker, on_trained=KeepBest(task))
    (run,) = tracker.children.values()
    saved = load_model(write_kept(run, tmp_path / "kept"))
    np.testing.assert_allclose(
        saved.statistics["speech"].centre, arrays.statistics.whole.centre, atol=1e-6
    )
    save_adapted(tmp_path / "again", saved)
    assert load_model(tmp_path / "again").statistics.keys() == {"speech"}
    (tmp_path / "again" / "statistics.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no statistics of .*has no statistics\.safe"):
        load_model(tmp_path / "again")


def test_a_stream_and_an_export_have_no_statistics_of_a_speaker(folder):
    predictor = Predictor.load(folder / "speaker")
    with pytest.raises(ValueError, match="--standardise speaker, which takes all turns at once"):
        predictor.stream(16_000)
    with pytest.raises(ValueError, match="--standardise corpus, which is not exported"):
        require_exportable(load_model(folder / "corpus").card)


def test_an_explanation_compares_with_the_mean_of_the_speaker(folder, rows):
    found = Predictor.load(folder / "speaker").explain(rows)
    assert set(found["problem"]) == {""}
    sums = found.groupby("row")["attribution"].sum()
    predicted = np.log(Predictor.load(folder / "speaker").predict(rows)["confidence"])
    is_same = found.groupby("row")["target"].first() == found["target"].iloc[0]
    differences = (predicted - sums)[is_same.to_numpy()]  # the log-probability at the mean
    np.testing.assert_allclose(differences, differences.iloc[0], atol=0.01)
