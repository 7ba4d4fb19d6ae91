"""Scores of probabilities against votes, by numbers that are worked out by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.datasets.votes import count_votes
from conversation_emotion.evaluation.votes import (
    STRATA,
    VotedRows,
    bin_votes,
    compare_votes,
    jensen_shannon,
    join_votes,
    kullback_leibler,
    leave_one_out,
    score_raters,
    score_votes,
    stratify,
)
from conversation_emotion.utterances.labels import LabelMap

LABELS = ("angry", "calm")
LABEL_MAP = LabelMap(
    corpus="mine", label_set="all", labels=LABELS, classes={name: name for name in LABELS}
)


def vote(*counts: tuple[int, int]) -> VotedRows:
    """Returns votes of utterances: how many named angry, and how many calm."""
    cells = [
        json.dumps(dict(zip(LABELS, one, strict=True))) if sum(one) else None for one in counts
    ]
    table = pd.DataFrame({"utterance_id": [f"u{n}" for n in range(len(counts))], "votes": cells})
    return leave_one_out(table, LABELS, count_votes(table, LABEL_MAP))


def predict(*angry: float, dialogues: int = 3) -> pd.DataFrame:
    """Returns predictions of utterances in turn of some dialogues, by the probability of angry."""
    numbers = np.arange(len(angry))
    return pd.DataFrame(
        {
            "utterance_id": [f"u{n}" for n in numbers],
            "dialogue_id": numbers % dialogues,
            "fold": "only",
            "seed": 0,
            "p_angry": angry,
            "p_calm": 1 - np.array(angry),
        }
    )


def score(voted: VotedRows, *angry: float) -> dict[str, float]:
    found = score_votes(join_votes(predict(*angry), voted), voted)
    return {name: one.score for name, one in found.items()}


def test_divergences_are_in_bits():
    sure, even = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert kullback_leibler(sure, even) == 1.0
    assert kullback_leibler(even, np.array([0.25, 0.75])) == pytest.approx(1 - 0.5 * np.log2(3))
    # The entropy of their mean (3/4, 1/4), less half a bit.
    entropy = -0.75 * np.log2(0.75) - 0.25 * np.log2(0.25)
    assert jensen_shannon(sure, even) == pytest.approx(entropy - 0.5)
    assert jensen_shannon(sure, sure[::-1]) == 1.0


def test_a_distribution_is_scored_by_its_distance_from_the_shares_of_the_votes():
    voted = vote((3, 1), (0, 2), (1, 1))
    found = score(voted, 0.75, 0.5, 0.25)
    assert found["voted_uar"] == 0.5  # 3 : 1 is predicted, 0 : 2 is not; the tie does not count
    assert found["brier"] == pytest.approx((0 + 2 * 0.5**2 + 2 * 0.25**2) / 3)
    assert found["kl"] == pytest.approx((0 + 1 + 1 - 0.5 * np.log2(3)) / 3)
    # Above 1/2 are votes of angry, calm, none, and predictions of angry, none, calm: F1 of angry is
    # 1, that of calm 0.
    assert found["above_chance_f1"] == 0.5
    # Confidences are 0.75, 0.5 and 0.75, votes for what is predicted 0.75, 0 and 0.5.
    assert found["voted_ece"] == pytest.approx((0.25 + 0.5) / 3)
    curve = [*bin_votes(join_votes(predict(0.75, 0.5, 0.25), voted), voted)]
    assert curve == [(0.5, 0.0, pytest.approx(1 / 3)), (0.75, 0.625, pytest.approx(2 / 3))]


def test_what_has_no_votes_or_no_probabilities_is_not_scored():
    voted = vote((3, 1), (0, 0), (1, 1))
    joined = join_votes(predict(0.75, 0.1, np.nan), voted)
    assert joined["utterance_id"].tolist() == ["u0"]
    assert score_votes(joined, voted)["jsd"].score == 0.0
    assert score_votes(joined, voted)["jsd"].n == 1


def test_a_rater_is_scored_against_the_others_and_the_model_on_the_same():
    # Of 3 : 1 a rater of three for angry has 2 : 1 against, and the one for calm has 3 : 0 against.
    voted = vote((3, 1), (0, 2), (1, 0))
    joined = join_votes(predict(0.9, 0.2, 0.5), voted)
    found = score_raters(joined, voted)
    # Angry is the majority of the others for all four, of which one says calm; calm for both.
    assert found["voted_uar"].score == pytest.approx((3 / 4 + 1) / 2)
    assert found["brier"].score == pytest.approx(((3 * 2 / 9 + 2) / 4 + 0) / 2)
    assert found["voted_uar"].n == 2  # nobody else has voted for the third
    shares = score_votes(joined, voted)
    assert shares["uar_of_rater"].score == pytest.approx(1 / (7 / 8))
    sure, calm = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    most = np.array([2 / 3, 1 / 3])
    rater = (0.75 * jensen_shannon(most, sure) + 0.25) / 2
    high, low = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    model = 0.75 * jensen_shannon(most, high) + 0.25 * jensen_shannon(sure, high)
    model = (model + jensen_shannon(calm, low)) / 2
    assert shares["jsd_of_rater"].score == pytest.approx((1 - model) / (1 - rater))


def test_one_vote_each_has_no_ceiling():
    voted = vote((1, 0), (0, 1), (1, 0))
    joined = join_votes(predict(0.9, 0.2, 0.5), voted)
    assert score_raters(joined, voted) == {}
    assert "uar_of_rater" not in score_votes(joined, voted)


def test_utterances_are_parted_by_the_share_of_the_most_frequent_vote():
    voted = vote((3, 0), (2, 1), (1, 1), (0, 5), (0, 0))
    found = dict(stratify(join_votes(predict(*[0.5] * 5), voted), voted))
    ids = {name: part["utterance_id"].tolist() for name, part in found.items()}
    everybody, most, half = STRATA
    assert ids == {
        "all": ["u0", "u1", "u2", "u3"],
        everybody: ["u0", "u3"],
        most: ["u1"],
        half: ["u2"],
    }


def test_the_better_of_two_systems_is_found_in_pairs_and_itself_is_no_better():
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 9, size=(120, 2))
    voted = vote(*map(tuple, counts.tolist()))
    true = counts[:, 0] / counts.sum(axis=1)
    good, bad = (
        join_votes(predict(*np.clip(true + spread * generator.normal(size=120), 0.01, 0.99)), voted)
        for spread in (0.05, 0.25)
    )
    for table in (good, bad):
        table["dialogue_id"] = np.arange(120) % 20
    found = compare_votes(good, bad.sample(frac=1, random_state=0), voted)
    (jsd, p_value), first, second = (
        found["jsd"],
        score_votes(good, voted),
        score_votes(bad, voted),
    )
    assert jsd.score == pytest.approx(first["jsd"].score - second["jsd"].score)
    assert jsd.low < jsd.score < jsd.high < 0
    assert p_value < 0.001
    assert compare_votes(good, good, voted)["jsd"] == ((0, 0, 0, 0, 120), 1.0)
    with pytest.raises(ValueError, match="predict different utterances: 120 and 119 predictions"):
        compare_votes(good, bad.iloc[1:], voted)


def test_the_interval_of_a_divergence_is_the_t_interval_of_its_cluster_means():
    # One utterance in each cluster: the jackknife's error is that of a mean of single numbers.
    voted = vote(*[(1, 1)] * 6)
    angry = (0.5, 0.6, 0.7, 0.8, 0.9, 0.55)
    found = score_votes(join_votes(predict(*angry, dialogues=6), voted), voted)["brier"]
    single = np.array([2 * (one - 0.5) ** 2 for one in angry])
    error = single.std(ddof=1) / np.sqrt(6)
    reach = 2.570582 * error / single.mean()  # t of 5 degrees, on the scale of the logarithm
    assert found.low == pytest.approx(single.mean() * np.exp(-reach), rel=1e-4)
    assert found.high == pytest.approx(single.mean() * np.exp(reach), rel=1e-4)
