"""Learning from each rater: heads by train, their loss, and what they predict together."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.models.adaptation import adapt_classes
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.models.conversation import Outputs, RaterHeads, ask_head
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import (
    ConversationModelSettings,
    ModelSettings,
    UtteranceModelSettings,
)
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.settings.votes import VoteSettings
from conversation_emotion.tasks import annotators
from conversation_emotion.tasks.annotators import assign_heads, describe_heads
from conversation_emotion.tasks.voted import VotedTargets, learn_votes
from tests.conversations import make_dialogues
from tests.models.test_adaptation import adapt, make_turns
from tests.saved_models import LABELS as EMOTIONS
from tests.saved_models import save_untrained
from tests.small_tasks import LABELS, Planted, fit_task, make_dataset, make_fold, make_utterances
from tests.training.test_fit import Linear as Planned

CELLS = [
    {"ann": ["no"], "bob": ["yes"], "cat": ["no"]},
    {"ann": ["yes"], "bob": ["no", "yes"]},
    {"ann": ["no"], "dan": ["yes"]},
    None,
    {"cat": ["no"], "eve": ["no"]},
    {"cat": ["no"], "eve": ["no"]},
]
CLASSES = np.array([0, 1, 1, 1, 0, 0])
TRAIN = np.arange(4)
THIRD, SIXTH = 1 / 3, 1 / 6


def write(cell: dict[str, list[str]] | None, weights: dict[str, float] | None = None) -> str | None:
    if cell is None:
        return None
    given = weights or {}
    return json.dumps(
        [{"rater": x, "emotions": y, "weight": given.get(x, 1)} for x, y in cell.items()]
    )


def learn(cells: list[str | None]) -> VotedTargets:
    table = make_dialogues(6, 1).assign(
        votes=pd.Series(cells, dtype=object), emotion=[LABELS[x] for x in CLASSES]
    )
    dataset = make_dataset(table, CLASSES, make_fold(TRAIN, np.arange(4, 6)))
    found = learn_votes(dataset, VoteSettings(targets=("annotators",)))
    assert found is not None
    return found


@pytest.fixture
def voted(monkeypatch) -> VotedTargets:
    monkeypatch.setattr(annotators, "LEAST_RATED", 2)
    return learn([write(cell, {"dan": 2}) for cell in CELLS])


def test_raters_of_enough_of_train_have_a_head_and_all_others_share_one(voted):
    heads = assign_heads(voted, TRAIN)
    # Eve named two utterances and Cat three, but of train none and one.
    assert (heads.raters, heads.num_others, heads.num_heads) == (("ann", "bob"), 2, 3)
    np.testing.assert_allclose(
        heads.shares.toarray(),
        [
            [THIRD, 0, 0, THIRD, THIRD, 0],
            [0, 1 / 2, 1 / 4, 1 / 4, 0, 0],
            [THIRD, 0, 0, 0, 0, 2 / 3],  # Dan counts twice
            [0, THIRD, 0, THIRD, 0, THIRD],  # the label, where nobody voted
            [0] * 6,
            [0] * 6,
        ],
    )
    other = assign_heads(voted, np.array([1, 4, 5]))
    assert (other.raters, other.num_others) == (("cat", "eve"), 2)
    assert assign_heads(voted, np.array([0, 1])).num_others == 1  # Dan named none of these
    noted = describe_heads([heads, assign_heads(voted, np.array([0, 1]))])
    assert "2 raters named 2 utterances" in noted
    assert "1 to 2 others share one" in noted


def test_the_loss_is_the_mean_of_those_who_rated_each_with_their_own_heads(voted):
    chances = torch.tensor([[[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], [[0.3, 0.7], [0.6, 0.4], [1, 1]]])
    rows, weights = torch.tensor([0, 1]), torch.tensor([1.0, 1.0])
    first = -np.log([0.9, 0.8, 0.5]).mean()
    second = -(np.log(0.7) + np.log([0.6, 0.4]).mean()) / 2
    heads = assign_heads(voted, TRAIN)
    found = heads.measure(chances.log(), rows, weights)
    assert found.item() == pytest.approx((first + second) / 2)
    scaled = heads.measure(chances.log(), rows, weights, torch.tensor([3.0, 1.0]))
    assert scaled.item() == pytest.approx((3 * first + second) / 4)


def test_heads_that_agree_have_the_loss_of_the_distribution(voted):
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    weights, rows = torch.tensor([1.0, 3.0]), torch.arange(4)
    found = assign_heads(voted, TRAIN).measure(logits[:, None].expand(-1, 3, -1), rows, weights)
    assert found.item() == pytest.approx(voted.measure(logits, rows, weights).item())


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('{"no": 2, "yes": 1}', "planted: the votes count raters and name none, .* choose distri"),
        (
            write(CELLS[0]),
            "no rater named 20 utterances of train in fold only, the most is 4; choose --targets",
        ),
    ],
)
def test_votes_that_name_no_raters_or_few_of_each_are_refused(cell, message):
    with pytest.raises(ValueError, match=message):
        assign_heads(learn([cell] * 6), TRAIN)


class Raters(nn.Module):
    """Two heads on the mean of the frames."""

    def __init__(self) -> None:
        super().__init__()
        self.head = RaterHeads(3, 2, 2)

    def forward(self, batch: Batch) -> Outputs:
        logits, heads = ask_head(self.head, batch.states["speech"].mean(dim=(1, 2)))
        return Outputs(logits, None, None, heads=heads)


def make_voted(select_by: str = "auto") -> Planted:
    """Ann names the class, and Bob always no."""
    values = np.tile([[1.0], [-1.0]], (60, 3)).astype(np.float32)
    classes = (values[:, 0] > 0).astype(np.int64)
    inputs = make_utterances(values, classes, 100)
    cells = [write({"ann": [LABELS[label]], "bob": ["no"]}) for label in classes]
    table = inputs.dataset.utterances.assign(
        votes=pd.Series(cells), emotion=[LABELS[x] for x in classes]
    )
    inputs = inputs._replace(dataset=inputs.dataset._replace(utterances=table))
    training = TrainingSettings(
        epochs=20, patience=20, learning_rate=0.2, average_best=0, class_weights="none"
    )
    task = Planted(inputs, training, Raters)
    task.voted = learn_votes(inputs.dataset, VoteSettings(targets=("annotators",)))
    return task


def test_each_head_learns_its_rater_and_their_mean_is_predicted():
    task = make_voted()
    model = fit_task(task).model
    valid = task.batches(task.dataset.split.folds[0], 0).valid
    found = task.predict(model, valid).probabilities
    yes = task.dataset.classes()[100:] == 1
    np.testing.assert_allclose(found[yes], 0.5, atol=0.03)
    np.testing.assert_allclose(found[~yes, 0], 1, atol=0.03)
    with torch.inference_mode():
        heads = model(next(iter(valid))).heads.softmax(dim=-1).numpy()
    np.testing.assert_allclose(heads[yes, :, 1], [[1, 0]] * yes.sum(), atol=0.05)


def test_the_divergence_from_the_votes_of_valid_is_a_score_and_a_column():
    task = make_voted()
    fold = task.dataset.split.folds[0]
    predictions = task.predict(Planned(2), task.batches(fold, 0).valid)
    even = predictions._replace(probabilities=np.full((20, 2), 0.5, dtype=np.float32))
    # Of the votes (1/2, 1/2) none; of (1, 0), with (3/4, 1/4) between the two:
    own = (np.log2(4 / 3) + (0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25))) / 2
    assert task.score(even)["jsd"] == pytest.approx(own / 2)
    table = task.tabulate(even, fold, "valid")
    np.testing.assert_allclose(table["jsd"], np.where(table["target"] == 1, 0, own))


@pytest.mark.parametrize(
    "settings",
    [UtteranceModelSettings(hidden_size=4), ConversationModelSettings(hidden_size=4)],
)
def test_a_saved_model_has_its_heads_back(tmp_path: Path, settings: ModelSettings):
    features = FeatureSettings(modality="speech", speech_encoder="fbank")
    head = load_model(save_untrained(tmp_path, settings, features, num_heads=3)).model.head
    assert isinstance(head, RaterHeads)
    vectors = torch.randn(2, head.in_features, generator=torch.Generator().manual_seed(0))
    chances = [
        (vectors @ head.weight[4 * n : 4 * n + 4].T + head.bias[4 * n : 4 * n + 4]).softmax(-1)
        for n in range(3)
    ]
    assert len(head.bias) == 3 * len(EMOTIONS)
    torch.testing.assert_close(head(vectors).softmax(-1), torch.stack(chances).mean(dim=0))


class Reader(nn.Module):
    """A head, or several, of the inputs."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: "Batch") -> Outputs:
        logits, heads = ask_head(self.head, batch.inputs)  # type: ignore[attr-defined]
        return Outputs(logits, None, None, heads=heads)


