"""The best score that emotion prediction can reach on the demo corpus, exactly and as realised.

A predictor that knows the true emotion of every turn so far, and the process, names for the
first utterance of the next turn the class ``c`` with the largest ``P(c | history) / P(c)``. No
other rule has a higher expected unweighted average recall (UAR), since each recall divides by the
frequency of its class. The process looks back two turns, so more history adds nothing.

    C  emotion classes; index C of an axis that counts a past turn stands for "none known"
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.corpora.demo.process import (
    EMOTIONS,
    PROCESS,
    TURNS_PER_DIALOGUE,
    EmotionProcess,
)

_PAST: tuple[str | None, ...] = (*EMOTIONS, None)


def transition_table(process: EmotionProcess) -> NDArray[np.float64]:
    """Every transition of the process: own past, partner's past, next emotion, (C+1, C+1, C)."""
    return np.array([[process.transition(own, partner) for partner in _PAST] for own in _PAST])


def expected_targets(process: EmotionProcess, turns: Sequence[int]) -> NDArray[np.float64]:
    """Expected number of turns to predict in a dialogue, by past and emotion: (C+1, C+1, C).

    Args:
        process: The process that draws the emotions.
        turns: Numbers of turns a dialogue may have, all equally likely.
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


def last_turn_rule() -> NDArray[np.int64]:
    """The rule that names the emotion of the last turn, which is the partner's: (C+1, C+1)."""
    num_pasts = len(EMOTIONS) + 1
    return np.tile(np.arange(num_pasts) % len(EMOTIONS), (num_pasts, 1))


def expected_uar(rule: NDArray[np.int64], process: EmotionProcess, turns: Sequence[int]) -> float:
    """UAR that a rule reaches on infinitely many dialogues with complete labels, in [0, 1]."""
    return _uar(rule, expected_targets(process, turns))


def realised_uar(rule: NDArray[np.int64], utterances: pd.DataFrame) -> float:
    """UAR that a rule reaches on a table, in [0, 1].

    Predicts the first utterance of every turn but a dialogue's first, where it is labelled. The
    rule is given the labels of the first utterances of the two turns before, where they have one.
    """
    none = len(EMOTIONS)
    targets = np.zeros((none + 1, none + 1, none))
    for _, dialogue in utterances.groupby("dialogue_id"):
        emotions = _turn_emotions(dialogue)
        for turn in range(1, len(emotions)):
            own = emotions[turn - 2] if turn >= 2 else none
            if emotions[turn] != none:
                targets[own, emotions[turn - 1], emotions[turn]] += 1
    return _uar(rule, targets)


def _turn_emotions(dialogue: pd.DataFrame) -> list[int]:
    """Class of the first utterance of each turn of one dialogue; C where it has no label."""
    in_order = dialogue.sort_values("order")
    is_first = in_order["speaker"] != in_order["speaker"].shift()
    emotions = in_order.loc[is_first, "emotion"]
    return [len(EMOTIONS) if pd.isna(name) else EMOTIONS.index(name) for name in emotions]


def _uar(rule: NDArray[np.int64], targets: NDArray[np.float64]) -> float:
    """Mean over the classes of the share of a class that the rule names: (C+1, C+1), counts."""
    is_named = rule[:, :, None] == np.arange(len(EMOTIONS))
    recalls = (targets * is_named).sum(axis=(0, 1)) / targets.sum(axis=(0, 1))
    return float(recalls.mean())


CEILING_UAR = expected_uar(bayes_rule(PROCESS, TURNS_PER_DIALOGUE), PROCESS, TURNS_PER_DIALOGUE)
"""Highest expected UAR of predicting the next turn's emotion, in [0, 1]."""
