"""What predictions rest on: moments, words, turns and modalities, and what is no answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from conversation_emotion.datasets.batches import ModalityArrays, gather_batch
from conversation_emotion.datasets.group_statistics import GroupStatistics, Statistics
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.calibration import Calibration
from conversation_emotion.features.extract import Features, pool_frames
from conversation_emotion.inference.certainty import run_windows
from conversation_emotion.inference.explanation import check_kinds, explain_rows
from conversation_emotion.inference.explanation.gradients import (
    attribute_frames,
    find_baselines,
    integrate,
    share_frames,
)
from conversation_emotion.inference.explanation.pieces import (
    OTHER_TOKENS,
    leave_out_word,
    sum_moments,
    sum_words,
)
from conversation_emotion.inference.explanation.removal import find_shapley_values
from conversation_emotion.inference.explanation.scoring import Scorer, WindowCase
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.models.fusion import FrameAttention, FusionModel
from conversation_emotion.models.perception import (
    LayerSum,
    MeanPooling,
    Standardisation,
    identity,
)
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from tests.saved_models import LABELS, save_untrained
from tests.spoken import RECORDING
from tests.text_encoders.test_text_encoders import save_model as save_bert
from text_encoders.bert import BertEncoder

SMALL = UtteranceModelSettings(hidden_size=8)
CLIP = pd.DataFrame({"audio": [str(RECORDING)], "offset": [4.0], "duration": [0.55]})
TURNS = pd.DataFrame(
    {
        "dialogue_id": "a",
        "order": range(5),
        "speaker": ["x", "y", "y", "x", "y"],
        "audio": [str(RECORDING)] * 3 + [None, None],
        "offset": [0.0, 2.0, 4.0, np.nan, np.nan],
        "duration": [0.3, 0.4, 0.5, np.nan, np.nan],
        "text": ["i am happy", "you", None, "so angry today", None],
    }
)


def use_fbank(**settings) -> FeatureSettings:
    return FeatureSettings(modality="speech", speech_encoder="fbank", **settings)


def shift_means(model: nn.Module) -> None:
    """Gives a model a mean of train that is not zero."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, Standardisation):
            module.centre += torch.rand(module.centre.shape, generator=generator)


def load(folder: Path, settings, features: FeatureSettings) -> Predictor:
    predictor = Predictor.load(save_untrained(folder, settings, features), sentiment=None)
    shift_means(predictor.saved.model)
    return predictor


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Predictor:
    features = use_fbank(speech_pooling="statistics")
    return load(tmp_path_factory.mktemp("voices"), SMALL, features)


@pytest.fixture(scope="module")
def turns(tmp_path_factory) -> Predictor:
    """A model of the turn to come, from fbank and the tokens of a small BERT."""
    folder = tmp_path_factory.mktemp("turns")
    save_bert(folder / "bert")
    features = FeatureSettings(text_encoder=str(folder / "bert"), text_layers="last")
    return load(folder / "model", ConversationModelSettings(hidden_size=8), features)


@pytest.fixture(scope="module")
def explained(turns) -> pd.DataFrame:
    return turns.explain(TURNS)


def score_last(predictor: Predictor, tables: list[pd.DataFrame], label: str) -> np.ndarray:
    """Log-probabilities of a class of the last turn of some conversations."""
    rows = pd.concat([one.assign(dialogue_id=str(n)) for n, one in enumerate(tables)])
    found = predictor.predict(rows.reset_index(drop=True))[f"p_{label}"].to_numpy()
    return np.log(found[len(TURNS) - 1 :: len(TURNS)])


def log_probability(predictor: Predictor, states: np.ndarray, label: str) -> float:
    """That of a clip whose features are at hand, (L, T, D)."""
    settings = replace(predictor.saved.card.features, standardise="none")
    saved = predictor.saved._replace(card=replace(predictor.saved.card, features=settings))
    given = {"speech": Features([states.astype(np.float32)], {})}
    ran = run_windows(saved, single_utterances(np.zeros(1, dtype=np.int64)), given, 1)
    return float(np.log(ran.probabilities[0, LABELS.index(label)]))


