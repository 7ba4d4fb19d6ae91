"""The raters of the demo corpus: a stated model of who names which emotion of an utterance.

Each utterance has five of eight raters. A rater perceives valence, arousal and dominance as the
table has them, moved by a bias of their own and by chance, and weighs each emotion by how close its
usual ratings are; the emotion that the sentence was written for adds to it. They name the likeliest
emotion, and a second one that is nearly as likely. Utterances whose voice and words disagree, or
whose arousal is unusual for their emotion, so divide the raters: the shares of the votes follow
from what is heard and said, while the votes of a single rater are noisy.

The label of the corpus is the emotion that the process drew, not what the raters name. Random
numbers are those of the utterance alone, so that a part of the corpus has the same votes.
"""

import zlib
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from conversation_emotion.corpora.demo.plan import ANY_EMOTION, USUAL_RATINGS, read_sentences
from conversation_emotion.corpora.demo.process import EMOTIONS
from conversation_emotion.utterances.votes import write_votes

SEED = 7
NUM_RATERS = 8
RATERS_PER_UTTERANCE = 5

_BIAS = 0.3
_NOISE = 0.8
"""Standard deviations of a rater's bias, and of chance, on the scale of 1 to 5."""

_PRECISION = 1.2
_WORDS = 1.0
"""Log odds of an emotion lost with the squared distance to its ratings, and gained by its words."""

_SECOND = 0.3
"""Log odds between two emotions below which a rater names both."""

_USUAL = np.array([USUAL_RATINGS[emotion] for emotion in EMOTIONS])
"""Usual ratings: (C, 3)."""

_BIASES = _BIAS * np.random.default_rng(SEED).normal(size=(NUM_RATERS, _USUAL.shape[1]))


def rate(
    utterance_ids: Iterable[str], texts: Iterable[str], ratings: Sequence[Sequence[float]]
) -> list[str | None]:
    """Returns the votes of utterances, a cell of the column each.

    Args:
        utterance_ids: Ids, from which the random numbers follow.
        texts: Sentences of the corpus.
        ratings: Valence, arousal and dominance of each: (rows, 3).
    """
    written = {
        text: emotion
        for emotion, some in read_sentences().items()
        if emotion != ANY_EMOTION
        for text in some
    }
    return [
        _rate(name, written.get(text), tuple(rating))
        for name, text, rating in zip(utterance_ids, texts, ratings, strict=True)
    ]


@cache
def _rate(utterance_id: str, said: str | None, rating: tuple[float, ...]) -> str | None:
    generator = np.random.default_rng([SEED, zlib.crc32(utterance_id.encode())])
    chosen = sorted(generator.permutation(NUM_RATERS)[:RATERS_PER_UTTERANCE].tolist())
    words = _WORDS * np.array([emotion == said for emotion in EMOTIONS])
    votes = []
    for rater in chosen:
        perceived = rating + _BIASES[rater] + _NOISE * generator.normal(size=len(rating))
        odds = words - _PRECISION * np.square(perceived - _USUAL).sum(axis=1)
        order = np.argsort(-odds, kind="stable")
        number = 1 + int(odds[order[0]] - odds[order[1]] < _SECOND)
        votes.append((f"R{rater + 1}", [EMOTIONS[place] for place in order[:number]]))
    return write_votes(votes)
