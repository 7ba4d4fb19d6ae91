"""The best score that emotion prediction can be expected to reach on the demo corpus.

A predictor that knows the true emotion of every turn so far, and the process, names for the
first utterance of the next turn the class ``c`` with the largest ``P(c | history) / P(c)``. No
other rule has a higher expected unweighted average recall (UAR), since each recall divides by the
frequency of its class. The process looks back two turns, so more history adds nothing.

    C  emotion classes; index C of an axis that counts a past turn stands for "none known"
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.corpora.demo.process import (
    EMOTIONS,
    PROCESS,
    TURNS_PER_DIALOGUE,
    EmotionProcess,
)


def transition_table(process: EmotionProcess) -> NDArray[np.float64]:
    """Every transition of the process: own past, partner's past, next emotion, (C+1, C+1, C)."""
    past = (*EMOTIONS, None)
    return np.array([[process.transition(own, partner) for partner in past] for own in past])


def expected_targets(process: EmotionProcess, turns: Sequence[int]) -> NDArray[np.float64]:
    """Expected number of turns to predict in a dialogue, by past and emotion: (C+1, C+1, C).

    ``turns`` are the numbers of turns that a dialogue may have, all equally likely.
    """
    none = len(EMOTIONS)
    transitions = transition_table(process)
    targets = np.zeros_like(transitions)
    past = np.zeros(transitions.shape[:2])
    past[none] = np.append(transitions[none, none], 0.0)
    for turn in range(1, max(turns)):
        joint = past[:, :, None] * transitions
        targets += joint * np.mean([length > turn for length in turns])
        past = np.zeros_like(past)
        past[:none, :none] = joint.sum(axis=0)[:none]
    return targets


def bayes_rule(process: EmotionProcess, turns: Sequence[int]) -> NDArray[np.int64]:
    """The class with the largest P(c | past) / P(c) for each past: (C+1, C+1)."""
    frequencies = expected_targets(process, turns).sum(axis=(0, 1))
    return np.argmax(transition_table(process) / frequencies, axis=2)


def rule_uar(rule: NDArray[np.int64], targets: NDArray[np.float64]) -> float:
    """UAR of a rule on turns counted by past and emotion: (C+1, C+1), (C+1, C+1, C) -> [0, 1]."""
    is_named = rule[:, :, None] == np.arange(len(EMOTIONS))
    recalls = (targets * is_named).sum(axis=(0, 1)) / targets.sum(axis=(0, 1))
    return float(recalls.mean())


CEILING_UAR = rule_uar(
    bayes_rule(PROCESS, TURNS_PER_DIALOGUE), expected_targets(PROCESS, TURNS_PER_DIALOGUE)
)
"""Highest expected UAR of predicting the next turn's emotion, with complete labels, in [0, 1]."""
