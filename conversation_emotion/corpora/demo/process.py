"""The process that decides every turn's emotion, and the best score that it allows.

The emotion of turn ``t`` follows, with the speaker's own last turn ``t - 2`` and the partner's
``t - 1``,

    P(e | own, partner) = inertia [e = own] + contagion response(e | partner) + rest base(e)

where ``rest = 1 - inertia - contagion``. Where a turn does not exist, ``base`` takes the place of
its term: the second turn of a dialogue has no own past, the first turn has no past at all.

A predictor that knows the true emotion of every turn so far, and the process, names for the
first utterance of the next turn the class ``c`` with the largest ``P(c | history) / P(c)``. No
other rule has a higher expected unweighted average recall (UAR), since each recall divides by the
frequency of its class. The process looks back two turns, so more history adds nothing.

    C  emotion classes; index C of an axis that counts a past turn stands for "none known"
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import FOUR_CLASSES

EMOTIONS = FOUR_CLASSES


@dataclass(frozen=True, kw_only=True)
class EmotionProcess:
    """A chain over the turns of two speakers who alternate.

    Args:
        inertia: Probability that the speaker's own last emotion decides the turn.
        contagion: Probability that the partner's last emotion decides it, through `responses`.
        base: Probability of each emotion where no past decides.
        responses: What each emotion of the partner evokes, a distribution in the order of
            `EMOTIONS` for each.
    """

    inertia: float
    contagion: float
    base: tuple[float, ...]
    responses: dict[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if self.inertia < 0 or self.contagion < 0 or self.inertia + self.contagion > 1:
            raise ValueError(
                "inertia and contagion must be 0 or more and sum to 1 at most, "
                f"got {self.inertia} and {self.contagion}"
            )
        if absent := [emotion for emotion in EMOTIONS if emotion not in self.responses]:
            raise ValueError(f"responses lack the emotions {absent}")
        for name, probabilities in {"base": self.base, **self.responses}.items():
            if len(probabilities) != len(EMOTIONS) or not np.isclose(sum(probabilities), 1):
                raise ValueError(
                    f"{name} must hold {len(EMOTIONS)} probabilities that sum to 1, "
                    f"got {probabilities}"
                )

    def transition(self, own: str | None, partner: str | None) -> NDArray[np.float64]:
        """Distribution of a turn's emotion given the last ones of its speaker and partner: (C,).

        An emotion is `None` where it is unknown or absent.
        """
        base = np.array(self.base)
        stay = base if own is None else np.array([float(own == name) for name in EMOTIONS])
        response = base if partner is None else np.array(self.responses[partner])
        rest = 1 - self.inertia - self.contagion
        return self.inertia * stay + self.contagion * response + rest * base

    def sample(self, num_turns: int, generator: np.random.Generator) -> list[str]:
        """Draws the emotions of one dialogue, turn by turn."""
        emotions: list[str] = []
        for turn in range(num_turns):
            own = emotions[turn - 2] if turn >= 2 else None
            partner = emotions[turn - 1] if turn >= 1 else None
            choice = generator.choice(len(EMOTIONS), p=self.transition(own, partner))
            emotions.append(EMOTIONS[choice])
        return emotions


PROCESS = EmotionProcess(
    inertia=0.64,
    contagion=0.26,
    base=(0.23, 0.26, 0.27, 0.24),
    responses={
        # angry, happy, neutral, sad
        "angry": (0.6, 0.0, 0.0, 0.4),
        "happy": (0.0, 0.7, 0.3, 0.0),
        "neutral": (0.2, 0.5, 0.3, 0.0),
        "sad": (0.0, 0.0, 0.6, 0.4),
    },
)
"""The process of the shipped corpus: anger is returned or hurts, sadness is calmed or shared."""

TURNS_PER_DIALOGUE = (12, 13, 14, 15, 16)
"""Numbers of turns that a dialogue may have, all equally likely."""


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
