"""Several corpora as one, and the classes that one of them lacks."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from conversation_emotion.corpora import load_corpus
from conversation_emotion.datasets.batches import Batch, WindowLoader
from conversation_emotion.datasets.dataset import make_dataset
from conversation_emotion.models.conversation import Outputs
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.class_weights import find_absent_classes
from experiments.framework import commandline
from tests.layouts import write_emodb, write_recordings
from tests.small_tasks import Planted, make_fold, make_utterances

EMODB = [f"{speaker:02}a01{letter}a" for speaker in (3, 8, 9) for letter in "WLN"]
RAVDESS = [
    f"Actor_{actor:02}/03-01-{emotion}-01-01-01-{actor:02}.wav"
    for actor in (1, 2, 3)
    for emotion in ("01", "02", "05")
]


@pytest.fixture
def roots(tmp_path):
    emodb = write_emodb(tmp_path / "emodb", *EMODB)
    ravdess = write_recordings(tmp_path / "ravdess", *RAVDESS)
    return f"emodb={emodb}", f"ravdess={ravdess}"


def parse_joint(roots: tuple[str, ...]) -> CorpusSettings:
    return commandline.parse(SERSettings, ["--corpus", "joint", "--roots", *roots]).data


def test_ids_and_speakers_are_those_of_the_corpora_and_emotions_are_shared(roots):
    table = load_corpus("joint", roots=roots)
    assert table["corpus"].unique().tolist() == ["joint"]
    assert table["source"].value_counts().to_dict() == {"emodb": 9, "ravdess": 9}
    assert table["utterance_id"].is_unique
    assert set(table["speaker"]) >= {"emodb:03", "emodb:08"}
    anger = table.loc[table["emotion"] == "anger", "source"]
    assert anger.value_counts().to_dict() == {"emodb": 3, "ravdess": 3}


def test_the_command_line_takes_the_corpora_by_name(roots):
    dataset = make_dataset(parse_joint(roots))
    assert dataset.labels == ("anger", "boredom", "calm", "neutral")
    assert dataset.split.name == "speaker-k-fold"


@pytest.mark.parametrize(
    ("roots", "message"),
    [
        ((), "needs two corpora"),
        (("emodb=here",), "needs two corpora"),
        (("x=y", "z"), "no corpus"),
    ],
)
def test_what_cannot_be_joined_is_refused(roots, message):
    with pytest.raises(ValueError, match=message):
        load_corpus("joint", roots=roots)


def test_a_class_that_a_corpus_lacks_in_train_is_marked(roots):
    dataset = make_dataset(CorpusSettings(corpus="emodb", root=roots[0].partition("=")[2]))
    assert find_absent_classes(dataset, np.arange(9)) is None
    joint = make_dataset(parse_joint(roots))
    absent = find_absent_classes(joint, np.arange(18))
    assert absent is not None
    rows = dict(zip(joint.utterances["source"], absent.tolist(), strict=True))
    assert rows == {"emodb": [False, False, True, False], "ravdess": [False, True, False, False]}


class Undecided(nn.Module):
    """Gives every class the same logit."""

    def forward(self, batch: Batch) -> Outputs:
        return Outputs(torch.zeros(len(batch.targets), 2), None, None)


def test_the_loss_leaves_out_the_class_that_a_corpus_lacks():
    inputs = make_utterances(np.zeros((6, 1)), np.array([0, 0, 0, 1, 1, 0]), 6)
    table = inputs.dataset.utterances.assign(source=["poor"] * 3 + ["rich"] * 3)
    inputs = inputs._replace(dataset=inputs.dataset._replace(utterances=table))
    task = Planted(inputs, TrainingSettings(), Undecided)
    fold = make_fold(np.arange(6), np.arange(6))
    (batch,) = WindowLoader(inputs.windows, inputs.arrays["only"], np.zeros(6, int), batch_size=6)
    loss = task.loss(fold, torch.device("cpu"))
    # Three rows of the poor corpus have one possible class and no loss. Of the rich one, two have
    # a class of weight 6 / (2 * 2), and one a class of weight 6 / (2 * 4).
    expected = math.log(2) * (2 * 1.5 + 0.75) / (2 * 1.5 + 4 * 0.75)
    assert float(loss(Undecided(), batch)) == pytest.approx(expected)