@pytest.mark.parametrize(
    "features",
    [
        use_fbank(speech_pooling="mean"),
        use_fbank(speech_pooling="statistics"),
        use_fbank(speech_pooling="statistics", standardise="clip"),
        use_fbank(speech_pooling="frames", aggregator="ecapa", aggregator_size=8),
    ],
    ids=["mean", "statistics", "clip", "ecapa"],
)
def test_moments_add_up_to_the_difference_from_the_mean_of_train(tmp_path, features):
    predictor = load(tmp_path, SMALL, features)
    found, predicted = predictor.explain(CLIP), predictor.predict(CLIP).iloc[0]
    label = str(predicted["emotion"])
    centre = find_baselines(predictor.saved.model, ["speech"])["speech"].numpy()
    num_frames = 55 if features.speech_pooling == "frames" else 1
    baseline = np.repeat(centre[:, None], num_frames, axis=1)
    expected = np.log(predicted["confidence"]) - log_probability(predictor, baseline, label)
    assert found["attribution"].sum() == pytest.approx(expected, abs=0.02)
    assert abs(expected) > 0.05
    assert set(found["target"]) == {label}


def test_moments_of_a_tenth_of_a_second_lie_in_the_seconds_of_the_recording(voices):
    found = voices.explain(CLIP, target="sad")
    assert found["start"].tolist() == pytest.approx([4.0, 4.1, 4.2, 4.3, 4.4, 4.5])
    assert found["end"].tolist() == pytest.approx([4.1, 4.2, 4.3, 4.4, 4.5, 4.55])
    assert set(found["target"]) == {"sad"}
    assert found["share"].abs().sum() == pytest.approx(1)
    assert np.sign(found["share"]).tolist() == np.sign(found["attribution"]).tolist()


def test_frames_of_a_second_stay_whole():
    assert sum_moments(np.array([1.0, 2.0]), 1.0, 2.4) == [(0.0, 1.0, 1.0), (1.0, 2.4, 2.0)]


@pytest.mark.parametrize("standardise", ["none", "clip", "speaker"])
@pytest.mark.parametrize("pooling", ["mean", "statistics", "frames"])
def test_frames_share_all_that_parts_a_clip_from_the_baseline(pooling, standardise):
    generator = np.random.default_rng(0)
    frames = generator.normal(1.0, 2.0, (2, 7, 3)).astype(np.float32)
    pooled = pool_frames(torch.from_numpy(frames)[None], torch.tensor([7]), pooling)[0].numpy()
    is_clip, own, group = standardise == "clip", None, None
    if standardise == "speaker":
        centre = generator.normal(size=(2, pooled.shape[2])).astype(np.float32)
        own = Statistics(centre, np.full((2, 1), 2.0, dtype=np.float32))
        group = GroupStatistics(own.centre[None], own.scale[None], np.array([0]))
    features = Features([pooled], {})
    arrays = ModalityArrays(features, "speech", normalise_clips=is_clip, statistics=group)
    states, _ = arrays.gather(torch.tensor([0]))
    baseline = generator.normal(size=(2, pooled.shape[2]))
    found = share_frames(frames, pooling, baseline, normalise_clips=is_clip, statistics=own)
    distance = states[0].numpy() - baseline[:, None]
    np.testing.assert_allclose(found.sum(axis=1), distance.sum(axis=1), atol=1e-4)


