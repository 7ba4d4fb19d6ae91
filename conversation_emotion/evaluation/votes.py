"""Scores of probabilities against the votes of raters, and what a rater reaches against the others.

Divergences are in bits: that of Jensen and Shannon lies in 0 to 1. The ceiling leaves out one rater
of an utterance at a time: both the rater and the model are scored against the others, so that their
ratio compares them on the same targets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.datasets.votes import Votes, find_majority
from conversation_emotion.evaluation.calibration import NUM_BINS
from conversation_emotion.evaluation.jackknife import Jackknife, Numbers, jackknife, p_values
from conversation_emotion.evaluation.metrics import (
    Interval,
    confusion_scores,
    count_targets,
    summarise,
)

MEANS = ("voted_uar", "jsd", "kl", "brier", "above_chance_f1")
"""Scores of each fold, of which the mean is shown."""

POOLED = "voted_ece"
"""Score of all folds together, as the calibration error of classes is."""

SHARES = ("uar_of_rater", "jsd_of_rater")
"""Ratios to what a rater reaches."""

RATER = ("voted_uar", "jsd", "brier")
"""What a rater reaches against the others."""

COMPARED = ("voted_uar", "jsd", POOLED)
"""Scores of which two systems are compared."""

ALL = "all"

STRATA = {
    "all raters agree": (1 - 1e-9, np.inf),
    "most agree": (0.5 + 1e-9, 1 - 1e-9),
    "half or fewer agree": (-np.inf, 0.5 + 1e-9),
}
"""Shares of the votes for the emotion that most named, from, and up to but not including."""

LEAST_TESTED = 10
"""Utterances of a stratum below which it is shown, and not tested."""

_LEAST = float(np.finfo(np.float32).tiny)
"""Probabilities below are rounded to 0 by models, whose logarithm would be infinite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VotedRows:
    """The votes of the rows of a table, and what raters reach against the others.

    Attributes:
        labels: Names of the classes (C).
        ids: Utterance ids: (rows,).
        votes: The votes.
        others: Of K ballots with others on their row, the shares of these: (K, C).
        rows: Their rows: (K,).
        raters: What raters reach, averaged over the ballots of each row: the class that most of the
            others named (C), its confusions with the rater's (C²), divergence and Brier score.
    """

    labels: tuple[str, ...]
    ids: pd.Series
    votes: Votes
    others: Numbers
    rows: NDArray[np.int64]
    raters: Numbers


def leave_one_out(utterances: pd.DataFrame, labels: Sequence[str], votes: Votes) -> VotedRows:
    """Leaves out each ballot once, where others have voted for a class as well."""
    sums = np.zeros(votes.shares.shape)
    np.add.at(sums, votes.rows, votes.ballots)
    others = sums[votes.rows] - votes.ballots
    totals = others.sum(axis=1)
    has_others = totals > 1e-9
    own, rows = votes.ballots[has_others], votes.rows[has_others]
    own = own / own.sum(axis=1, keepdims=True)
    others = others[has_others] / totals[has_others, np.newaxis]
    return VotedRows(
        labels=tuple(labels),
        ids=utterances["utterance_id"].reset_index(drop=True),
        votes=votes,
        others=others,
        rows=rows,
        raters=_average_raters(own, others, rows, len(utterances)),
    )


def _average_raters(own: Numbers, others: Numbers, rows: NDArray[np.int64], count: int) -> Numbers:
    """Returns `VotedRows.raters`: (K, C), (K, C), (K,) -> (rows, C + C² + 2)."""
    size, majority = own.shape[1], find_majority(others)
    is_clear = majority >= 0
    places = rows[is_clear], majority[is_clear]
    targets, confusions = np.zeros((count, size)), np.zeros((count, size, size))
    np.add.at(targets, places, 1.0)
    np.add.at(confusions, places, own[is_clear])
    distances = jensen_shannon(others, own), np.square(others - own).sum(axis=1)
    sums = [np.bincount(rows, weights=one, minlength=count) for one in distances]
    counts = np.bincount(rows, minlength=count)
    found = np.column_stack([targets, confusions.reshape(count, -1), *sums])
    return found / np.maximum(counts, 1)[:, np.newaxis]


