"""Learning from votes: targets of rows, their losses, and what a model then predicts."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.settings.fine_tuning import FinetuneSettings
from conversation_emotion.settings.fusion import FusionSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.training import FineTuningSettings, TrainingSettings
from conversation_emotion.settings.votes import Target, VoteSettings, split_targets
from conversation_emotion.tasks.class_weights import find_absent_classes
from conversation_emotion.tasks.losses import cross_entropy
from conversation_emotion.tasks.prepare import add_kept, find_windows
from conversation_emotion.tasks.voted import (
    VotedTargets,
    learn_votes,
    multi_label_loss,
    soft_cross_entropy,
)
from conversation_emotion.utterances.labels import IGNORED
from experiments.ser import EXPERIMENT as SER
from tests.conversations import make_dialogues
from tests.small_tasks import (
    LABELS,
    Planted,
    fit_task,
    make_clips,
    make_dataset,
    make_fine_tuning,
    make_fold,
    make_inputs,
    make_utterances,
)
from tests.training.test_fit import Linear

NAN = (np.nan, np.nan)
COUNTS = [(3, 1), (1, 1), (0, 2), (0, 0), (2, 2), (1, 3)]
CLASSES = np.array([0, 1, 1, 0, IGNORED, IGNORED])
EMOTIONS = ["no", "yes", "yes", "no", None, "other"]
"""The fifth has votes and no label, since nobody agrees; the label of the last is no class."""


def vote(counts: list[tuple[int, int]]) -> pd.Series:
    cells = [json.dumps(dict(zip(LABELS, x, strict=True))) if sum(x) else None for x in counts]
    return pd.Series(cells, dtype=object)


def make_voted_dataset(num_dialogues: int = 6) -> Dataset:
    """Makes dialogues of one turn each, or of several, with the votes above."""
    table = make_dialogues(num_dialogues, len(COUNTS) // num_dialogues)
    table = table.assign(votes=vote(COUNTS), emotion=pd.Series(EMOTIONS))
    everything = make_fold(np.arange(6), np.arange(6))
    return make_dataset(table, CLASSES, everything)


def learn(kind: Target, no_agreement: str = "leave") -> VotedTargets:
    settings = VoteSettings(targets=(kind,), no_agreement=no_agreement)  # type: ignore[arg-type]
    found = learn_votes(make_voted_dataset(), settings)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("majority", [(1, 0), NAN, (0, 1), (1, 0), NAN, NAN]),
        ("distribution", [(0.75, 0.25), (0.5, 0.5), (0, 1), (1, 0), NAN, NAN]),
        ("multi-label", [(1, 0), (0, 0), (0, 1), (1, 0), NAN, NAN]),
    ],
)
def test_targets_are_those_of_the_votes_and_the_label_where_nobody_voted(kind, targets):
    np.testing.assert_array_equal(learn(kind).targets, targets)


def test_utterances_without_agreement_are_kept_where_wished_and_others_without_label_are_not():
    kept = learn("distribution", "keep")
    np.testing.assert_array_equal(kept.targets[4:], [(0.5, 0.5), NAN])
    assert kept.kept.tolist() == [False] * 4 + [True, False]
    assert kept.notes == (
        "distribution: 1 labelled utterances have no vote for a class, and their label",
        "distribution: 1 utterances without agreement are learned from",
    )
    tied = "majority: 1 labelled utterances have no majority, and are not learned from"
    assert tied in learn("majority").notes


def test_a_corpus_without_votes_is_refused_unless_the_label_is_learned():
    dataset = make_voted_dataset()
    bare = dataset._replace(utterances=dataset.utterances.assign(votes=None))
    assert learn_votes(bare, VoteSettings()) is None
    with pytest.raises(ValueError, match=r"planted: no utterance has votes .*; --targets label "):
        learn_votes(bare, VoteSettings(targets=("distribution",)))


def test_the_loss_of_sure_shares_is_that_of_classes():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    classes, weights = torch.tensor([0, 1, 2, 1, IGNORED]), torch.tensor([1.0, 2.0, 0.5])
    shares = torch.eye(3)[classes.clamp(min=0)] * (classes != IGNORED)[:, None]
    found = soft_cross_entropy(logits, shares, weights)
    assert found.item() == pytest.approx(cross_entropy(logits, classes, weights).item())
    assert soft_cross_entropy(logits[:0], shares[:0], weights).item() == 0


def test_the_loss_of_shares_is_least_at_the_shares():
    shares = torch.tensor([[0.7, 0.2, 0.1]])
    logits = shares.log().requires_grad_()
    soft_cross_entropy(logits, shares, torch.ones(3)).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_a_class_of_a_multi_label_target_is_one_above_chance():
    logits = torch.tensor([[2.0, 1.0, -1.0, 0.0]])
    targets = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    chances = logits.softmax(dim=-1)
    above = chances.logit() - torch.tensor(0.25).logit()
    expected = F.binary_cross_entropy_with_logits(above, targets)
    assert multi_label_loss(logits, targets, torch.ones(4)).item() == pytest.approx(expected.item())
    even = multi_label_loss(torch.zeros(1, 4), targets, torch.ones(4))
    assert even.item() == pytest.approx(np.log(2))  # all classes are just at chance


def test_balanced_classes_weigh_their_votes():
    voted, train = learn("distribution"), np.arange(4)
    # Of four targets 2.25 votes are for no, 1.75 for yes.
    expected = [4 / (2 * 2.25), 4 / (2 * 1.75)]
    np.testing.assert_allclose(voted.weigh_classes(train, is_balanced=True), expected)
    assert voted.weigh_classes(train, is_balanced=False).tolist() == [1, 1]
    with pytest.raises(ValueError, match="--targets distribution: no vote of the train part"):
        voted.weigh_classes(np.array([2]), is_balanced=True)


@pytest.mark.parametrize("kind", ["distribution", "multi-label"])
def test_a_row_of_another_weight_counts_as_often(kind):
    voted, logits = learn(kind), torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    rows, weights = torch.tensor([0, 2, 3]), torch.tensor([1.0, 1.0])
    again = torch.tensor([0, 0, 0, 2])  # the last weighs nothing
    expected = voted.measure(logits[[0, 0, 0, 1]], again, weights)
    found = voted.measure(logits, rows, weights, torch.tensor([3.0, 1.0, 0.0]))
    assert found.item() == pytest.approx(expected.item())


def test_a_class_that_a_corpus_has_votes_for_is_not_left_out_of_its_loss():
    dataset = make_voted_dataset()
    joint = dataset._replace(utterances=dataset.utterances.assign(source=[*"ababab"]))
    train = np.array([0, 2, 1])  # by label a has both classes, b only yes
    absent = find_absent_classes(joint, train)
    assert absent is not None
    assert absent[1].tolist() == [True, False]
    assert find_absent_classes(joint, train, learn("distribution")) is None


@pytest.mark.parametrize(
    ("kind", "expected"), [("label", 1.0), ("majority", 1.0), ("distribution", 0.75)]
)
def test_a_model_predicts_the_shares_that_it_learned(kind, expected):
    values = np.tile([[1.0], [-1.0]], (60, 3)).astype(np.float32)
    classes = (values[:, 0] > 0).astype(np.int64)
    inputs = make_utterances(values, classes, 80)
    table = inputs.dataset.utterances.assign(
        votes=vote([(3, 1) if label == 0 else (1, 3) for label in classes]),
        emotion=[LABELS[label] for label in classes],
    )
    inputs = inputs._replace(dataset=inputs.dataset._replace(utterances=table))
    # The last epoch, for the first has the best UAR.
    training = TrainingSettings(epochs=25, patience=25, learning_rate=0.2, average_best=0)
    task = Planted(inputs, training, lambda: Linear(2))
    task.voted = learn_votes(inputs.dataset, VoteSettings(targets=(kind,)))
    model = fit_task(task).model
    fold = inputs.dataset.split.folds[0]
    found = task.predict(model, task.batches(fold, 0).valid).probabilities
    own = found[np.arange(len(found)), classes[80:]]
    np.testing.assert_allclose(own, expected, atol=0.03)


@pytest.mark.parametrize("num_dialogues", [6, 2])
def test_kept_utterances_are_windows_of_training_alone(num_dialogues):
    dataset = make_voted_dataset(num_dialogues)
    model = (
        UtteranceModelSettings()
        if num_dialogues == 6
        else ConversationModelSettings(horizon=0, history=2)
    )
    windows, training = find_windows(dataset, model)
    inputs = make_inputs(dataset, windows, {}, training)
    settings = VoteSettings(targets=("distribution",), no_agreement="keep")
    found = add_kept(inputs, learn_votes(dataset, settings), model)
    assert 4 not in found.windows.target_rows
    assert 4 in found.training.target_rows
    assert found.training.targets[found.training.target_rows == 4].tolist() == [IGNORED]
    assert add_kept(inputs, learn("distribution"), model) is inputs


def test_fine_tuning_learns_shares_of_clips_and_of_those_without_agreement():
    task = make_fine_tuning(make_clips(), FineTuningSettings(batch_size=4))
    targets = np.tile([0.5, 0.5], (40, 1))
    kept = np.arange(40) == 39
    task.voted = VotedTargets(kind="distribution", labels=LABELS, targets=targets, kept=kept)
    swapped = make_fold(np.arange(24, 40), np.arange(24))
    batches = task.batches(swapped, 0)
    rows = sorted(row for batch in batches.training for row in batch.rows.tolist())
    assert rows == [*range(24, 38), 39]  # 38 has no clip; 39 has votes and no class
    loss = task.loss(swapped, torch.device("cpu"))
    batch = next(iter(batches.training))
    found = loss(model := task.build(swapped).eval(), batch)
    logits = model(batch.inputs, batch.lengths).logits
    expected = -logits.log_softmax(dim=-1).mean()  # both classes by half, with the same weight
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_target_is_a_row_with_settings_of_its_own():
    votes = VoteSettings(targets=("label", "distribution"), no_agreement="keep")
    rows = split_targets({"fbank": EPCSettings(votes=votes)})
    assert {name: (row.votes.targets, row.votes.no_agreement) for name, row in rows.items()} == {
        "fbank, label": (("label",), "leave"),
        "fbank, distribution": (("distribution",), "keep"),
    }
    assert [*split_targets({"fbank": EPCSettings()})] == ["fbank"]


def test_targets_are_compared_with_the_same_head():
    votes = VoteSettings(targets=("label", "distribution"))
    heads = {row.model.head for row in SER.rows(SERSettings(votes=votes)).values()}
    assert heads == {"superb"}
    assert {row.model.head for row in SER.rows(SERSettings()).values()} == {"auto"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: VoteSettings(targets=()), "--targets needs one or more"),
        (lambda: VoteSettings(targets=("label", "label")), "--targets names label more than once"),
        (
            lambda: VoteSettings(targets=("majority",), no_agreement="keep"),
            "--no-agreement keep needs --targets distribution or multi-label or annotators: .*maj",
        ),
        (
            lambda: SERSettings(
                votes=VoteSettings(targets=("distribution",)),
                model=UtteranceModelSettings(head="logistic"),
            ),
            "--head logistic is solved, .*: --targets distribution has no effect; leave it out, or",
        ),
        (
            lambda: SERSettings(
                register="mine", votes=VoteSettings(targets=("label", "distribution"))
            ),
            "--register needs one of --targets, got label distribution",
        ),
        (
            lambda: FinetuneSettings(votes=VoteSettings(targets=("label", "majority"))),
            "finetune, which trains one encoder for each fold, needs one of --targets, got label m",
        ),
        (
            lambda: FinetuneSettings(votes=VoteSettings(targets=("annotators",))),
            "--targets annotators has a head for each rater in ser and epc, not in finetune; ",
        ),
        (
            lambda: FusionSettings(votes=VoteSettings(targets=("majority", "annotators"))),
            "--targets annotators has a head for each rater in ser and epc, not in fusion; choose",
        ),
        (
            lambda: FusionSettings(
                votes=VoteSettings(targets=("majority",)),
                training=TrainingSettings(select_by="jsd"),
            ),
            "--select-by jsd selects in ser and epc, not in fusion",
        ),
        (
            lambda: EPCSettings(
                votes=VoteSettings(targets=("label", "distribution")),
                training=TrainingSettings(select_by="jsd"),
            ),
            "--select-by jsd needs --targets of votes, such as distribution, got label distrib",
        ),
        (
            lambda: SERSettings(training=TrainingSettings(select_by="jsd")),
            "--select-by jsd needs --targets of votes, such as distribution, got label",
        ),
    ],
)
def test_targets_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        settings()