class Logistic(nn.Module):
    """Two classes by one weight of each feature, summed over frames."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.standardisation = nn.ModuleDict(
            {"speech": Standardisation(torch.zeros(1, len(weights)), None, torch.ones(1, 3))}
        )
        self.weights = torch.tensor(weights)

    def forward(self, batch) -> Outputs:
        logits = (batch.states["speech"] @ self.weights).sum(dim=(1, 2))
        return Outputs(torch.stack([logits, torch.zeros_like(logits)], dim=-1), None, None)


def test_a_linear_model_shares_its_log_probability_by_weight_times_value():
    states = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]], dtype=np.float32)  # two frames
    arrays = {"speech": ModalityArrays(Features([states], {}), "speech")}
    windows = single_utterances(np.zeros(1, dtype=np.int64))
    batch = gather_batch(windows, arrays, np.zeros(1, dtype=np.int64), np.array([0]))
    model = Logistic([2.0, 3.0, -0.5])
    scorer = Scorer(model, 2.0, torch.tensor([True, True]))
    case = WindowCase(scorer=scorer, batch=batch, rows=np.array([0]), label=0)
    gradients, missed, difference = integrate(case, find_baselines(model, ["speech"]))
    found = attribute_frames(gradients["speech"][0], states)
    # The logits are 2 and 3 - 1 = 2: 4 together, 2 at a temperature of 2.
    assert difference == pytest.approx(-np.log1p(np.exp(-2)) + np.log(2))
    np.testing.assert_allclose(found, [difference / 2, difference / 2], atol=1e-4)
    assert missed == pytest.approx(0, abs=1e-4)


def test_an_ensemble_is_explained_by_the_mean_of_its_members(voices, tmp_path):
    member = load(tmp_path, SMALL, use_fbank(speech_pooling="statistics")).saved.model
    shift_means(member)
    first = voices.saved.model
    model = DeepEnsemble([first, member]).eval()
    ensemble = Predictor(voices.saved._replace(model=model), voices.encoders)
    found = ensemble.explain(CLIP, target="sad")
    centre = 1.5 * find_baselines(first, ["speech"])["speech"].numpy()[:, None]
    here = np.log(ensemble.predict(CLIP)["p_sad"][0])
    assert found["attribution"].sum() == pytest.approx(
        here - log_probability(ensemble, centre, "sad"), abs=0.02
    )


def test_temperature_and_chosen_classes_are_those_of_the_prediction(voices):
    calibration = Calibration(
        temperature=3.0, threshold=0.1, coverage=0.9, num_targets=9, num_speakers=3
    )
    saved = voices.saved._replace(card=replace(voices.saved.card, calibration=calibration))
    predictor, two = Predictor(saved, voices.encoders), ("angry", "sad")
    whole = pd.concat([CLIP, CLIP.assign(offset=0.0)])
    found = predictor.explain(whole, classes=two, target="sad").groupby("row")["attribution"].sum()
    predicted = np.log(predictor.predict(whole, classes=two)["p_sad"].to_numpy())
    # Both have the same baseline, so that sums differ as their log-probabilities do.
    assert found[0] - found[1] == pytest.approx(predicted[0] - predicted[1], abs=0.02)


def test_a_speaker_is_explained_by_the_model_and_the_statistics_of_their_own(voices, tmp_path):
    other = load(tmp_path, SMALL, use_fbank(speech_pooling="statistics"))
    shift_means(other.saved.model)
    features = replace(voices.saved.card.features, standardise="speaker")
    saved = voices.saved._replace(
        card=replace(voices.saved.card, features=features),
        statistics={"speech": Statistics(*np.full((2, 1, 160), 2.0, dtype=np.float32))},
        voices={"Ann": other.saved.model},
    )
    predictor = Predictor(saved, voices.encoders)
    both = pd.concat([CLIP, CLIP.assign(offset=0.0)])
    for name in ("Ann", "Bob"):
        rows = both.assign(speaker=name)
        found = predictor.explain(rows, target="sad").groupby("row")["attribution"].sum()
        predicted = np.log(predictor.predict(rows)["p_sad"].to_numpy())
        # Both clips have the same baseline, so that sums differ as their log-probabilities do.
        assert found[0] - found[1] == pytest.approx(predicted[0] - predicted[1], abs=0.005)
        assert abs(predicted[0] - predicted[1]) > 0.02


def test_moments_and_words_of_a_conversation_add_up_and_name_their_turns(turns, explained):
    last = explained[(explained["row"] == 4) & explained["kind"].isin(["time", "word"])]
    words = last[last["kind"] == "word"]
    assert words["text"].tolist() == [
        *("i", "am", "happy", OTHER_TOKENS),
        *("you", OTHER_TOKENS),
        *("so", "angry", "today", OTHER_TOKENS),
    ]
    assert words["turn"].tolist() == [0] * 4 + [1] * 2 + [3] * 4
    moments = last[last["kind"] == "time"].groupby("turn")["start"].agg(["min", "size"])
    assert moments.to_numpy().tolist() == [[0.0, 3], [2.0, 4], [4.0, 5]]
    # The same turns with other content have the same baseline: sums differ as predictions do.
    other = TURNS.copy()
    other["text"] = ["i am sad", "really", None, "so happy and", None]
    label = str(last["target"].iloc[0])
    found = turns.explain(other, target=label, kinds=["time", "word"])
    difference = found.loc[found["row"] == 4, "attribution"].sum() - last["attribution"].sum()
    scores = score_last(turns, [other, TURNS], label)
    assert difference == pytest.approx(scores[0] - scores[1], abs=0.02)


def test_a_turn_has_what_is_lost_when_its_content_is_left_out(turns, explained):
    found = explained[(explained["row"] == 4) & (explained["kind"] == "turn")]
    assert found["turn"].tolist() == [0, 1, 2, 3]
    assert found["text"].tolist()[:2] == ["i am happy", "you"]
    tables = [TURNS, *(TURNS.copy() for _ in range(4))]
    for row in range(4):
        tables[row + 1].loc[row, ["audio", "text"]] = None
    scores = score_last(turns, tables, found["target"].iloc[0])
    np.testing.assert_allclose(found["attribution"], scores[0] - scores[1:], atol=1e-4)


def test_modalities_share_what_parts_all_of_them_from_none(turns, explained):
    found = explained[(explained["row"] == 4) & (explained["kind"] == "modality")]
    assert found["source"].tolist() == ["speech", "text"]
    label = found["target"].iloc[0]
    silent, mute = TURNS.assign(audio=None), TURNS.assign(text=None)
    speech, text = score_last(turns, [mute, silent], label)
    # By hand: v(both) - v(none) = a + b, and a - b = v(speech) - v(text).
    assert np.diff(found["attribution"])[0] == pytest.approx(text - speech, abs=1e-4)
    alone = find_shapley_values(
        ["a", "b"], lambda kept: {"": 0, "a": 1, "b": 2, "ab": 5}["".join(sorted(kept))]
    )
    assert alone == {"a": 2.0, "b": 3.0}


def test_words_of_an_encoder_without_tokens_have_what_is_lost_without_each(tmp_path, monkeypatch):
    save_bert(tmp_path / "bert")
    features = FeatureSettings(modality="text", text_encoder=str(tmp_path / "bert"))
    predictor = load(tmp_path / "model", SMALL, features)
    monkeypatch.setattr(BertEncoder, "find_spans", lambda *_: None)
    rows = pd.DataFrame({"text": ["so angry today", "happy", None]})
    found = predictor.explain(rows, target="sad")
    shorter = pd.DataFrame({"text": ["so angry today", "angry today", "so today", "so angry"]})
    scores = np.log(predictor.predict(shorter)["p_sad"].to_numpy())
    assert found["text"].tolist()[:4] == ["so", "angry", "today", "happy"]
    np.testing.assert_allclose(found["attribution"][:3], scores[0] - scores[1:], atol=1e-4)
    assert found["method"].tolist()[:4] == ["leave one out"] * 4
    assert found["problem"].tolist()[4] == "not predicted: no audio or text to use"


def test_tokens_are_summed_over_words_and_chinese_letters_are_words():
    spans = [(0, 0), (0, 2), (2, 5), (6, 9), (0, 0)]
    found = sum_words(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), spans, "angry you cut")
    assert found == [("angry", 5.0), ("you", 4.0), ("cut", 0.0), (OTHER_TOKENS, 6.0)]
    assert [word for word, _ in sum_words(np.array([]), [], "我很 ok。")] == [
        *("我", "很", "ok。", OTHER_TOKENS)
    ]
    assert leave_out_word("我很 ok。", 1) == "我 ok。"


def test_what_has_no_answer_is_a_row_with_its_problem(turns, explained):
    first = explained[explained["row"] < 1]
    assert first["problem"].str.startswith("not predicted: too few turns").tolist() == [True]
    assert first[["kind", "attribution"]].isna().all(axis=None)
    silent = TURNS.assign(audio=None, start=range(5), end=[9, 2, 3, 4, 5])
    found = turns.explain(silent).query("row == 4").set_index("kind")["problem"]
    assert found["time"] == "no sound to point at"
    assert "not used, since it ends after the target begins" in found["turn"].tolist()
    broken = turns.explain(TURNS.assign(audio=[*"abcde"]), kinds=["time"])
    assert broken["problem"].tolist()[-1].startswith("d: No such file")
    silent = turns.explain(TURNS.assign(text=None), kinds=["word"])
    assert silent["problem"].tolist()[-1] == "no words to point at"


def test_rows_with_a_problem_are_counted_and_not_explained(voices):
    rows = pd.concat([CLIP, CLIP]).assign(problem=["nobody speaks", ""])
    found = explain_rows(voices, rows)
    assert found["row"].tolist() == [0] + [1] * 6
    assert found["problem"][0] == "not predicted: nobody speaks"
    assert list(explain_rows(voices, rows[:0])) == list(found)
    texts = pd.DataFrame({"audio": [None], "text": ["oh no"], "problem": [""]})
    for problem in ("", "nobody speaks"):  # the emotion of these is that of their words
        (said,) = explain_rows(voices, texts.assign(problem=problem))["problem"]
        assert said.endswith(
            "have a model of their own (--text-model), which explains them as --model"
        )


def test_what_a_model_does_not_know_is_refused(voices, tmp_path):
    with pytest.raises(
        ValueError, match="does not predict 'joy'; it has angry, happy, neutral, sad"
    ):
        voices.explain(CLIP, target="joy")
    with pytest.raises(ValueError, match="does not predict 'sad'; it has angry"):
        voices.explain(CLIP, target="sad", classes=("angry",))
    with pytest.raises(
        ValueError, match="'turn' is nothing that .* from fbank rests on; it has time"
    ):
        voices.explain(CLIP, kinds=["turn"])
    features = replace(voices.saved.card.features, speech_encoder="egemaps")
    with pytest.raises(ValueError, match="a model of egemaps alone cannot be explained"):
        check_kinds(replace(voices.saved.card, features=features))
    with pytest.raises(
        ValueError, match="Linear cannot be explained: .* standardisation of 'speech'"
    ):
        find_baselines(nn.Linear(1, 1), ["speech"])


def test_fused_frames_of_several_encoders_are_explained_together():
    generator = np.random.default_rng(0)
    arrays, sources = {}, {}
    for name, num_frames in (("speech", 4), ("text", 2)):
        states = generator.normal(size=(1, num_frames, 3)).astype(np.float32)
        arrays[name] = ModalityArrays(Features([states], {}), name)
        sources[name] = nn.Sequential(identity(1, 3), LayerSum(1, 3))
    torch.manual_seed(0)
    fused = FrameAttention({"speech": 3, "text": 3}, size=8)
    pools = {name: MeanPooling(8) for name in sources}
    model = FusionModel(sources, fused, pools, fusion="cross-attention", num_classes=2).eval()
    one = np.zeros(1, dtype=np.int64)
    batch = gather_batch(single_utterances(one), arrays, one, one)
    scorer = Scorer(model, 1.0, torch.tensor([True, True]))
    case = WindowCase(scorer=scorer, batch=batch, rows=one, label=1)
    _, missed, difference = integrate(case, find_baselines(model, sources))
    silent = {name: torch.zeros_like(states) for name, states in batch.states.items()}
    expected = case.score() - replace(case, batch=batch._replace(states=silent)).score()
    assert difference == pytest.approx(expected, abs=1e-5)
    assert abs(missed) < 0.01 < abs(expected)