def join_votes(predictions: pd.DataFrame, voted: VotedRows) -> pd.DataFrame:
    """Returns the predictions that have probabilities, of utterances with votes.

    The column ``row`` is that of the table.
    """
    rows = pd.Series(voted.ids.index, index=voted.ids)
    joined = predictions.assign(row=predictions["utterance_id"].map(rows))
    has_votes = ~np.isnan(voted.votes.shares[:, 0])
    is_there = joined["row"].notna() & joined[f"p_{voted.labels[0]}"].notna()
    joined = joined[is_there].astype({"row": "int64"})
    return joined[has_votes[joined["row"]]]


def stratify(joined: pd.DataFrame, voted: VotedRows) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields the predictions of `ALL` utterances, and of each of the `STRATA` that has any."""
    yield ALL, joined
    agreement = voted.votes.agreement[joined["row"]]
    for name, (low, high) in STRATA.items():
        if (part := joined[(agreement >= low) & (agreement < high)]).size:
            yield name, part


def jensen_shannon(one: Numbers, other: Numbers) -> Numbers:
    """Returns the divergence of two distributions in bits: (..., C), (..., C) -> (...)."""
    middle = (one + other) / 2
    return (kullback_leibler(one, middle) + kullback_leibler(other, middle)) / 2


def kullback_leibler(true: Numbers, predicted: Numbers) -> Numbers:
    """Returns the divergence of a prediction in bits: (..., C), (..., C) -> (...)."""
    ratio = np.maximum(true, _LEAST) / np.maximum(predicted, _LEAST)
    return np.where(true > 0, true * np.log2(ratio), 0.0).sum(axis=-1)


def score_votes(joined: pd.DataFrame, voted: VotedRows) -> dict[str, Interval]:
    """Scores the probabilities of joined predictions, see `join_votes`, with 95 % intervals.

    ``voted_uar`` is the UAR of the class that most named, without ties; ``jsd`` and ``kl`` are
    divergences from the votes, ``brier`` the sum of squared differences from their shares;
    ``above_chance_f1`` is the macro F1 of all classes above 1 / C, predicted and voted; and
    ``voted_ece`` the mean distance, by bins of confidence, to the share of votes for the predicted
    class. `SHARES` are ratios to what a rater reaches against the others: of the UAR, and of 1 less
    the divergence; they are missing where no utterance has two votes.
    """
    n = count_targets(joined)
    scores = summarise(_jackknife_means(joined, voted), dict.fromkeys(MEANS, n))
    scores |= summarise(_jackknife_pooled(joined, voted), {POOLED: n})
    shared = joined[np.isin(joined["row"], voted.rows)]
    if len(shared):
        found = jackknife(shared, lambda part: _rater_terms(part, voted), _score_shares)
        scores |= summarise(found, dict.fromkeys(SHARES, count_targets(shared)))
    return scores


def score_raters(joined: pd.DataFrame, voted: VotedRows) -> dict[str, Interval]:
    """Scores raters against the others, on the utterances of joined predictions.

    Returns:
        The scores of `RATER` by name; none where no utterance has two votes.
    """
    shared = joined[np.isin(joined["row"], voted.rows)]
    if not len(shared):
        return {}
    found = jackknife(shared, lambda part: _rater_terms(part, voted), _score_raters)
    return summarise(found, dict.fromkeys(RATER, count_targets(shared)))


def compare_votes(
    one: pd.DataFrame, other: pd.DataFrame, voted: VotedRows
) -> dict[str, tuple[Interval, float]]:
    """Compares two systems in `COMPARED` by paired t tests over clusters.

    Args:
        one: Joined predictions.
        other: Those of the same folds, seeds and utterances.
        voted: The votes of the table.

    Returns:
        Difference, the first less the second, and two-sided p-value of none, by score.

    Raises:
        ValueError: The two predict different utterances.
    """
    keys = ["fold", "seed", "utterance_id"]
    ordered = [table.sort_values(keys, ignore_index=True) for table in (one, other)]
    if not ordered[0][keys].equals(ordered[1][keys]):
        raise ValueError(
            f"a comparison of systems that predict different utterances: {len(one)} and "
            f"{len(other)} predictions; score both on the same folds and seeds"
        )
    n, found = count_targets(one), {}
    for names, find in ((MEANS, _jackknife_means), ((POOLED,), _jackknife_pooled)):
        first, second = (find(table, voted) for table in ordered)
        differences = first.minus(second)
        tests = p_values(differences)
        for place, name in enumerate(names):
            if name in COMPARED:
                single = Jackknife(
                    differences.points[[place]], differences.influences[[place]], first.degrees
                )
                (change,) = summarise(single, {f"change_{name}": n}).values()
                found[name] = change, float(tests[place])
    return found


def _jackknife_means(joined: pd.DataFrame, voted: VotedRows) -> Jackknife:
    return jackknife(joined, lambda part: _terms(part, voted), _score_means)


def _jackknife_pooled(joined: pd.DataFrame, voted: VotedRows) -> Jackknife:
    return jackknife(joined.assign(fold=ALL), lambda part: _gaps(part, voted), _score_gaps)


def _read(part: pd.DataFrame, voted: VotedRows) -> tuple[Numbers, Numbers]:
    """Returns probabilities and shares of the votes: (N, C) each."""
    columns = [f"p_{label}" for label in voted.labels]
    return part[columns].to_numpy(np.float64), voted.votes.shares[part["row"]]


def _count_confusions(targets: NDArray[np.int64], predicted: Numbers) -> Numbers:
    """Returns the confusions of each target, 0 where it is below 0: (N,), (N, C) -> (N, C²)."""
    size = predicted.shape[1]
    targeted = np.eye(size)[targets] * (targets >= 0)[:, np.newaxis]
    return (targeted[:, :, np.newaxis] * predicted[:, np.newaxis, :]).reshape(-1, size**2)


def _one_hot(probabilities: Numbers) -> Numbers:
    return np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]


def _terms(part: pd.DataFrame, voted: VotedRows) -> Numbers:
    """Returns confusions, hits and misses of the classes above chance, divergences, and 1."""
    predicted, shares = _read(part, voted)
    is_above, is_voted = (one > 1 / one.shape[1] + 1e-9 for one in (predicted, shares))
    return np.column_stack(
        [
            _count_confusions(find_majority(shares), _one_hot(predicted)),
            is_above & is_voted,
            is_above.astype(float) + is_voted,
            jensen_shannon(shares, predicted),
            kullback_leibler(shares, predicted),
            np.square(predicted - shares).sum(axis=1),
            np.ones(len(part)),
        ]
    )


def _score_means(sums: Numbers) -> Numbers:
    size = round(np.sqrt(sums.shape[-1] - 3)) - 1  # of (C + 1)² + 3 terms
    confusions, hits, mass, rest = np.split(
        sums, [size**2, size**2 + size, size**2 + 2 * size], axis=-1
    )
    uar = _score_uar(confusions)
    f1 = (2 * hits / np.maximum(mass, 1e-12)).sum(axis=-1)
    f1 = f1 / np.maximum((mass > 0).sum(axis=-1), 1)
    means = rest[..., :-1] / rest[..., -1:]
    return np.stack([uar, *np.moveaxis(means, -1, 0), f1])


def _score_uar(confusions: Numbers) -> Numbers:
    """Scores flattened confusions, NaN where there is no target: (..., C²) -> (...)."""
    return np.where(confusions.sum(axis=-1) > 0, confusion_scores(["uar"])(confusions)[0], np.nan)


def bin_votes(joined: pd.DataFrame, voted: VotedRows) -> Iterator[tuple[float, float, float]]:
    """Yields mean confidence, share of the votes for what is predicted, and share of predictions.

    Of each bin of confidence that has any.
    """
    confidences, shares, bins = _sort_into_bins(joined, voted)
    for number in np.unique(bins):
        here = bins == number
        yield float(confidences[here].mean()), float(shares[here].mean()), float(here.mean())


def _sort_into_bins(
    part: pd.DataFrame, voted: VotedRows
) -> tuple[Numbers, Numbers, NDArray[np.int64]]:
    """Returns confidences, shares of the votes for what is predicted, and bins: (N,) each."""
    predicted, shares = _read(part, voted)
    confidences = predicted.max(axis=1)
    bins = np.minimum((confidences * NUM_BINS).astype(int), NUM_BINS - 1)
    return confidences, shares[np.arange(len(shares)), predicted.argmax(axis=1)], bins


def _gaps(part: pd.DataFrame, voted: VotedRows) -> Numbers:
    """Returns share of the votes above confidence, in the bin of each row, and 1: (N, bins + 1)."""
    confidences, shares, bins = _sort_into_bins(part, voted)
    gaps = np.eye(NUM_BINS)[bins] * (shares - confidences)[:, np.newaxis]
    return np.column_stack([gaps, np.ones(len(part))])


def _score_gaps(sums: Numbers) -> Numbers:
    return (np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])[np.newaxis]


def _rater_terms(part: pd.DataFrame, voted: VotedRows) -> Numbers:
    """Returns confusions of model and rater with the others, their divergences, and 1.

    The ballots of an utterance are averaged, so that each utterance counts once.
    """
    size, averaged = len(voted.labels), voted.raters[part["row"]]
    predicted, _ = _read(part, voted)
    model = averaged[:, :size, np.newaxis] * _one_hot(predicted)[:, np.newaxis, :]
    return np.column_stack(
        [
            model.reshape(len(part), -1),
            averaged[:, size:],
            _average_divergence(part, voted, predicted),
            np.ones(len(part)),
        ]
    )


def _average_divergence(part: pd.DataFrame, voted: VotedRows, predicted: Numbers) -> Numbers:
    """Returns the mean divergence of each prediction from the others of its ballots: (N,)."""
    order = np.argsort(voted.rows, kind="stable")
    counts = np.bincount(voted.rows, minlength=len(voted.ids))
    first = np.cumsum(counts) - counts
    rows = part["row"].to_numpy()
    number = np.repeat(np.arange(len(rows)), counts[rows])
    within = np.arange(len(number)) - np.repeat(
        np.cumsum(counts[rows]) - counts[rows], counts[rows]
    )
    places = order[first[rows][number] + within]
    found = jensen_shannon(voted.others[places], predicted[number])
    return np.bincount(number, weights=found, minlength=len(rows)) / counts[rows]


def _split_raters(sums: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Returns the UAR of the model and of raters, and the means of their divergences."""
    half = (sums.shape[-1] - 4) // 2
    means = sums[..., 2 * half : -1] / sums[..., -1:]
    return _score_uar(sums[..., :half]), _score_uar(sums[..., half : 2 * half]), means


def _score_raters(sums: Numbers) -> Numbers:
    _, rater, means = _split_raters(sums)
    return np.stack([rater, means[..., 0], means[..., 1]])


def _score_shares(sums: Numbers) -> Numbers:
    model, rater, means = _split_raters(sums)
    pairs = (model, rater), (1 - means[..., 2], 1 - means[..., 0])
    with np.errstate(all="ignore"):  # no ratio to raters who never agree
        return np.stack([np.where(b > 1e-9, a / b, np.nan) for a, b in pairs])
