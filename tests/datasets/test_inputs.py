"""Inputs of a fold: whose emotions and whose statistics training may use."""

import json
from itertools import product

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.inputs import Inputs, make_parts
from conversation_emotion.datasets.windows import PADDING, build_windows
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.splits.folds import Fold, SplitOptions
from conversation_emotion.splits.protocols import SHARED_DIALOGUES, SPLITS, make_split
from conversation_emotion.tasks.emotion import build_on_train
from conversation_emotion.utterances.labels import IGNORED
from conversation_emotion.utterances.table import build_utterances
from tests.conversations import make_features
from tests.small_tasks import make_dataset, make_inputs

LABELLED = np.flatnonzero(np.arange(96) % 7)
"""Some turns have no class, and are context alone."""


def make_dyads(name: str):
    """Four sessions of two people, six dialogues each; EmoBox finds no sessions and draws."""
    rows = [
        {
            "utterance_id": f"Ses0{session}{'FM'[dialogue % 2]}_d{dialogue}u{order}",
            "dialogue_id": f"Ses0{session}{'FM'[dialogue % 2]}_d{dialogue}",
            "order": order,
            "speaker": f"s{session}{'FM'[order % 2]}",
            "session": None if name == "emobox" else f"s{session}",
            "emotion": ("angry", "sad")[(order + dialogue) % 3 % 2],
            "split": (None, ("train", "train", "valid", "test")[session])[name == "official"],
        }
        for session, dialogue, order in product(range(4), range(6), range(4))
    ]
    return build_utterances(rows, "dyads")


@pytest.fixture(params=SPLITS)
def numbered(request, tmp_path) -> Inputs:
    """Windows of every split, in which the emotion of an utterance is its row number."""
    table = make_dyads(request.param)
    for session in range(4):
        is_test = table["session"] == f"s{session}"
        (tmp_path / f"Session{session}").mkdir()
        for part, rows in (("test", table[is_test]), ("train", table[~is_test])):
            entries = [{"path": f"{name}.wav"} for name in rows["utterance_id"]]
            file = tmp_path / f"Session{session}" / f"{part}_meta_data.json"
            file.write_text(json.dumps({"meta_data": entries}))
    options = SplitOptions(num_folds=4, superb_folds=tmp_path, target_rows=LABELLED)
    split = make_split(request.param, table, options)
    classes = np.where(np.isin(np.arange(96), LABELLED), 0, IGNORED)
    windows = build_windows(table, classes, horizon=0)
    dataset = make_dataset(table, classes, *split.folds, emotions=np.arange(96))
    dataset = dataset._replace(split=split)
    values = np.random.default_rng(0).normal(size=(96, 2))
    arrays = {"speech": ModalityArrays(make_features(values), "speech")}
    return make_inputs(dataset, windows, arrays)


def emotions_of(inputs: Inputs, fold: Fold, part: str) -> set[int]:
    """Returns the emotions that the batches of a part hold, of contexts and of targets."""
    batches = make_parts(inputs, fold, 0, 16)[part]
    found = [torch.cat([batch.context_emotions.flatten(), batch.emotions]) for batch in batches]
    return {*torch.cat(found).tolist()} - {IGNORED}


def test_no_emotion_in_training_is_of_an_utterance_outside_train_in_any_split(numbered):
    is_shared = []
    for fold in numbered.dataset.split.folds:
        assert emotions_of(numbered, fold, "training") <= {*fold.train}
        assert not emotions_of(numbered, fold, "valid") & {*fold.test}
        assert emotions_of(numbered, fold, "test") >= {*fold.test} & {*LABELLED}
        rows = numbered.training.select(fold.train).rows
        is_shared.append(bool(set(rows[rows != PADDING]) & {*fold.valid, *fold.test}))
    # Were there nothing to hide, the test would pass whatever is masked.
    shared = SHARED_DIALOGUES.get(numbered.dataset.split.name, set())
    assert any(is_shared) == any("train" in parts for parts in shared)


def test_features_are_standardised_by_train_alone_in_any_split(numbered):
    for fold in numbered.dataset.split.folds:
        model = build_on_train(
            numbered, fold, FeatureSettings(modality="speech"), ConversationModelSettings(), 2
        )
        rows = np.intersect1d(numbered.training.select(fold.train).rows, fold.train)
        frames = numbered.arrays[fold.name]["speech"].stack_frames(rows)[:, 0]
        centre = model.get_buffer("perceptions.speech.standardisation.centre")
        np.testing.assert_allclose(centre.flatten(), frames.mean(axis=0), atol=1e-5)