def make_heads(*maps: nn.Linear) -> RaterHeads:
    heads = RaterHeads(8, 3, len(maps))
    with torch.no_grad():
        heads.weight.copy_(torch.cat([one.weight for one in maps]))
        heads.bias.copy_(torch.cat([one.bias for one in maps]))
    return heads


def test_heads_are_adapted_as_an_ensemble_of_them_is_and_all_of_one_as_one():
    torch.manual_seed(0)
    maps, turns = [nn.Linear(8, 3) for _ in range(2)], make_turns(shift=0.5)
    together = Reader(make_heads(*maps)).eval()
    ensemble = DeepEnsemble([Reader(copy.deepcopy(one)) for one in maps]).eval()
    own = adapt(together, turns, adapt_classes, temperature=0.5)
    members = adapt(ensemble, turns, adapt_classes, temperature=0.5)
    for name in ("weight", "bias"):
        expected: Tensor = torch.cat([members[f"members.{n}.head.{name}"] for n in range(2)])
        torch.testing.assert_close(own[f"head.{name}"], expected, atol=1e-4, rtol=1e-4)
    # Two heads that are equal count as one beside another network.
    mixed = DeepEnsemble([Reader(make_heads(maps[0], maps[0])), Reader(maps[1])]).eval()
    other = adapt(mixed, turns, adapt_classes, temperature=0.5)
    torch.testing.assert_close(
        other["members.1.head.bias"], members["members.1.head.bias"], atol=1e-4, rtol=1e-4
    )
