"""Losses of classes by hand, classes drawn alike, and what settings refuse."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.batches import draw_balanced
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.settings.training import FineTuningSettings, TrainingSettings
from conversation_emotion.settings.votes import VoteSettings
from conversation_emotion.tasks.losses import cross_entropy, make_measure, refuse_mixup
from conversation_emotion.utterances.labels import IGNORED

ONES, COUNTS = torch.ones(2), torch.tensor([3.0, 1.0])


def logits_of(*probabilities: float) -> torch.Tensor:
    """Logits of two classes by the probability of the first: (B, 2)."""
    return torch.tensor([[p, 1 - p] for p in probabilities]).log()


def test_the_focal_loss_counts_what_is_right_less():
    measure = make_measure(TrainingSettings(loss="focal"), COUNTS)
    logits, classes = logits_of(0.5, 0.9, 0.3), torch.tensor([0, 0, IGNORED])
    first, second = 0.25 * math.log(2), 0.01 * -math.log(0.9)
    found = measure(logits, classes, ONES, None)
    assert float(found) == pytest.approx((first + second) / 2, rel=1e-5)
    scaled = measure(logits, classes, torch.tensor([2.0, 1.0]), torch.tensor([3.0, 1.0, 5.0]))
    assert float(scaled) == pytest.approx((6 * first + 2 * second) / 8, rel=1e-5)
    assert float(measure(logits[2:], classes[2:], ONES, None)) == 0


def test_adjusted_logits_expect_each_class_as_often_as_in_train():
    settings = TrainingSettings(loss="logit-adjusted", class_weights="none")
    measure = make_measure(settings, COUNTS)
    assert float(measure(logits_of(0.5), torch.tensor([1]), ONES, None)) == pytest.approx(
        math.log(4)
    )
    # Odds of 1 : 3 become 3 : 3.
    assert float(measure(logits_of(0.25), torch.tensor([0]), ONES, None)) == pytest.approx(
        math.log(2)
    )


@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_mixed_pairs_have_mixed_logits_and_both_classes(loss):
    plain = make_measure(TrainingSettings(loss=loss), COUNTS)
    mixed = make_measure(TrainingSettings(loss=loss, mixup=0.4), COUNTS)
    logits, classes = torch.randn(5, 2), torch.tensor([0, IGNORED, 1, 0, 1])
    torch.manual_seed(3)
    found = mixed(logits, classes, ONES, None)
    torch.manual_seed(3)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    order = torch.randperm(4)
    kept, named = logits[[0, 2, 3, 4]], classes[[0, 2, 3, 4]]
    pairs = share * kept + (1 - share) * kept[order]
    expected = share * plain(pairs, named, ONES, None)
    expected += (1 - share) * plain(pairs, named[order], ONES, None)
    assert float(found) == pytest.approx(float(expected))
    assert 0 < share < 1


def test_the_default_is_the_cross_entropy():
    assert make_measure(TrainingSettings(), COUNTS) is cross_entropy
    assert make_measure(FineTuningSettings(), COUNTS) is cross_entropy


def test_as_many_of_each_class_are_drawn_and_none_twice_before_all_were():
    classes = np.array([0] * 12 + [1] * 3 + [2] * 6 + [IGNORED] * 2)
    drawn = draw_balanced(classes, np.random.default_rng(0))
    assert np.bincount(classes[drawn][classes[drawn] >= 0]).tolist() == [7, 7, 7]
    times = np.bincount(drawn, minlength=len(classes))
    assert set(times[:12]) == {0, 1}
    assert sorted(times[12:15]) == [2, 2, 3]
    assert set(times[15:21]) == {1, 2}
    assert times[21:].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainingSettings(sampling="balanced"), "balanced and --sampling balanced each"),
        (lambda: FineTuningSettings(loss="logit-adjusted"), "balanced and --loss logit-adjusted"),
        (lambda: TrainingSettings(mixup=-1), "--mixup must be 0 or more, got -1"),
        (
            lambda: EPCSettings(
                training=TrainingSettings(loss="focal"), votes=VoteSettings(targets=("majority",))
            ),
            "--loss needs --targets label, got majority",
        ),
        (
            lambda: SentimentSettings(
                regression=True, training=TrainingSettings(class_weights="none", mixup=0.2)
            ),
            "--mixup has no effect with --regression",
        ),
        (
            lambda: SERSettings(
                model=UtteranceModelSettings(head="logistic"), training=TrainingSettings(mixup=0.2)
            ),
            "--head logistic is solved, without epochs or chance: --mixup 0.2 has no effect",
        ),
    ],
)
def test_what_cannot_work_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pairs_of_corpora_without_the_same_classes_are_not_mixed():
    with pytest.raises(ValueError, match="--mixup mixes utterances of all corpora, and some"):
        refuse_mixup(TrainingSettings(mixup=0.2), torch.zeros(3, 2, dtype=torch.bool))
    refuse_mixup(replace(TrainingSettings(), mixup=0.2), None)
