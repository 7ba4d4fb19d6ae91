"""An ensemble: all models of a command as one that is saved, loaded and asked."""

from pathlib import Path

import numpy as np
import pytest

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.windows import single_utterances
from conversation_emotion.evaluation.groups import NOT_GIVEN
from conversation_emotion.inference.best_model import FOLDER
from conversation_emotion.inference.certainty import list_certainty, run_windows
from conversation_emotion.inference.columns import list_outputs
from conversation_emotion.inference.ensemble import KeepAll, join_members
from conversation_emotion.inference.onnx_export import require_exportable
from conversation_emotion.inference.saved_model import SavedModel, load_model
from conversation_emotion.models.committees import ThinnedNetworks
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.cross_validation import cross_validate
from tests.conversations import make_dialogues, make_features
from tests.small_tasks import make_dataset, make_inputs

VALUES = np.random.default_rng(0).normal(size=(60, 4))
CLASSES = np.arange(60) % 2
VALUES[:, 0] += 3 * CLASSES


def make_task(num_folds: int = 2) -> UtteranceEmotion:
    """A task on planted features; each fold tests another third."""
    thirds = [np.arange(20 * part, 20 * part + 20) for part in range(3)]
    folds = [
        Fold(name=f"f{n}", train=thirds[2 - n], valid=thirds[(1 - n) % 3], test=thirds[n])
        for n in range(num_folds)
    ]
    table = make_dialogues(60, 1).assign(language="en")
    table["gender"] = ["female", "female", "female", None] * 15
    arrays = {"speech": ModalityArrays(make_features(VALUES), "speech")}
    inputs = make_inputs(make_dataset(table, CLASSES, *folds), single_utterances(CLASSES), arrays)
    features = FeatureSettings(
        modality="speech", speech_encoder="fbank", speech_pooling="mean", layer_mixture="sum"
    )
    model = UtteranceModelSettings(hidden_size=4, dropout=0.3)
    training = TrainingSettings(epochs=2, workers=1, by=("gender",))
    return UtteranceEmotion(inputs, features, model, training)


def write_kept(run: MemoryTracker, folder: Path) -> Path:
    folder.mkdir()
    for name, content in run.artifacts.items():
        if name.startswith(FOLDER):
            (folder / Path(name).name).write_bytes(bytes(content))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def joined(tmp_path_factory) -> tuple[SavedModel, list[SavedModel], Path]:
    """The ensemble of two folds, its members, and its folder."""
    place, task, tracker = tmp_path_factory.mktemp("ensemble"), make_task(), MemoryTracker()
    keep = KeepAll(task)
    predictions = cross_validate(task, tracker, on_trained=keep)
    folders = [write_kept(run, place / name) for name, run in tracker.children.items()]
    join_members(keep, folders, predictions, tracker)
    whole = write_kept(tracker.children["ensemble-seed0"], place / "whole")
    return load_model(whole), [load_model(folder) for folder in folders], whole


def run(saved: SavedModel, values: np.ndarray):
    windows = single_utterances(np.zeros(len(values), dtype=np.int64))
    return run_windows(saved, windows, {"speech": make_features(values)}, len(values))


def test_an_ensemble_predicts_the_mean_of_all_models_and_their_disagreement(joined):
    saved, members, _ = joined
    found = run(saved, VALUES)
    each = np.stack([run(member, VALUES).probabilities for member in members])
    np.testing.assert_allclose(found.probabilities, each.mean(axis=0), atol=1e-6)
    assert np.ptp(each, axis=0).max() > 0.01
    assert list_certainty(saved) == ["disagreement", "novelty"]
    assert list_certainty(members[0]) == ["novelty"]
    apart = np.abs(each[0] - each[1]).max(axis=1)
    assert np.corrcoef(found.certainty["disagreement"], apart)[0, 1] > 0.8


def test_what_is_far_from_the_features_of_train_is_new(joined):
    saved, *_ = joined
    assert (run(saved, VALUES).certainty["novelty"] <= 1).mean() >= 0.9
    assert run(saved, VALUES + np.array([0, 40, -40, 0])).certainty["novelty"].min() > 3


def test_the_card_tells_members_groups_and_novelty_and_lists_their_columns(joined):
    saved, _, folder = joined
    card = saved.card
    assert (card.num_members, card.training.fold, card.training.on_all) == (2, "ensemble", True)
    assert card.novelty is not None
    assert (card.novelty.num_utterances, card.novelty.share) == (60, 0.95)
    assert [one.name for one in card.groups] == [
        "gender female (n = 30)",
        f"gender {NOT_GIVEN} (n = 10)",
    ]
    assert all(one.p_holm is None for one in card.groups)
    text = (folder / "README.md").read_text("utf-8")
    assert "The mean of 2 models, each trained on another part of the corpus" in text
    assert "| gender female (n = 30) |" in text
    assert "at most 1 for\n95% of the utterances of speakers that were held out" in text
    names = [column.name for column in list_outputs(card)]
    assert names[names.index("prediction_set") + 1 :][:2] == ["disagreement", "novelty"]


def test_a_saved_model_with_dropout_is_asked_as_thinned_networks(joined):
    _, (member, _), _ = joined
    thinned = member._replace(
        model=ThinnedNetworks(load_model(joined[2].parent / "f0-seed0").model, 4)
    )
    first, again = run(thinned, VALUES), run(thinned, VALUES[:7])
    np.testing.assert_allclose(first.probabilities[:7], again.probabilities, atol=1e-6)
    assert first.certainty["disagreement"].max() > 0.001
    assert list_certainty(thinned) == ["disagreement", "novelty"]


def test_a_card_without_its_domain_is_an_error(joined, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((joined[2] / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"it has no domain\.safetensors"):
        load_model(tmp_path)


def test_what_makes_no_ensemble_is_refused(joined):
    with pytest.raises(ValueError, match="--ensemble needs two trainings or more, got 1"):
        KeepAll(make_task(num_folds=1))
    with pytest.raises(
        ValueError, match="--ensemble needs --register NAME, without --train-on-all"
    ):
        SERSettings(ensemble=True, register="a", train_on_all=True)
    with pytest.raises(ValueError, match="the model is an ensemble of 2, not exported"):
        require_exportable(joined[0].card)
